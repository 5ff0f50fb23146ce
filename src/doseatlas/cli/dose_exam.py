"""``doseatlas dose exam``, ``cumulative`` and ``size``: the dosimetry of one exam, one patient, one CT scan."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from doseatlas.cli import EXIT_REFUSED
from doseatlas.cli.context import open_store
from doseatlas.cli.output import Format, FormatOption, PathsArgument, print_rows
from doseatlas.model import StoreError, UnreadableObject

if TYPE_CHECKING:
    from doseatlas.dicom import CtImage
    from doseatlas.dosimetry import MeasuredImage, NotEstimated, ScanProfile


def exam(
    exam_id: Annotated[str, typer.Argument(help="The exam's key, as the report and the mart show it.")],
    form: FormatOption = Format.table,
) -> None:
    """Show what is derived from one exam: corrected values, SSDE, effective and skin dose, and what weakens them."""
    from doseatlas.dosimetry import DOSIMETRY_COLUMNS, SKIN_DOSE_COLUMNS, flag_meanings

    with open_store() as store:
        row = store.mart_row(exam_id)
    if row is None:
        raise StoreError(f"The store holds no exam {exam_id!r}; the report and the mart (exam_id) name them.")
    rows = [
        (column.name, row[column.name], column.meaning)
        for column in (*DOSIMETRY_COLUMNS, *SKIN_DOSE_COLUMNS)
        if column.type != "list<string>" and column.name in row
    ]
    flags = row.get("dosimetry_flags", [])
    assert isinstance(flags, list)
    rows += [("flag", flag, flag_meanings().get(flag.rpartition(":")[2], "")) for flag in flags]
    print_rows(("quantity", "value", "meaning"), rows, form)


def cumulative(
    pseudonym: Annotated[str, typer.Argument(help="The patient's pseudonym (or ID, where identity is kept plain).")],
    form: FormatOption = Format.table,
) -> None:
    """Add up a patient's effective doses over the years, with the list of exams.

    It is a sum of doses of reference persons: a record, not a risk, and no reason against the next exam.
    """
    from doseatlas.dosimetry import Estimate
    from doseatlas.store import patient_doses

    with open_store() as store:
        found = patient_doses(store, pseudonym)
    rows: list[tuple[object, ...]] = []
    for one in sorted((*found.exams, *found.without_estimate), key=lambda one: (one.day, one.exam_id)):
        day = None if one.day == dt.date.min else one.day.isoformat()
        if isinstance(one.dose, Estimate):
            known = (one.dose.value, one.dose.standard_uncertainty, one.dose.coefficient_set)
            rows.append((day, one.exam_id, one.procedure, *known))
        else:
            rows.append((day, one.exam_id, one.procedure, None, None, one.dose.message))
    rows += [(str(year), "sum of the year", None, value, None, None) for year, value in found.by_year_msv.items()]
    rows.append((None, "sum", None, found.total_msv, found.standard_uncertainty_msv, None))
    print_rows(("date", "exam", "procedure", "effective dose mSv", "uncertainty mSv", "coefficients"), rows, form)
    if form is Format.table and found.without_estimate:
        typer.echo(f"Not in the sum, as they have no estimate: {len(found.without_estimate)} exams.")


def size(
    paths: PathsArgument,
    region: Annotated[str, typer.Option(help="What is scanned: body or head.")] = "body",
    ctdi_vol: Annotated[
        float | None, typer.Option(help="CTDIvol of the scan in mGy, where the images do not state it.")
    ] = None,
    phantom: Annotated[
        int | None, typer.Option(help="Its CTDI phantom, 16 or 32 cm; else as the images state.")
    ] = None,
    form: FormatOption = Format.table,
) -> None:
    """Measure the patient in axial CT images: water-equivalent diameter, and SSDE where CTDIvol and phantom are known.

    One row a series. Needs no store; changes nothing. Exit status 1 if an image was refused.
    """
    from doseatlas.dosimetry import AxialImage, measured, profile_of_measured

    if region not in ("body", "head"):
        raise typer.BadParameter(f"{region!r} is neither 'body' nor 'head'.")
    series: dict[str, list[MeasuredImage]] = {}
    phantoms: dict[str, set[int | None]] = {}
    localisers = refused = 0
    for image in _images(paths):
        if isinstance(image, UnreadableObject):
            typer.echo(str(image), err=True)
            refused += 1
        elif image.localiser:
            localisers += 1
        elif image.z_mm is not None:
            axial = AxialImage(
                image.z_mm,
                image.pixels,
                image.pixel_spacing_mm,
                image.rescale_slope,
                image.rescale_intercept,
                image.ctdi_vol_mgy,
                image.tube_current_ma,
            )
            series.setdefault(image.series_instance_uid, []).append(measured(axial))
            phantoms.setdefault(image.series_instance_uid, set()).add(image.phantom_cm)
    rows = []
    for uid, images in series.items():
        on = phantom or (next(iter(phantoms[uid])) if len(phantoms[uid]) == 1 else None)
        profile = profile_of_measured(
            images, ctdi_vol_mgy=ctdi_vol, phantom_cm=on, region="head" if region == "head" else "body"
        )
        rows.append((uid, len(images), *_diameters(images), *_ssde(profile)))
    if not rows and not refused:
        raise StoreError("There is no axial CT image with a position among these.")
    columns = ("series", "images", "diameter mm", "smallest mm", "largest mm", "ssde mGy", "uncertainty mGy", "remark")
    print_rows(columns, rows, form)
    if form is Format.table and localisers:
        typer.echo(f"Localisers are not measured without a calibration of their grey values: {localisers} images.")
    if refused:
        raise typer.Exit(EXIT_REFUSED)


def _images(paths: Sequence[Path]) -> Iterator[CtImage | UnreadableObject]:
    """Give the CT images below paths one at a time, and what could not be read; other files of folders are passed."""
    from doseatlas.cli.context import read_limits
    from doseatlas.dicom import read_ct_image

    limits = read_limits()
    for path in paths:
        named = not path.is_dir()
        files = [path] if named else sorted(Path(f, n) for f, _, names in os.walk(path) for n in names)
        for file in files:
            try:
                image = read_ct_image(file, limits)
            except UnreadableObject as error:
                if named or error.code != "not-dicom":
                    yield error
                continue
            if image is not None:
                yield image


def _diameters(images: Sequence[MeasuredImage]) -> tuple[float | None, float | None, float | None]:
    """Return mean, smallest and largest diameter of the images in which the patient could be measured."""
    from doseatlas.dosimetry import BodySection

    found = [one.section.water_equivalent_diameter_mm for one in images if isinstance(one.section, BodySection)]
    return (sum(found) / len(found), min(found), max(found)) if found else (None, None, None)


def _ssde(profile: ScanProfile | NotEstimated) -> tuple[float | None, float | None, str | None]:
    from doseatlas.dosimetry import NotEstimated

    if isinstance(profile, NotEstimated):
        return None, None, profile.message
    mean = profile.mean
    flags = "; ".join(f"{flag.code}: {flag.message}" for flag in mean.flags)
    return mean.value, mean.standard_uncertainty, flags or None
