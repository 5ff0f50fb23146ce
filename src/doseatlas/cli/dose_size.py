"""``doseatlas dose size``: how large is the patient in CT images and localisers, and which SSDE does that mean?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from doseatlas.cli import EXIT_REFUSED
from doseatlas.cli.ct_image_files import MeasuredImages, read_images
from doseatlas.cli.output import Format, FormatOption, PathsArgument, print_rows
from doseatlas.model import StoreError

if TYPE_CHECKING:
    from doseatlas.dosimetry import LocaliserCalibration, LocaliserLines, NotEstimated, PatientSize

_COLUMNS = (
    "series",
    "what",
    "images",
    "diameter mm",
    "smallest mm",
    "largest mm",
    "ssde mGy",
    "uncertainty mGy",
    "central ssde mGy",
    "remark",
)
_MOST_MGY, _MOST_WATER_MM = 10_000.0, 1000.0
Row = tuple[object, ...]


class _Dose(NamedTuple):
    """What the user says of the scan; ``None``: as the images state."""

    ctdi_vol_mgy: float | None
    phantom_cm: int | None
    region: Literal["head", "body"]


def size(
    paths: PathsArgument,
    region: Annotated[str, typer.Option(help="What is scanned: body or head.")] = "body",
    ctdi_vol: Annotated[
        float | None, typer.Option(help="CTDIvol of the scan in mGy, where the images do not state it.")
    ] = None,
    phantom: Annotated[
        int | None, typer.Option(help="Its CTDI phantom, 16 or 32 cm; else as the images state.")
    ] = None,
    water_mm_per_value: Annotated[
        float | None,
        typer.Option(help="Calibration of the localisers from a phantom: mm of water for one grey value."),
    ] = None,
    form: FormatOption = Format.table,
) -> None:
    """Measure the patient in CT images: diameter, and SSDE where CTDIvol and phantom are known.

    One row a series of axial images, in single or multi-frame objects, and one a localiser. Of the axial images one is
    measured every 5 mm, and their SSDE is the mean of SSDE(z), as for an exam that is imported. Axial images of the
    same patient in the same frame of reference calibrate a localiser, or a phantom does; else two views give the
    effective diameter of the outline, flagged. Needs no store; changes nothing. Exit status 1 if an image was refused.
    """
    dose = _stated(ctdi_vol, phantom, region)
    if water_mm_per_value is not None and not 0 < water_mm_per_value < _MOST_WATER_MM:
        raise typer.BadParameter(f"A grey value stands for more than 0 and less than {_MOST_WATER_MM:g} mm of water.")
    found, refused = MeasuredImages(), 0
    for error in read_images(paths, found.add):
        typer.echo(str(error), err=True)
        refused += 1
    rows = [_axial_row(series, found, dose) for series in found.counts]
    rows += _localiser_rows(found, dose, water_mm_per_value)
    if not rows and not refused:
        raise StoreError("There is no axial CT image with a position among these, and no localiser.")
    print_rows(_COLUMNS, rows, form)
    if form is Format.table and found.others:
        typer.echo(f"Not measured, as they are reformatted, derived from others or not placed: {found.others} images.")
    if refused:
        raise typer.Exit(EXIT_REFUSED)


def _stated(ctdi_vol: float | None, phantom: int | None, region: str) -> _Dose:
    """Return what the user says of the scan, after making sure that it can be."""
    if region not in ("body", "head"):
        raise typer.BadParameter(f"{region!r} is neither 'body' nor 'head'.")
    if ctdi_vol is not None and not 0 < ctdi_vol < _MOST_MGY:
        raise typer.BadParameter(f"A CTDIvol of {ctdi_vol:g} mGy is not possible.")
    if phantom not in (None, 16, 32):
        raise typer.BadParameter("A CTDI phantom has 16 or 32 cm.")
    return _Dose(ctdi_vol, phantom, "head" if region == "head" else "body")


# ---- axial images ----


def _axial_row(series: str, found: MeasuredImages, dose: _Dose) -> Row:
    from doseatlas.dosimetry import NotEstimated, measured_at, profile_of_measured, size_of_measured

    places = found.places(series)
    phantoms = {place.phantom_cm or None for place in places}
    on = dose.phantom_cm or (phantoms.pop() if len(phantoms) == 1 else None)
    images = [measured_at(place) for place in places]
    size = size_of_measured(images)
    profile = profile_of_measured(images, ctdi_vol_mgy=dose.ctdi_vol_mgy, phantom_cm=on, region=dose.region)
    _, smallest, largest = _spread([place.diameter_mm for place in places if place.diameter_mm])
    row = (series, "axial images", found.counts[series])
    if isinstance(size, NotEstimated):
        return *row, None, None, None, None, None, None, size.message
    flags = [f"{flag.code}: {flag.message}" for flag in size.flags]
    if isinstance(profile, NotEstimated):
        remark = "; ".join([*flags, f"no SSDE: {profile.message}"])
        return *row, size.diameter_mm, smallest, largest, None, None, None, remark
    flags += [f"{flag.code}: {flag.message}" for flag in profile.mean.flags if flag not in size.flags]
    ssde = profile.mean
    remark = "; ".join([f"by {profile.dose}", *flags])
    doses = (ssde.value, ssde.standard_uncertainty, profile.central.ssde.value)
    return *row, size.diameter_mm, smallest, largest, *doses, remark


def _spread(diameters: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Return mean, smallest and largest."""
    return (sum(diameters) / len(diameters), min(diameters), max(diameters)) if diameters else (None, None, None)


# ---- localisers ----


def _localiser_rows(found: MeasuredImages, dose: _Dose, water_mm_per_value: float | None) -> Iterator[Row]:
    """Give a row for each localiser, and one for each pair of views that no calibration measures better."""
    from doseatlas.dosimetry import NotEstimated, diameters_from_widths_mm, size_from_widths

    uncalibrated: dict[tuple[str | None, str], LocaliserLines] = {}
    for series, frame, lines in found.localisers:
        if isinstance(lines, NotEstimated):
            yield series, "localiser", 1, None, None, None, None, None, None, lines.message
            continue
        calibration = _calibration(lines, found.diameters_in(frame), water_mm_per_value)
        if isinstance(calibration, NotEstimated):
            uncalibrated.setdefault((frame, lines.view), lines)
            remark = f"{calibration.message} {_widths(lines)}"
            yield series, f"localiser, {lines.view}", 1, None, None, None, None, None, None, remark
        else:
            yield series, f"localiser, {lines.view}", 1, *_calibrated(lines, calibration, dose)
    for frame in dict.fromkeys(frame for frame, _ in uncalibrated):
        frontal, lateral = uncalibrated.get((frame, "frontal")), uncalibrated.get((frame, "lateral"))
        if frontal is not None and lateral is not None:
            diameters = diameters_from_widths_mm(frontal, lateral)
            outcome = _ssde_of_size(size_from_widths(diameters), dose)
            yield "", "outline in two localisers", 2, *_spread(diameters.tolist()), *outcome


def _calibration(
    lines: LocaliserLines, known: Sequence[tuple[float, float]], water_mm_per_value: float | None
) -> LocaliserCalibration | NotEstimated:
    import numpy as np

    from doseatlas.dosimetry import LocaliserCalibration, calibrate_on_images

    if water_mm_per_value is not None:
        return LocaliserCalibration(water_mm_per_value, 0.0, "a phantom, as given")
    z_mm, diameters = np.array(known, np.float64).reshape(-1, 2).T
    return calibrate_on_images(lines, z_mm, diameters)


def _calibrated(lines: LocaliserLines, calibration: LocaliserCalibration, dose: _Dose) -> Row:
    import numpy as np

    from doseatlas.dosimetry import calibrated_diameters_mm, size_from_lines

    diameters = calibrated_diameters_mm(lines, calibration)
    whole = diameters[np.isfinite(diameters)].tolist()
    *doses, remark = _ssde_of_size(size_from_lines(diameters, calibration), dose)
    by = f"calibrated by {calibration.source}: {calibration.water_mm_per_value:.3g} mm of water for one value"
    return *_spread(whole), *doses, f"{by}; {remark}" if remark else by


def _ssde_of_size(size: PatientSize | None, dose: _Dose) -> tuple[float | None, float | None, None, str | None]:
    """Return SSDE, its uncertainty, none at the middle of the scan, which a localiser does not tell, and remarks."""
    from doseatlas.dosimetry import NotEstimated, ssde

    remarks = [f"{flag.code}: {flag.message}" for flag in size.flags] if size else []
    found = ssde(dose.ctdi_vol_mgy, dose.phantom_cm, dose.region, size)
    if isinstance(found, NotEstimated):
        return None, None, None, "; ".join([*remarks, found.message])
    return found.value, found.standard_uncertainty, None, "; ".join(remarks) or None


def _widths(lines: LocaliserLines) -> str:
    import numpy as np

    seen = lines.widths_mm[np.isfinite(lines.widths_mm)]
    if not seen.size:
        return "No line shows the whole body."
    return f"The body is {seen.min():.0f} to {seen.max():.0f} mm wide in it, {seen.mean():.0f} mm in the mean."
