"""Is a unit's typical dose unlike the others', or is its sample just small? Funnel plots and league tables.

On the logarithm of the dose, the median of n exams has a standard error of about 1.2533 s / sqrt(n), s being the spread
of patients within units. Units truly differ too: what the scatter of the medians exceeds chance by is the usual spread
between units, and belongs to the limits (Spiegelhalter, Statistics in Medicine 24 (2005) 1185-1202, the additive
model). So a large hospital is not flagged because its sample is large, nor a small one for noise. Of corrected values,
the error of a unit's calibration adds to that of its sample; the limits drawn are those of a unit without one.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING

from doseatlas.analysis.compare.log_sums import MEDIAN_EFFICIENCY, Peers, UnitLogs
from doseatlas.analysis.compare.records import Funnel, FunnelLimit, FunnelPoint, FunnelSignal, LeagueRow
from doseatlas.analysis.drl.bootstrap import Draws

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

FEWEST_EXAMS = 5
FEWEST_UNITS = 5
Z_95, Z_998 = NormalDist().inv_cdf(0.975), NormalDist().inv_cdf(0.999)
LIMIT_SIZES = tuple(size * 10**power for power in range(6) for size in (5, 7, 10, 15, 20, 30))
"""The sample sizes at which limits are given, up to the first beyond the largest unit's."""
_BOUND = 1.5
_NORMAL = NormalDist()
# The mean of min(z squared, bound squared) for a standard normal z.
_BOUNDED_SQUARE = 2 * _NORMAL.cdf(_BOUND) - 1 - 2 * _BOUND * _NORMAL.pdf(_BOUND) + 2 * _BOUND**2 * _NORMAL.cdf(-_BOUND)


def funnels(units: Mapping[Peers, UnitLogs]) -> tuple[Funnel, ...]:
    """Return the funnel of each exam, group and quantity with at least 5 units of at least 5 exams."""
    found = (funnel(peers, logs) for peers, logs in units.items())
    return tuple(one for one in found if one is not None)


def funnel(peers: Peers, logs: UnitLogs) -> Funnel | None:
    """Return the funnel of some units; ``None`` where fewer than 5 have at least 5 exams."""
    import numpy as np

    enough = np.flatnonzero(logs.n >= FEWEST_EXAMS)
    within = logs.spread_within
    if len(enough) < FEWEST_UNITS or not within > 0:
        return None
    y, n = np.log(logs.median[enough]), logs.n[enough]
    error = logs.log_median_error[enough]
    centre = float(np.median(y))
    between = spread_between(y, error, centre)
    z = (y - centre) / np.sqrt(error**2 + between**2)
    sizes = LIMIT_SIZES[: bisect_right(LIMIT_SIZES, n.max()) + 1]
    return Funnel(
        procedure=peers.procedure,
        patient_group=peers.patient_group,
        quantity=peers.quantity,  # type: ignore[arg-type]
        phantom_cm=peers.phantom_cm or None,
        centre=math.exp(centre),
        spread_within=within,
        spread_between=between,
        points=tuple(
            FunnelPoint(
                unit=logs.units[i],
                n=int(logs.n[i]),
                median=float(logs.median[i]),
                z=float(score),
                signal=_signal(float(score)),
            )
            for i, score in zip(enough, z, strict=True)
        ),
        limits=tuple(_limit(size, centre, within, between) for size in sizes),
        not_shown=len(logs.units) - len(enough),
    )


def spread_between(y: Floats, error: Floats, centre: float) -> float:
    """Return the standard deviation between units that chance does not explain.

    It is the one at which the units' squared z-scores, those beyond 1.5 taken as 1.5, average what they do in a normal
    distribution. Without the bound this is the estimator of Paule and Mandel (Journal of Research of the National
    Bureau of Standards 87 (1982) 377-385); the bound (Huber, Robust Statistics, 1981, proposal 2) keeps the units that
    are to be found from widening the limits that are to find them.
    """
    import numpy as np

    def excess(between: float) -> float:
        z_squared = (y - centre) ** 2 / (error**2 + between**2)
        return float(np.minimum(z_squared, _BOUND**2).sum()) - _BOUNDED_SQUARE * (len(y) - 1)

    low, high = 0.0, float(np.abs(y - centre).max())
    if excess(low) <= 0:
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def league(logs: UnitLogs, draws: Draws) -> tuple[LeagueRow, ...]:
    """Return the units by rising median, with the places that chance leaves open.

    Medians are drawn from their sampling distribution and placed again; 95 % of the places lie in the interval.
    ``shrunken`` is the median drawn towards the centre by as much as chance has a part in it (empirical Bayes; Efron
    and Morris, Journal of the American Statistical Association 70 (1975) 311-319). Units of fewer than 5 exams are
    left out.
    """
    import numpy as np

    enough = np.flatnonzero(logs.n >= FEWEST_EXAMS)
    within = logs.spread_within
    if not len(enough) or not within > 0:
        return ()
    y, n = np.log(logs.median[enough]), logs.n[enough]
    error = logs.log_median_error[enough]
    centre = float(np.median(y))
    between = spread_between(y, error, centre) if len(y) > 1 else 0.0
    shrunken = centre + (y - centre) * between**2 / (between**2 + error**2)
    rng = np.random.default_rng([draws.seed, len(y)])
    drawn = y + error * rng.normal(size=(draws.replicates, len(y)))
    places = drawn.argsort(axis=1).argsort(axis=1) + 1
    low, high = np.quantile(places, [0.025, 0.975], axis=0)
    order = np.lexsort((np.array(logs.units, dtype=object)[enough].astype(str), y))
    return tuple(
        LeagueRow(
            unit=logs.units[enough[i]],
            place=place,
            place_low=min(place, math.floor(low[i])),
            place_high=max(place, math.ceil(high[i])),
            of=len(y),
            n=int(n[i]),
            median=float(logs.median[enough[i]]),
            shrunken=float(np.exp(shrunken[i])),
        )
        for place, i in enumerate(order, start=1)
    )


def _limit(size: int, centre: float, within: float, between: float) -> FunnelLimit:
    width = math.sqrt(MEDIAN_EFFICIENCY**2 * within**2 / size + between**2)
    return FunnelLimit(
        n=size,
        low_998=math.exp(centre - Z_998 * width),
        low_95=math.exp(centre - Z_95 * width),
        high_95=math.exp(centre + Z_95 * width),
        high_998=math.exp(centre + Z_998 * width),
    )


def _signal(z: float) -> FunnelSignal:
    if abs(z) <= Z_95:
        return "none"
    if abs(z) <= Z_998:
        return "warning high" if z > 0 else "warning low"
    return "high" if z > 0 else "low"
