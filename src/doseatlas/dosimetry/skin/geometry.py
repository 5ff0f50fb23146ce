"""Where is the source, where does the beam point, and how is the field turned, seen from the table?

Everything is rigid motion: the positioner turns the beam about the isocentre, the table carries the patient. The
patient's cells stay where they are and the beam is moved into the table's axes, so that a thousand events move no mesh.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from doseatlas.dosimetry.skin.setup import Setup

Floats = npt.NDArray[np.float64]


class Beams(NamedTuple):
    """Beams in the table's axes (cm): source, unit axes of the field (n, 3), and its edges per unit of depth (n, 2).

    ``axis`` points from the source through the isocentre to the detector; ``across`` and ``along`` are the field's own
    axes. A point at depth w along ``axis`` is in the field when its distances along the other two, divided by w, lie
    between the two edges.
    """

    source_cm: Floats
    across: Floats
    along: Floats
    axis: Floats
    edges_across: Floats
    edges_along: Floats


def beams_of(setup: Setup) -> Beams:
    """Return the beams in the axes of the table.

    At angles of 0 the source lies straight below the isocentre. The primary angle turns it to the patient's right, the
    secondary (positive in the room axes' sense, about x) to the head; DICOM PS3.3 C.8.19.6.13 fixes the order of both
    and of the table's rotations.
    """
    positioner = about_z(setup.primary_deg) @ about_x(setup.secondary_deg)
    turned = positioner @ about_y(setup.field_rotation_deg)
    to_table = np.swapaxes(table_rotation(setup.table_deg), 1, 2)
    source = positioner[:, :, 1] * setup.source_to_isocentre_cm[:, None]
    depth = setup.source_to_detector_cm[:, None]
    return Beams(
        source_cm=_apply(to_table, source - setup.table_cm),
        across=_apply(to_table, turned[:, :, 0]),
        along=_apply(to_table, turned[:, :, 2]),
        axis=_apply(to_table, -positioner[:, :, 1]),
        edges_across=setup.field_x_cm / depth,
        edges_along=setup.field_z_cm / depth,
    )


def table_rotation(table_deg: Floats) -> Floats:
    """Return the matrices (n, 3, 3) that turn the table's axes into the room's.

    Positive angles: clockwise seen from above; the head end up; the left side up (DICOM PS3.3 C.8.19.6.11).
    """
    return about_y(table_deg[:, 0]) @ about_x(table_deg[:, 1]) @ about_z(-table_deg[:, 2])


def about_x(degrees: Floats) -> Floats:
    """Return right-handed rotations about x."""
    return _rotation(degrees, 1, 2)


def about_y(degrees: Floats) -> Floats:
    """Return right-handed rotations about y."""
    return _rotation(degrees, 2, 0)


def about_z(degrees: Floats) -> Floats:
    """Return right-handed rotations about z."""
    return _rotation(degrees, 0, 1)


def solid_angle(edges_across: Floats, edges_along: Floats) -> Floats:
    """Return the solid angle (sr) of rectangular fields given by their edges per unit of depth.

    The integral of (1 + x^2 + y^2)^(-3/2) over the rectangle.
    """

    def corner(x: Floats, y: Floats) -> Floats:
        return np.arctan2(x * y, np.sqrt(1 + x * x + y * y))

    (x0, x1), (y0, y1) = edges_across.T, edges_along.T
    return corner(x1, y1) - corner(x0, y1) - corner(x1, y0) + corner(x0, y0)


def _rotation(degrees: Floats, first: int, second: int) -> Floats:
    angle = np.deg2rad(degrees)
    matrix = np.zeros((len(angle), 3, 3))
    matrix[:, [0, 1, 2], [0, 1, 2]] = 1.0
    matrix[:, first, first] = matrix[:, second, second] = np.cos(angle)
    matrix[:, second, first] = np.sin(angle)
    matrix[:, first, second] = -np.sin(angle)
    return matrix


def _apply(matrices: Floats, vectors: Floats) -> Floats:
    turned: Floats = np.einsum("nij,nj->ni", matrices, vectors)
    return turned
