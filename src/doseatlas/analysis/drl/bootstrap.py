"""How far could a percentile of a few facilities be from that of all of them? Seeded bootstrap intervals.

Units (facilities, devices) are drawn with replacement, and the percentile taken of each draw (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, section 13.3: the percentile interval). A facility's value carries the chance of
its own patients, so drawing facilities covers both sources of chance (Davison and Hinkley, Bootstrap Methods and their
Application, 1997, section 3.8).

The draws are made of ranks, once for each number of units, and serve all levels with so many: the same figures as
drawing values, at a hundredth of the cost.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from doseatlas.analysis.order_statistics import CONFIDENCE, quantile_position

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

FEWEST_UNITS = 5
"""Fewer units have no interval: their draws repeat a handful of values, and the interval would be far too narrow."""


class Draws(NamedTuple):
    """How often and from which seed units are drawn."""

    replicates: int = 1000
    seed: int = 1


class Interval(NamedTuple):
    """The 95 % interval of a figure."""

    low: float
    high: float


def percentile_of(ordered: Floats, percentile: float) -> float:
    """Return a percentile of sorted values (definition 7 of Hyndman and Fan)."""
    position = quantile_position(len(ordered), percentile / 100)
    return position.interpolate(float(ordered[position.below]), float(ordered[position.above]))


def percentile_interval(ordered: Floats, percentile: float, draws: Draws) -> Interval | None:
    """Return the bootstrap interval of a percentile of sorted values; ``None`` for fewer than 5."""
    if len(ordered) < FEWEST_UNITS:
        return None
    below, above = _drawn_ranks(len(ordered), percentile, draws)
    fraction = quantile_position(len(ordered), percentile / 100).fraction
    drawn = ordered[below] + fraction * (ordered[above] - ordered[below])
    return interval(drawn)


def interval(drawn: Floats) -> Interval:
    """Return the 95 % percentile interval of bootstrap draws."""
    import numpy as np

    tail = 50 * (1 - CONFIDENCE)
    ends = [quantile_position(len(drawn), percentile / 100) for percentile in (tail, 100 - tail)]
    # Only the members at the interval's ends need to be in their places: a quarter of the cost of sorting.
    placed = np.partition(drawn, [place for end in ends for place in (end.below, end.above)])
    return Interval(*(end.interpolate(float(placed[end.below]), float(placed[end.above])) for end in ends))


@lru_cache(maxsize=8)
def drawn_units(units: int, draws: Draws) -> Ints:
    """Return which units each replicate draws: one row a replicate."""
    import numpy as np

    rng = np.random.default_rng([draws.seed, units])
    return rng.integers(0, units, (draws.replicates, units))


@lru_cache(maxsize=512)
def _drawn_ranks(units: int, percentile: float, draws: Draws) -> tuple[Ints, Ints]:
    """Return the ranks that stand at the percentile's two places in each draw of sorted units."""
    import numpy as np

    position = quantile_position(units, percentile / 100)
    ranks = np.sort(drawn_units(units, draws), axis=1)
    return ranks[:, position.below].copy(), ranks[:, position.above].copy()
