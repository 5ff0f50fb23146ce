"""What does an object state, whoever made it? The way from bytes to a :class:`Reading`, never raising on bad input.

The contract is ``docs/reading.md``; refusals and notes are listed in ``docs/notes.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from doseatlas.dicom import header
from doseatlas.dicom.image import ImageDose, read_image
from doseatlas.dicom.item import Item
from doseatlas.dicom.limits import DEFAULT_LIMITS, Limits
from doseatlas.dicom.mpps import is_procedure_step, read_procedure_step, scheduled_step
from doseatlas.dicom.notes import Notes
from doseatlas.dicom.open import DicomObject, open_object
from doseatlas.dicom.report import DoseReport, read_report
from doseatlas.dicom.sources import SourceObject, find_objects
from doseatlas.dicom.totals import complete_totals
from doseatlas.model import Device, Exam, Patient, Reading, Refusal, Source, Totals, UnreadableObject

_BODY_PART = 0x00180015
_TRUNCATED = "The object is cut off, or a length in it is damaged: what it states is not complete. Send it again."
_R = TypeVar("_R", Device, Patient)


def read_paths(paths: Iterable[Path], *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Reading]:
    """Read every object under paths, one at a time, in the order of :func:`find_objects`."""
    return (read_source(found, limits=limits) for found in find_objects(paths, limits=limits))


def read_source(found: SourceObject, *, limits: Limits = DEFAULT_LIMITS) -> Reading:
    """Read one object that was found."""
    try:
        data = found.read()
    except UnreadableObject as error:
        return _refused(found.path, error.code, str(error))
    return read_bytes(data, path=found.path, limits=limits)


def read_bytes(data: bytes, *, path: str | None = None, limits: Limits = DEFAULT_LIMITS) -> Reading:
    """Read one object: a dose report, an image, a performed procedure step, in any form that :func:`open_object` knows.

    ``path`` labels the exam. Bad input does not raise: the exam's kind is then ``refused`` and ``error`` says why. An
    object that holds no dose is ``not-dose``.
    """
    try:
        return _read(open_object(data, limits=limits), path)
    except UnreadableObject as error:
        return _refused(path, error.code, str(error))
    except MemoryError:
        raise
    except RecursionError:
        return _refused(path, "too-deep", "The object nests its content too deeply; no dose report does.")
    except Exception as error:
        # Whatever a damaged object makes the readers stumble over is a refusal of that object, not the end of the rest.
        message = f"The object is damaged in a way that the reader does not know ({type(error).__name__}: {error})."
        return _refused(path, "damaged", message)


def _refused(path: str | None, code: str, message: str) -> Reading:
    return Reading(exam=Exam(path=path, kind="refused", error=Refusal(code=code, message=message)))


def _read(opened: DicomObject, path: str | None) -> Reading:
    """Read an opened object; a dose in it that cannot be makes it refused, with what the header says of it."""
    item, notes = opened.item, Notes()
    step = opened.content is None and is_procedure_step(item)
    study = scheduled_step(item) if step else item
    device = header.device_of(item)
    if step and device.station_name is None:
        device = msgspec.structs.replace(device, station_name=header.station_of_step(item))
    stated: dict[str, Any] = {
        "path": path,
        "study_instance_uid": study.text(header.STUDY),
        "sop_instance_uid": item.text(header.SOP_INSTANCE),
        "sop_class_uid": opened.sop_class_uid,
        "series_instance_uid": item.text(header.SERIES),
        "modality": item.text(header.MODALITY),
        "study_time": header.study_time_of(item),
        "content_at": header.content_at_of(item),
        "replaces": header.predecessors_of(item),
        "device": device,
        "procedure": header.procedure_of(item) or (header.procedure_of(study) if step else None),
        "procedure_codes": header.procedure_codes_of(item),
        "body_part": item.text(_BODY_PART),
    }
    identity = header.identity_of(item)
    if step and identity.accession_number is None:
        identity = msgspec.structs.replace(identity, accession_number=header.identity_of(study).accession_number)
    try:
        if opened.truncated:
            raise UnreadableObject("truncated", _TRUNCATED)
        dose: DoseReport | ImageDose | None
        if opened.content is not None:
            dose = read_report(opened.content, device, notes)
        elif step:
            dose = read_procedure_step(item, device, notes)
        else:
            dose = read_image(item, device, notes)
    except UnreadableObject as error:
        date = header.study_date_of(item, None, Notes())
        refusal = Refusal(code=error.code, message=str(error))
        exam = Exam(**stated, kind="refused", study_date=date, error=refusal)
        return Reading(exam=exam, identity=identity)
    return Reading(exam=_exam(stated, item, dose, "mpps" if step else "image", notes), identity=identity)


def _exam(
    stated: dict[str, Any], item: Item, dose: DoseReport | ImageDose | None, source: Source, notes: Notes
) -> Exam:
    if dose is None:
        date = header.study_date_of(item, None, notes)
        patient = header.patient_of(item, date, notes)
        return Exam(**stated, kind="not-dose", study_date=date, patient=patient, notes=notes.collected())
    started_at = next((event.started_at for event in dose.events if event.started_at), None)
    totals = Totals(**dose.totals)  # type: ignore[arg-type]
    if isinstance(dose, DoseReport):
        source = "dose-report"
        stated |= {"estimates": dose.estimates, "estimated_from": dose.estimated_from}
        started_at = started_at or dose.document.get("started_at")  # type: ignore[assignment]
        stated["study_instance_uid"] = stated["study_instance_uid"] or dose.document.get("study_instance_uid")
        stated["device"] = _filled(stated["device"], dose.device)
    date = header.study_date_of(item, started_at, notes)
    patient = header.patient_of(item, date, notes)
    if isinstance(dose, DoseReport):
        patient = _filled(patient, dose.patient)
    return Exam(
        **stated,
        kind=dose.kind,
        source=source,
        study_date=date,
        patient=patient,
        totals=complete_totals(dose.kind, totals, dose.events, notes),
        events=dose.events,
        notes=notes.collected(),
    )


def _filled(record: _R, values: dict[str, object]) -> _R:
    """Return a record with what it does not state itself."""
    missing = {name: value for name, value in values.items() if getattr(record, name) is None}
    return msgspec.structs.replace(record, **missing) if missing else record
