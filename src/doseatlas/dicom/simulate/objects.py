"""What does a dose object look like as a file? The data set around the content tree, and the Part 10 object.

Modules of the SR IODs (PS3.3 A.35): patient, study, patient study, SR document series, general and enhanced general
equipment, SR document general, SOP common. Names are plainly made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import msgspec

from doseatlas.dicom.simulate.encoder import Encoder, decimal_string
from doseatlas.dicom.simulate.enhanced import ENHANCED_DOSE, enhanced_body, enhanced_events
from doseatlas.dicom.simulate.estimates import estimate_body, estimate_report
from doseatlas.dicom.simulate.exams import SimulatedExam
from doseatlas.dicom.simulate.images import image_elements
from doseatlas.dicom.simulate.tables import Dialect
from doseatlas.dicom.simulate.templates import report_body
from doseatlas.model import Exam, Totals


@cache
def _encoder(dialect: Dialect, charset: str) -> Encoder:
    return Encoder(
        implicit=dialect.transfer_syntax == "implicit",
        undefined=dialect.lengths == "undefined",
        charset=charset,
        old_codes=dialect.codes == "old",
        french=dialect.language == "fr",
    )


def encode_exam(simulated: SimulatedExam) -> list[bytes]:
    """The objects of an exam as DICOM Part 10 files, in the order they are sent; a duplicate send stands twice."""
    objects = [_encode_report(simulated, report) for report in simulated.reports]
    return objects + objects[-1:] * (simulated.copies - 1)


def encode_estimate(simulated: SimulatedExam) -> bytes:
    """The Patient Radiation Dose SR of an exam, which states what :func:`estimate_report` gives."""
    report, encoder = estimate_report(simulated), _encoder_of(simulated)
    used = simulated.exam.sop_class_uid or ""
    body = estimate_body(encoder, report, used, _document(encoder, report, simulated.exam))
    return _structured(encoder, simulated, report, 1, body)


def enhanced_report(simulated: SimulatedExam) -> Exam:
    """The truth of an enhanced dose report of a projection exam, sent in place of its reports."""
    exam = simulated.exam
    return msgspec.structs.replace(
        exam, sop_class_uid=ENHANCED_DOSE, events=enhanced_events(exam.events), totals=_without_frames(exam.totals)
    )


def encode_enhanced(simulated: SimulatedExam) -> bytes:
    """The Enhanced X-Ray Radiation Dose SR of a projection exam, which states what :func:`enhanced_report` gives."""
    report, encoder = enhanced_report(simulated), _encoder_of(simulated)
    body = enhanced_body(encoder, report, simulated.device, _document(encoder, report))
    return _structured(encoder, simulated, report, 1, body)


def _without_frames(totals: Totals) -> Totals:
    """TID 10041 counts no frames and tells no air kerma of fluoroscopy from that of acquisitions."""
    return msgspec.structs.replace(
        totals,
        radiographic_frames=None,
        fluoro_reference_air_kerma_mgy=None,
        acquisition_reference_air_kerma_mgy=None,
    )


def _structured(encoder: Encoder, simulated: SimulatedExam, report: Exam, number: int, body: bytes) -> bytes:
    data_set = _identification(encoder, simulated, report) + _patient(encoder, simulated, report)
    data_set += _equipment_and_study(encoder, simulated, report, number)
    return encoder.part10(report.sop_class_uid or "", report.sop_instance_uid or "", data_set + body)


def _encoder_of(simulated: SimulatedExam) -> Encoder:
    # Polish letters are outside Latin-1: a Latin-1 device is set to Unicode there.
    dialect = simulated.device.dialect
    return _encoder(dialect, "ISO_IR 192" if simulated.facility.language == "pl" else dialect.charset)


def _encode_report(simulated: SimulatedExam, report: Exam) -> bytes:
    encoder, number = _encoder_of(simulated), 1 + simulated.reports.index(report)
    if report.source == "image":
        data_set = _identification(encoder, simulated, report) + _patient(encoder, simulated, report)
        data_set += image_elements(encoder, report, str(simulated.index), number)
        return encoder.part10(report.sop_class_uid or "", report.sop_instance_uid or "", data_set)
    body = report_body(encoder, report, simulated.device, simulated.procedure, _document(encoder, report))
    return _structured(encoder, simulated, report, number, body)


def _date(iso: str | None) -> str:
    return (iso or "")[:10].replace("-", "")


def _time(iso: str | None) -> str:
    return (iso or "")[-8:].replace(":", "")


def _identification(encoder: Encoder, simulated: SimulatedExam, report: Exam) -> bytes:
    """Group 0008: what the object is, of which study, made where and by what."""
    e, device, content = encoder.element, report.device, report.content_at
    image = report.source == "image"
    return b"".join(
        (
            e(0x00080005, "CS", encoder.charset),
            e(0x00080016, "UI", report.sop_class_uid or ""),
            e(0x00080018, "UI", report.sop_instance_uid or ""),
            e(0x00080020, "DA", _date(report.study_date)),
            e(0x00080023, "DA", _date(content)),
            e(0x00080030, "TM", _time(report.study_time)),
            e(0x00080033, "TM", _time(content)),
            e(0x00080050, "SH", simulated.identity.accession_number or ""),
            e(0x00080060, "CS", report.modality or "SR"),
            e(0x00080070, "LO", device.manufacturer or ""),
            e(0x00080080, "LO", device.institution or ""),
            e(0x00080090, "PN", "Madeup^Referrer"),
            e(0x00081010, "SH", device.station_name or ""),
            e(0x00081030, "LO", report.procedure or ""),
            e(0x0008103E, "LO", "Images" if image else "Dose Report"),
            e(0x00081090, "LO", device.model or ""),
            e(0x00083010, "UI", report.events[0].event_uid or "") if image else encoder.sequence(0x00081111),
        )
    )


def _patient(encoder: Encoder, simulated: SimulatedExam, report: Exam) -> bytes:
    """Group 0010. What is not known is left empty where the standard asks for the element, else left out."""
    e, identity, patient = encoder.element, simulated.identity, report.patient
    birth = identity.birth_date.strftime("%Y%m%d") if identity.birth_date else ""
    parts = [
        e(0x00100010, "PN", identity.patient_name or ""),
        e(0x00100020, "LO", identity.patient_id or ""),
        e(0x00100030, "DA", birth),
        e(0x00100040, "CS", patient.sex or ""),
    ]
    if patient.age_years is not None:
        months = patient.age_years < 2
        age = f"{round(patient.age_years * 12):03}M" if months else f"{round(patient.age_years):03}Y"
        parts.append(e(0x00101010, "AS", age))
    if patient.height_cm is not None:
        parts.append(e(0x00101020, "DS", decimal_string(patient.height_cm / 100)))
    if patient.weight_kg is not None:
        parts.append(e(0x00101030, "DS", decimal_string(patient.weight_kg)))
    return b"".join(parts)


def _equipment_and_study(encoder: Encoder, simulated: SimulatedExam, report: Exam, number: int) -> bytes:
    """Groups 0018 to 0029: serial number, software, study and series, the maker's private group."""
    e = encoder.element
    parts = [
        e(0x00181000, "LO", report.device.serial_number or ""),
        e(0x00181020, "LO", report.device.software_versions or ""),
        e(0x0020000D, "UI", report.study_instance_uid or ""),
        e(0x0020000E, "UI", report.series_instance_uid or ""),
        e(0x00200010, "SH", str(simulated.index)),
        e(0x00200011, "IS", "502"),
        e(0x00200013, "IS", str(number)),
    ]
    if simulated.device.dialect.private:
        creator = f"{simulated.device.dialect.id.upper()} SIM REPORT"
        parts += [e(0x00290010, "LO", creator), e(0x00291008, "CS", "DOSEREPORT"), e(0x00291009, "LO", "1.0")]
    return b"".join(parts)


def _document(encoder: Encoder, report: Exam, used: Exam | None = None) -> bytes:
    """SR document general module: the documents it replaces, the procedure performed, the state it is in.

    ``used``: an exam whose reports this one was made from.
    """
    parts = []
    if report.replaces:
        parts.append(_references(encoder, 0x0040A360, report, report.replaces))
    parts.append(encoder.sequence(0x0040A372))
    if used is not None:
        parts.append(_references(encoder, 0x0040A375, used, report.estimated_from))
    parts.append(encoder.element(0x0040A491, "CS", "COMPLETE"))
    parts.append(encoder.element(0x0040A493, "CS", "UNVERIFIED"))
    return b"".join(parts)


def _references(encoder: Encoder, tag: int, to: Exam, instances: Sequence[str]) -> bytes:
    """A sequence that refers to instances of an exam's class and series (PS3.3 table C.17-3)."""
    referenced = [
        encoder.element(0x00081150, "UI", to.sop_class_uid or "") + encoder.element(0x00081155, "UI", uid)
        for uid in instances
    ]
    series = encoder.sequence(0x00081199, *referenced)
    series += encoder.element(0x0020000E, "UI", to.series_instance_uid or "")
    study = encoder.sequence(0x00081115, series)
    study += encoder.element(0x0020000D, "UI", to.study_instance_uid or "")
    return encoder.sequence(tag, study)
