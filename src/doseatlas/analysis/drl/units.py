"""What stands for each facility (or device) in each exam and patient group? The values that levels are made of.

One pass over the files gives all quantities, and how many exams do not count and why: one row a unit, procedure, group,
phantom and judgement, and a pair of columns a quantity. Rows a quantity would be five times as slow, and a filter and a
second pass for the exams left out a quarter slower. The engine hands over no value of a patient.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal

from doseatlas.analysis.mart import chosen, countable, has_plausible_doses, with_finite_derived
from doseatlas.analysis.results import Selection
from doseatlas.analysis.tables import level_quantities, quantities, stated_quantities

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

    from doseatlas.reference import DrlMethod

GROUP = ("procedure", "patient_group", "phantom_cm")
"""What exams of a level share beside the quantity; ``phantom_cm`` 0: not stated, several, or no CT."""


ORDER = ("area", "facility", "unit", "procedure", "patient_group", "quantity", "phantom_cm")
"""By which units with their area are kept."""

JUDGEMENTS = ("plausible", "within_weight")
"""Whether an exam's doses may be counted, and whether its patient is of the weights that the method's rules ask for."""


def judged_exams(exams: ibis.Table, selection: Selection, method: DrlMethod) -> ibis.Table:
    """Return all exams of a selection, also those that do not count, with :data:`JUDGEMENTS` as columns.

    Columns: these, those of units and of :data:`GROUP` (``phantom_cm`` 0 for null), and the quantities. Plausible is
    what the mart calls so: see :func:`all_finite`.
    """
    picked = chosen(exams, selection)
    columns = ("facility", "device", "procedure", "patient_group", "weight_kg", *(q.name for q in quantities()))
    judged = picked.select(
        *columns, plausible=picked.plausible.fill_null(False), phantom_cm=picked.phantom_cm.fill_null(0)
    )
    return _with_weight_judged(judged, method)


def of_finite_doses(judged: ibis.Table) -> ibis.Table:
    """Return :func:`judged_exams` with no exam called plausible that states a dose which is NaN or infinite.

    A derived dose that is either is null.
    """
    return with_finite_derived(judged.mutate(plausible=has_plausible_doses(judged)))


def exams_by_rule(exams: ibis.Table, selection: Selection, method: DrlMethod) -> ibis.Table:
    """Return the exams that a method counts: countable, and of the weights its rules ask for.

    Columns: all, with ``phantom_cm`` 0 for null.
    """
    counted = countable(chosen(exams, selection))
    return within_weight(counted.mutate(phantom_cm=counted.phantom_cm.fill_null(0)), method)


def within_weight(exams: ibis.Table, method: DrlMethod) -> ibis.Table:
    """Return the exams whose patients are of the weights that the method's rules ask for."""
    judged = _with_weight_judged(exams, method)
    return judged.filter(judged.within_weight).drop("within_weight")


def _with_weight_judged(exams: ibis.Table, method: DrlMethod) -> ibis.Table:
    """Return the exams with a column ``within_weight``, true where no rule asks for a weight."""
    import ibis
    import pyarrow as pa

    limited = _weight_limits(method)
    if not limited:
        return exams.mutate(within_weight=ibis.literal(True))
    names = ("procedure", "patient_group", "low_kg", "high_kg")
    limits = ibis.memtable(pa.table({name: [row[i] for row in limited] for i, name in enumerate(names)}))
    joined = exams.left_join(limits, ["procedure", "patient_group"])
    inside = joined.low_kg.isnull() | joined.weight_kg.between(joined.low_kg, joined.high_kg).fill_null(False)
    return joined.select(*exams.columns, within_weight=inside)


def unit_values(
    exams: ibis.Table,
    unit: Literal["facility", "device"],
    statistic: Literal["median", "mean"],
    by: Sequence[str] = GROUP,
    unstated: Collection[str] = (),
) -> ibis.Table:
    """Return one row a unit and the columns ``by``: ``exams``, for each quantity Q ``n_Q``, ``value_Q``, ``largest_Q``.

    ``unstated`` names quantities that no exam states; they are not looked for.
    The largest value of means is the mean: it is not finite either where a value is not (see :func:`all_finite`).

    A device's unit is "facility / device", and ``facility`` is a column; a facility's unit is its name.
    Quantities are in the units that their names state.
    """
    import ibis

    if unit == "facility":
        named, keys = exams.mutate(unit=exams.facility), ["unit"]
    else:
        device = exams.facility + " / " + exams.device.fill_null("unknown device")
        named, keys = exams.mutate(unit=device), ["facility", "unit"]
    figures: dict[str, ibis.Value] = {"exams": named.count()}
    looked_for = [quantity.name for quantity in level_quantities() if quantity.name not in unstated]
    for name in looked_for:
        figures[f"n_{name}"] = named[name].count()
        # The largest comes with the median at a third of the cost of a maximum beside it.
        figures[f"value_{name}"] = named[name].quantile([0.5, 1.0]) if statistic == "median" else named[name].mean()
    found = named.group_by([*keys, *by]).agg(**figures)
    parts: dict[str, ibis.Value] = {}
    for name in looked_for:
        value = found[f"value_{name}"]
        parts |= (
            {f"value_{name}": value[0], f"largest_{name}": value[1]}
            if statistic == "median"
            else {f"largest_{name}": value}
        )
    nothing = ibis.null("float64")
    for absent in unstated:
        parts |= {f"n_{absent}": ibis.literal(0, "int64"), f"value_{absent}": nothing, f"largest_{absent}": nothing}
    return found.mutate(**parts)


def all_finite(wide: pa.Table) -> bool:
    """Return whether all doses behind :func:`unit_values` are finite: engines take NaN for the greatest number."""
    import pyarrow.compute as pc

    columns = [wide[f"largest_{quantity.name}"] for quantity in level_quantities()]
    return all(pc.all(pc.is_finite(column)).as_py() is not False for column in columns)


def counting(judged: pa.Table) -> pa.Table:
    """Return the rows of :func:`unit_values` by :data:`JUDGEMENTS` whose exams count for levels."""
    import pyarrow.compute as pc

    of_group = pc.and_(pc.is_valid(judged["procedure"]), pc.is_valid(judged["patient_group"]))
    return judged.filter(pc.and_(pc.and_(judged["plausible"], judged["within_weight"]), of_group))


def exams_judged(judged: pa.Table) -> dict[str, int]:
    """Return what :func:`exam_counts` says, from :func:`unit_values` by :data:`JUDGEMENTS` of the same exams."""
    import pyarrow.compute as pc

    exams = judged["exams"]
    mapped = pc.and_(judged["plausible"], pc.is_valid(judged["procedure"]))
    grouped = pc.and_(mapped, pc.is_valid(judged["patient_group"]))
    those = {"plausible": judged["plausible"], "mapped": mapped, "grouped": grouped}
    return {"exams": pc.sum(exams).as_py() or 0} | {
        name: pc.sum(exams.filter(mask)).as_py() or 0 for name, mask in those.items()
    }


def exams_with_dose(exams: ibis.Table) -> ibis.Table:
    """Return one row: how many ``exams`` there are, and how many are ``dosed``: state at least one quantity."""
    import ibis

    any_dose = ibis.or_(*(exams[quantity.name].notnull() for quantity in stated_quantities()))
    return exams.agg(exams=exams.count(), dosed=any_dose.sum())


def long_form(wide: pa.Table) -> pa.Table:
    """Return :func:`unit_values` as one row a unit, :data:`GROUP` and quantity: ``n`` and ``value``, n at least 1."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = []
    facility = "facility" if "facility" in wide.column_names else "unit"
    for quantity in level_quantities():
        stated = wide.filter(pc.greater(wide[f"n_{quantity.name}"], 0))
        if stated.num_rows:
            columns = {"facility": stated[facility], **{name: stated[name] for name in ("unit", *GROUP)}}
            columns["quantity"] = pa.repeat(pa.scalar(quantity.name), stated.num_rows)
            columns["n"] = stated[f"n_{quantity.name}"].cast("int64")
            columns["value"] = stated[f"value_{quantity.name}"].cast("float64")
            parts.append(pa.table(columns).cast(unit_schema()))
    return pa.concat_tables(parts) if parts else unit_schema().empty_table()


def in_order(units: pa.Table) -> pa.Table:
    """Return units in the order in which they are kept: a facility's rows lie together, whatever engine gave them."""
    return units.sort_by([(name, "ascending") for name in ORDER])


def unit_schema() -> pa.Schema:
    """Return the schema of :func:`long_form`."""
    import pyarrow as pa

    texts = [(name, pa.string()) for name in ("facility", "unit", "procedure", "patient_group")]
    return pa.schema(
        [*texts, ("phantom_cm", pa.int32()), ("quantity", pa.string()), ("n", pa.int64()), ("value", pa.float64())]
    )


def exam_counts(exams: ibis.Table, selection: Selection) -> ibis.Table:
    """Return one row: how many exams are selected, and how many of them are left after each condition of counting."""
    picked = chosen(exams, selection)
    plausible = has_plausible_doses(picked)
    mapped = plausible & picked.procedure.notnull()
    grouped = mapped & picked.patient_group.notnull()
    return picked.agg(exams=picked.count(), plausible=plausible.sum(), mapped=mapped.sum(), grouped=grouped.sum())


def _weight_limits(method: DrlMethod) -> Sequence[tuple[str, str, float, float]]:
    """Return procedure, group, lowest and highest weight where the rule that applies has a limit."""
    from doseatlas.reference import patient_groups, procedures

    if all(rule.weight_low_kg is None and rule.weight_high_kg is None for rule in method.rules):
        return ()
    limited = []
    for procedure in procedures():
        for group in patient_groups():
            rule = method.rule(procedure.id, group.id)
            if rule and (rule.weight_low_kg is not None or rule.weight_high_kg is not None):
                limited.append((procedure.id, group.id, rule.weight_low_kg or 0.0, rule.weight_high_kg or 1e9))
    return limited
