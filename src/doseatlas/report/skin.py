"""How is a skin dose map laid out in the report? The flat map with its figures; the exams are in the analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from doseatlas.report.printable import printable_text

if TYPE_CHECKING:
    from doseatlas.analysis import FacilityReport
    from doseatlas.dosimetry.skin import SkinMap

TRIGGER_WORDS = {"follow-up": "follow the patient up", "notification": "notify"}
TRIGGER_QUANTITIES = {
    "peak_skin_dose_mgy": "peak skin dose",
    "reference_air_kerma_mgy": "air kerma",
    "kap_gy_cm2": "KAP",
    "fluoro_time_s": "fluoroscopy time",
}


class SkinPicture(NamedTuple):
    """A map with its words: of an exam, or of all procedures of the report's patient of that number."""

    exam_id: str | None
    patient: int | None
    lead: str
    picture: Markup
    areas: tuple[tuple[str, str], ...]
    on_skin: float | None
    notes: tuple[str, ...]
    assumptions: tuple[str, ...]


def trigger_words(level: str | None, quantities: tuple[str, ...]) -> str:
    """Return what a trigger asks for and what reaches it; a dash where none is reached."""
    if level is None:
        return "–"
    return f"{TRIGGER_WORDS.get(level, level)}: {', '.join(TRIGGER_QUANTITIES.get(one, one) for one in quantities)}"


def skin_pictures(
    report: FacilityReport, maps: Mapping[str, SkinMap], patient_maps: Mapping[int, SkinMap]
) -> tuple[SkinPicture, ...]:
    """Return the maps that there are: of patients with several procedures, then of exams in the report's order."""
    patients = [(None, one.number) for one in report.skin_patients if one.number in patient_maps]
    exams = [(one.exam_id, None) for one in report.skin_doses if one.exam_id in maps]
    return tuple(
        _picture(exam_id, number, maps[exam_id] if exam_id is not None else patient_maps[number or 0], f"skin-{place}")
        for place, (exam_id, number) in enumerate([*patients, *exams])
    )


def _picture(exam_id: str | None, patient: int | None, skin_map: SkinMap, gradient: str) -> SkinPicture:
    from doseatlas.dosimetry.skin import flat_map, lead

    answer = skin_map.answer
    return SkinPicture(
        exam_id,
        patient,
        lead(answer),
        flat_map(skin_map.mesh, skin_map.dose_mgy, gradient=gradient),
        tuple((f"{area.dose_gy:g} Gy", f"{area.area_cm2:.0f} cm²") for area in answer.areas),
        answer.kap_share_on_skin,
        tuple(printable_text(note.message) for note in answer.notes),
        tuple(printable_text(text) for text in answer.assumptions),
    )
