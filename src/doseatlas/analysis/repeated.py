"""Which patients had several procedures that together may have harmed the skin?

The mart knows exams and no patients; so it says which exams are worth a look, and the store whose they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from doseatlas.analysis.mart import chosen, mart_table
from doseatlas.analysis.results import Selection, SkinDosePatient
from doseatlas.analysis.skin import kerma_mgy
from doseatlas.dosimetry import SkinTotals, skin_triggers, triggers_reached
from doseatlas.store import repeated_procedures

if TYPE_CHECKING:
    import ibis

    from doseatlas.dosimetry.skin import SkinMap
    from doseatlas.store import RepeatedProcedures, Store

EXAM_FROM_MGY = 100.0
"""Air kerma from which an exam is looked at; smaller ones count too once their patient has two of these."""
SUM_FROM_MGY = 1000.0
"""Sum of air kerma from which a patient's map is computed; for 2 Gy the skin would have to get twice that."""
MOST_EXAMS = 50_000
MOST_PATIENTS = 20


class SkinPatients(NamedTuple):
    """The patients, those with the largest sum first, and their maps by number."""

    patients: tuple[SkinDosePatient, ...]
    maps: dict[int, SkinMap]


def skin_patients(store: Store, selection: Selection, *, most: int = MOST_PATIENTS) -> SkinPatients:
    """Return the patients whose procedures add up to a trigger of peak skin dose, or cannot be added up.

    Exams of any date until the end of the selection count, at any place that the store knows; one of them must be in
    the selection.
    """
    table = mart_table(store.mart_dir)
    kerma = _kerma(chosen(table, Selection(until=selection.until)))
    inside = _kerma(chosen(table, selection)).keys()
    found = repeated_procedures(store, kerma, inside=inside, least_mgy=SUM_FROM_MGY, most=most, until=selection.until)
    lowest = min(one.value for one in skin_triggers() if one.quantity == "peak_skin_dose_mgy")
    shown = dict(enumerate((one for one in found if _may_reach(one, lowest)), 1))
    return SkinPatients(
        tuple(_patient(number, one) for number, one in shown.items()),
        {number: one.found.skin_map for number, one in shown.items() if one.found is not None},
    )


def _kerma(exams: ibis.Table) -> dict[str, float]:
    """Return the air kerma (mGy) of the plausible projection exams worth a look, the largest first."""
    found = exams.filter(exams.kind == "projection", exams.plausible)
    found = found.mutate(kerma=kerma_mgy(found))
    found = found.filter(found.kerma >= EXAM_FROM_MGY).order_by(found.kerma.desc(), found.exam_id).limit(MOST_EXAMS)
    rows = found.select("exam_id", "kerma").to_pyarrow()
    return dict(zip(rows["exam_id"].to_pylist(), rows["kerma"].to_pylist(), strict=True))


def _may_reach(one: RepeatedProcedures, mgy: float) -> bool:
    """Return whether the peak reaches a dose, or would if what is not in the map had hit the same skin."""
    if one.found is None:
        return True
    outside = sum(part.reference_air_kerma_mgy or 0.0 for part in one.found.procedures if part.missing)
    return one.found.skin_map.answer.peak_mgy + outside >= mgy


def _patient(number: int, one: RepeatedProcedures) -> SkinDosePatient:
    if one.found is None:
        return SkinDosePatient(
            number=number, procedures=one.procedures, reference_air_kerma_mgy=one.kerma_mgy, missing=one.missing
        )
    answer = one.found.skin_map.answer
    reached = triggers_reached(SkinTotals(None, None, None, answer.peak_mgy))
    return SkinDosePatient(
        number=number,
        procedures=one.found.procedures,
        reference_air_kerma_mgy=sum(part.reference_air_kerma_mgy or 0.0 for part in one.found.procedures),
        peak_mgy=answer.peak_mgy,
        interval_mgy=answer.interval_mgy,
        notes=tuple(note.message for note in answer.notes),
        trigger=reached[0].level if reached else None,
    )
