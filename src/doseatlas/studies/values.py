"""What is the typical value of each site, and of each country, for one quantity? By the rules of the study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from doseatlas.analysis import quantities
from doseatlas.studies.schema import Study

if TYPE_CHECKING:
    import ibis
    import numpy as np
    import numpy.typing as npt

CELL = ("exam", "patient_group", "phantom_cm")
"""What values must share to be compared; ``phantom_cm`` 0: not stated, several, or it does not matter."""


class Value(NamedTuple):
    """The typical value of a site (``participant``) in one cell; ``ordered`` are its exams' values, rising.

    ``counts``: it is of at least as many exams as the study asks for.
    """

    participant: str
    country: str
    exam: str
    patient_group: str
    phantom_cm: int
    n: int
    value: float
    counts: bool
    ordered: npt.NDArray[np.float64]


def with_phantom(exams: ibis.Table, quantity: str) -> ibis.Table:
    """Return the exams that state a quantity; ``phantom_cm`` is 0 where it is not known or does not matter."""
    matters = any(one.name == quantity and one.phantom_matters for one in quantities())
    phantom: Any = exams.phantom_cm.fill_null(0) if matters else 0
    return exams.filter(exams[quantity].notnull()).mutate(phantom_cm=phantom)


def site_values(exams: ibis.Table, study: Study, quantity: str) -> tuple[Value, ...]:
    """Return the typical value of each site in each cell, small samples too, in the order of sites and cells."""
    import numpy as np

    stated = with_phantom(exams, quantity)
    dose = stated[quantity]
    keys = ("participant", "country", *CELL)
    typical = dose.quantile(0.5) if study.rules.typical == "median" else dose.mean()
    table = stated.group_by(keys).agg(n=stated.count(), value=typical, ordered=dose.collect().sort()).to_pyarrow()
    lists = table["ordered"].combine_chunks()
    flat = lists.values.to_numpy()
    offsets = lists.offsets.to_numpy()
    rows = table.drop_columns(["ordered"]).to_pylist()
    found = [
        Value(
            **row,
            counts=row["n"] >= study.rules.minimum_exams,
            ordered=np.asarray(flat[offsets[i] : offsets[i + 1]], dtype=np.float64),
        )
        for i, row in enumerate(rows)
    ]
    return tuple(sorted(found, key=lambda value: value[:5]))
