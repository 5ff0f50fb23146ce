"""``doseatlas dose size``: how large is the patient in CT images and localisers, and which SSDE does that mean?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from doseatlas.cli import EXIT_REFUSED
from doseatlas.cli.output import Format, FormatOption, PathsArgument, print_rows
from doseatlas.model import StoreError, UnreadableObject

if TYPE_CHECKING:
    from doseatlas.dicom import CtImage
    from doseatlas.dosimetry import (
        LocaliserCalibration,
        LocaliserLines,
        MeasuredImage,
        NotEstimated,
        PatientSize,
    )

_COLUMNS = (
    "series",
    "what",
    "images",
    "diameter mm",
    "smallest mm",
    "largest mm",
    "ssde mGy",
    "uncertainty mGy",
    "remark",
)
_MOST_MGY, _MOST_WATER_MM = 10_000.0, 1000.0
Row = tuple[object, ...]


class _Dose(NamedTuple):
    """What the user says of the scan; ``None``: as the images state."""

    ctdi_vol_mgy: float | None
    phantom_cm: int | None
    region: Literal["head", "body"]


class _Measured:
    """What was measured of the images, by series, and by the frame of reference in which they lie."""

    def __init__(self) -> None:
        self.axial: dict[str, list[MeasuredImage]] = {}
        self.phantoms: dict[str, set[int | None]] = {}
        self.frames: dict[str, str | None] = {}
        self.localisers: list[tuple[str, str | None, LocaliserLines | NotEstimated]] = []
        self.others = 0

    def add(self, image: CtImage) -> None:
        """Measure one image; its pixels may be forgotten then."""
        from doseatlas.dosimetry import AxialImage, localiser_lines, measured

        series, frame = image.series_instance_uid, image.frame_of_reference_uid
        if image.localiser:
            lines = localiser_lines(
                image.pixels,
                pixel_spacing_mm=image.pixel_spacing_mm,
                position_mm=image.position_mm,
                row_direction=image.row_direction,
                column_direction=image.column_direction,
            )
            self.localisers.append((series, frame, lines))
        elif image.z_mm is None or not image.axial or not image.original:
            self.others += 1
        else:
            axial = AxialImage(
                image.z_mm,
                image.pixels,
                image.pixel_spacing_mm,
                image.rescale_slope,
                image.rescale_intercept,
                image.ctdi_vol_mgy,
                image.tube_current_ma,
            )
            self.axial.setdefault(series, []).append(measured(axial))
            self.phantoms.setdefault(series, set()).add(image.phantom_cm)
            self.frames[series] = frame

    def diameters_in(self, frame: str | None) -> list[tuple[float, float]]:
        """Return place and diameter of the axial images in a frame of reference."""
        from doseatlas.dosimetry import BodySection

        return [
            (one.z_mm, one.section.water_equivalent_diameter_mm)
            for series, images in self.axial.items()
            for one in images
            if self.frames[series] == frame and isinstance(one.section, BodySection)
        ]


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

    One row a series of axial images, and one a localiser. Axial images of the same patient in the same frame of
    reference calibrate a localiser, or a phantom does; else two views give the effective diameter of the outline,
    flagged. Needs no store; changes nothing. Exit status 1 if an image was refused.
    """
    dose = _stated(ctdi_vol, phantom, region)
    if water_mm_per_value is not None and not 0 < water_mm_per_value < _MOST_WATER_MM:
        raise typer.BadParameter(f"A grey value stands for more than 0 and less than {_MOST_WATER_MM:g} mm of water.")
    if absent := [str(path) for path in paths if not path.exists()]:
        raise StoreError(f"There is no {', '.join(absent)}.")
    found, refused = _Measured(), 0
    for image in _images(paths):
        if isinstance(image, UnreadableObject):
            typer.echo(str(image), err=True)
            refused += 1
        else:
            found.add(image)
    rows = [_axial_row(series, found, dose) for series in found.axial]
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


# ---- axial images ----


def _axial_row(series: str, found: _Measured, dose: _Dose) -> Row:
    from doseatlas.dosimetry import BodySection, NotEstimated, profile_of_measured, size_of_measured

    images, phantoms = found.axial[series], found.phantoms[series]
    on = dose.phantom_cm or (next(iter(phantoms)) if len(phantoms) == 1 else None)
    size = size_of_measured(images)
    profile = profile_of_measured(images, ctdi_vol_mgy=dose.ctdi_vol_mgy, phantom_cm=on, region=dose.region)
    diameters = [one.section.water_equivalent_diameter_mm for one in images if isinstance(one.section, BodySection)]
    _, smallest, largest = _spread(diameters)
    row = (series, "axial images", len(images))
    if isinstance(size, NotEstimated):
        return *row, None, None, None, None, None, size.message
    flags = [f"{flag.code}: {flag.message}" for flag in size.flags]
    if isinstance(profile, NotEstimated):
        remark = "; ".join([*flags, f"no SSDE: {profile.message}"])
        return *row, size.diameter_mm, smallest, largest, None, None, remark
    flags += [f"{flag.code}: {flag.message}" for flag in profile.mean.flags if flag not in size.flags]
    ssde = profile.mean
    return *row, size.diameter_mm, smallest, largest, ssde.value, ssde.standard_uncertainty, "; ".join(flags) or None


def _spread(diameters: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Return mean, smallest and largest."""
    return (sum(diameters) / len(diameters), min(diameters), max(diameters)) if diameters else (None, None, None)


# ---- localisers ----


def _localiser_rows(found: _Measured, dose: _Dose, water_mm_per_value: float | None) -> Iterator[Row]:
    """Give a row for each localiser, and one for each pair of views that no calibration measures better."""
    from doseatlas.dosimetry import NotEstimated, diameters_from_widths_mm, size_from_widths

    uncalibrated: dict[tuple[str | None, str], LocaliserLines] = {}
    for series, frame, lines in found.localisers:
        if isinstance(lines, NotEstimated):
            yield series, "localiser", 1, None, None, None, None, None, lines.message
            continue
        calibration = _calibration(lines, found.diameters_in(frame), water_mm_per_value)
        if isinstance(calibration, NotEstimated):
            uncalibrated.setdefault((frame, lines.view), lines)
            remark = f"{calibration.message} {_widths(lines)}"
            yield series, f"localiser, {lines.view}", 1, None, None, None, None, None, remark
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
    value, uncertainty, remark = _ssde_of_size(size_from_lines(diameters, calibration), dose)
    by = f"calibrated by {calibration.source}: {calibration.water_mm_per_value:.3g} mm of water for one value"
    return *_spread(whole), value, uncertainty, f"{by}; {remark}" if remark else by


def _ssde_of_size(size: PatientSize | None, dose: _Dose) -> tuple[float | None, float | None, str | None]:
    from doseatlas.dosimetry import NotEstimated, ssde

    remarks = [f"{flag.code}: {flag.message}" for flag in size.flags] if size else []
    found = ssde(dose.ctdi_vol_mgy, dose.phantom_cm, dose.region, size)
    if isinstance(found, NotEstimated):
        return None, None, "; ".join([*remarks, found.message])
    return found.value, found.standard_uncertainty, "; ".join(remarks) or None


def _widths(lines: LocaliserLines) -> str:
    import numpy as np

    seen = lines.widths_mm[np.isfinite(lines.widths_mm)]
    if not seen.size:
        return "No line shows the whole body."
    return f"The body is {seen.min():.0f} to {seen.max():.0f} mm wide in it, {seen.mean():.0f} mm in the mean."
