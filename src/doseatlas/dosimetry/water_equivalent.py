"""How wide is the cylinder of water that attenuates like this axial CT image? D_w of AAPM Report 220.

Every pixel of the patient counts with its attenuation relative to water, HU/1000 + 1, lungs and bowel gas too; table,
clothes and air don't:

    A_w = sum (HU/1000 + 1) * pixel area,    D_w = 2 sqrt(A_w / pi)

The patient is what exceeds -500 HU (half way between air and water, so that a blurred edge stays where it is), less
parts that are thin or flat (table, rails, tubes, blankets), less a table the patient lies on, plus the air enclosed.
Where the field of view cuts the body off, the missing part is taken from an ellipse through the rest of the contour,
and flagged; where that is no ellipse, the diameter is flagged as too small.
"""

from __future__ import annotations

from math import isfinite, pi, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from doseatlas.dosimetry.body_kernel import (
    column_extent,
    components,
    cut_below,
    fill,
    paint,
    parts,
    runs_above,
    totals,
)
from doseatlas.dosimetry.estimate import NotEstimated
from doseatlas.dosimetry.table_line import table_cut
from doseatlas.dosimetry.truncation import missing_pixels
from doseatlas.dosimetry.uncertainty import of_product
from doseatlas.model import Note
from doseatlas.reference import coefficients

if TYPE_CHECKING:
    import numpy.typing as npt

    Pixels = npt.NDArray[Any]

QUANTITY = "water_equivalent_diameter_mm"
_BODY_HU, _PADDING_HU, _METAL_HU = -500.0, -1100.0, 2500.0
_THIN_MM, _FLAT_MM, _FLAT_RATIO = 8.0, 80.0, 4.0
_SMALLEST_PART_MM2 = 200.0
_GAP_MM = 2.5
_SIDES, _SPACINGS_MM = (32, 4096), (0.05, 10.0)
_CUT_NOTICED, _CUT_HOPELESS = 0.01, 0.4  # share of the contour
_METAL_NOTICED = 0.002  # share of the water-equivalent area


class BodySection(NamedTuple):
    """What one image says of the patient: diameters (mm), what was done to find them, and flags."""

    water_equivalent_diameter_mm: float
    effective_diameter_mm: float
    relative_standard_uncertainty: float
    table_removed: bool
    truncated_share: float
    flags: tuple[Note, ...]


def body_section(
    pixels: Pixels,
    *,
    pixel_spacing_mm: tuple[float, float] | None,
    rescale_slope: float | None,
    rescale_intercept: float | None,
) -> BodySection | NotEstimated:
    """Return the water-equivalent diameter of one axial image.

    Args:
        pixels: stored values, rows by columns.
        pixel_spacing_mm: distance of rows and of columns (Pixel Spacing, 0028,0030).
        rescale_slope: HU per stored value (0028,1053).
        rescale_intercept: HU of a stored 0 (0028,1052).

    """
    if refusal := _unusable(pixels, pixel_spacing_mm, rescale_slope, rescale_intercept):
        return refusal
    assert pixel_spacing_mm is not None
    assert rescale_slope is not None
    assert rescale_intercept is not None
    pixel_mm = sqrt(pixel_spacing_mm[0] * pixel_spacing_mm[1])

    def stored(hu: float) -> float:
        return (hu - rescale_intercept) / rescale_slope

    image = _native(pixels)
    found = _segment(image, stored(_BODY_HU), pixel_mm)
    if found is None:
        return _refused("no-body", "No part of the image is large and dense enough to be a patient.")
    body, in_one_part, table_removed = found
    circle = _circle_radius(image)
    counts = totals(image, body, stored(_BODY_HU), stored(_PADDING_HU), stored(_METAL_HU), circle)
    inside, counted, total, metals, metal_total, contour, cut = counts
    if not isfinite(total):
        return _refused("not-physical", "The image holds values that are not numbers.")
    share = cut / contour
    if share > _CUT_HOPELESS:
        message = (
            f"{100 * share:.0f} % of the contour lies on the edge of the image: no outline, or no Hounsfield units."
        )
        return _refused("truncated", message)
    water = rescale_slope * total / 1000 + (rescale_intercept / 1000 + 1) * counted
    metal_share = (rescale_slope * metal_total / 1000 + (rescale_intercept / 1000 + 1) * metals) / water
    flags, relative = _metal_flag(metal_share)
    missing, added_flags, missing_relative = _completed(
        body if in_one_part else None, image, stored(_PADDING_HU), circle, share, water
    )
    water += missing
    return BodySection(
        water_equivalent_diameter_mm=2 * pixel_mm * sqrt(water / pi),
        effective_diameter_mm=2 * pixel_mm * sqrt((inside + missing) / pi),
        relative_standard_uncertainty=of_product(
            coefficients.component_uncertainties()["diameter-from-axial-images"].relative, relative, missing_relative
        ),
        table_removed=table_removed,
        truncated_share=share,
        flags=flags + added_flags,
    )


def _refused(code: str, message: str) -> NotEstimated:
    return NotEstimated(quantity=QUANTITY, code=code, message=message)


def _unusable(
    pixels: Pixels, spacing: tuple[float, float] | None, slope: float | None, intercept: float | None
) -> NotEstimated | None:
    if pixels.ndim != 2 or not all(_SIDES[0] <= side <= _SIDES[1] for side in pixels.shape):
        shape = " x ".join(map(str, pixels.shape))
        return _refused(
            "image-shape", f"An image of {shape} is no axial image; expected {_SIDES[0]} to {_SIDES[1]} a side."
        )
    if pixels.dtype.kind not in "iuf":
        return _refused("image-shape", f"Pixels of type {pixels.dtype} are no Hounsfield units.")
    if slope is None or intercept is None:
        message = "Rescale slope or intercept is not stated, so the pixels are no Hounsfield units."
        return _refused("rescale-not-stated", message)
    if not (isfinite(slope) and isfinite(intercept) and 0 < slope < 1000 and abs(intercept) < 1e5):
        return _refused(
            "not-physical", f"A rescale slope of {slope:g} and intercept of {intercept:g} give no Hounsfield units."
        )
    if spacing is None:
        return _refused("spacing-not-stated", "The pixel spacing is not stated, so the image has no size.")
    if not all(isfinite(one) and _SPACINGS_MM[0] <= one <= _SPACINGS_MM[1] for one in spacing):
        return _refused("not-physical", f"A pixel spacing of {spacing[0]:g} by {spacing[1]:g} mm is not possible.")
    if abs(spacing[0] / spacing[1] - 1) > 0.01:
        return _refused(
            "spacing-not-square", f"Pixels of {spacing[0]:g} by {spacing[1]:g} mm: resample them to squares."
        )
    return None


def _native(pixels: Pixels) -> Pixels:
    """Return the pixels as one of the types that the kernel is compiled for, in C order."""
    import numpy as np

    kind = "float64" if pixels.dtype.kind == "f" else "int16" if pixels.dtype == np.int16 else "int32"
    if kind == "int32" and pixels.dtype.itemsize == 8:
        kind = "float64"
    return np.ascontiguousarray(pixels, dtype=kind)


def _segment(image: Pixels, threshold: float, pixel_mm: float) -> tuple[Pixels, bool, bool] | None:
    """Return the image of the patient with enclosed air, whether in one part, and whether a table was cut off."""
    import numpy as np

    start, stop, first = runs_above(image, threshold)
    if not start.size:
        return None
    root = components(start, stop, first, 1)
    found = parts(start, stop, first, root, _SMALLEST_PART_MM2 / pixel_mm**2, image.shape[1])
    found = found[np.minimum(found[:, 2], found[:, 3]) * pixel_mm >= _THIN_MM]
    found = found[np.argsort(-found[:, 1])]
    flat = (found[:, 2] * pixel_mm < _FLAT_MM) & (found[:, 4] > _FLAT_RATIO * found[:, 2])
    # The patient is the largest part that is not flat, or off which a table can be cut: a small child on a table is
    # flat as a whole. What is flat and lower than the patient is table, and so is what hangs below it; raised arms
    # joined by an artefact are flat, but higher.
    for main in (*range(len(found)), None):
        alone = main is None
        if alone and not len(found):
            return None
        chosen = 0 if main is None else main
        lower = found[:, 5] > found[chosen, 5]
        below = lower & (found[:, 5] >= found[flat & lower, 5].min(initial=np.inf))
        below[chosen] = False
        keep = np.zeros(start.size, np.bool_)
        keep[found[~below, 0].astype(np.intp)] = True
        body = paint(image.shape, start, stop, first, root, keep)
        fill(body)
        top, bottom, lowest_top = column_extent(body, max(2, round(_GAP_MM / pixel_mm)))
        cut = table_cut(top, bottom, lowest_top, pixel_mm)
        if cut.size:
            cut_below(body, cut)
        if cut.size or alone or not flat[chosen]:
            return body, np.count_nonzero(keep) == 1, bool(cut.size)
    return None


def _circle_radius(image: Pixels) -> float:
    """Return the radius of the round field of view, a pixel inside its edge; 0 where the whole square is reconstructed.

    The corners outside a round field hold one constant value; noise would make them differ.
    """
    rows, columns = image.shape
    side = max(4, rows // 32)
    corners = (image[:side, :side], image[:side, -side:], image[-side:, :side], image[-side:, -side:])
    value = image[0, 0]
    is_round = rows == columns and all((corner == value).all() for corner in corners)
    return rows / 2 - 2.0 if is_round else 0.0


def _metal_flag(share: float) -> tuple[tuple[Note, ...], float]:
    if share < _METAL_NOTICED:
        return (), 0.0
    message = (
        f"Metal makes {100 * share:.1f} % of the water-equivalent area; its HU are clipped and its streaks are counted."
    )
    return (Note(code="metal", message=message),), share / 2


def _completed(
    body: Pixels | None, image: Pixels, padding: float, circle: float, share: float, water: float
) -> tuple[float, tuple[Note, ...], float]:
    """Return the pixels of water that the field of view cut off, flags, and their share of uncertainty."""
    if share < _CUT_NOTICED:
        return 0.0, (), 0.0
    # Several parts (raised arms beside a head) are no ellipse.
    missing = None if body is None else missing_pixels(body, image, padding, circle + 2 if circle else None)
    if missing is None:
        message = f"The field of view cuts {100 * share:.0f} % of the contour; the diameter is too small."
        return 0.0, (Note(code="truncated", message=message),), share
    message = (
        f"The field of view cuts {100 * share:.0f} % of the contour; an ellipse through the rest adds "
        f"{100 * missing / water:.1f} % of the area, taken as water."
    )
    relative = missing / (water + missing) / 4  # half of what was added may be wrong; the diameter goes with its root
    return missing, (Note(code="truncation-corrected", message=message),), relative
