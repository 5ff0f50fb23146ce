"""Did the typical dose move after something was done about it? The ratio of two medians, with an interval.

The interval assumes no shape of the distribution: the standard error of each median's logarithm is read from the order
statistics that enclose it (Price and Bonett, Journal of Statistical Computation and Simulation 72 (2002) 119-124).
"""

from __future__ import annotations

import datetime as dt
import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from doseatlas.analysis.compare.comparison import compare
from doseatlas.analysis.compare.records import BeforeAfter, Comparison, UnitKind
from doseatlas.analysis.order_statistics import CONFIDENCE, median_interval, probability_median_above
from doseatlas.analysis.results import Selection

if TYPE_CHECKING:
    import ibis

Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def before_after(
    table: ibis.Table,
    selection: Selection,
    change: dt.date,
    *,
    by: UnitKind = "facility",
    unit: str | None = None,
    until_after: dt.date | None = None,
) -> tuple[BeforeAfter, ...]:
    """Return each unit, procedure, group and quantity of a selection before and from a date on.

    Args:
        table: exams, as ``mart_table`` gives them.
        selection: which exams are meant; its ``since`` and ``until`` bound the two periods.
        change: the first day of the time after.
        by: what a unit is.
        unit: only this unit, as ``compare`` names it.
        until_after: the last day of the time after, where it ends before the selection does.

    Both samples must have the minimum sample of ICRP 135, else the verdict is "too few"; the figures are given all the
    same. Ordered as ``compare`` orders.

    """
    before = msgspec.structs.replace(selection, until=_earlier(selection.until, change - dt.timedelta(days=1)))
    after = msgspec.structs.replace(
        selection, since=_later(selection.since, change), until=until_after or selection.until
    )
    firsts = {_key(one): one for one in compare(table, before, by=by) if unit in (None, one.unit)}
    seconds = {_key(one): one for one in compare(table, after, by=by) if unit in (None, one.unit)}
    return tuple(_change(firsts[key], seconds[key]) for key in firsts if key in seconds)


def _change(before: Comparison, after: Comparison) -> BeforeAfter:
    errors = [_error_of_log_median(one) for one in (before, after)]
    ratio = after.median / before.median if before.median > 0 else math.nan
    low = high = None
    verdict: Literal["lower", "higher", "no change shown", "too few"] = "no change shown"
    if errors[0] is not None and errors[1] is not None and ratio > 0:
        width = Z * math.hypot(errors[0], errors[1])
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


def _key(one: Comparison) -> tuple[Any, ...]:
    return one.unit, one.procedure, one.patient_group, one.quantity, one.phantom_cm


def _earlier(one: dt.date | None, other: dt.date) -> dt.date:
    return min(one, other) if one else other


def _later(one: dt.date | None, other: dt.date) -> dt.date:
    return max(one, other) if one else other
