"""Which exams may have harmed the skin? Those that reach a trigger, and those with the largest calculated dose.

The triggers are ``dosimetry.skin_triggers()``. They are for single patients and have nothing to do with reference
levels; fluoroscopy time alone is the weakest of them. A dose far above all others of its procedure may be a wrong unit:
it is listed with that mark, as nothing says which of the two it is.
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
DOUBTFUL_TIMES_MEDIAN = 10.0
"""Air kerma over the median of the procedure from which a unit may be wrong: units differ by tens."""
FEWEST_FOR_MEDIAN = 5
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
    """The exams with the largest skin doses, largest first; and of how many in all a trigger is reached.

    ``implausible`` are the keys of exams that would reach a trigger, but with a dose out of physical range.
    """

    largest: tuple[SkinDoseExam, ...]
    triggered: int
    implausible: tuple[str, ...]


def skin_doses(exams: ibis.Table, *, most: int = MOST_LISTED) -> SkinDoses:
    """Return the exams of skin dose, from projection exams with the columns of the mart.

    They are ordered by the peak skin dose; where there is none, by the reference air kerma, or KAP over 100 cm2.
    """
    import ibis

    found = exams.filter(exams.kind == "projection")
    found = found.mutate(
        reaches=reduce(or_, ((found[one.quantity] >= one.value).fill_null(False) for one in skin_triggers())),
        kerma=kerma_mgy(found),
    )
    wrong = found.filter(~found.plausible.fill_null(False), found.reaches)
    wrong = wrong.order_by(wrong.kerma.desc(), wrong.exam_id).limit(most).select("exam_id")
    found = found.filter(found.plausible)
    peers = ibis.window(group_by=found.procedure)
    many = found.kerma.count().over(peers) >= FEWEST_FOR_MEDIAN
    times = found.kerma / found.kerma.median().over(peers)
    found = found.mutate(
        order=found.peak_skin_dose_mgy.fill_null(found.kerma).fill_null(0.0),
        times_median=ibis.cases((many & found.procedure.notnull() & (times >= DOUBTFUL_TIMES_MEDIAN), times)),
    )
    listed = found.filter(found.reaches | found.peak_skin_dose_mgy.notnull() | found.peak_skin_dose_missing.notnull())
    worst = listed.order_by(listed.order.desc(), listed.exam_id).limit(most).select(*_COLUMNS, "times_median")
    count = int(found.reaches.sum().to_pyarrow().as_py() or 0)
    return SkinDoses(
        tuple(_exam(**row) for row in worst.to_pyarrow().to_pylist()),
        count,
        tuple(wrong.to_pyarrow()["exam_id"].to_pylist()),
    )


def kerma_mgy(exams: ibis.Table) -> ibis.Column:
    """Return the air kerma at the reference point; where only the KAP is stated, it over 100 cm2."""
    return exams.reference_air_kerma_mgy.fill_null(exams.kap_gy_cm2 / _KAP_FIELD_CM2 * 1000)


def _exam(**row: object) -> SkinDoseExam:
    totals = SkinTotals(*(row[name] for name in SkinTotals._fields))  # type: ignore[arg-type]
    reached = triggers_reached(totals)
    level = reached[0].level if reached else None
    return SkinDoseExam(
        **row,  # type: ignore[arg-type]
        trigger=level,
        trigger_quantities=tuple(one.quantity for one in reached if one.level == level),
    )
