"""Which tables does the report consist of? The same for the spreadsheet (one a sheet) and the CSV files (one a file).

Cells are figures with full precision; the spreadsheet rounds them only for display, by the rules of ``words``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Literal, NamedTuple

from doseatlas.analysis import FacilityReport, TypicalValue
from doseatlas.report import sentences, words
from doseatlas.report.skin import trigger_words

Cell = str | int | float | dt.date | None
Form = Literal["text", "count", "dose", "ratio", "share", "date"]


class Column(NamedTuple):
    """A column: its name in CSV, its heading in the spreadsheet (with unit), and what its cells are.

    Doses are in the unit that the row's column ``unit`` states, as one table holds several quantities.
    """

    name: str
    heading: str
    form: Form = "text"


class Table(NamedTuple):
    """A table: ``name`` is that of its CSV file, ``title`` that of its sheet."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


WHAT = (
    Column("procedure_id", "Procedure ID"),
    Column("procedure", "Procedure"),
    Column("patient_group_id", "Patient group ID"),
    Column("patient_group", "Patients"),
    Column("quantity_id", "Quantity ID"),
    Column("quantity", "Quantity"),
    Column("phantom_cm", "CTDI phantom (cm)", "count"),
    Column("unit", "Unit of the doses"),
)
TYPICAL = (
    Column("n", "Exams", "count"),
    Column("minimum_n", "Exams needed", "count"),
    Column("median", "Median (in the row's unit)", "dose"),
    Column("interval_low", "95 % interval from (in the row's unit)", "dose"),
    Column("interval_high", "95 % interval to (in the row's unit)", "dose"),
    Column("calibration_uncertainty", "Relative uncertainty of calibration (k = 1)", "ratio"),
    Column("p25", "Lower quartile (in the row's unit)", "dose"),
    Column("p75", "Upper quartile (in the row's unit)", "dose"),
    Column("minimum", "Smallest (in the row's unit)", "dose"),
    Column("maximum", "Largest (in the row's unit)", "dose"),
    Column("drl", "DRL (in the row's unit)", "dose"),
    Column("drl_level", "Kind of level"),
    Column("ratio", "Median ÷ DRL", "ratio"),
    Column("probability_above", "Probability that the true median is above the DRL", "share"),
    Column("verdict", "Verdict"),
    Column("note", "Note"),
    Column("drl_source", "Source of the DRL"),
)
DEVICE = Column("device", "Device")


def tables(report: FacilityReport) -> tuple[Table, ...]:
    """Return every table of the report, in the order of the page; those of single patients where there are any."""
    return (
        Table("summary", "Summary", (Column("item", "Item"), Column("value", "Value")), tuple(_summary(report))),
        Table(
            "typical_values", "Typical values", (*WHAT, *TYPICAL), tuple(_typical(one) for one in report.typical_values)
        ),
        Table(
            "device_values",
            "Typical values by device",
            (DEVICE, *WHAT, *TYPICAL),
            tuple((one.device, *_typical(one)) for one in report.device_values),
        ),
        _devices(report),
        _trends(report),
        _distributions(report),
        _outliers(report),
        _skin_doses(report),
        *([_skin_patients(report)] if report.skin_patients else []),
        *([_displays(report)] if report.displays else []),
        *([_hybrid(report)] if report.hybrid else []),
        *([_pregnant(report)] if report.pregnant else []),
        _quality(report),
        Table("sources", "Sources", (Column("source", "Source"),), tuple((source,) for source in report.sources)),
    )


def _what(procedure: str, group: str, quantity: str, phantom_cm: int | None) -> tuple[Cell, ...]:
    names = (procedure, words.procedure_name(procedure), group, words.group_name(group))
    return (*names, quantity, words.quantity_name(quantity, phantom_cm), phantom_cm, words.unit(quantity))


def _typical(value: TypicalValue) -> tuple[Cell, ...]:
    level = value.reference
    return (
        *_what(value.procedure, value.patient_group, value.quantity, value.phantom_cm),
        value.n,
        value.minimum_n,
        value.median,
        value.low,
        value.high,
        value.calibration_uncertainty,
        value.p25,
        value.p75,
        value.minimum,
        value.maximum,
        level.value if level else None,
        level.level if level else None,
        value.ratio,
        value.probability_above,
        words.VERDICT_WORDS[value.verdict],
        "; ".join(note for note in (value.note, level and level.note) if note) or None,
        level.source if level else None,
    )


def _summary(report: FacilityReport) -> Iterator[tuple[Cell, ...]]:
    yield "Report", report.title
    yield "Scope", sentences.scope(report)
    if chosen := sentences.selected(report.selection):
        yield "Selection", chosen
    yield "Doses counted", f"{sentences.dose_values(report)} {sentences.derived_doses(report)}".strip()
    yield "Reference levels", sentences.levels(report)
    yield "Exams in the selection", report.quality.exams
    yield "Exams counted", report.quality.counted
    yield "Procedures above the DRL", report.standing.above
    yield "Procedures within the DRL", report.standing.within
    yield "Procedures with too few exams", report.standing.too_few
    yield "Procedures without a DRL", report.standing.no_level
    yield "Exams that stand out", report.outlier_count
    for number, finding in enumerate(report.findings, start=1):
        told = sentences.attention(finding, report.drl_name)
        yield f"To look at first, {number}", f"{told.title}. {told.why}"
    for step in sentences.next_steps(report):
        yield "What to do next", step
    yield "Made on", report.generated_at.isoformat(timespec="minutes")
    yield "Made by", f"DoseAtlas {report.version}"


def _devices(report: FacilityReport) -> Table:
    columns = (
        DEVICE,
        Column("exams", "Exams", "count"),
        Column("counted", "Exams counted", "count"),
        Column("above", "Typical values above the DRL", "count"),
        Column("within", "Typical values within the DRL", "count"),
        Column("too_few", "Typical values of too few exams", "count"),
        Column("no_level", "Typical values without a DRL", "count"),
    )
    rows = tuple(tuple(getattr(one, column.name) for column in columns) for one in report.devices)
    return Table("devices", "Devices", columns, rows)


def _trends(report: FacilityReport) -> Table:
    columns = (
        *WHAT,
        Column("month", "Month"),
        Column("n", "Exams", "count"),
        Column("median", "Median (in the row's unit)", "dose"),
        Column("p25", "Lower quartile (in the row's unit)", "dose"),
        Column("p75", "Upper quartile (in the row's unit)", "dose"),
    )
    rows = tuple(
        (
            *_what(one.procedure, one.patient_group, one.quantity, one.phantom_cm),
            one.month,
            one.n,
            one.median,
            one.p25,
            one.p75,
        )
        for one in report.trends
    )
    return Table("trends", "Trends", columns, rows)


def _distributions(report: FacilityReport) -> Table:
    columns = (
        *WHAT,
        Column("from", "From (in the row's unit)", "dose"),
        Column("to", "To (in the row's unit)", "dose"),
        Column("exams", "Exams", "count"),
    )
    rows = tuple(
        (*_what(one.procedure, one.patient_group, one.quantity, one.phantom_cm), low, high, count)
        for one in report.distributions
        for low, high, count in zip(one.edges, one.edges[1:], one.counts, strict=False)
    )
    return Table("distributions", "Distributions", columns, rows)


def _outliers(report: FacilityReport) -> Table:
    columns = (
        Column("exam_id", "Exam"),
        Column("study_date", "Date of study", "date"),
        DEVICE,
        *WHAT,
        Column("value", "Dose (in the row's unit)", "dose"),
        Column("peers_median", "Peers' median (in the row's unit)", "dose"),
        Column("ratio", "Dose ÷ peers' median", "ratio"),
        Column("reasons", "Likely reasons, likeliest first"),
        Column("details", "What they rest on"),
    )
    rows = tuple(
        (
            one.exam_id,
            one.study_date,
            one.device,
            *_what(one.procedure, one.patient_group, one.quantity, one.phantom_cm),
            one.value,
            one.median,
            one.ratio,
            "; ".join(one.reasons),
            "; ".join(one.details),
        )
        for one in report.outliers
    )
    return Table("outliers", "Exams that stand out", columns, rows)


def _skin_doses(report: FacilityReport) -> Table:
    columns = (
        Column("exam_id", "Exam"),
        Column("study_date", "Date of study", "date"),
        DEVICE,
        Column("procedure_id", "Procedure ID"),
        Column("peak_skin_dose_mgy", "Peak skin dose (mGy)", "dose"),
        Column("interval_low", "95 % interval from (mGy)", "dose"),
        Column("interval_high", "95 % interval to (mGy)", "dose"),
        Column("missing", "Why there is none"),
        Column("reference_air_kerma_mgy", "Reference air kerma (mGy)", "dose"),
        Column("kap_gy_cm2", "KAP (Gy·cm²)", "dose"),
        Column("fluoro_time_s", "Fluoroscopy time (s)", "dose"),
        Column("trigger", "Trigger reached"),
        Column("times_median", "Doubtful: air kerma ÷ median of the procedure", "ratio"),
    )
    rows = tuple(
        (
            one.exam_id,
            one.study_date,
            one.device,
            one.procedure,
            one.peak_skin_dose_mgy,
            *one.interval_mgy,
            one.peak_skin_dose_missing,
            one.reference_air_kerma_mgy,
            one.kap_gy_cm2,
            one.fluoro_time_s,
            trigger_words(one.trigger, one.trigger_quantities) if one.trigger else None,
            one.times_median,
        )
        for one in report.skin_doses
    )
    return Table("skin_doses", "Skin doses", columns, rows)


def _skin_patients(report: FacilityReport) -> Table:
    columns = (
        Column("patient", "Patient of this report", "count"),
        Column("exam_id", "Exam"),
        Column("study_date", "Date of study", "date"),
        DEVICE,
        Column("procedure_id", "Procedure ID"),
        Column("reference_air_kerma_mgy", "Reference air kerma (mGy)", "dose"),
        Column("kap_gy_cm2", "KAP (Gy·cm²)", "dose"),
        Column("own_peak_mgy", "Own peak skin dose (mGy)", "dose"),
        Column("at_peak_mgy", "Part of the sum's peak (mGy)", "dose"),
        Column("missing", "Why it is not in the sum"),
        Column("sum_peak_mgy", "Peak skin dose of the sum (mGy)", "dose"),
        Column("sum_low", "95 % interval from (mGy)", "dose"),
        Column("sum_high", "95 % interval to (mGy)", "dose"),
        Column("trigger", "Trigger reached by the sum"),
        Column("notes", "Notes on the sum"),
    )
    rows = tuple(
        (
            patient.number,
            one.exam_id,
            one.study_date,
            one.device,
            one.procedure,
            one.reference_air_kerma_mgy,
            one.kap_gy_cm2,
            one.peak_mgy,
            one.at_peak_mgy,
            one.missing,
            patient.peak_mgy,
            *(patient.interval_mgy or (None, None)),
            trigger_words(patient.trigger, ("peak_skin_dose_mgy",)) if patient.trigger else None,
            "; ".join(patient.notes) or patient.missing,
        )
        for patient in report.skin_patients
        for one in patient.procedures
    )
    return Table("skin_patients", "Cumulative skin doses", columns, rows)


def _displays(report: FacilityReport) -> Table:
    columns = (
        DEVICE,
        Column("quantity_id", "Quantity ID"),
        Column("quantity", "Quantity"),
        Column("phantom_cm", "CTDI phantom (cm)", "count"),
        Column("unit", "Unit of the doses"),
        Column("exams", "Exams", "count"),
        Column("median_stated", "Median as stated (in the row's unit)", "dose"),
        Column("median_corrected", "Median corrected (in the row's unit)", "dose"),
        Column("uncertainty", "Its standard uncertainty by the calibration (in the row's unit)", "dose"),
        Column("certificates", "Certificates"),
    )
    rows = tuple(
        (
            one.device,
            one.quantity,
            words.quantity_name(one.quantity, one.phantom_cm),
            one.phantom_cm,
            words.unit(one.quantity),
            one.exams,
            one.stated,
            one.corrected,
            one.relative_uncertainty * one.corrected,
            "; ".join(one.certificates),
        )
        for one in report.displays
    )
    return Table("displays", "Stated and corrected", columns, rows)


def _hybrid(report: FacilityReport) -> Table:
    columns = (
        Column("exam_id", "Exam"),
        Column("study_date", "Date of study", "date"),
        DEVICE,
        Column("procedure_id", "Procedure ID"),
        Column("radiopharmaceutical", "Radiopharmaceutical"),
        Column("administered_activity_mbq", "Activity (MBq)", "dose"),
        Column("effective_dose_msv", "Effective dose of the activity (mSv)", "dose"),
        Column("effective_dose_set", "By the coefficients"),
        Column("ct_exam_id", "CT exam"),
        Column("ct_procedure_id", "Procedure ID of the CT"),
        Column("ct_ctdi_vol_mgy", "CTDIvol (mGy)", "dose"),
        Column("ct_phantom_cm", "CTDI phantom (cm)", "count"),
        Column("ct_dlp_mgy_cm", "DLP (mGy·cm)", "dose"),
        Column("ct_effective_dose_msv", "Effective dose of the CT (mSv)", "dose"),
        Column("ct_effective_dose_set", "By the coefficients"),
    )
    rows = tuple(
        (
            one.exam_id,
            one.study_date,
            one.device,
            one.procedure,
            one.radiopharmaceutical,
            one.administered_activity_mbq,
            one.effective_dose_msv,
            one.effective_dose_set,
            one.ct_exam_id,
            one.ct_procedure,
            one.ct_ctdi_vol_mgy,
            one.ct_phantom_cm,
            one.ct_dlp_mgy_cm,
            one.ct_effective_dose_msv,
            one.ct_effective_dose_set,
        )
        for one in report.hybrid
    )
    return Table("hybrid_exams", "Hybrid exams", columns, rows)


def _pregnant(report: FacilityReport) -> Table:
    columns = (
        Column("exam_id", "Exam"),
        Column("study_date", "Date of study", "date"),
        DEVICE,
        Column("procedure_id", "Procedure ID"),
        Column("pregnancy_status", "Stated"),
        Column("ctdi_vol_mgy", "CTDIvol (mGy)", "dose"),
        Column("phantom_cm", "CTDI phantom (cm)", "count"),
        Column("dlp_mgy_cm", "DLP (mGy·cm)", "dose"),
        Column("kap_gy_cm2", "KAP (Gy·cm²)", "dose"),
        Column("administered_activity_mbq", "Activity (MBq)", "dose"),
    )
    rows = tuple(
        (
            one.exam_id,
            one.study_date,
            one.device,
            one.procedure,
            one.pregnancy_status,
            one.ctdi_vol_mgy,
            one.phantom_cm,
            one.dlp_mgy_cm,
            one.kap_gy_cm2,
            one.administered_activity_mbq,
        )
        for one in report.pregnant
    )
    return Table("pregnant_patients", "Pregnant patients", columns, rows)


def _quality(report: FacilityReport) -> Table:
    quality = report.quality
    counts: list[tuple[str, str, int]] = [
        ("exams", "in the selection", quality.exams),
        ("exams", "have plausible doses", quality.plausible),
        ("exams", "have a standard procedure", quality.mapped),
        ("exams", "have a patient group", quality.grouped),
        ("exams", "have all three: counted", quality.counted),
        ("exams", "state the patient's weight", quality.with_weight),
        ("objects", "ignored, without dose", quality.ignored),
    ]
    counts += [("objects refused", one.value, one.count) for one in quality.refused]
    counts += [("exams with a name that is not mapped", one.value, one.count) for one in quality.unmapped_names]
    rows: list[tuple[Cell, ...]] = [(*count, None) for count in counts]
    rows += [("exams with the flag or note", one.value, one.count, words.meaning(one.value)) for one in quality.flags]
    columns = (
        Column("topic", "Topic"),
        Column("item", "Item"),
        Column("count", "Number", "count"),
        Column("meaning", "Meaning"),
    )
    return Table("data_quality", "Data quality", columns, tuple(rows))
