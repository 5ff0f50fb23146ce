"""Can the beams have met the skin as placed? Not within the tube's housing, and not behind the detector.

Such a beam tells that the table's position, a distance or the patient's place is wrong. As dose grows with the inverse
square, a body placed too near the source gets a dose that looks like an answer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from doseatlas.dosimetry.skin.geometry import Beams
from doseatlas.dosimetry.skin.placement import Lying
from doseatlas.dosimetry.skin.setup import Setup

Floats = npt.NDArray[np.float64]

NEAREST_SKIN_CM = 30.0
"""From the source; equipment keeps 38 cm or, mobile, 30 cm between focus and skin (21 CFR 1020.32(g))."""
BEHIND_DETECTOR_CM = 10.0
"""Beyond the detector, from which on the whole body is taken to lie behind it."""


def impossible_beams(
    setup: Setup, beams: Beams, lying: Lying, offset_cm: tuple[float, float, float], cell_cm: float
) -> npt.NDArray[np.bool_]:
    """Return which beams, as placed, enter skin too near their source or have the whole body behind the detector."""
    centres = lying.centres + np.array(offset_cm)
    # Column by column: NumPy reduces the long axis of a narrow array slowly.
    low, high = np.array([(column.min(), column.max()) for column in centres.T]).T
    nearest = np.linalg.norm(beams.source_cm - np.clip(beams.source_cm, low, high), axis=1)
    # The least depth of the box along a beam's axis is at the corner that lies furthest against it.
    corner = np.where(beams.axis > 0, low, high)
    depth = np.einsum("ij,ij->i", corner - beams.source_cm, beams.axis)
    impossible: npt.NDArray[np.bool_] = depth > setup.source_to_detector_cm + BEHIND_DETECTOR_CM
    # The box about the body is nearer than its skin: only beams that come near to it need their cells looked at.
    for beam in np.flatnonzero(nearest < NEAREST_SKIN_CM):
        impossible[beam] = _enters_near(beams, int(beam), centres, lying.normals, cell_cm)
    return impossible


def _enters_near(beams: Beams, beam: int, centres: Floats, normals: Floats, cell_cm: float) -> bool:
    """Return whether a beam enters a cell, of which its field may be a part, that is too near its source."""
    ray = centres - beams.source_cm[beam]
    near = np.einsum("ij,ij->i", ray, ray) < NEAREST_SKIN_CM**2
    ray, normals = ray[near], normals[near]
    depth, across, along = ray @ beams.axis[beam], ray @ beams.across[beam], ray @ beams.along[beam]
    (left, right), (foot, head) = beams.edges_across[beam], beams.edges_along[beam]
    inside = (depth > 0) & (across >= left * depth - cell_cm) & (across <= right * depth + cell_cm)
    inside &= (along >= foot * depth - cell_cm) & (along <= head * depth + cell_cm)
    return bool((inside & (np.einsum("ij,ij->i", ray, normals) <= 0)).any())
