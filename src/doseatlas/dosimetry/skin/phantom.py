"""On which surface is the dose summed? Cells of a body of the patient's height and weight, from parametric sections.

The body lies supine: x to its left, y to its back, z to its head; the table's top, or the pad on it, is the plane y = 0
and the crown of the head is at z = 0. Any other mesh can be used too: :func:`mesh_of_cells`, :func:`mesh_of_triangles`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import cache
from math import sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from doseatlas.dosimetry.skin.coordinates import TABLES
from doseatlas.model import DoseAtlasError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

HEIGHT_CM, WEIGHT_KG = 176.0, 73.0
"""Of the reference adult to whom the sections belong (ICRP Publication 89: 176 cm, 73 kg)."""
DENSITY_KG_PER_L = 1.0
HEIGHTS_CM, WEIGHTS_KG = (40.0, 230.0), (2.0, 350.0)
TILE = 16
"""Cells that are near each other in a mesh's order; the kernel takes as many at once."""
PARTS = ("body", "left arm", "right arm", "left leg", "right leg")


class PhantomError(DoseAtlasError):
    """A phantom cannot be made: its height or weight cannot be a person's, or the mesh is not one."""

    code = "phantom"


class Grid(NamedTuple):
    """A part of a surface as rows (towards the feet) of vertices (rows + 1, columns + 1, 3) in cm.

    On a ``closed`` part the last column of vertices is the first again, and the first lies on the back's middle line.
    """

    name: str
    vertices: Floats
    closed: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        rows, columns, _ = self.vertices.shape
        return rows - 1, columns - 1


class Mesh(NamedTuple):
    """Cells of a surface: centres (cm), outward unit normals, areas (cm2) and the part each belongs to.

    A normal of 0 means that both sides count as skin. ``grids`` hold the same cells, in order, as parts with rows and
    columns where the surface has them. ``order`` sorts the cells into blocks of near neighbours.
    """

    name: str
    centres: Floats
    normals: Floats
    areas: Floats
    part: Integers
    parts: tuple[str, ...]
    grids: tuple[Grid, ...]
    order: Integers

    @property
    def cell_cm(self) -> float:
        """Side of a square of the median cell's area; 0 where the cells have no area."""
        return sqrt(float(np.median(self.areas)))


def human(height_cm: float = HEIGHT_CM, weight_kg: float = WEIGHT_KG) -> Mesh:
    """Return a human-like body: head and trunk, arms at the sides, legs; its volume is that of the weight.

    Raises:
        PhantomError: height or weight cannot be a person's.

    """
    girth = _girth(height_cm, weight_kg) * _reference_girth()
    return _human(PARTS, height_cm / HEIGHT_CM, girth, f"human-like, {height_cm:.0f} cm, {weight_kg:.0f} kg")


def human_arms_away(height_cm: float = HEIGHT_CM, weight_kg: float = WEIGHT_KG) -> Mesh:
    """Return the human-like body without its arms, for examinations with the arms out of the beam."""
    girth = _girth(height_cm, weight_kg) * _reference_girth()
    parts = tuple(part for part in PARTS if "arm" not in part)
    name = f"human-like, arms away, {height_cm:.0f} cm, {weight_kg:.0f} kg"
    return _human(parts, height_cm / HEIGHT_CM, girth, name)


def elliptic_cylinder(height_cm: float = HEIGHT_CM, weight_kg: float = WEIGHT_KG) -> Mesh:
    """Return a trunk-like elliptic cylinder, 33 cm by 23 cm for the reference adult, as long as the patient."""
    girth = _girth(height_cm, weight_kg)
    return tube(16.5 * girth, 11.5 * girth, height_cm, f"elliptic cylinder, {33 * girth:.0f} cm by {23 * girth:.0f} cm")


def cylinder(height_cm: float = HEIGHT_CM, weight_kg: float = WEIGHT_KG) -> Mesh:
    """Return a cylinder of the elliptic cylinder's cross-section, as long as the patient."""
    radius = sqrt(16.5 * 11.5) * _girth(height_cm, weight_kg)
    return tube(radius, radius, height_cm, f"cylinder, diameter {2 * radius:.0f} cm")


def plane(height_cm: float = HEIGHT_CM, weight_kg: float = WEIGHT_KG) -> Mesh:
    """Return a flat back, 40 cm wide for the reference adult, as long as the patient; both its sides count as skin."""
    width = 40 * _girth(height_cm, weight_kg)
    return flat(width, height_cm, f"plane, {width:.0f} cm wide")


SHAPES: dict[str, Callable[[float, float], Mesh]] = {
    "human": human,
    "human-arms-away": human_arms_away,
    "elliptic-cylinder": elliptic_cylinder,
    "cylinder": cylinder,
    "plane": plane,
}


def tube(
    half_width_cm: float, half_depth_cm: float, length_cm: float, name: str, rows: int = 160, columns: int = 72
) -> Mesh:
    """Return an elliptic cylinder without ends, lying on the plane y = 0."""
    angle = np.linspace(0, 2 * np.pi, columns + 1)
    ring = np.column_stack((half_width_cm * np.sin(angle), half_depth_cm * (np.cos(angle) - 1)))
    return _mesh(name, (Grid("body", _extruded(ring, length_cm, rows), True),))


def flat(width_cm: float, length_cm: float, name: str, rows: int = 200, columns: int = 56) -> Mesh:
    """Return a level rectangle in the plane y = 0; both sides count as skin."""
    line = np.column_stack((np.linspace(-width_cm / 2, width_cm / 2, columns + 1), np.zeros(columns + 1)))
    mesh = _mesh(name, (Grid("body", _extruded(line, length_cm, rows), False),))
    return mesh._replace(normals=np.zeros_like(mesh.normals))


def mesh_of_cells(name: str, centres: Floats, normals: Floats | None = None, areas: Floats | None = None) -> Mesh:
    """Return a mesh of points (n, 3) in cm, with outward normals of any length; without, both sides count as skin.

    Raises:
        PhantomError: there are no cells, or a number is not finite.

    """
    centres = np.ascontiguousarray(centres, np.float64)
    normals = np.zeros_like(centres) if normals is None else np.ascontiguousarray(normals, np.float64)
    areas = np.zeros(len(centres)) if areas is None else np.ascontiguousarray(areas, np.float64)
    if centres.ndim != 2 or centres.shape[1:] != (3,) or not len(centres) or normals.shape != centres.shape:
        raise PhantomError(f"{name}: a mesh needs at least one cell, and centres and normals of three numbers each.")
    if not (np.isfinite(centres).all() and np.isfinite(normals).all() and np.isfinite(areas).all()):
        raise PhantomError(f"{name}: a centre, normal or area is not a finite number.")
    length = np.linalg.norm(normals, axis=1)
    normals = normals / np.where(length > 0, length, 1.0)[:, None]
    part = np.zeros(len(centres), np.int64)
    return Mesh(name, centres, normals, areas, part, ("body",), (), _near_neighbours(centres))


def mesh_of_triangles(name: str, corners: Floats) -> Mesh:
    """Return a mesh of triangles (n, 3, 3) in cm whose corners run counter-clockwise seen from outside."""
    corners = np.asarray(corners, np.float64)
    if corners.ndim != 3 or corners.shape[1:] != (3, 3):
        raise PhantomError(f"{name}: triangles are arrays of three corners of three numbers each.")
    twice = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return mesh_of_cells(name, corners.mean(axis=1), twice, np.linalg.norm(twice, axis=1) / 2)


def volume_cm3(mesh: Mesh) -> float:
    """Return the volume within a closed surface (divergence theorem)."""
    return float(np.sum(np.einsum("ij,ij->i", mesh.centres, mesh.normals) * mesh.areas) / 3)


def _girth(height_cm: float, weight_kg: float) -> float:
    """Return how much wider and deeper than the reference a body is: volume goes with height times girth squared."""
    if not (HEIGHTS_CM[0] <= height_cm <= HEIGHTS_CM[1] and WEIGHTS_KG[0] <= weight_kg <= WEIGHTS_KG[1]):
        raise PhantomError(
            f"No phantom of {height_cm:g} cm and {weight_kg:g} kg: heights from {HEIGHTS_CM[0]:g} to {HEIGHTS_CM[1]:g} "
            f"cm and weights from {WEIGHTS_KG[0]:g} to {WEIGHTS_KG[1]:g} kg can be made. Give --height and --weight."
        )
    return sqrt(weight_kg / WEIGHT_KG * HEIGHT_CM / height_cm)


@cache
def _reference_girth() -> float:
    """Return the factor on the tabulated sections that makes the reference body weigh what it should."""
    return sqrt(WEIGHT_KG / DENSITY_KG_PER_L / (volume_cm3(_human(PARTS, 1.0, 1.0, "reference")) / 1000))


def _human(parts: tuple[str, ...], stretch: float, girth: float, name: str) -> Mesh:
    shapes = {"body": (112, 64), "arm": (48, 24), "leg": (72, 28)}
    grids = []
    for part in parts:
        kind = part.split()[-1]
        grids.append(Grid(part, _loft(kind, *shapes[kind], -1.0 if "right" in part else 1.0, stretch, girth), True))
    return _mesh(name, tuple(grids))


def _loft(part: str, rows: int, columns: int, side: float, stretch: float, girth: float) -> Floats:
    """Return the vertices of a part: superellipses through the tabulated sections, smoothed along the body."""
    table = _sections()[part]
    below = np.linspace(table[0, 0], table[-1, 0], rows + 1)
    fine = np.linspace(table[0, 0], table[-1, 0], 8 * rows + 1)
    columns_at = [np.interp(fine, table[:, 0], table[:, index]) for index in range(1, 6)]
    width, depth, middle, back, exponent = (np.interp(below, fine, _smooth(one)) for one in columns_at)
    angle = np.linspace(0, 2 * np.pi, columns + 1)
    power = 2 / exponent[:, None]
    across = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    down = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    x = side * middle[:, None] + width[:, None] * across
    y = -(back + depth)[:, None] + depth[:, None] * down
    z = np.broadcast_to(-below[:, None], x.shape)
    return np.stack((x * girth, y * girth, z * stretch), axis=-1)


def _smooth(values: Floats, half: int = 10) -> Floats:
    padded = np.pad(values, half, mode="edge")
    smooth = np.convolve(padded, np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")
    smooth[0], smooth[-1] = values[0], values[-1]
    return smooth


@cache
def _sections() -> dict[str, Floats]:
    found: dict[str, list[list[float]]] = {}
    names = ("below_vertex_cm", "half_width_cm", "half_depth_cm", "middle_x_cm", "back_cm", "exponent")
    with (TABLES / "sections.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["part"], []).append([float(row[name]) for name in names])
    return {part: np.array(rows) for part, rows in found.items()}


def _extruded(outline: Floats, length_cm: float, rows: int) -> Floats:
    z = -np.linspace(0, length_cm, rows + 1)
    vertices = np.empty((rows + 1, len(outline), 3))
    vertices[:, :, :2] = outline
    vertices[:, :, 2] = z[:, None]
    return vertices


def _mesh(name: str, grids: tuple[Grid, ...]) -> Mesh:
    centres, normals, areas, part, key = [], [], [], [], []
    for number, grid in enumerate(grids):
        v = grid.vertices
        a, b, c, d = v[:-1, :-1], v[:-1, 1:], v[1:, 1:], v[1:, :-1]
        twice = np.cross(b - d, c - a).reshape(-1, 3)
        length = np.linalg.norm(twice, axis=1)
        centres.append(((a + b + c + d) / 4).reshape(-1, 3))
        normals.append(twice / np.where(length > 0, length, 1.0)[:, None])
        areas.append(length / 2)
        part.append(np.full(len(length), number, np.int64))
        # Rows and columns interleaved: any 16 cells in a row of this order are a tile of 4 by 4.
        key.append(_interleaved(np.indices(grid.shape).reshape(2, -1).T))
    of = np.concatenate(part)
    return Mesh(
        name=name,
        centres=np.concatenate(centres),
        normals=np.concatenate(normals),
        areas=np.concatenate(areas),
        part=of,
        parts=tuple(grid.name for grid in grids),
        grids=grids,
        order=np.lexsort((np.concatenate(key), of)),
    )


def _near_neighbours(centres: Floats) -> Integers:
    """Return an order of compact tiles: the cells are halved across their longest side until a tile is left."""
    order = np.arange(len(centres))
    runs = [(0, len(centres))]
    while runs:
        start, stop = runs.pop()
        middle = start + -(-(stop - start) // (2 * TILE)) * TILE
        if middle >= stop:
            continue
        own = centres[order[start:stop]]
        across = own[:, int(np.argmax(np.ptp(own, axis=0)))]
        order[start:stop] = order[start:stop][np.argpartition(across, middle - start)]
        runs += [(start, middle), (middle, stop)]
    return order


def _interleaved(numbers: Integers) -> Integers:
    """Return the numbers (n, k) of up to ten bits with their bits interleaved (Morton order)."""
    count = numbers.shape[1]
    key = np.zeros(len(numbers), np.int64)
    for bit in range(10):
        for axis in range(count):
            key |= ((numbers[:, axis] >> bit) & 1) << (count * bit + axis)
    return key
