"""``doseatlas dose skin`` and ``cumulative-skin``: the skin dose map of reports, and of all exams of one patient."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from doseatlas.cli.context import open_store
from doseatlas.cli.dose_skin_output import print_answer, print_cumulative, write_map
from doseatlas.cli.output import Format, FormatOption, PathsArgument
from doseatlas.cli.store import SinceOption, UntilOption

if TYPE_CHECKING:
    from doseatlas.dosimetry.skin import Mesh, Orientation
    from doseatlas.model import Exam

OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write the map as an HTML page that opens offline.")
]
PhantomOption = Annotated[str, typer.Option(help="Body: human, human-arms-away, elliptic-cylinder, cylinder or plane.")]
OrientationOption = Annotated[str, typer.Option(help="head-first or feet-first, -supine or -prone.")]
RegionOption = Annotated[
    str | None, typer.Option(help="Part of the body at the isocentre: head, neck, chest, abdomen, pelvis, ...")
]
TransmissionOption = Annotated[
    float | None, typer.Option(help="Measured transmission of table and pad, perpendicular beam, 0.2 to 1.")
]
FieldRotationOption = Annotated[
    float, typer.Option(help="Rotation of fields about the central ray in degrees, of events that state none.")
]
PadOption = Annotated[float, typer.Option(help="Thickness of the pad in cm.")]
AtIsocentreOption = Annotated[
    bool, typer.Option("--patient-at-isocentre", help="Where a report does not relate table and beam, assume this.")
]
HUMAN, SUPINE, PAD_CM = "human", "head-first-supine", 4.0


def skin(
    paths: PathsArgument,
    output: OutputOption = None,
    phantom: PhantomOption = HUMAN,
    height: Annotated[float | None, typer.Option(help="Patient's height in cm; else as stated, else 176.")] = None,
    weight: Annotated[float | None, typer.Option(help="Patient's weight in kg; else as stated, else 73.")] = None,
    region: RegionOption = None,
    orientation: OrientationOption = SUPINE,
    offset: Annotated[
        tuple[float, float, float], typer.Option(help="Move the patient (cm): to the left, downwards, to the head.")
    ] = (0.0, 0.0, 0.0),
    table_transmission: TransmissionOption = None,
    pad: PadOption = PAD_CM,
    field_rotation: FieldRotationOption = 0.0,
    kerma_factor: Annotated[
        float | None, typer.Option(help="Calibration factor of the displayed air kerma (true over displayed).")
    ] = None,
    kerma_uncertainty: Annotated[
        float | None, typer.Option(help="Relative standard uncertainty (k = 1) of the calibrated kerma, such as 0.05.")
    ] = None,
    patient_at_isocentre: AtIsocentreOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Compute the peak skin dose, and the map of it, from one dose report or several of one patient.

    Several reports make one cumulative map. Needs no store; changes nothing.
    """
    from msgspec import structs

    from doseatlas.dosimetry.skin import Options, skin_dose

    if (kerma_factor is None) != (kerma_uncertainty is None):
        raise typer.BadParameter("--kerma-factor and --kerma-uncertainty belong together.")
    _check_words(phantom, orientation)
    exams = _reports(paths)
    options = Options(
        orientation=cast("Orientation", orientation),
        region=region,
        offset_cm=offset,
        table_transmission=table_transmission,
        pad_cm=pad,
        field_rotation_deg=field_rotation,
        kerma_factor=kerma_factor,
        kerma_relative_uncertainty=kerma_uncertainty,
        unrelated_table="isocentre" if patient_at_isocentre else "refuse",
    )
    mesh, said = _body(phantom, height, weight, exams)
    found = skin_dose(exams, mesh, options)
    if said:
        found = found._replace(
            answer=structs.replace(found.answer, assumptions=(said, *found.answer.assumptions)),
        )
    written = None if output is None else write_map(output, found, _subject(exams))
    print_answer(found.answer, form, written)


def cumulative_skin(
    patient: Annotated[
        str,
        typer.Argument(help="The patient's pseudonym (the ID, where identity is kept plain), or an exam's key."),
    ],
    since: SinceOption = None,
    until: UntilOption = None,
    output: OutputOption = None,
    phantom: PhantomOption = HUMAN,
    orientation: OrientationOption = SUPINE,
    table_transmission: TransmissionOption = None,
    pad: PadOption = PAD_CM,
    field_rotation: FieldRotationOption = 0.0,
    patient_at_isocentre: AtIsocentreOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Sum the skin dose maps of a patient's exams in the store on one body, with each exam's part of the peak.

    Exams that cannot be placed are listed with their air kerma and the reason; the sum is then a lower limit. The
    exam's key, as reports show it, finds the patient without naming them.
    """
    from doseatlas.dosimetry.skin import Options
    from doseatlas.store import patient_named, patient_skin_dose

    _check_words(phantom, orientation)
    options = Options(
        orientation=cast("Orientation", orientation),
        table_transmission=table_transmission,
        pad_cm=pad,
        field_rotation_deg=field_rotation,
        unrelated_table="isocentre" if patient_at_isocentre else "refuse",
    )
    with open_store() as store:
        found = patient_skin_dose(
            store,
            patient_named(store, patient),
            since=since.date() if since else None,
            until=until.date() if until else None,
            options=options,
            phantom=phantom,
        )
    written = None
    if output is not None:
        dates = [one.study_date for one in found.procedures if one.study_date]
        period = f", {min(dates)} to {max(dates)}" if dates else ""
        subject = f"Cumulative map of {found.skin_map.answer.reports} procedures of one patient{period}"
        written = write_map(output, found.skin_map, subject, found.procedures)
    print_cumulative(found, form, written)


def _reports(paths: list[Path]) -> list[Exam]:
    """Read the reports; they must be of one patient, and the same report from two places counts once."""
    from doseatlas.cli.context import read_limits
    from doseatlas.dicom import read_paths
    from doseatlas.dosimetry.skin import SkinDoseError

    exams: list[Exam] = []
    patients, seen = set(), set()
    for reading in read_paths(paths, limits=read_limits()):
        exam = reading.exam
        if exam.error is not None:
            raise SkinDoseError(f"{exam.path}: {exam.error.message}")
        if exam.sop_instance_uid is None or exam.sop_instance_uid not in seen:
            exams.append(exam)
            seen.add(exam.sop_instance_uid)
            patients.add((reading.identity.patient_id, reading.identity.issuer))
    if len(patients) > 1:
        raise SkinDoseError(
            f"The {len(exams)} reports name {len(patients)} different patients; a map adds up the dose of one."
        )
    return exams


def _check_words(phantom: str, orientation: str) -> None:
    from doseatlas.dosimetry.skin import SHAPES, Orientation

    for word, known in ((phantom, tuple(SHAPES)), (orientation, get_args(Orientation))):
        if word not in known:
            raise typer.BadParameter(f"{word!r} is not one of {', '.join(known)}.")


def _body(phantom: str, height: float | None, weight: float | None, exams: list[Exam]) -> tuple[Mesh, str | None]:
    """Return the phantom; and, where height or weight are neither given nor stated, what is assumed."""
    from doseatlas.dosimetry.skin import HEIGHT_CM, SHAPES, WEIGHT_KG

    stated = [exam.patient for exam in exams]
    if height is None:
        height = next((one.height_cm for one in reversed(stated) if one.height_cm), None)
    if weight is None:
        weight = next((one.weight_kg for one in reversed(stated) if one.weight_kg), None)
    said = None
    if height is None or weight is None:
        height = HEIGHT_CM if height is None else height
        weight = WEIGHT_KG if weight is None else weight
        said = (
            f"Height and weight are taken as {height:g} cm and {weight:g} kg; the report does not state both (set them "
            "with --height and --weight)."
        )
    return SHAPES[phantom](height, weight), said


def _subject(exams: list[Exam]) -> str:
    if len(exams) > 1:
        dates = sorted(exam.study_date for exam in exams if exam.study_date)
        period = f", {dates[0]} to {dates[-1]}" if dates else ""
        return f"Cumulative map of {len(exams)} reports{period}"
    exam = exams[0]
    device = " ".join(part for part in (exam.device.manufacturer, exam.device.model) if part)
    return ", ".join(part for part in (exam.procedure, exam.study_date, device) if part) or "One dose report"
