"""``doseatlas dose``: what a dose report means for the patient, computed from the report alone, without a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from doseatlas.cli import dose_exam
from doseatlas.cli.output import Format, FormatOption, PathsArgument, print_rows

if TYPE_CHECKING:
    from doseatlas.dosimetry.skin import Mesh, SkinDose
    from doseatlas.model import Exam

app = typer.Typer(no_args_is_help=True, help="Doses to the patient that reports do not state.")
app.command("exam")(dose_exam.exam)
app.command("cumulative")(dose_exam.cumulative)
app.command("size")(dose_exam.size)


@app.command("skin")
def skin(
    paths: PathsArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the map as an HTML page that opens offline.")
    ] = None,
    phantom: Annotated[
        str, typer.Option(help="Body: human, human-arms-away, elliptic-cylinder, cylinder or plane.")
    ] = "human",
    height: Annotated[float | None, typer.Option(help="Patient's height in cm; else as stated, else 176.")] = None,
    weight: Annotated[float | None, typer.Option(help="Patient's weight in kg; else as stated, else 73.")] = None,
    region: Annotated[
        str | None, typer.Option(help="Part of the body at the isocentre: head, neck, chest, abdomen, pelvis, ...")
    ] = None,
    orientation: Annotated[
        str, typer.Option(help="head-first or feet-first, -supine or -prone.")
    ] = "head-first-supine",
    offset: Annotated[
        tuple[float, float, float], typer.Option(help="Move the patient (cm): to the left, downwards, to the head.")
    ] = (0.0, 0.0, 0.0),
    table_transmission: Annotated[
        float | None, typer.Option(help="Measured transmission of table and pad, perpendicular beam, 0.2 to 1.")
    ] = None,
    pad: Annotated[float, typer.Option(help="Thickness of the pad in cm.")] = 4.0,
    kerma_factor: Annotated[
        float | None, typer.Option(help="Calibration factor of the displayed air kerma (true over displayed).")
    ] = None,
    kerma_uncertainty: Annotated[
        float | None, typer.Option(help="Relative standard uncertainty (k = 1) of the calibrated kerma, such as 0.05.")
    ] = None,
    patient_at_isocentre: Annotated[
        bool, typer.Option("--patient-at-isocentre", help="Where a report does not relate table and beam, assume this.")
    ] = False,
    form: FormatOption = Format.table,
) -> None:
    """Compute the peak skin dose, and the map of it, from one dose report or several of one patient.

    Several reports make one cumulative map. Needs no store; changes nothing.
    """
    from doseatlas.dosimetry.skin import Options, SkinDoseError, skin_dose

    if (kerma_factor is None) != (kerma_uncertainty is None):
        raise typer.BadParameter("--kerma-factor and --kerma-uncertainty belong together.")
    exams = _reports(paths)
    options = Options(
        orientation=_orientation(orientation),
        region=region,
        offset_cm=offset,
        table_transmission=table_transmission,
        pad_cm=pad,
        kerma_factor=kerma_factor,
        kerma_relative_uncertainty=kerma_uncertainty,
        unrelated_table="isocentre" if patient_at_isocentre else "refuse",
    )
    mesh, said = _body(phantom, height, weight, exams)
    found = skin_dose(exams, mesh, options)
    answer = found.answer
    if said:
        import msgspec

        answer = msgspec.structs.replace(answer, assumptions=(said, *answer.assumptions))
        found = found._replace(answer=answer)
    if output is not None:
        from doseatlas.dosimetry.skin import skin_dose_html
        from doseatlas.report import written_whole

        if output.is_dir():
            raise SkinDoseError(
                f"{output} is a folder. Give the name of the HTML file, such as {output / 'skin.html'}."
            )
        with written_whole(output) as file:
            file.write(skin_dose_html(found, _subject(exams)).encode())
    _print(answer, form)
    if output is not None and form is Format.table:
        typer.echo(f"Map: {output.resolve()}")


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


def _orientation(text: str) -> Any:
    from typing import get_args

    from doseatlas.dosimetry.skin import Orientation

    known = get_args(Orientation)
    if text not in known:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(known)}.")
    return text


def _body(phantom: str, height: float | None, weight: float | None, exams: list[Exam]) -> tuple[Mesh, str | None]:
    """Return the phantom; and, where height or weight are neither given nor stated, what is assumed."""
    from doseatlas.dosimetry.skin import HEIGHT_CM, SHAPES, WEIGHT_KG

    if phantom not in SHAPES:
        raise typer.BadParameter(f"{phantom!r} is not one of {', '.join(SHAPES)}.")
    stated = [exam.patient for exam in exams]
    tall = height or next((one.height_cm for one in reversed(stated) if one.height_cm), None)
    heavy = weight or next((one.weight_kg for one in reversed(stated) if one.weight_kg), None)
    said = None
    if tall is None or heavy is None:
        said = (
            f"Height and weight are taken as {tall or HEIGHT_CM:g} cm and {heavy or WEIGHT_KG:g} kg; the report does "
            "not state both (set them with --height and --weight)."
        )
    return SHAPES[phantom](tall or HEIGHT_CM, heavy or WEIGHT_KG), said


def _subject(exams: list[Exam]) -> str:
    if len(exams) > 1:
        dates = sorted(exam.study_date for exam in exams if exam.study_date)
        period = f", {dates[0]} to {dates[-1]}" if dates else ""
        return f"Cumulative map of {len(exams)} reports{period}"
    exam = exams[0]
    device = " ".join(part for part in (exam.device.manufacturer, exam.device.model) if part)
    return ", ".join(part for part in (exam.procedure, exam.study_date, device) if part) or "One dose report"


def _print(answer: SkinDose, form: Format) -> None:
    if form is Format.jsonl:
        import msgspec

        typer.echo(msgspec.json.encode(answer).decode())
        return
    low, high = answer.interval_mgy
    rows: list[tuple[object, ...]] = [
        ("peak skin dose", answer.peak_mgy, "mGy", f"95 %: {low:.3g} to {high:.3g} mGy"),
        ("air kerma at the reference point", answer.reference_air_kerma_mgy, "mGy", None),
        ("kerma-area product", answer.kap_gy_cm2, "Gy·cm²", None),
        ("share of it on the phantom", answer.kap_share_on_skin, None, None),
        *((f"skin above {one.dose_gy:g} Gy", one.area_cm2, "cm²", None) for one in answer.areas),
        *(
            ("peak if moved", one.peak_mgy, "mGy", f"{one.shift_cm:+g} cm {one.direction}")
            for one in answer.sensitivity
        ),
        ("cells of the phantom", answer.cells, None, f"{answer.phantom}; cells of {answer.cell_cm:.1f} cm"),
        *(("left out", one.events, "events", f"{one.reason}; {one.kerma_mgy:.3g} mGy") for one in answer.left_out),
    ]
    texts = [
        ("place", answer.peak_place),
        *(("note", one.message) for one in answer.notes),
        *(("assumed", text) for text in answer.assumptions),
    ]
    if form is Format.csv:
        rows += [(name, text, None, None) for name, text in texts]
    print_rows(("quantity", "value", "unit", "remark"), rows, form)
    if form is Format.table:
        for name, text in texts:
            typer.echo(f"{name}: {text}")
