"""How wide is the patient by the localiser radiograph? Water-equivalent diameter of each line (AAPM Report 220).

A localiser's pixel value grows with the attenuation along its ray. One factor, in mm of water per pixel value, turns
it into thickness; summed across the patient this is the water-equivalent area, of which the diameter follows. Makers
publish no factor: it comes from a phantom, or from axial images of the same patient.

Without it a localiser shows how wide the body is. Two views at right angles give the effective diameter of AAPM Report
204, sqrt(AP LAT), flagged; one view gives a width and no diameter.
"""

from __future__ import annotations

from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from doseatlas.dosimetry.estimate import DosimetryError, NotEstimated
from doseatlas.dosimetry.patient_size import PatientSize
from doseatlas.dosimetry.uncertainty import from_limits, of_product
from doseatlas.model import Note
from doseatlas.reference import coefficients

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_EDGE_SHARE = 0.02  # columns at each side that see air
_CUT_SHARE = 0.05  # of the largest value of a line
_FEWEST_LINES = 5
_ALONG = 0.95  # cosine from which a direction counts as that of an axis
_EDGE_LEVEL = 0.2  # of a line's largest value: above a table, and well above noise
_BODY_LEVEL = 0.1  # of the image's largest value: a line below it shows no body

Vector = tuple[float, float, float]
View = Literal["frontal", "lateral"]


class LocaliserCalibration(NamedTuple):
    """Thickness of water (mm) per pixel value, with its relative standard uncertainty and where it comes from."""

    water_mm_per_value: float
    relative_standard_uncertainty: float
    source: str


class LocaliserLines(NamedTuple):
    """What a localiser shows along the table: sums above air and widths (mm) of each line, NaN where cut off or empty.

    A ``frontal`` view shows the width from side to side, a ``lateral`` one that from front to back.
    """

    view: View
    z_mm: Floats
    sums: Floats
    widths_mm: Floats


def localiser_lines(
    pixels: npt.NDArray[Any],
    *,
    pixel_spacing_mm: tuple[float, float] | None,
    position_mm: Vector | None,
    row_direction: Vector | None,
    column_direction: Vector | None,
) -> LocaliserLines | NotEstimated:
    """Return the lines of a localiser, whichever way it lies in its image.

    Args:
        pixels: values that grow with attenuation, rows by columns.
        pixel_spacing_mm: distance of rows and of columns, at the isocentre (Pixel Spacing, 0028,0030).
        position_mm: place of the first pixel in the patient's axes (0020,0032).
        row_direction: direction in which columns are counted (0020,0037, first half).
        column_direction: direction in which rows are counted (second half).

    """
    if pixel_spacing_mm is None:
        return _refused("spacing-not-stated", "The localiser states no pixel spacing.")
    if position_mm is None or row_direction is None or column_direction is None:
        return _refused("localiser-not-placed", "The localiser does not state where and how it lies in the patient.")
    line_mm, pixel_mm = pixel_spacing_mm
    along = column_direction
    if abs(row_direction[2]) > abs(column_direction[2]):
        pixels, along, (pixel_mm, line_mm) = pixels.T, row_direction, pixel_spacing_mm
    view = view_of(row_direction, column_direction)
    if view is None:
        return _refused("localiser-not-placed", "The localiser is neither a frontal nor a lateral view.")
    import numpy as np

    try:
        sums = line_sums(pixels, pixel_mm=pixel_mm)
    except DosimetryError as error:
        return _refused("image-shape", str(error))
    z_mm = np.asarray(position_mm[2] + along[2] * line_mm * np.arange(pixels.shape[0]), np.float64)
    return LocaliserLines(view, z_mm, sums, line_widths_mm(pixels, pixel_mm=pixel_mm))


def view_of(row_direction: Vector | None, column_direction: Vector | None) -> View | None:
    """Return which view a localiser is by the directions of its image; ``None`` where it lies obliquely or in none."""
    if row_direction is None or column_direction is None:
        return None
    along, across = column_direction, row_direction
    if abs(row_direction[2]) > abs(column_direction[2]):
        along, across = across, along
    if abs(along[2]) < _ALONG:
        return None
    return "frontal" if abs(across[0]) > _ALONG else "lateral" if abs(across[1]) > _ALONG else None


def _refused(code: str, message: str) -> NotEstimated:
    return NotEstimated(quantity="water_equivalent_diameter_mm", code=code, message=message)


def line_diameters_mm(
    pixels: npt.NDArray[Any], *, pixel_mm: float, calibration: LocaliserCalibration, magnification: float = 1.0
) -> Floats:
    """Return the water-equivalent diameter (mm) of each line, NaN where the patient is cut off at a side.

    Args:
        pixels: values that grow with attenuation, one line for each table position.
        pixel_mm: distance of pixels across the table, at the isocentre.
        calibration: from :func:`calibrate` or from a phantom.
        magnification: width in the image over width at the isocentre, :func:`magnification_off_centre`.

    """
    return _diameters(line_sums(pixels, pixel_mm=pixel_mm) * calibration.water_mm_per_value / magnification)


def calibrated_diameters_mm(lines: LocaliserLines, calibration: LocaliserCalibration) -> Floats:
    """Return the water-equivalent diameter of each line by its calibration; NaN where cut off, or where no body is."""
    import numpy as np

    diameters = _diameters(lines.sums * calibration.water_mm_per_value)
    return np.where(np.isfinite(lines.widths_mm), diameters, np.nan)


def _diameters(area: Floats) -> Floats:
    import numpy as np

    return np.asarray(2 * np.sqrt(np.maximum(area, 0.0) / np.pi) + 0 * area)


def line_sums(pixels: npt.NDArray[Any], *, pixel_mm: float) -> Floats:
    """Return the sum of each line above air, times the pixel width; NaN where the patient reaches the side.

    Raises:
        DosimetryError: the image is no localiser, or its pixel width is impossible.

    """
    import numpy as np

    if pixels.ndim != 2 or min(pixels.shape) < _FEWEST_LINES or pixels.dtype.kind not in "iuf":
        raise DosimetryError(f"An image of {' x '.join(map(str, pixels.shape))} is no localiser radiograph.")
    if not (isfinite(pixel_mm) and 0.05 <= pixel_mm <= 10):
        raise DosimetryError(f"A localiser's pixel width of {pixel_mm:g} mm is not possible.")
    above, cut = _above_air(pixels)
    sums = np.asarray(above.sum(axis=1) * pixel_mm)
    sums[cut] = np.nan
    return sums


def line_widths_mm(pixels: npt.NDArray[Any], *, pixel_mm: float) -> Floats:
    """Return the width of the body in each line; NaN where it reaches the side, or where there is none.

    It is taken where the attenuation reaches a fifth of the line's largest, which leaves out a table, and widened to
    the width of the ellipse that has that chord.
    """
    import numpy as np

    above, cut = _above_air(pixels)
    top = above.max(axis=1)
    level = _EDGE_LEVEL * top[:, None]
    body = above >= level
    columns = np.arange(above.shape[1])
    first, last = body.argmax(axis=1), columns[-1] - body[:, ::-1].argmax(axis=1)
    lines = np.arange(above.shape[0])
    edges = []
    for place, step in ((first, -1), (last, 1)):
        outside = np.clip(place + step, 0, columns[-1])
        inner, outer = above[lines, place], above[lines, outside]
        rise = np.where(inner > outer, inner - outer, 1.0)
        edges.append(place + step * np.where(inner > outer, (inner - level[:, 0]) / rise, 0.0))
    widths = np.asarray((edges[1] - edges[0]) * pixel_mm / sqrt(1 - _EDGE_LEVEL**2))
    widths[cut | (top < _BODY_LEVEL * top.max()) | (top <= 0)] = np.nan
    return widths


def _above_air(pixels: npt.NDArray[Any]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the values above the air at the sides, and the lines in which the patient reaches a side."""
    import numpy as np

    values = pixels.astype(np.float64)
    edge = max(1, round(_EDGE_SHARE * values.shape[1]))
    left, right = values[:, :edge].mean(axis=1), values[:, -edge:].mean(axis=1)
    air = np.minimum(left, right)
    above = values - air[:, None]
    return above, np.maximum(left, right) - air > _CUT_SHARE * above.max(axis=1)


def magnification_off_centre(source_to_isocentre_mm: float, below_isocentre_mm: float) -> float:
    """Return by how much a patient whose middle lies away from the isocentre looks too wide with the tube above.

    Raises:
        DosimetryError: the patient would lie behind the tube.

    """
    distance = source_to_isocentre_mm + below_isocentre_mm
    if not (isfinite(distance) and source_to_isocentre_mm > 0 and distance > 0.3 * source_to_isocentre_mm):
        raise DosimetryError(
            f"{below_isocentre_mm:g} mm below an isocentre {source_to_isocentre_mm:g} mm from the tube cannot be."
        )
    return source_to_isocentre_mm / distance


def calibrate(sums: Floats, diameters_mm: Floats, source: str) -> LocaliserCalibration:
    """Return the factor from lines whose water-equivalent diameter is known from axial images or a phantom.

    The factor is the ratio of the total areas; its uncertainty holds the spread of the single ratios, since one
    factor for all thicknesses neglects beam hardening and scatter.

    Raises:
        DosimetryError: too few lines, or lines that cannot be a patient.

    """
    import numpy as np

    known = np.isfinite(sums) & np.isfinite(diameters_mm) & (sums > 0) & (diameters_mm > 0)
    if np.count_nonzero(known) < _FEWEST_LINES:
        raise DosimetryError(
            f"{np.count_nonzero(known)} lines with a known diameter; a calibration needs {_FEWEST_LINES}."
        )
    areas = np.pi * diameters_mm[known] ** 2 / 4
    ratios = areas / sums[known]
    factor = float(areas.sum() / sums[known].sum())
    return LocaliserCalibration(factor, float(ratios.std(ddof=1)) / factor, source)


def calibrate_on_images(
    lines: LocaliserLines, z_mm: Floats, diameters_mm: Floats
) -> LocaliserCalibration | NotEstimated:
    """Return the factor from axial images of the same patient on the same table, at the places where both exist.

    The factor then holds the magnification of this patient, and the mean of the table too.
    """
    import numpy as np

    if not z_mm.size:
        return _refused(
            "localiser-not-calibrated", "No axial image in the localiser's frame of reference calibrates it."
        )
    order = np.argsort(z_mm)
    known = np.interp(lines.z_mm, z_mm[order], diameters_mm[order], left=np.nan, right=np.nan)
    try:
        return calibrate(lines.sums, known, "axial images of the patient")
    except DosimetryError as error:
        return _refused("localiser-not-calibrated", f"The axial images do not calibrate the localiser: {error}")


def diameters_from_widths_mm(frontal: LocaliserLines, lateral: LocaliserLines) -> Floats:
    """Return the effective diameter at the places where both views show the whole body, sqrt(AP LAT)."""
    import numpy as np

    seen = np.isfinite(lateral.widths_mm)
    if not seen.any():
        return np.empty(0)
    order = np.argsort(lateral.z_mm[seen])
    depth = np.interp(
        frontal.z_mm, lateral.z_mm[seen][order], lateral.widths_mm[seen][order], left=np.nan, right=np.nan
    )
    found = np.sqrt(frontal.widths_mm * depth)
    return np.asarray(found[np.isfinite(found)])


def size_from_widths(diameters_mm: Floats) -> PatientSize | None:
    """Return the mean effective diameter of :func:`diameters_from_widths_mm`, flagged, ``None`` where there is none.

    Which part of a localiser was scanned is not known: half the range of its diameters counts as limits.
    """
    if not diameters_mm.size:
        return None
    mean = float(diameters_mm.mean())
    own = coefficients.component_uncertainties()["diameter-from-widths"].relative
    message = (
        "The localisers are not calibrated: the diameter is that of the outline in two views, which neither sees lungs "
        "nor how far the patient lies from the isocentre."
    )
    return PatientSize(
        diameter_mm=mean,
        relative_standard_uncertainty=of_product(
            own, from_limits(float(diameters_mm.max() - diameters_mm.min()) / 2) / mean
        ),
        method="effective diameter from two localisers",
        source="AAPM Report 204 (2011), sqrt(AP LAT)",
        flags=(Note(code="localiser-not-calibrated", message=message),),
    )


def size_from_lines(diameters_mm: Floats, calibration: LocaliserCalibration) -> PatientSize | None:
    """Return the mean diameter of the lines of a scan range, ``None`` where no line shows the whole patient."""
    import numpy as np

    whole = diameters_mm[np.isfinite(diameters_mm)]
    if not whole.size:
        return None
    flags: tuple[Note, ...] = ()
    if whole.size < diameters_mm.size:
        cut = diameters_mm.size - whole.size
        message = f"The patient reaches the side of the localiser in {cut} of {diameters_mm.size} lines."
        flags = (Note(code="truncated", message=message),)
    own = coefficients.component_uncertainties()["diameter-from-localiser"].relative
    return PatientSize(
        diameter_mm=float(whole.mean()),
        relative_standard_uncertainty=of_product(own, calibration.relative_standard_uncertainty / 2),
        method="water-equivalent diameter from the localiser",
        source=f"AAPM Report 220 (2014); calibrated by {calibration.source}",
        flags=flags,
    )
