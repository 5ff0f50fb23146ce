"""How can a facility tell the spread of its doses without its exams? A quantile sketch, checked before it is trusted.

A sketch is that of Apache DataSketches: KLL of doubles (Karnin, Lang, Liberty, FOCS 2016), k = 400, in the library's
own binary form (serial version 1 and 2), so any of its implementations reads it. With 400 values or fewer it keeps all
of them and quantiles are exact; beyond, a rank is within 0.7 % (99 % confidence).

The library trusts the bytes that it is given: half a sketch ends the process. So bytes from outside are never handed to
it. They are checked and read here, and the values that sketches kept are put together with their weights, which loses
nothing and gives the same figures every time; the library's own merging draws at random.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from doseatlas.analysis.order_statistics import quantile_position
from doseatlas.model import DoseAtlasError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

K = 400
_M = 8  # smallest capacity of a level, fixed in the library
_FAMILY = 15
_FULL, _SHORT = 5, 2  # preamble, in 4-byte words
_EMPTY, _SINGLE = 1, 4  # flags
MOST_KEPT = 1000
_LONGEST = 20_000  # bytes; a KLL sketch of k = 400 of doubles has at most about 10,000


class SketchError(DoseAtlasError):
    """Bytes are not a whole KLL sketch of doubles of k = 400."""

    code = "sketch"


class Weighted(NamedTuple):
    """Values with the number of exams that each stands for."""

    values: Floats
    weights: Floats


def make_sketch(values: Floats) -> bytes:
    """Return the sketch of at least one finite value."""
    import numpy as np
    from datasketches import kll_doubles_sketch

    sketch = kll_doubles_sketch(K)
    sketch.update(np.array(values, np.float64))  # a copy, as the library does not take Arrow's memory
    return bytes(sketch.serialize())


def read_sketch(content: bytes, n: int) -> Weighted:
    """Return the values that a sketch of ``n`` exams kept.

    Raises:
        SketchError: the bytes are no whole sketch of ``n`` finite values.

    """
    import numpy as np

    if not 8 <= len(content) <= _LONGEST:
        raise SketchError(f"{len(content)} bytes are no KLL sketch of k = {K}")
    words, version, family, flags, k, m = struct.unpack_from("<BBBBHB", content)
    if family != _FAMILY or k != K or m != _M or flags & _EMPTY:
        raise SketchError(f"not a KLL sketch of k = {K} with values (family {family}, k {k})")
    if (words, version) == (_SHORT, 2) and flags & _SINGLE:
        stated, counts, start = 1, [1], 8
    elif (words, version) == (_FULL, 1):
        stated, counts, start = _levels(content)
    else:
        raise SketchError(f"serial version {version} with a preamble of {words} words is not known")
    held = sum(count << level for level, count in enumerate(counts))
    if stated != n or held != n or len(content) != start + 8 * sum(counts):
        raise SketchError(f"the sketch says {stated} values and holds {held} in {len(content)} bytes; the row says {n}")
    values = np.frombuffer(content, "<f8", offset=start)
    # A value that is not finite makes the sum so; all are checked in two passes without a copy.
    if not (values.min() >= 0 and np.isfinite(values.sum())):
        raise SketchError("the sketch holds values that are no doses")
    weights = np.ones(n) if len(counts) == 1 else np.repeat(2.0 ** np.arange(len(counts)), counts)
    return Weighted(values, weights)


def _levels(content: bytes) -> tuple[int, list[int], int]:
    """Return the number of values sketched, how many each level kept, and where the kept ones begin."""
    if len(content) < 24:
        raise SketchError("the sketch is cut short")
    n, min_k, level_count = struct.unpack_from("<QHB", content, 8)
    start = 20 + 4 * level_count + 16  # the smallest and the largest value stand before the kept ones
    if not 1 <= level_count <= 60 or min_k != K or len(content) < start:
        raise SketchError("the sketch is cut short, or its levels are wrong")
    bounds = (*struct.unpack_from(f"<{level_count}I", content, 20), _total_capacity(level_count))
    counts = [after - before for before, after in pairwise(bounds)]
    if min(counts) < 0:
        raise SketchError("the sketch's levels are wrong")
    return n, counts, start


@cache
def _total_capacity(level_count: int) -> int:
    """Return how many values all levels may keep: each k (2/3)^depth, rounded as the library rounds, at least 8."""

    def rounded(k: int, steps: int) -> int:
        return int((((k << 1 << steps) // 3**steps) + 1) >> 1)

    def capacity(depth: int) -> int:
        half = depth // 2
        return max(_M, rounded(K, depth) if depth <= 30 else rounded(rounded(K, half), depth - half))

    return sum(capacity(depth) for depth in range(level_count))


def together(parts: Sequence[Weighted]) -> Weighted:
    """Return the values of several sketches, or of exams (weight 1), as one sorted sample."""
    import numpy as np

    values = parts[0].values if len(parts) == 1 else np.concatenate([part.values for part in parts])
    weights = parts[0].weights if len(parts) == 1 else np.concatenate([part.weights for part in parts])
    if weights.sum() == len(weights):  # all weigh 1, as exams and small sketches do: nothing to carry along
        return Weighted(np.sort(values), weights)
    order = np.argsort(values, kind="stable")
    return Weighted(values[order], weights[order])


def quantile(sample: Weighted, probability: float) -> float:
    """Return a quantile of a sorted sample.

    Each value stands for as many equal ones as its weight says, and the quantile is that of definition 7 of Hyndman and
    Fan (The American Statistician 50 (1996) 361-365): for weights of 1, the one used everywhere in this project.
    """
    ends = sample.weights.cumsum()  # the last rank (from 1) that a value stands for
    position = quantile_position(round(float(ends[-1])), probability)
    below, above = ends.searchsorted((position.below, position.above), side="right")
    return position.interpolate(float(sample.values[below]), float(sample.values[above]))


def thinned(sample: Weighted) -> Weighted:
    """Return a sorted sample of at most 1,000 values: the middle ones of blocks of equal weight (0.05 % of ranks)."""
    import numpy as np

    if len(sample.values) <= MOST_KEPT:
        return sample
    ends = sample.weights.cumsum()
    middles = (np.arange(MOST_KEPT) + 0.5) * ends[-1] / MOST_KEPT
    return Weighted(sample.values[ends.searchsorted(middles)], np.full(MOST_KEPT, ends[-1] / MOST_KEPT))
