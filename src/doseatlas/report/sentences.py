"""What does a department head read first? The findings and the state of the data as plain sentences."""

from __future__ import annotations

from typing import NamedTuple

from doseatlas.analysis import (
    AboveLevel,
    ExamsStandOut,
    FacilityReport,
    FewCounted,
    Finding,
    HighDevice,
    Selection,
    TypicalValue,
)
from doseatlas.dosimetry import DISPLAY_TOLERANCE
from doseatlas.report import words

_DERIVED = (
    "incident_air_kerma_mgy",
    "entrance_surface_air_kerma_mgy",
    "effective_dose_msv",
    "ssde_derived_mgy",
)


class Attention(NamedTuple):
    """One thing to look at: what it is, and why."""

    title: str
    why: str


def subject(procedure: str, patient_group: str) -> str:
    """Return what typical values are about: the procedure and the patients."""
    return f"{words.procedure_name(procedure)} · {words.group_name(patient_group)}"


def scope(report: FacilityReport) -> str:
    """Return what the report covers: exams, devices and period."""
    exams = words.plural(report.exam_count, "exam", "exams")
    devices = words.plural(report.device_count, "device", "devices")
    if report.first_date is None or report.last_date is None:
        return f"{exams} from {devices}; no study date is stated."
    return f"{exams} from {devices}, {words.long_date(report.first_date)} to {words.long_date(report.last_date)}."


def selected(selection: Selection) -> str:
    """Return what was asked for, where it was less than everything."""
    asked = (
        ("facility", selection.facility),
        ("device", selection.device),
        ("procedure", selection.procedure and words.procedure_name(selection.procedure)),
        ("patients", selection.patient_group and words.group_name(selection.patient_group)),
        ("from", selection.since and words.long_date(selection.since)),
        ("to", selection.until and words.long_date(selection.until)),
    )
    return "; ".join(f"{what} {value}" for what, value in asked if value)


def levels(report: FacilityReport) -> str:
    """Return which reference levels the report compares with."""
    if not report.drl_set:
        return "no reference levels"
    from_whom = ", ".join(part for part in (report.drl_authority, report.drl_level) if part)
    name = report.drl_name or report.drl_set
    return f"{name} ({from_whom})" if from_whom else name


def headline(report: FacilityReport) -> str:
    """Return how many procedures are above their reference level."""
    stand = report.standing
    compared = stand.above + stand.within
    if not compared:
        return "No procedure could be compared with a reference level."
    if compared == 1:
        place = "is above" if stand.above else "is not above"
        return f"The one procedure that could be compared {place} the reference level."
    above = words.count(stand.above) if stand.above else "None"
    verb = "are" if stand.above > 1 else "is"
    return f"{above} of {words.count(compared)} procedures that could be compared {verb} above the reference level."


def not_compared(report: FacilityReport) -> str:
    """Return why the other procedures are not compared; empty where all are."""
    stand = report.standing
    parts = []
    if stand.too_few:
        parts.append(f"{words.count(stand.too_few)} more {_have(stand.too_few)} too few exams")
    if stand.no_level:
        parts.append(f"{words.count(stand.no_level)} {_have(stand.no_level)} no reference level in this set")
    return f"{'; '.join(parts)}." if parts else ""


def _have(number: int) -> str:
    return "has" if number == 1 else "have"


def counted(report: FacilityReport) -> str:
    """Return how many exams the statistics rest on."""
    quality = report.quality
    return (
        f"{words.count(quality.counted)} of {words.plural(quality.exams, 'exam', 'exams')} are counted "
        f"({words.share(quality.counted, quality.exams)}); the others are listed under data quality."
    )


def standing_out(report: FacilityReport) -> str:
    """Return how many exams stand out."""
    if not report.outlier_count:
        return "No exam stands out from its peers."
    verb = "exam stands" if report.outlier_count == 1 else "exams stand"
    shown = len(report.outliers)
    text = f"{words.count(report.outlier_count)} {verb} out from their peers"
    return f"{text}." if shown == report.outlier_count else f"{text}; the {words.count(shown)} furthest are listed."


def attention(finding: Finding, drl_name: str) -> Attention:
    """Return a finding as a title and the reason why it is worth a look."""
    match finding:
        case AboveLevel(value=value):
            return Attention(
                f"{subject(value.procedure, value.patient_group)}: above the reference level", _above(value, drl_name)
            )
        case HighDevice(value=value, all_devices=together, ratio=ratio):
            return Attention(
                f"{value.device}: higher than the devices together",
                f"{subject(value.procedure, value.patient_group)}, "
                f"{words.quantity_name(value.quantity, value.phantom_cm)}: median {_with_interval(value)}, "
                f"{words.ratio(ratio)} times that of all devices together, {_with_interval(together)}.",
            )
        case ExamsStandOut(count=count, listed=listed, reason=reason):
            verb = "exam stands" if count == 1 else "exams stand"
            return Attention(
                f"{words.count(count)} {verb} out from their peers",
                f"The likeliest reason is “{reason.value}” in {words.count(reason.count)} of the "
                f"{words.count(listed)} listed. A reason is a lead, not a finding.",
            )
        case FewCounted(exams=exams, counted=counted):
            return Attention(
                f"Only {words.share(counted, exams)} of the exams are counted",
                f"{words.count(counted)} of {words.count(exams)}; the figures may not be those of the whole facility. "
                "Data quality says what the others lack.",
            )


def _above(value: TypicalValue, drl_name: str) -> str:
    if value.reference is None:
        return ""
    return (
        f"{words.quantity_name(value.quantity, value.phantom_cm)}: median {_with_interval(value)}, "
        f"{words.ratio(value.ratio)} times the {words.level_label(value.reference, value.quantity, drl_name)}. "
        f"Probability that the true median is above it: {words.probability(value.probability_above)}."
    )


def _with_interval(value: TypicalValue) -> str:
    sample = f"n = {words.count(value.n)}"
    if value.low is not None:
        sample = f"95{words.NO_BREAK_SPACE}% interval {words.interval(value.low, value.high)}, {sample}"
    return f"{words.dose_with_unit(value.median, value.quantity)} ({sample})"


def dose_values(report: FacilityReport) -> str:
    """Return which values are counted."""
    if report.dose_values == "stated":
        return "Values as the devices state them."
    return (
        "Values corrected by calibration certificates, as stated where a device has none. Intervals hold the "
        "uncertainty of the calibration, or of an uncalibrated display."
    )


def derived_doses(report: FacilityReport) -> str:
    """Return what derived doses rest on; empty where the report has none."""
    names = {value.quantity for value in (*report.typical_values, *report.device_values)}
    derived = [words.quantity_name(name) for name in _DERIVED if name in names]
    if not derived:
        return ""
    verb = "rests" if len(derived) == 1 else "rest"
    named = " and ".join(filter(None, (", ".join(derived[:-1]), derived[-1])))
    return (
        f"{named} always {verb} on values corrected by calibration certificates, where a device has "
        "one, whichever values are counted otherwise."
    )


def has_skin(report: FacilityReport) -> bool:
    """Return whether there is anything to show of skin dose."""
    return bool(report.skin_doses or report.skin_implausible or report.skin_patients)


def skin_doses(report: FacilityReport) -> str:
    """Return how many exams reach a trigger of skin dose, and how many are shown."""
    triggered = report.skin_trigger_count
    shown = f"The {words.plural(len(report.skin_doses), 'exam', 'exams')} with the largest skin doses are listed."
    if not report.skin_doses:
        shown = ""
    if not triggered:
        return f"No exam with plausible doses reaches a trigger for notification or follow-up. {shown}".strip()
    verb = "exam reaches" if triggered == 1 else "exams reach"
    return f"{words.count(triggered)} {verb} a trigger for notification or follow-up. {shown}"


def skin_implausible(report: FacilityReport) -> str:
    """Return which exams would reach a trigger by a dose that is out of physical range."""
    keys = report.skin_implausible
    what = words.plural(len(keys), "exam states", "exams state")
    return (
        f"{what} a dose beyond a trigger that is out of physical range, and so has no skin dose here. Look whether the "
        f"unit or the dose is wrong: {', '.join(keys)}."
    )


def skin_patients(report: FacilityReport) -> str:
    """Return how many patients had several procedures that together reach a trigger."""
    reached = sum(one.trigger is not None for one in report.skin_patients)
    said = words.plural(reached, "patient", "patients")
    verb = "reaches" if reached == 1 else "reach"
    unsure = len(report.skin_patients) - reached
    more = f" Of {words.count(unsure)} more it is not known, as procedures are not in the sum." if unsure else ""
    return f"{said} with several procedures {verb} a trigger of peak skin dose in the sum.{more}"


def pregnant(report: FacilityReport) -> str:
    """Return how many exams are of patients stated pregnant or possibly so, and how many are shown."""
    count, shown = report.pregnant_count, len(report.pregnant)
    verb = "exam is" if count == 1 else "exams are"
    listed = "" if shown == count else f" The latest {words.count(shown)} are listed."
    return f"{words.count(count)} {verb} of a patient stated to be pregnant, or possibly so.{listed}"


def displays(report: FacilityReport) -> str:
    """Return how many displays of how many devices a certificate corrects."""
    certified = [one for one in report.displays if set(one.certificates) - {DISPLAY_TOLERANCE}]
    devices = len({one.device for one in certified})
    which = words.plural(devices, "device", "devices")
    return f"Calibration certificates correct {words.count(len(certified))} of the displayed values below, of {which}."


def hybrid(report: FacilityReport) -> str:
    """Return how many administrations had a CT in their study, and how many are shown."""
    count, shown = report.hybrid_count, len(report.hybrid)
    verb = "administration had" if count == 1 else "administrations had"
    listed = "" if shown == count else f" The latest {words.count(shown)} are listed."
    return f"{words.count(count)} {verb} a CT in the same study.{listed}"


def next_steps(report: FacilityReport) -> tuple[str, ...]:
    """Return what to do where the report has nothing, or nothing to compare, to show."""
    if not report.exam_count:
        chosen = selected(report.selection)
        if chosen:
            return (
                f"No exam fits the selection ({chosen}).",
                "Write names of facilities and devices as a report without a selection shows them.",
                "Widen the period, or leave an option out.",
            )
        return (
            "The store holds no exams. Read dose objects into it: doseatlas import FOLDER.",
            "To see what a report looks like, make one of a made-up hospital: doseatlas demo.",
        )
    if not report.typical_values:
        return (
            "No exam could be counted: Data quality says what they lack.",
            "Where procedures are not mapped: doseatlas mapping list, then doseatlas mapping export names.csv, decide "
            "in a spreadsheet, and doseatlas mapping apply names.csv.",
        )
    if not any(value.reference for value in report.typical_values):
        return (
            f"{levels(report).capitalize() if not report.drl_set else levels(report)}: none of the procedures here "
            "has a level. The typical values are shown without a comparison.",
            "Choose another set (doseatlas drl list, then doseatlas report --drl-set ID), or add your own "
            "(setting drl_files).",
        )
    return ()
