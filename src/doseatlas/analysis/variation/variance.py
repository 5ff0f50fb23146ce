"""How do nested effects share the variance? Henderson's first method for unbalanced data, from sums only.

The model of one exam is y = mean + b x + country + facility + device + protocol + rest, with x the logarithm of the
patient's weight, all effects random and each nested in the one before. The slope b is estimated within the innermost
classes (analysis of covariance), so that it is not mixed up with where large patients are examined. The sums of squares
between the classes of each level, set equal to their expectations, give the variances one after the other from the
inside out (Henderson, Biometrics 9 (1953) 226-252; Searle, Casella and McCulloch, Variance Components, 1992, ch. 5).
No distribution is assumed; estimates are unbiased, so one below 0 can occur and is given as 0.

Why not REML: it iterates over the classes' covariance; at 3,000 facilities and ten thousand protocols this takes sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]


class CellSums(NamedTuple):
    """Exams of each innermost class: number, sums of y, y squared, x, x squared and x y (x: 0 where there is none)."""

    n: Floats
    y: Floats
    yy: Floats
    x: Floats
    xx: Floats
    xy: Floats


class Variances(NamedTuple):
    """Of each level from the outermost in, then of the rest; the slope, and the variance that size accounts for."""

    levels: list[float]
    rest: float
    slope: float
    size: float


def estimate(cells: CellSums, levels: Sequence[Ints]) -> Variances | None:
    """Return the variances of nested levels.

    Args:
        cells: sums of the innermost classes.
        levels: for each level, outermost first, the class of each cell; the last is the innermost.

    Returns:
        ``None`` where the rest cannot be estimated, as no cell has two exams.

    """
    import numpy as np

    exams = float(cells.n.sum())
    freedom = exams - len(cells.n)
    if freedom < 1:
        return None
    within_xx = float((cells.xx - cells.x**2 / cells.n).sum())
    within_xy = float((cells.xy - cells.x * cells.y / cells.n).sum())
    within_yy = float((cells.yy - cells.y**2 / cells.n).sum())
    slope = within_xy / within_xx if within_xx > 1e-9 * exams and freedom > 1 else 0.0
    rest = (within_yy - slope * within_xy) / (freedom - bool(slope))
    mean_x = cells.x.sum() / exams
    adjusted = cells.y - slope * (cells.x - cells.n * mean_x)
    size = slope**2 * (float(cells.xx.sum()) / exams - mean_x**2)
    # From the outermost: all exams as one class, then the classes of each level.
    classes = [np.zeros(len(cells.n), np.int64), *levels]
    sizes = [_sums(of_cell, cells.n) for of_cell in classes]
    squares = [float((_sums(c, adjusted) ** 2 / n).sum()) for c, n in zip(classes, sizes, strict=True)]
    found = [0.0] * len(levels)
    for i in reversed(range(1, len(classes))):
        expected_rest = (len(sizes[i]) - len(sizes[i - 1])) * rest
        inner = math.fsum(
            found[j - 1] * (_coefficient(classes, sizes, i, j) - _coefficient(classes, sizes, i - 1, j))
            for j in range(i + 1, len(classes))
        )
        own = exams - _coefficient(classes, sizes, i - 1, i)
        found[i - 1] = (squares[i] - squares[i - 1] - expected_rest - inner) / own if own > 1e-9 * exams else 0.0
    return Variances(found, rest, slope, size)


def _sums(classes: Ints, values: Floats) -> Floats:
    """Return the sum of values over each class."""
    import numpy as np

    return np.bincount(classes, values).astype(np.float64)


def _coefficient(classes: Sequence[Ints], sizes: Sequence[Floats], outer: int, inner: int) -> float:
    """Return how often the variance of level ``inner`` is in the expected sum of squares of level ``outer``.

    That is, over the classes of the outer level, the sum of squared sizes of the inner classes over the outer's size.
    """
    import numpy as np

    first_cell = np.unique(classes[inner], return_index=True)[1]
    outer_of_inner = classes[outer][first_cell]
    return float((_sums(outer_of_inner, sizes[inner] ** 2) / sizes[outer]).sum())
