"""How does the typical value change from month to month?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from doseatlas.analysis.dose_values import PEERS, countable_doses, dose_values
from doseatlas.analysis.results import MonthlyValue, Selection
from doseatlas.analysis.tables import quantities

if TYPE_CHECKING:
    import ibis

UNDATED = "undated"


def trends(table: ibis.Table, selection: Selection) -> tuple[MonthlyValue, ...]:
    """Return median and quartiles of each month, ordered by procedure, group, quantity, phantom and month.

    Doses are in the unit that the quantity's name states; exams without a date are left out.
    """
    return trends_of_doses(countable_doses(table, selection))


def trends_of_doses(doses: ibis.Table) -> tuple[MonthlyValue, ...]:
    """Return the trends of :func:`countable_doses`."""
    values = dose_values(doses)
    dated = values.filter(values.month != UNDATED)
    months = dated.group_by([*PEERS, "month"]).agg(n=dated.count(), quartiles=dated.value.quantile([0.25, 0.5, 0.75]))
    rank = {quantity.name: i for i, quantity in enumerate(quantities())}
    rows = sorted(
        months.to_pyarrow().to_pylist(),
        key=lambda r: (r["procedure"], r["patient_group"], rank[r["quantity"]], r["phantom_cm"], r["month"]),
    )
    return tuple(
        MonthlyValue(
            procedure=row["procedure"],
            patient_group=row["patient_group"],
            quantity=row["quantity"],
            phantom_cm=row["phantom_cm"] or None,
            month=row["month"],
            n=row["n"],
            p25=row["quartiles"][0],
            median=row["quartiles"][1],
            p75=row["quartiles"][2],
        )
        for row in rows
    )
