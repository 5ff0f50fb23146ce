"""Which exams may have harmed the skin? Those that reach a trigger, and those with the largest calculated dose.

The triggers are ``dosimetry.skin_triggers()``. They are for single patients and have nothing to do with reference
levels; fluoroscopy time alone is the weakest of them.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, NamedTuple

from doseatlas.analysis.results import SkinDoseExam
from doseatlas.dosimetry import SkinTotals, skin_triggers, triggers_reached

if TYPE_CHECKING:
    import ibis

MOST_LISTED = 20
_KAP_FIELD_CM2 = 100.0
_COLUMNS = (
    "exam_id",
    "study_date",
    "device",
    "procedure",
    "reference_air_kerma_mgy",
    "kap_gy_cm2",
    "fluoro_time_s",
    "peak_skin_dose_mgy",
    "peak_skin_dose_uncertainty_mgy",
    "peak_skin_dose_missing",
)


class SkinDoses(NamedTuple):
    """The exams with the largest skin doses, largest first; and of how many in all a trigger is reached."""

    largest: tuple[SkinDoseExam, ...]
    triggered: int


def skin_doses(exams: ibis.Table, *, most: int = MOST_LISTED) -> SkinDoses:
    """Return the exams of skin dose, from plausible projection exams with the columns of the mart.

    They are ordered by the peak skin dose; where there is none, by the reference air kerma, or KAP over 100 cm2.
    """
    found = exams.filter(exams.kind == "projection", exams.plausible)
    kerma = found.reference_air_kerma_mgy.fill_null(found.kap_gy_cm2 / _KAP_FIELD_CM2 * 1000)
    found = found.mutate(
        reaches=reduce(or_, ((found[one.quantity] >= one.value).fill_null(False) for one in skin_triggers())),
        order=found.peak_skin_dose_mgy.fill_null(kerma).fill_null(0.0),
    )
    listed = found.filter(found.reaches | found.peak_skin_dose_mgy.notnull() | found.peak_skin_dose_missing.notnull())
    worst = listed.order_by(listed.order.desc(), listed.exam_id).limit(most).select(*_COLUMNS)
    count = int(found.reaches.sum().to_pyarrow().as_py() or 0)
    return SkinDoses(tuple(_exam(**row) for row in worst.to_pyarrow().to_pylist()), count)


def _exam(**row: object) -> SkinDoseExam:
    totals = SkinTotals(*(row[name] for name in SkinTotals._fields))  # type: ignore[arg-type]
    reached = triggers_reached(totals)
    level = reached[0].level if reached else None
    return SkinDoseExam(
        **row,  # type: ignore[arg-type]
        trigger=level,
        trigger_quantities=tuple(one.quantity for one in reached if one.level == level),
    )
