"""``doseatlas dose split``: which effective dose does a scan over several regions give, split where a border lies?"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Annotated

import typer

from doseatlas.cli import EXIT_REFUSED
from doseatlas.cli.ct_image_files import MeasuredImages, read_images
from doseatlas.cli.output import Format, FormatOption, PathsArgument, print_rows
from doseatlas.model import StoreError
from doseatlas.settings import load_settings

if TYPE_CHECKING:
    from doseatlas.dosimetry import Estimate, NotEstimated

_COLUMNS = ("region", "dlp mGy.cm", "effective dose mSv", "uncertainty mSv", "remark")
_MOST_MGY_CM, _OLDEST_YEARS, _FARTHEST_MM = 1e6, 130.0, 10_000.0
_OUTSIDE_NOTICED = 0.01
Row = tuple[object, ...]
Range = tuple[str, float, float]


def split(
    paths: PathsArgument,
    dlp: Annotated[float, typer.Option(help="DLP of the scan in mGy.cm, as the report states it.")],
    ranges: Annotated[
        list[str],
        typer.Option(
            "--range", help="A region and its lowest and highest z in mm, as chest:-120:180. Once for each region."
        ),
    ],
    age: Annotated[float, typer.Option(help="Age of the patient in years.")],
    phantom: Annotated[int | None, typer.Option(help="CTDI phantom of the DLP, 16 or 32 cm.")] = None,
    form: FormatOption = Format.table,
) -> None:
    """Split the DLP of a scan over several regions by z, and give the effective dose of each and of all.

    The images are those of one series; z is the third value of Image Position (Patient), and a border is what you read
    off the images. The DLP follows the CTDIvol of each image, else its tube current, else the length alone. What lies
    in no range counts with the nearest. Regions: head, neck, chest, abdomen, pelvis. Coefficients: the setting
    ct_coefficients. Needs no store; changes nothing. Exit status 1 if an image was refused.
    """
    from doseatlas.dosimetry import CorrectedValue, correct, ct_effective_dose, dlp_by_region, measured_at

    coefficient_set = load_settings().settings.ct_coefficients
    borders = [_range(text) for text in ranges]
    _check(dlp, age, phantom, borders)
    found, refused = MeasuredImages(), 0
    for error in read_images(paths, found.add):
        typer.echo(str(error), err=True)
        refused += 1
    images = [measured_at(place) for place in found.places(_one_series(found))]
    parts, outside, follows = dlp_by_region(images, dlp, phantom, borders)
    displayed = correct("dlp_mgy_cm", dlp, None)
    relative = displayed.relative_standard_uncertainty if isinstance(displayed, CorrectedValue) else 0.0
    dose_of = partial(
        ct_effective_dose,
        regions=frozenset(),
        age_years=age,
        coefficient_set=coefficient_set,
        dlp_relative_uncertainty=relative,
    )
    rows = []
    for part in parts:
        rows.append(_row(next(iter(part.regions)), part.dlp_mgy_cm, dose_of([part])))
    said = [f"split by {follows}"]
    if outside > _OUTSIDE_NOTICED:
        said.append(f"{100 * outside:.0f} % of the DLP lies in no range and counts with the nearest")
    rows.append(_row("all", dlp, dose_of(parts), *said))
    print_rows(_COLUMNS, rows, form)
    if refused:
        raise typer.Exit(EXIT_REFUSED)


def _range(text: str) -> Range:
    """Return a range as written: region, lowest and highest z."""
    region, *bounds = text.split(":")
    try:
        low, high = map(float, bounds)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no range such as chest:-120:180.") from None
    if not (isfinite(low) and isfinite(high) and -_FARTHEST_MM <= low < high <= _FARTHEST_MM):
        raise typer.BadParameter(f"{text!r}: the lowest z comes first, then the highest, in mm.")
    return region, low, high


def _check(dlp: float, age: float, phantom: int | None, ranges: list[Range]) -> None:
    """Raise for what cannot be."""
    from doseatlas.dosimetry import REGIONS

    if not 0 < dlp < _MOST_MGY_CM:
        raise typer.BadParameter(f"A DLP of {dlp:g} mGy.cm is not possible.")
    if not 0 <= age <= _OLDEST_YEARS:
        raise typer.BadParameter(f"An age of {age:g} years is not possible.")
    if phantom not in (None, 16, 32):
        raise typer.BadParameter("A CTDI phantom has 16 or 32 cm.")
    if unknown := {region for region, _, _ in ranges} - REGIONS:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: the regions are {', '.join(sorted(REGIONS))}.")
    placed = sorted(ranges, key=lambda one: one[1:])
    for (one, _, high), (other, low, _) in pairwise(placed):
        if low < high:
            raise typer.BadParameter(f"The ranges of {one} and {other} overlap.")


def _one_series(found: MeasuredImages) -> str:
    if not found.counts:
        raise StoreError("There is no axial CT image with a position among these.")
    if len(found.counts) > 1:
        raise StoreError(
            f"These are images of {len(found.counts)} series; a DLP is that of one scan. Name the files of one series: "
            f"{', '.join(sorted(found.counts))}."
        )
    return next(iter(found.counts))


def _row(region: str, dlp: float, dose: Estimate | NotEstimated, *said: str) -> Row:
    from doseatlas.dosimetry import NotEstimated

    if isinstance(dose, NotEstimated):
        return region, dlp, None, None, "; ".join([*said, dose.message])
    flags = [f"{flag.code}: {flag.message}" for flag in dose.flags]
    return region, dlp, dose.value, dose.standard_uncertainty, "; ".join([*said, *flags]) or None
