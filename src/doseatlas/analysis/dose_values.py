"""Every dose value of every countable exam, one a row or one array a group: the tables under this room's statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from doseatlas.analysis.mart import chosen, countable
from doseatlas.analysis.results import Selection
from doseatlas.analysis.tables import quantities

if TYPE_CHECKING:
    import ibis

PEERS = ("procedure", "patient_group", "quantity", "phantom_cm")
"""What exams must share for their values to be compared; ``phantom_cm`` 0 stands for not stated, mixed or no CT."""


def countable_doses(exams: ibis.Table, selection: Selection) -> ibis.Table:
    """Return the countable exams of a selection with the columns that the statistics need, and no others."""
    names = (quantity.name for quantity in quantities())
    return countable(chosen(exams, selection)).select(
        "exam_id", "procedure", "patient_group", "phantom_cm", "device", "month", *names
    )


def dose_counts(doses: ibis.Table, keys: Sequence[str]) -> ibis.Table:
    """Return one row a group of ``keys`` (:data:`PEERS`, maybe ``device``) with ``n``, how many values it has."""
    parts = _parts(doses, keys, lambda column: column.count())
    stated = parts.filter(parts.part > 0)
    return stated.group_by(keys).agg(n=stated.part.sum())


def dose_samples(doses: ibis.Table, keys: Sequence[str]) -> ibis.Table:
    """Return one row a group of ``keys`` (:data:`PEERS`, maybe ``device``) with ``sorted_values``, by rising size."""
    parts = _parts(doses, keys, lambda column: column.collect())
    stated = parts.filter(parts.part.length() > 0)
    return stated.group_by(keys).agg(sorted_values=stated.part.collect().flatten().sort())


def _parts(doses: ibis.Table, keys: Sequence[str], reduce: Callable[[ibis.Column], ibis.Scalar]) -> ibis.Table:
    """Return each quantity's values of each group, reduced to ``part``; groups on several phantoms are in parts yet.

    One pass over the exams reduces all quantities. Only then, of a few groups instead of millions of exams, is a row
    made of each quantity, and the phantom forgotten where it does not matter.
    """
    import ibis
    import pyarrow as pa

    names = [quantity.name for quantity in quantities()]
    known = doses.mutate(phantom_cm=doses.phantom_cm.fill_null(0), device=doses.device.fill_null("unknown device"))
    reduced = known.group_by([key for key in keys if key != "quantity"]).agg(
        **{name: reduce(known[name].cast("float64")) for name in names}
    )
    each = reduced.cross_join(ibis.memtable(pa.table({"quantity": names})))
    on_phantom = each.quantity.isin([quantity.name for quantity in quantities() if quantity.phantom_matters])
    return each.select(
        *(key for key in keys if key != "phantom_cm"),
        phantom_cm=on_phantom.ifelse(each.phantom_cm, 0).cast("int32"),
        part=ibis.cases(*((each.quantity == name, each[name]) for name in names)),
    )


def dose_values(doses: ibis.Table) -> ibis.Table:
    """Return one row for each exam and quantity stated.

    Columns: those of :data:`PEERS`, ``device``, ``month`` and ``value`` in the unit that the quantity's name states.
    """
    import ibis
    import pyarrow as pa

    names = [quantity.name for quantity in quantities()]
    # A cross join with a handful of names reads the files once; a union of one branch a quantity reads them each time.
    each = doses.cross_join(ibis.memtable(pa.table({"quantity": names})))
    on_phantom = each.quantity.isin([quantity.name for quantity in quantities() if quantity.phantom_matters])
    values = each.select(
        "procedure",
        "patient_group",
        "quantity",
        "month",
        phantom_cm=on_phantom.ifelse(each.phantom_cm.fill_null(0), 0).cast("int32"),
        device=each.device.fill_null("unknown device"),
        value=ibis.cases(*((each.quantity == name, each[name].cast("float64")) for name in names)),
    )
    return values.filter(values.value.notnull())
