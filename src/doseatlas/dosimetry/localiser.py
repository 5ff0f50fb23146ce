"""How wide is the patient by the localiser radiograph? Water-equivalent diameter of each line (AAPM Report 220).

A localiser's pixel value grows with the attenuation along its ray. One factor, in mm of water per pixel value, turns
it into thickness; summed across the patient this is the water-equivalent area, of which the diameter follows. Makers
publish no factor: it comes from a phantom, or from axial images of the same patient. Without it there is no diameter.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from doseatlas.dosimetry.estimate import DosimetryError
from doseatlas.dosimetry.patient_size import PatientSize
from doseatlas.dosimetry.uncertainty import of_product
from doseatlas.model import Note
from doseatlas.reference import coefficients

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_EDGE_SHARE = 0.02  # columns at each side that see air
_CUT_SHARE = 0.05  # of the largest value of a line
_FEWEST_LINES = 5


class LocaliserCalibration(NamedTuple):
    """Thickness of water (mm) per pixel value, with its relative standard uncertainty and where it comes from."""

    water_mm_per_value: float
    relative_standard_uncertainty: float
    source: str


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
    import numpy as np

    area = line_sums(pixels, pixel_mm=pixel_mm) * calibration.water_mm_per_value / magnification
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
    values = pixels.astype(np.float64)
    edge = max(1, round(_EDGE_SHARE * values.shape[1]))
    left, right = values[:, :edge].mean(axis=1), values[:, -edge:].mean(axis=1)
    air = np.minimum(left, right)
    above = values - air[:, None]
    cut = np.maximum(left, right) - air > _CUT_SHARE * above.max(axis=1)
    sums = np.asarray(above.sum(axis=1) * pixel_mm)
    sums[cut] = np.nan
    return sums


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
