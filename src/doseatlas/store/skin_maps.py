"""The skin dose maps of single exams of the store, computed anew as the import computed their peaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from doseatlas.dosimetry import exam_skin_map
from doseatlas.model import DoseAtlasError
from doseatlas.standardise import device_name, implausible_patient, plausible_patient

if TYPE_CHECKING:
    from doseatlas.dosimetry.skin import SkinMap
    from doseatlas.store.store import Store


def skin_maps(store: Store, exam_ids: Sequence[str]) -> dict[str, SkinMap]:
    """Return the maps of exams by their key; those that have none, or that the store does not hold, are left out."""
    with store.database.reading() as connection:
        certificates = store.dose_rules(connection).certificates
    found: dict[str, SkinMap] = {}
    for key, exam in store.exams_by_id(exam_ids).items():
        patient = plausible_patient(exam.patient, implausible_patient(exam.patient))
        try:
            found[key] = exam_skin_map(
                msgspec.structs.replace(exam, patient=patient),
                device=device_name(exam.device),
                certificates=certificates,
            )
        except DoseAtlasError:  # the mart's column says why there is none
            continue
    return found
