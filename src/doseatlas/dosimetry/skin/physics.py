"""From air kerma at the reference point to dose in skin: which factors, from which tables?

    D = K (d_ref / d)^2 f B(side) T

f: mass energy-absorption coefficients of water over air; B: backscatter by kV, half-value layer and side of the field
at the skin; T: transmission of table and pad on the way. Beam quality is interpolated in ``tables/beam_quality.csv``,
nothing is looked up by nearest or exact match.
"""

from __future__ import annotations

import csv
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from doseatlas.dosimetry.backscatter import SIDES_CM, backscatter, side_spline
from doseatlas.dosimetry.skin.coordinates import TABLES
from doseatlas.dosimetry.skin.field import width_of
from doseatlas.dosimetry.skin.setup import Setup, filtration
from doseatlas.model import Filter

Floats = npt.NDArray[np.float64]

LARGEST_TABLE_MM_AL = 2.0


class BeamQuality(NamedTuple):
    """Half-value layer (mm Al), water over air, and ln of the transmission of 1 and 3 mm aluminium, by beam."""

    hvl_mm_al: Floats
    water_to_air: Floats
    log_transmission_1_mm: Floats
    log_transmission_3_mm: Floats


class Physics(NamedTuple):
    """What the kernel needs to know of each beam.

    ``dose_at_1_cm_mgy``: dose without backscatter or table 1 cm from the source. The side s (cm) of the field at the
    skin is ``side_per_distance`` times the distance from the source plus ``side_per_depth`` times the depth along the
    central ray, at most ``largest_side_cm``. ``backscatter`` (n, 6) are the coefficients of 1, s, s^2, s^3, and of the
    cubes of s - 10 cm and s - 20 cm where these are positive. ln T is ``log_transmission`` (n, 3), a quadratic in the
    secant of the angle to the table's normal.
    """

    dose_at_1_cm_mgy: Floats
    side_per_distance: Floats
    side_per_depth: Floats
    backscatter: Floats
    largest_side_cm: float
    log_transmission: Floats


def physics_of(
    setup: Setup, quality: BeamQuality, table_mm_al: float, table_transmission: float | None = None
) -> Physics:
    """Return our own physics.

    ``table_transmission`` is a measured transmission of table and pad for a perpendicular beam; without it, they weaken
    a beam like ``table_mm_al`` of aluminium.
    """
    across = width_of(setup.field_x_cm) / setup.source_to_detector_cm
    along = width_of(setup.field_z_cm) / setup.source_to_detector_cm
    # No field, no scatter: the polynomial's sides begin at 5 cm, smaller fields go on to B = 1 at 0.
    nodes = np.column_stack((np.ones(len(setup.kv)), backscatter(setup.kv, quality.hvl_mm_al)))
    return Physics(
        dose_at_1_cm_mgy=setup.kerma_mgy * setup.source_to_reference_cm**2 * quality.water_to_air,
        side_per_distance=np.zeros(len(across)),
        side_per_depth=2 * across * along / (across + along),
        backscatter=nodes @ side_spline((0.0, *SIDES_CM)).T,
        largest_side_cm=SIDES_CM[-1],
        log_transmission=_log_transmission(quality, table_mm_al, table_transmission),
    )


def physics_of_pyskindose(setup: Setup, hvl_mm_al: Floats, water_to_air: Floats, transmission: Floats) -> Physics:
    """Return the physics of PySkinDose 25.1.1, for comparison.

    The side is the root of the field's area and grows with the distance; the spline through the backscatter factors
    goes on beyond its ends; the table does not care about obliquity. What PySkinDose looks up in its tables is given
    here.
    """
    area = width_of(setup.field_x_cm) * width_of(setup.field_z_cm)
    factors = backscatter(setup.kv, hvl_mm_al, limits=(-np.inf, np.inf))
    log_transmission = np.zeros((len(area), 3))
    log_transmission[:, 0] = np.log(transmission)
    return Physics(
        dose_at_1_cm_mgy=setup.kerma_mgy * setup.source_to_reference_cm**2 * water_to_air,
        side_per_distance=np.sqrt(area) / setup.source_to_detector_cm,
        side_per_depth=np.zeros(len(area)),
        backscatter=factors @ side_spline(SIDES_CM).T,
        largest_side_cm=np.inf,
        log_transmission=log_transmission,
    )


def beam_quality(kv: Floats, al_mm: Floats, cu_mm: Floats) -> BeamQuality:
    """Return the quality of beams by tube voltage and total filtration, trilinear in the logarithms of the table.

    Beyond the table's range its edge is taken.
    """
    axes, values = _quality_table()
    points = np.column_stack((kv, al_mm, cu_mm))
    corner = np.empty(points.shape, np.int64)
    part = np.empty(points.shape)
    for axis, ticks in enumerate(axes):
        x = np.clip(points[:, axis], ticks[0], ticks[-1])
        corner[:, axis] = np.clip(np.searchsorted(ticks, x, side="right") - 1, 0, len(ticks) - 2)
        low = ticks[corner[:, axis]]
        part[:, axis] = (x - low) / (ticks[corner[:, axis] + 1] - low)
    flat = values.reshape(-1, 4)
    first = np.ravel_multi_index(corner.T, values.shape[:3])
    weights = np.stack((1 - part.T, part.T))
    found = np.zeros((len(points), 4))
    for a, b, c in np.ndindex(2, 2, 2):
        weight = weights[a, 0] * weights[b, 1] * weights[c, 2]
        found += weight[:, None] * flat[first + (a * values.shape[1] + b) * values.shape[2] + c]
    return BeamQuality(np.exp(found[:, 0]), np.exp(found[:, 1]), found[:, 2], found[:, 3])


def half_value_layer_mm(kv: float, filters: tuple[Filter, ...], tube_mm_al: float) -> float:
    """Return the half-value layer (mm Al) of one beam by tube voltage, added filters and filtration of the tube."""
    al, cu, _ = filtration(filters)
    return float(beam_quality(np.array([kv]), np.array([al + tube_mm_al]), np.array([cu])).hvl_mm_al[0])


def quality_range() -> tuple[tuple[float, float], ...]:
    """Return the ranges of kV, mm Al and mm Cu that the beam quality table covers."""
    return tuple((float(ticks[0]), float(ticks[-1])) for ticks in _quality_table()[0])


def _log_transmission(quality: BeamQuality, table_mm_al: float, measured: float | None) -> Floats:
    """Return ln T as a quadratic in the secant, through 0, 1 and 3 mm aluminium; linear where T is measured."""
    log = np.zeros((len(quality.hvl_mm_al), 3))
    if measured is not None:
        log[:, 1] = np.log(measured)
    else:
        curve = (quality.log_transmission_3_mm - 3 * quality.log_transmission_1_mm) / 6
        log[:, 1] = (quality.log_transmission_1_mm - curve) * table_mm_al
        log[:, 2] = curve * table_mm_al**2
    return log


@cache
def _quality_table() -> tuple[tuple[Floats, ...], Floats]:
    with (TABLES / "beam_quality.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("hvl_mm_al", "water_to_air", "transmission_1_mm_al", "transmission_3_mm_al")
    axes = tuple(np.unique([float(row[name]) for row in rows]) for name in ("kv", "al_mm", "cu_mm"))
    values = np.log([[float(row[name]) for name in names] for row in rows])
    return axes, values.reshape(*(len(ticks) for ticks in axes), 4)
