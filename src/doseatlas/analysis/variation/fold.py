"""How many times the lowest typical dose of an exam is the highest?

Fold variation is max / min of the units' medians within one exam and one patient group, as the coordinated studies
state it. It rests on two units only and grows with their number, so the ratio of the quartiles stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from doseatlas.analysis.compare.log_sums import Peers, UnitLogs
from doseatlas.analysis.drl.bootstrap import FEWEST_UNITS, Draws, drawn_units, interval
from doseatlas.analysis.tables import minimum_sample
from doseatlas.analysis.variation.records import FoldVariation

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def fold_variations(
    units: Mapping[Peers, UnitLogs], draws: Draws, *, minimum_n: int | None = None
) -> tuple[FoldVariation, ...]:
    """Return the variation of each exam, group, quantity and phantom with two or more units of enough exams.

    ``minimum_n`` overrides the minimum sample of ICRP 135, as the protocol of a study may.
    """
    found = (fold_variation(peers, logs, draws, minimum_n=minimum_n) for peers, logs in units.items())
    return tuple(one for one in found if one is not None)


def fold_variation(peers: Peers, logs: UnitLogs, draws: Draws, *, minimum_n: int | None = None) -> FoldVariation | None:
    """Return the variation between units; ``None`` for fewer than two with enough exams."""
    import numpy as np

    needed = minimum_n or minimum_sample(peers.procedure, peers.patient_group).minimum_n
    enough = np.flatnonzero(logs.n >= needed)
    if len(enough) < 2:
        return None
    median = logs.median[enough]
    found = spread_of(median, _drawn_logs(np.log(median), logs.log_median_error[enough], draws))
    of_quartiles = _quartile_interval(median, draws)
    return FoldVariation(
        procedure=peers.procedure,
        patient_group=peers.patient_group,
        quantity=peers.quantity,  # type: ignore[arg-type]
        phantom_cm=peers.phantom_cm or None,
        units=len(enough),
        exams=int(logs.n[enough].sum()),
        minimum_n=needed,
        not_counted=len(logs.units) - len(enough),
        lowest=float(median[found.lowest]),
        lowest_unit=logs.units[enough[found.lowest]],
        highest=float(median[found.highest]),
        highest_unit=logs.units[enough[found.highest]],
        fold=found.fold,
        fold_low=found.fold_low,
        fold_high=found.fold_high,
        quartile_ratio=found.quartile_ratio,
        quartile_ratio_low=of_quartiles and of_quartiles[0],
        quartile_ratio_high=of_quartiles and of_quartiles[1],
    )


class Spread(NamedTuple):
    """How far typical values are apart; ``lowest`` and ``highest`` are the places of the ends among them.

    The ratios are NaN where their divisor is 0; the interval of the fold is ``None`` where nothing is drawn.
    """

    lowest: int
    highest: int
    p25: float
    median: float
    p75: float
    fold: float
    fold_low: float | None
    fold_high: float | None
    quartile_ratio: float


def spread_of(values: Floats, log_draws: Floats | None) -> Spread:
    """Return how far typical values are apart, with the 95 % interval of max / min of their true values.

    Args:
        values: the typical value of each place: facility, device, protocol or country.
        log_draws: logarithms of what the values might have been with other patients: one row a draw, one column a
            place; ``None``: not known.

    As a maximum of noisy values is too high on average, the draws are reflected about the estimate (the basic bootstrap
    interval; Davison and Hinkley 1997, section 5.2). A ratio of the highest to the lowest is never below 1, and the
    interval begins there where chance alone would spread equal places as far.

    """
    import numpy as np

    lowest, highest = int(values.argmin()), int(values.argmax())
    p25, median, p75 = (float(q) for q in np.quantile(values, [0.25, 0.5, 0.75]))
    fold = float(values[highest] / values[lowest]) if values[lowest] > 0 else math.nan
    low = high = None
    if log_draws is not None and len(values) > 1 and fold > 0:
        drawn, by_chance = (interval(np.ptp(logs, axis=1)) for logs in (log_draws, log_draws - np.log(values)))
        low, high = (math.exp(max(0.0, 2 * math.log(fold) - end)) for end in (drawn.high, drawn.low))
        low = 1.0 if math.log(fold) <= by_chance.high else low
    return Spread(lowest, highest, p25, median, p75, fold, low, high, p75 / p25 if p25 > 0 else math.nan)


def _drawn_logs(log_median: Floats, error: Floats, draws: Draws) -> Floats | None:
    """Return medians drawn from their sampling distributions; ``None`` where their spread is not known."""
    import numpy as np

    if not (error > 0).any():
        return None
    rng = np.random.default_rng([draws.seed, len(error)])
    return log_median + error * rng.normal(size=(draws.replicates, len(error)))


def _quartile_interval(median: Floats, draws: Draws) -> tuple[float, float] | None:
    """Return the interval of p75 / p25 of all such units, drawing units."""
    import numpy as np

    if len(median) < FEWEST_UNITS:
        return None
    p25, p75 = np.quantile(median[drawn_units(len(median), draws)], [0.25, 0.75], axis=1)
    found = interval(p75 / p25)
    return found.low, found.high
