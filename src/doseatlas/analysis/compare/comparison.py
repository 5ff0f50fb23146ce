"""Is a facility, device or protocol within the reference level, above it, or above it again and again?

Definitions: ``docs/variation.md``, section "Comparison".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from doseatlas.analysis.compare.records import ComparedVerdict, Comparison, PeriodLength, UnitKind
from doseatlas.analysis.corrected import Sample, counted_as, samples, widened
from doseatlas.analysis.dose_values import PEERS
from doseatlas.analysis.mart import chosen, countable
from doseatlas.analysis.order_statistics import median_interval, probability_median_above, quantile_position
from doseatlas.analysis.reference_levels import LevelSet, ReferenceLevels
from doseatlas.analysis.results import DoseValues, Selection
from doseatlas.analysis.tables import minimum_sample, quantities
from doseatlas.analysis.typical import answers, ask_schema, verdict

if TYPE_CHECKING:
    import ibis

CONSISTENT_PERIODS = 2
SURE = 0.95
FAR_BELOW = 0.5
UNDATED = "undated"


def compare(
    table: ibis.Table,
    selection: Selection,
    *,
    by: UnitKind,
    period: PeriodLength | None = None,
    drl_set: LevelSet | None = None,
    dose_values: DoseValues = "stated",
) -> tuple[Comparison, ...]:
    """Return the typical value of each unit, procedure, group, quantity, phantom and period beside its level.

    Args:
        table: exams, as ``mart_table`` gives them.
        selection: which of them are meant.
        by: what a unit is. Protocols of the same name on different devices are different units.
        period: how long a period is; ``None``: all is one period, called "all". Undated exams have no period.
        drl_set: the levels to compare with.
        dose_values: ``corrected`` to count values corrected by calibration certificates; intervals and probabilities
            then hold sampling and calibration.

    Returns:
        Ordered by unit, procedure, group, quantity, phantom and period.

    Sources: ICRP Publication 135 (2017); ``docs/variation.md``.

    """
    levels = ReferenceLevels(drl_set)
    exams = countable(chosen(counted_as(table, dose_values), selection))
    found = medians_of_units(exams, by, period, levels)
    if dose_values == "corrected" and found:
        sampled = samples(with_units(exams, by, period), ("unit", "period"))
        found = [_with_calibration(one, sampled.get(key_of_sample(one))) for one in found]
    return _consistently(found)


def medians_of_units(
    exams: ibis.Table, by: UnitKind, period: PeriodLength | None, levels: ReferenceLevels
) -> list[Comparison]:
    """Return what :func:`compare` does of exams that count, with the uncertainty of sampling alone."""
    import ibis
    import pyarrow as pa

    values = unit_dose_values(exams, by, period)
    keys = [*PEERS, "unit", "period"]
    groups = values.group_by(keys).agg(n=values.count()).to_pyarrow().to_pylist()
    if not groups:
        return []
    asked = pa.Table.from_pylist([_ask(group, levels) for group in groups], ask_schema(keys))
    rows = answers(values, ibis.memtable(asked), keys).to_pyarrow().to_pylist()
    return sorted((_comparison(row, by, levels) for row in rows), key=_order)


def key_of_sample(one: Comparison) -> tuple[Any, ...]:
    """Return ``PEERS``, unit and period."""
    return one.procedure, one.patient_group, one.quantity, one.phantom_cm or 0, one.unit, one.period


def _with_calibration(one: Comparison, sample: Sample | None) -> Comparison:
    if sample is None:
        return one
    found = widened(sample, one.low, one.high, one.reference)
    probability = one.probability_above if found.probability_above is None else found.probability_above
    return msgspec.structs.replace(
        one,
        low=found.low,
        high=found.high,
        calibration_uncertainty=found.calibration,
        probability_above=probability,
    )


def with_units(exams: ibis.Table, by: UnitKind, period: PeriodLength | None) -> ibis.Table:
    """Return the exams with ``unit`` and ``period``; undated exams have no period."""
    device = exams.device.fill_null("unknown device")
    unit = {
        "facility": exams.facility,
        "device": exams.facility + " / " + device,
        "protocol": exams.facility + " / " + device + " / " + exams.protocol.fill_null("(no protocol stated)"),
    }[by]
    named = exams.mutate(unit=unit, period=_period(exams.month, period))
    return named if period is None else named.filter(named.period != UNDATED)


def unit_dose_values(exams: ibis.Table, by: UnitKind, period: PeriodLength | None) -> ibis.Table:
    """Return one row an exam and quantity stated: ``PEERS``, ``unit``, ``period``, ``value``."""
    import ibis
    import pyarrow as pa

    names = [quantity.name for quantity in quantities()]
    wide = with_units(exams, by, period).select("procedure", "patient_group", "phantom_cm", *names, "unit", "period")
    # A cross join with a handful of names reads the files once, as in dose_values.
    each = wide.cross_join(ibis.memtable(pa.table({"quantity": names})))
    on_phantom = each.quantity.isin([quantity.name for quantity in quantities() if quantity.phantom_matters])
    values = each.select(
        "procedure",
        "patient_group",
        "quantity",
        "unit",
        "period",
        phantom_cm=on_phantom.ifelse(each.phantom_cm.fill_null(0), 0).cast("int32"),
        value=ibis.cases(*((each.quantity == name, each[name].cast("float64")) for name in names)),
    )
    return values.filter(values.value.notnull())


def _period(month: Any, period: PeriodLength | None) -> Any:
    import ibis

    if period is None:
        return ibis.literal("all")
    if period == "month":
        return month
    year = month.substr(0, 4)
    if period == "year":
        return (month == UNDATED).ifelse(month, year)
    quarter = ((month.substr(5, 2).nullif("").try_cast("int32") + 2) / 3).floor().cast("int32").cast("string")
    return (month == UNDATED).ifelse(month, year + "-Q" + quarter)


def _ask(group: dict[str, Any], levels: ReferenceLevels) -> dict[str, Any]:
    reference = levels.find(group["procedure"], group["patient_group"], group["quantity"], group["phantom_cm"] or None)
    asked = {**group, "level": reference and reference.value}
    asked["low"], asked["high"] = median_interval(group["n"]) or (None, None)
    for name, probability in (("p25", 0.25), ("p50", 0.5), ("p75", 0.75)):
        position = quantile_position(group["n"], probability)
        asked[f"{name}_below"], asked[f"{name}_above"] = position.below, position.above
    return asked


def _comparison(row: dict[str, Any], by: UnitKind, levels: ReferenceLevels) -> Comparison:
    n = row["n"]
    median = quantile_position(n, 0.5).interpolate(row["p50_below"], row["p50_above"])
    reference = levels.find(row["procedure"], row["patient_group"], row["quantity"], row["phantom_cm"] or None)
    needed = minimum_sample(row["procedure"], row["patient_group"]).minimum_n
    far_below = reference is not None and n >= needed and median < FAR_BELOW * reference.value
    return Comparison(
        kind=by,
        unit=row["unit"],
        procedure=row["procedure"],
        patient_group=row["patient_group"],
        quantity=row["quantity"],
        phantom_cm=row["phantom_cm"] or None,
        period=row["period"],
        n=n,
        minimum_n=needed,
        median=median,
        low=row["low"],
        high=row["high"],
        reference=reference,
        ratio=median / reference.value if reference else None,
        probability_above=probability_median_above(n, row["above_level"]) if reference else None,
        verdict=verdict(median, n, needed, reference),
        note="below half of the level: see to image quality first" if far_below else None,
    )


def _consistently(ordered: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Return the comparisons with "consistently above" where a unit is above, surely, and was above before.

    Periods with too few exams are passed over: they neither confirm nor interrupt.
    """
    history: dict[tuple[object, ...], list[ComparedVerdict]] = defaultdict(list)
    found = []
    for one in ordered:
        before = history[_series(one)]
        last = before[-(CONSISTENT_PERIODS - 1) :]
        again = len(last) == CONSISTENT_PERIODS - 1 and all(v == "above" for v in last)
        if one.verdict != "too few":
            before.append(one.verdict)
        if one.verdict == "above" and again and (one.probability_above or 0) >= SURE:
            one = msgspec.structs.replace(one, verdict="consistently above")
        found.append(one)
    return tuple(found)


def _series(one: Comparison) -> tuple[object, ...]:
    return one.unit, one.procedure, one.patient_group, one.quantity, one.phantom_cm


def _order(one: Comparison) -> tuple[object, ...]:
    rank = {quantity.name: i for i, quantity in enumerate(quantities())}
    return one.unit, one.procedure, one.patient_group, rank[one.quantity], one.phantom_cm or 0, one.period
