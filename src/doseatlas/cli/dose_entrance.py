"""``doseatlas dose entrance``: which air kerma enters a patient of a room that displays none?"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from doseatlas.cli.output import Format, FormatOption, print_rows


def entrance(
    output: Annotated[Path, typer.Argument(help="The measured output of the tube, a TOML file (docs/dosimetry.md).")],
    kv: Annotated[float, typer.Option(help="Tube voltage.")],
    mas: Annotated[float, typer.Option(help="Tube loading.")],
    source_to_skin: Annotated[
        float | None, typer.Option(help="From the focus to the patient's skin, in mm, as measured.")
    ] = None,
    source_to_table: Annotated[
        float | None, typer.Option(help="From the focus to the table or stand behind the patient, in mm.")
    ] = None,
    thickness: Annotated[
        float | None, typer.Option(help="Of the patient along the beam, in mm, with --source-to-table.")
    ] = None,
    field: Annotated[str | None, typer.Option(help="Field at the skin in cm, as 24x30.")] = None,
    added_al: Annotated[float, typer.Option(help="Aluminium added to the tube's own filter, in mm.")] = 0.0,
    added_cu: Annotated[float, typer.Option(help="Copper added, in mm.")] = 0.0,
    form: FormatOption = Format.table,
) -> None:
    """Give incident and entrance surface air kerma of one exposure, by the output of its tube.

    For patients of a survey in rooms whose exams display no kerma. The same rules as for exams in the store; the
    distance is what you measured, or table less thickness. Needs no store; changes nothing. Exit status 1 if there is
    no kerma; the method says why.
    """
    from doseatlas.dosimetry import ENTRANCE_COLUMNS, certificate_book, exam_entrance
    from doseatlas.model import Event, Exam, Filter
    from doseatlas.store import read_certificate

    skin = _skin_mm(source_to_skin, source_to_table, thickness)
    width, height = _field_mm(field)
    certificate = read_certificate(output)
    certificates = certificate_book([certificate], dt.date.today())
    filters = (("Aluminum or Aluminum compound", added_al), ("Copper or Copper compound", added_cu))
    event = Event(
        kvp=kv,
        exposure_mas=mas,
        source_to_entrance_mm=skin,
        source_to_detector_mm=skin,  # so that the field is that at the skin
        collimated_field_width_mm=width,
        collimated_field_height_mm=height,
        filters=tuple(Filter(material=name, thickness_min_mm=mm, thickness_max_mm=mm) for name, mm in filters),
    )
    exam = Exam(kind="projection", study_date=certificate.valid_from.isoformat(), events=(event,))
    row = exam_entrance(exam, device=certificate.device, certificates=certificates, plausible=True)
    rows = [(column.name, row[column.name], column.meaning) for column in ENTRANCE_COLUMNS]
    print_rows(("quantity", "value", "meaning"), [one for one in rows if one[1] is not None], form)
    if row["incident_air_kerma_mgy"] is None:
        raise typer.Exit(1)


def _skin_mm(to_skin: float | None, to_table: float | None, thickness: float | None) -> float:
    """Return the distance from focus to skin: as measured, or to the table less the patient's thickness (TRS-457)."""
    if to_skin is not None and to_table is None and thickness is None:
        return to_skin
    if to_skin is None and to_table is not None and thickness is not None and 0 < thickness < to_table:
        return to_table - thickness
    raise typer.BadParameter("State either --source-to-skin, or --source-to-table and a --thickness smaller than that.")


def _field_mm(text: str | None) -> tuple[float | None, float | None]:
    if text is None:
        return None, None
    try:
        width, height = (10 * float(part) for part in text.lower().split("x"))
    except ValueError:
        width = height = 0.0
    if not (0 < width < 1000 and 0 < height < 1000):
        raise typer.BadParameter(f"The field {text!r} is not two sides in cm, such as 24x30.", param_hint="--field")
    return width, height
