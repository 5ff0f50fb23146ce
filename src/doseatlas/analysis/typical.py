"""What does an exam typically cost in dose here, and is that above the reference level?

Definitions, with their sources, are in ``docs/statistics.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from doseatlas.analysis.dose_values import PEERS, countable_doses, dose_counts, dose_samples, dose_values
from doseatlas.analysis.order_statistics import median_interval, probability_median_above, quantile_position
from doseatlas.analysis.reference_levels import LevelSet, ReferenceLevels
from doseatlas.analysis.results import ReferenceLevel, Selection, TypicalValue, Verdict
from doseatlas.analysis.tables import minimum_sample, quantities

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

QUARTERS = (("p25", 0.25), ("p50", 0.5), ("p75", 0.75))


def typical_values(
    table: ibis.Table, selection: Selection, *, by: Literal["device"] | None = None, drl_set: LevelSet | None = None
) -> tuple[TypicalValue, ...]:
    """Return the typical value (median) of each quantity for each procedure and patient group.

    Args:
        table: exams, as :func:`mart_table` gives them.
        selection: which of them are meant.
        by: ``"device"`` for a typical value of each device.
        drl_set: the reference levels to compare with; without, every verdict on enough exams is "no reference level".

    Returns:
        Ordered by procedure, patient group, quantity, phantom and device. Doses are in the unit that the quantity's
        name states. CTDIvol and DLP on the 16 cm and 32 cm phantom, and on none stated or several, are kept apart.

    Source: ICRP Publication 135 (2017).

    """
    return typical_of_doses(countable_doses(table, selection), by=by, levels=ReferenceLevels(drl_set))


def typical_values_table(exams: ibis.Table, selection: Selection = Selection()) -> ibis.Table:  # noqa: B008 (immutable)
    """Return the typical values as an Ibis table; ``.to_pandas()``, ``.to_polars()`` or ``.to_pyarrow()`` fetches it.

    Columns: ``procedure``, ``patient_group``, ``quantity``, ``phantom_cm`` (null: not stated, several, or no CT),
    ``n``, ``median``, ``p25``, ``p75``, ``minimum``, ``maximum``, in the unit that the quantity's name states.
    """
    values = dose_values(countable_doses(exams, selection))
    summary = values.group_by(PEERS).agg(
        n=values.count(),
        quartiles=values.value.quantile([0.5, 0.25, 0.75]),
        minimum=values.value.min(),
        maximum=values.value.max(),
    )
    return summary.select(
        "procedure",
        "patient_group",
        "quantity",
        summary.phantom_cm.nullif(0).name("phantom_cm"),
        "n",
        *(summary.quartiles[i].name(name) for i, name in enumerate(("median", "p25", "p75"))),
        "minimum",
        "maximum",
    ).order_by("procedure", "patient_group", "quantity", "phantom_cm")


def typical_of_doses(
    doses: ibis.Table, *, by: Literal["device"] | None, levels: ReferenceLevels
) -> tuple[TypicalValue, ...]:
    """Return the typical values of :func:`countable_doses`."""
    import ibis
    import pyarrow as pa

    keys = [*PEERS, by] if by else list(PEERS)
    groups = dose_counts(doses, keys).to_pyarrow().to_pylist()
    if not groups:
        return ()
    asked = pa.Table.from_pylist([_ask(group, levels) for group in groups], ask_schema(keys))
    rows = answers_of_samples(dose_samples(doses, keys), ibis.memtable(asked), keys).to_pyarrow().to_pylist()
    return tuple(sorted((_typical_value(row, levels) for row in rows), key=_order))


def answers(values: ibis.Table, asked: ibis.Table, keys: Sequence[str]) -> ibis.Table:
    """Return the members of each group's sorted values that ``asked`` names, and how many exceed its level.

    ``asked`` has one row a group; its schema is :func:`ask_schema`. The sorted values stay in the engine.
    """
    return answers_of_samples(values.group_by(keys).agg(sorted_values=values.value.collect().sort()), asked, keys)


def answers_of_samples(samples: ibis.Table, asked: ibis.Table, keys: Sequence[str]) -> ibis.Table:
    """Return the :func:`answers` of groups whose ``sorted_values`` are at hand."""
    joined = asked.join(samples, keys)
    return joined.select(
        *keys,
        "n",
        minimum=joined.sorted_values[0],
        maximum=joined.sorted_values[joined.n - 1],
        above_level=joined.sorted_values.filter(lambda value: value > joined.level).length(),
        **{name: joined.sorted_values[joined[name]] for name in _POSITIONS},
    )


_POSITIONS = ("low", "high", *(f"{name}_{side}" for name, _ in QUARTERS for side in ("below", "above")))


def ask_schema(keys: Sequence[str]) -> pa.Schema:
    """Return the Arrow schema of what is asked of each group: positions in its sorted values, and a level."""
    import pyarrow as pa

    types = {"phantom_cm": pa.int32()}
    fields = [(key, types.get(key, pa.string())) for key in keys]
    return pa.schema([*fields, ("n", pa.int64()), ("level", pa.float64()), *((p, pa.int64()) for p in _POSITIONS)])


def _ask(group: dict[str, Any], levels: ReferenceLevels) -> dict[str, Any]:
    """Return which members of the sorted sample are wanted, and the level to count against."""
    reference = _reference(group, levels)
    interval = median_interval(group["n"])
    asked = {**group, "level": reference and reference.value}
    asked["low"], asked["high"] = interval or (None, None)
    for name, probability in QUARTERS:
        position = quantile_position(group["n"], probability)
        asked[f"{name}_below"], asked[f"{name}_above"] = position.below, position.above
    return asked


def _reference(row: dict[str, Any], levels: ReferenceLevels) -> ReferenceLevel | None:
    return levels.find(row["procedure"], row["patient_group"], row["quantity"], row["phantom_cm"] or None)


def _typical_value(row: dict[str, Any], levels: ReferenceLevels) -> TypicalValue:
    n = row["n"]
    quarters = {
        name: quantile_position(n, probability).interpolate(row[f"{name}_below"], row[f"{name}_above"])
        for name, probability in QUARTERS
    }
    reference = _reference(row, levels)
    needed = minimum_sample(row["procedure"], row["patient_group"]).minimum_n
    return TypicalValue(
        procedure=row["procedure"],
        patient_group=row["patient_group"],
        quantity=row["quantity"],
        device=row.get("device"),
        phantom_cm=row["phantom_cm"] or None,
        n=n,
        minimum_n=needed,
        median=quarters["p50"],
        low=row["low"],
        high=row["high"],
        p25=quarters["p25"],
        p75=quarters["p75"],
        minimum=row["minimum"],
        maximum=row["maximum"],
        reference=reference,
        ratio=quarters["p50"] / reference.value if reference else None,
        probability_above=probability_median_above(n, row["above_level"]) if reference else None,
        verdict=verdict(quarters["p50"], n, needed, reference),
        note=_note(row, levels),
    )


def verdict(median: float, n: int, needed: int, reference: ReferenceLevel | None) -> Verdict:
    """Return how a typical value compares: above means that the median is greater than the reference level."""
    if n < needed:
        return "too few"
    if reference is None:
        return "no reference level"
    return "above" if median > reference.value else "within"


def _note(row: dict[str, Any], levels: ReferenceLevels) -> str | None:
    """Return what a reader must know of the CTDI phantom: none stated or several, or not that of the level."""
    matters = any(quantity.name == row["quantity"] and quantity.phantom_matters for quantity in quantities())
    if not matters:
        return None
    unsaid = None if row["phantom_cm"] else "CTDI phantom not stated, or several in one exam"
    other = levels.other_phantom(row["procedure"], row["patient_group"], row["quantity"], row["phantom_cm"] or None)
    not_compared = f"not compared: the reference level is for the {other} cm phantom" if other else None
    return "; ".join(filter(None, (unsaid, not_compared))) or None


def _order(value: TypicalValue) -> tuple[object, ...]:
    rank = {quantity.name: i for i, quantity in enumerate(quantities())}
    return value.procedure, value.patient_group, rank[value.quantity], value.phantom_cm or 0, value.device or ""
