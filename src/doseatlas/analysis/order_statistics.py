"""Where does the true median lie, and how sure is it that it lies above a level? Exact, without a distribution.

No shape of the dose distribution is assumed: each exam lies above the true median with probability one half, so the
number that does is binomial. The derivations are in ``docs/statistics.md``.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CONFIDENCE = 0.95


class Position(NamedTuple):
    """Where a quantile lies in a sorted sample: between two members (counted from 0), by linear interpolation."""

    below: int
    above: int
    fraction: float

    def interpolate(self, below: float, above: float) -> float:
        """Return the quantile from the values of the two members."""
        return below if self.fraction == 0 else below + self.fraction * (above - below)


def quantile_position(n: int, probability: float) -> Position:
    """Return where a quantile lies among ``n`` sorted values.

    Linear interpolation between the order statistics at ``(n - 1) * probability``: definition 7 of Hyndman and Fan,
    The American Statistician 50 (1996) 361-365; the default of R, NumPy and spreadsheets.
    """
    exact = (n - 1) * probability
    below = math.floor(exact)
    return Position(below, min(below + 1, n - 1), exact - below)


@lru_cache(maxsize=4096)
def median_interval(n: int, confidence: float = CONFIDENCE) -> tuple[int, int] | None:
    """Return the members of ``n`` sorted values, counted from 0, between which the true median lies.

    The narrowest symmetric pair of order statistics whose coverage is at least ``confidence`` whatever the
    distribution; ``None`` where even the smallest and the largest value do not reach it (95 %: fewer than 6 values).
    Source: David and Nagaraja, Order Statistics, 3rd ed. (2003) section 7.1; Conover, Practical Nonparametric
    Statistics, 3rd ed. (1999) section 3.2.
    """
    import numpy as np

    start, cumulative = _cumulative_binomial(n)
    # The r-th smallest value exceeds the true median when at most r - 1 values lie below that: P(Bin <= r - 1).
    r = start + int(np.searchsorted(cumulative, (1 - confidence) / 2, side="right"))
    if r == 0:
        return None
    return r - 1, n - r


def probability_median_above(n: int, above: int) -> float:
    """Return the probability that the true median lies above a level that ``above`` of ``n`` values exceed.

    With a uniform prior for the share p of exams above the level, p is Beta(above + 1, n - above + 1) distributed and
    P(p > 1/2) = P(Bin(n + 1, 1/2) <= above). Source: Gelman et al., Bayesian Data Analysis, 3rd ed. (2013)
    section 2.1, and the identity between the beta and the binomial distribution.
    """
    start, cumulative = _cumulative_binomial(n + 1)
    if above < start:
        return 0.0
    index = above - start
    # Rounding of the sum may pass 1 by some units of the last place.
    return min(float(cumulative[index]), 1.0) if index < len(cumulative) else 1.0


@lru_cache(maxsize=256)
def _cumulative_binomial(n: int) -> tuple[int, npt.NDArray[np.float64]]:
    """Return ``start`` and P(Bin(n, 1/2) <= start + i) for the members that differ from 0 and 1 in double precision.

    Summed from ratios of neighbouring terms, so that no large factorial arises.
    """
    import numpy as np

    half_width = 20 * math.sqrt(n) + 20  # 40 standard deviations: what lies outside is below 1e-300
    start, stop = max(0, math.floor(n / 2 - half_width)), min(n, math.ceil(n / 2 + half_width))
    k = np.arange(start, stop, dtype=np.float64)
    logs = np.concatenate([[0.0], np.cumsum(np.log(n - k) - np.log(k + 1))])
    terms = np.exp(logs - logs.max())
    return start, np.cumsum(terms) / terms.sum()
