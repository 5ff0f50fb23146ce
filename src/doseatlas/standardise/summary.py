"""Which row of the mart does an exam become?

The columns and their meanings are documented in ``store.mart_schema``; this module derives all of them that follow from
the exam. A value that the exam does not state is ``None``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from doseatlas.dicom import is_fluoroscopy
from doseatlas.model import Classification, Device, DoseEstimate, Event, Exam, Patient
from doseatlas.standardise.groups import ADULT_FROM_YEARS
from doseatlas.standardise.plausibility import DOSE_FLAG, plausible_patient
from doseatlas.standardise.scans import ct_scans, mean_by_dlp
from doseatlas.standardise.words import is_for_adults

_MODALITY = {"ct": "CT", "mammography": "MG"}
_SEXES = ("F", "M", "O")
_REPORT_MODALITIES = {None, "SR", "DOC", "OT"}
_SINGLE_EXPOSURES = {"DX", "CR", "PX", "IO"}


def summarise(exam: Exam, classification: Classification) -> dict[str, object]:
    """Return the mart's columns that say what the exam states: all but its place in the mart and its dosimetry.

    ``study_date`` is a :class:`datetime.date`; units are in the names. A patient value that is flagged is ``None``; a
    flagged dose stays, with ``plausible`` false.
    """
    flags = classification.flags
    patient = plausible_patient(exam.patient, flags) if flags else exam.patient
    main = _main_event(exam)
    totals, device = exam.totals, exam.device
    row: dict[str, object] = {
        "study_date": exam.study_day,
        "kind": exam.kind,
        "modality": _MODALITY.get(exam.kind) if exam.modality in _REPORT_MODALITIES else exam.modality,
        "device": device_name(device),
        "manufacturer": device.manufacturer,
        "model": device.model,
        "procedure": classification.procedure,
        "procedure_text": exam.procedure,
        "indication": exam.indication,
        "protocol": main.protocol if main else None,
        "mapped_by": classification.mapped_by,
        "patient_group": classification.group,
        "age_years": patient.age_years,
        "sex": patient.sex if patient.sex in _SEXES else None,
        "height_cm": patient.height_cm,
        "weight_kg": patient.weight_kg,
        "pregnancy_status": patient.pregnancy_status,
        "plausible": all(flag.code != DOSE_FLAG for flag in flags),
        "flags": list(dict.fromkeys(note.code for note in (*flags, *exam.notes))),
        "event_count": len(exam.events),
        "kvp": main.kvp if main else None,
        "dlp_mgy_cm": totals.dlp_mgy_cm,
        "kap_gy_cm2": totals.kap_gy_cm2,
        "reference_air_kerma_mgy": totals.reference_air_kerma_mgy,
        "fluoro_time_s": totals.fluoro_time_s,
        "agd_left_mgy": totals.agd_left_mgy,
        "agd_right_mgy": totals.agd_right_mgy,
        "administered_activity_mbq": totals.administered_activity_mbq,
        "radiopharmaceutical": totals.radiopharmaceutical or (main.radiopharmaceutical if main else None),
    }
    row.update(_stated_effective_dose(exam))
    row.update(_NOTHING)
    row.update(_BY_KIND[exam.kind](exam, patient) if exam.kind in _BY_KIND else {})
    return row


def _stated_effective_dose(exam: Exam) -> dict[str, object]:
    """Return the effective dose that objects state: of the administrations together, else the one estimate given."""
    of_events = [event.effective_dose_msv for event in exam.events]
    if of_events and None not in of_events:
        total = float(f"{sum(value for value in of_events if value is not None):.10g}")
        return {"stated_effective_dose_msv": total, "stated_effective_dose_method": None}
    found = {(one.effective_dose_msv, _method(one)) for one in exam.estimates if one.effective_dose_msv is not None}
    dose, method = found.pop() if len(found) == 1 else (None, None)
    return {"stated_effective_dose_msv": dose, "stated_effective_dose_method": method}


def _method(estimate: DoseEstimate) -> str | None:
    """Return method, its reference, model of the patient and of radiation transport, as far as they are stated."""
    stated = (estimate.method, estimate.method_reference, estimate.patient_model, estimate.transport_model)
    return "; ".join(part for part in stated if part) or None


@lru_cache(maxsize=4096)
def device_name(device: Device) -> str | None:
    """Return one name for a physical device: manufacturer, model and station name, else serial number."""
    parts = (device.manufacturer, device.model, device.station_name or device.serial_number)
    return " ".join(part for part in parts if part) or None


_NOTHING: dict[str, None] = dict.fromkeys(
    (
        "phase_count",
        "ctdi_vol_mgy",
        "phantom_cm",
        "scan_length_mm",
        "ssde_mgy",
        "entrance_air_kerma_mgy",
        "frames",
        "agd_mgy",
        "compressed_thickness_mm",
        "adult_protocol_on_child",
    )
)


def _ct(exam: Exam, patient: Patient) -> dict[str, object]:
    scans = ct_scans(exam.events)
    phantoms = {scan.phantom_cm for scan in scans if scan.ctdi_vol_mgy is not None}
    one_phantom = len(phantoms) == 1
    age = patient.age_years
    on_child = None
    if age is not None:
        on_child = age < ADULT_FROM_YEARS and any(is_for_adults(scan.protocol) for scan in scans if scan.protocol)
    return {
        "phase_count": len(scans) if exam.events else None,
        "ctdi_vol_mgy": mean_by_dlp(scans, "ctdi_vol_mgy") if one_phantom else None,
        "phantom_cm": phantoms.pop() if one_phantom else None,
        "scan_length_mm": max((scan.scan_length_mm for scan in scans if scan.scan_length_mm is not None), default=None),
        "ssde_mgy": mean_by_dlp(scans, "ssde_mgy"),
        "adult_protocol_on_child": on_child,
    }


def _projection(exam: Exam, patient: Patient) -> dict[str, object]:
    stated = [event.entrance_exposure_mgy for event in exam.events if event.entrance_exposure_mgy is not None]
    return {"entrance_air_kerma_mgy": max(stated, default=None), "frames": _frames(exam)}


def _frames(exam: Exam) -> int | None:
    """Return the stated frames, else those of the events; single exposures of radiography count as one each."""
    if exam.totals.radiographic_frames is not None:
        return exam.totals.radiographic_frames
    acquired = [event for event in exam.events if not is_fluoroscopy(event)]
    stated = [event.frames for event in acquired if event.frames is not None]
    if stated and len(stated) == len(acquired):
        return sum(stated)
    return len(acquired) if acquired and exam.modality in _SINGLE_EXPOSURES else None


def _mammography(exam: Exam, patient: Patient) -> dict[str, object]:
    return {
        "agd_mgy": _mean([event.agd_mgy for event in exam.events]),
        "compressed_thickness_mm": _mean([event.compressed_thickness_mm for event in exam.events]),
    }


_BY_KIND: dict[str, Callable[[Exam, Patient], dict[str, object]]] = {
    "ct": _ct,
    "projection": _projection,
    "mammography": _mammography,
}


def _mean(values: Sequence[float | None]) -> float | None:
    stated = [value for value in values if value is not None]
    return sum(stated) / len(stated) if stated else None


def _main_event(exam: Exam) -> Event | None:
    """Return the event with the largest dose; of CT, a scan before a localiser; the first where none states a dose."""
    events = (ct_scans(exam.events) if exam.kind == "ct" else ()) or exam.events
    return max(events, key=_DOSE.get(exam.kind, _no_dose), default=None)


def _no_dose(event: Event) -> tuple[float, float]:
    return 0.0, 0.0


_DOSE: dict[str, Callable[[Event], tuple[float, float]]] = {
    "ct": lambda event: (event.dlp_mgy_cm or 0.0, event.ctdi_vol_mgy or 0.0),
    "projection": lambda event: (event.kap_gy_cm2 or 0.0, event.reference_air_kerma_mgy or 0.0),
    "mammography": lambda event: (event.agd_mgy or 0.0, 0.0),
    "nuclear": lambda event: (event.administered_activity_mbq or 0.0, 0.0),
}
