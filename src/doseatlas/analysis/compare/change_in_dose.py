"""Did the typical dose move after something was done about it? The ratio of two medians, with an interval.

The interval assumes no shape of the distribution: the standard error of each median's logarithm is read from the order
statistics that enclose it (Price and Bonett, Journal of Statistical Computation and Simulation 72 (2002) 119-124).
Of corrected values, an error of calibration that both periods share is no change and cancels. It does not where a
device had other certificates after than before: then the uncertainties of both periods widen the interval.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from doseatlas.analysis.compare.comparison import key_of_sample, medians_of_units, with_units
from doseatlas.analysis.compare.records import BeforeAfter, Comparison, UnitKind
from doseatlas.analysis.corrected import calibration_by, counted_as
from doseatlas.analysis.mart import chosen, countable
from doseatlas.analysis.order_statistics import CONFIDENCE, median_interval, probability_median_above
from doseatlas.analysis.reference_levels import ReferenceLevels
from doseatlas.analysis.results import DoseValues, Selection

if TYPE_CHECKING:
    import ibis

Key = tuple[Any, ...]
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def before_after(
    table: ibis.Table,
    selection: Selection,
    change: dt.date,
    *,
    by: UnitKind = "facility",
    unit: str | None = None,
    until_after: dt.date | None = None,
    dose_values: DoseValues = "stated",
) -> tuple[BeforeAfter, ...]:
    """Return each unit, procedure, group and quantity of a selection before and from a date on.

    Args:
        table: exams, as ``mart_table`` gives them.
        selection: which exams are meant; its ``since`` and ``until`` bound the two periods.
        change: the first day of the time after.
        by: what a unit is.
        unit: only this unit, as ``compare`` names it.
        until_after: the last day of the time after, where it ends before the selection does.
        dose_values: ``corrected`` to count values corrected by calibration certificates.

    Both samples must have the minimum sample of ICRP 135, else the verdict is "too few"; the figures are given all the
    same. Ordered as ``compare`` orders.

    """
    before = msgspec.structs.replace(selection, until=_earlier(selection.until, change - dt.timedelta(days=1)))
    after = msgspec.structs.replace(
        selection, since=_later(selection.since, change), until=until_after or selection.until
    )
    exams = [countable(chosen(counted_as(table, dose_values), one)) for one in (before, after)]
    first, second = ({key_of_sample(one): one for one in _medians(part, by, unit)} for part in exams)
    common = [key for key in first if key in second]
    between: dict[Key, float] = {}
    if dose_values == "corrected" and common:
        between = _calibration_between(exams[0], exams[1], by)
    return tuple(_change(first[key], second[key], between.get(key, 0.0)) for key in common)


def _medians(exams: ibis.Table, by: UnitKind, unit: str | None) -> list[Comparison]:
    found = medians_of_units(exams, by, None, ReferenceLevels(None))
    return [one for one in found if unit in (None, one.unit)]


def _calibration_between(before: ibis.Table, after: ibis.Table, by: UnitKind) -> dict[Key, float]:
    """Return the relative standard uncertainty that calibration leaves to each ratio, where it does not cancel."""
    keys = ("unit", "period")
    uncertain = [calibration_by(with_units(exams, by, None), keys) for exams in (before, after)]
    certified = [_certificates(with_units(exams, by, None)) for exams in (before, after)]
    found: dict[Key, float] = {}
    for key in uncertain[0].keys() & uncertain[1].keys():
        procedure, group, _, _, unit, _ = key
        if certified[0][procedure, group, unit] != certified[1][procedure, group, unit]:
            found[key] = math.hypot(uncertain[0][key], uncertain[1][key])
    return found


def _certificates(exams: ibis.Table) -> dict[Key, frozenset[tuple[str, str]]]:
    """Return the devices of each procedure, group and unit, each with its certificates (or the display tolerance)."""
    device = (exams.facility + " / " + exams.device.fill_null("unknown device")).name("device")
    rows = exams.select("procedure", "patient_group", "unit", device, exams.calibration.fill_null("")).distinct()
    found: dict[Key, set[tuple[str, str]]] = defaultdict(set)
    for procedure, group, unit, *certified in (tuple(row.values()) for row in rows.to_pyarrow().to_pylist()):
        found[procedure, group, unit].add((certified[0], certified[1]))
    return {key: frozenset(members) for key, members in found.items()}


def _change(before: Comparison, after: Comparison, calibration: float = 0.0) -> BeforeAfter:
    """Return the change; ``calibration`` is the relative standard uncertainty of the ratio from certificates."""
    errors = [_error_of_log_median(one) for one in (before, after)]
    ratio = after.median / before.median if before.median > 0 else math.nan
    low = high = None
    verdict: Literal["lower", "higher", "no change shown", "too few"] = "no change shown"
    if errors[0] is not None and errors[1] is not None and ratio > 0:
        width = Z * math.hypot(errors[0], errors[1], calibration)
        low, high = ratio * math.exp(-width), ratio * math.exp(width)
        verdict = "lower" if high < 1 else "higher" if low > 1 else "no change shown"
    if before.n < before.minimum_n or after.n < after.minimum_n:
        verdict = "too few"
    return BeforeAfter(
        unit=before.unit,
        procedure=before.procedure,
        patient_group=before.patient_group,
        quantity=before.quantity,
        phantom_cm=before.phantom_cm,
        n_before=before.n,
        median_before=before.median,
        n_after=after.n,
        median_after=after.median,
        ratio=ratio,
        low=low,
        high=high,
        verdict=verdict,
    )


def _error_of_log_median(one: Comparison) -> float | None:
    """Return the standard error of a median's logarithm; ``None`` where there is no interval of it."""
    ranks = median_interval(one.n)
    if ranks is None or one.low is None or one.high is None or one.low <= 0:
        return None
    # The interval covers somewhat more than 95 %: how many standard errors it spans follows from what it covers.
    tail = probability_median_above(one.n - 1, ranks[0])
    return (math.log(one.high) - math.log(one.low)) / (2 * NormalDist().inv_cdf(1 - tail))


def _earlier(one: dt.date | None, other: dt.date) -> dt.date:
    return min(one, other) if one else other


def _later(one: dt.date | None, other: dt.date) -> dt.date:
    return max(one, other) if one else other
