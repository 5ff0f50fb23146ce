"""How many times the lowest typical dose of an exam is the highest?

Fold variation is max / min of the units' medians within one exam and one patient group, as the coordinated studies
state it. It rests on two units only and grows with their number, so the ratio of the quartiles stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from doseatlas.analysis.compare.funnel import MEDIAN_EFFICIENCY
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
    median, n = logs.median[enough], logs.n[enough]
    lowest, highest = int(enough[median.argmin()]), int(enough[median.argmax()])
    fold = float(logs.median[highest] / logs.median[lowest])
    p25, p75 = np.quantile(median, [0.25, 0.75])
    of_fold = _fold_interval(np.log(median), n, logs.spread_within, math.log(fold), draws)
    of_quartiles = _quartile_interval(median, draws)
    return FoldVariation(
        procedure=peers.procedure,
        patient_group=peers.patient_group,
        quantity=peers.quantity,  # type: ignore[arg-type]
        phantom_cm=peers.phantom_cm or None,
        units=len(enough),
        exams=int(n.sum()),
        minimum_n=needed,
        not_counted=len(logs.units) - len(enough),
        lowest=float(logs.median[lowest]),
        lowest_unit=logs.units[lowest],
        highest=float(logs.median[highest]),
        highest_unit=logs.units[highest],
        fold=fold,
        fold_low=of_fold and of_fold[0],
        fold_high=of_fold and of_fold[1],
        quartile_ratio=float(p75 / p25),
        quartile_ratio_low=of_quartiles and of_quartiles[0],
        quartile_ratio_high=of_quartiles and of_quartiles[1],
    )


def _fold_interval(
    log_median: Floats, n: Floats, within: float, log_fold: float, draws: Draws
) -> tuple[float, float] | None:
    """Return the interval of max / min of these units' true medians.

    Each median is drawn from its sampling distribution. As a maximum of noisy values is too high on average, the draws
    are reflected about the estimate (the basic bootstrap interval; Davison and Hinkley 1997, section 5.2). A ratio of
    the highest to the lowest is never below 1.
    """
    import numpy as np

    if len(n) < FEWEST_UNITS or not within > 0:
        return None
    rng = np.random.default_rng([draws.seed, len(n)])
    noise = MEDIAN_EFFICIENCY * within / np.sqrt(n) * rng.normal(size=(draws.replicates, len(n)))
    drawn = log_median + noise
    spread = interval(drawn.max(axis=1) - drawn.min(axis=1))
    return math.exp(max(0.0, 2 * log_fold - spread.high)), math.exp(max(0.0, 2 * log_fold - spread.low))


def _quartile_interval(median: Floats, draws: Draws) -> tuple[float, float] | None:
    """Return the interval of p75 / p25 of all such units, drawing units."""
    import numpy as np

    if len(median) < FEWEST_UNITS:
        return None
    p25, p75 = np.quantile(median[drawn_units(len(median), draws)], [0.25, 0.75], axis=1)
    found = interval(p75 / p25)
    return found.low, found.high
