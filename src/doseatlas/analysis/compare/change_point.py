"""In which week did the dose of a device step up or down, by how much, and is the step surer than chance?

Each kind of exam (procedure, group, phantom) has a mean logarithm of dose of its own; one step, common to all kinds,
begins in one week. Least squares gives the step for each possible week, in closed form as exams of one kind are only
set against each other, so that a changed mix of exams is no step. The week of the largest gain is taken. As many weeks
are tried, the gain is held against the distribution of the largest of them (James, James and Siegmund, Biometrika 74
(1987) 71-83; the 5 % point for a trimming of 15 % is the 8.85 of Andrews, Econometrica 61 (1993) 821-856).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

FEWEST_WEEKS = 4  # on either side of a step
WEEK_95 = 3.0
"""Drop of the logarithm of the likelihood that bounds the weeks in which a step may have begun.

By simulation they then hold the true week in 95 % and more of the steps that are told (``tests`` repeat it).
"""
Z_95 = 1.959963984540054


class Weekly(NamedTuple):
    """Number, sum and sum of squares of the logarithm of dose: one row a kind of exam, one column a week."""

    n: Floats
    total: Floats
    squares: Floats


class Step(NamedTuple):
    """A step before column ``week``: ``size`` of the logarithm with its standard error, and the p-value.

    ``first`` and ``last`` are the earliest and latest week in which the step may have begun: those that explain the
    weeks almost as well as ``week``, the logarithm of the likelihood being less by :data:`WEEK_95` at most.
    """

    week: int
    first: int
    last: int
    size: float
    error: float
    p_value: float


def find_step(weekly: Weekly) -> Step | None:
    """Return the step that explains the weeks best, ``None`` where there are too few weeks or no exams to compare."""
    import numpy as np

    weeks = weekly.n.shape[1]
    if weeks < 2 * FEWEST_WEEKS:
        return None
    before_n, before = weekly.n.cumsum(axis=1)[:, :-1], weekly.total.cumsum(axis=1)[:, :-1]
    after_n = weekly.n.sum(axis=1, keepdims=True) - before_n
    after = weekly.total.sum(axis=1, keepdims=True) - before
    both = (before_n > 0) & (after_n > 0)
    weight = np.divide(before_n * after_n, before_n + after_n, out=np.zeros_like(before_n), where=both)
    rise = np.divide(after, after_n, out=np.zeros_like(after), where=both)
    rise -= np.divide(before, before_n, out=np.zeros_like(before), where=both)
    information = weight.sum(axis=0)
    score = (weight * rise).sum(axis=0)
    candidates = np.arange(FEWEST_WEEKS - 1, weeks - FEWEST_WEEKS)
    candidates = candidates[information[candidates] > 0]
    if not len(candidates):
        return None
    gains = score[candidates] ** 2 / information[candidates]
    best = int(candidates[gains.argmax()])
    size = float(score[best] / information[best])
    variance = _variance(weekly, best + 1, size)
    if not variance > 0:
        return None
    likely = candidates[gains >= gains.max() - 2 * WEEK_95 * variance] + 1
    share = before_n.sum(axis=0)[candidates[[0, -1]]] / weekly.n.sum()
    p_value = probability_of_largest(float(gains.max() / variance), float(share[0]), float(share[1]))
    return Step(
        best + 1, int(likely[0]), int(likely[-1]), size, math.sqrt(variance / float(information[best])), p_value
    )


def probability_of_largest(gain: float, first: float, last: float) -> float:
    """Return the probability that the largest gain over steps from share ``first`` to ``last`` exceeds ``gain``.

    There being no step. Gains of a single step have the chi-squared distribution with one degree of freedom.
    """
    b = math.sqrt(gain)
    if b <= 1:
        return 1.0
    first, last = max(first, 1e-6), min(last, 1 - 1e-6)
    if first >= last:
        return math.erfc(b / math.sqrt(2))
    density = math.exp(-gain / 2) / math.sqrt(2 * math.pi)
    span = math.log(last * (1 - first) / (first * (1 - last)))
    return min(1.0, b * density * ((1 - 1 / gain) * span + 4 / gain))


def _variance(weekly: Weekly, week: int, size: float) -> float:
    """Return the variance of an exam's logarithm of dose about kind and step.

    Weeks may scatter by more than their exams account for; then the variance between weeks is taken.
    """
    import numpy as np

    n = weekly.n
    shift = np.zeros(n.shape[1])
    shift[week:] = size
    total = weekly.total - n * shift
    squares = weekly.squares - 2 * shift * weekly.total + n * shift**2
    kinds = n.sum(axis=1)
    mean = np.divide(total.sum(axis=1), kinds, out=np.zeros_like(kinds), where=kinds > 0)
    exams = float(n.sum())
    rest = float(squares.sum() - (kinds * mean**2).sum())
    freedom = exams - np.count_nonzero(kinds) - 1
    of_week = (total - n * mean[:, None]).sum(axis=0)
    used = n.sum(axis=0) > 0
    between = float((of_week[used] ** 2 / n.sum(axis=0)[used]).sum()) / max(int(used.sum()) - 2, 1)
    return float(max(rest / freedom, between)) if freedom > 0 else 0.0
