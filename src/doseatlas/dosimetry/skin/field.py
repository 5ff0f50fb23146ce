"""Where are the edges of each event's field, and how is it turned? From shutters, sides, area or the dose itself.

The field is a rectangle whose edges need not lie about the central ray. Its axes at angles of 0 are those of the table,
seen from the detector towards the source with the head up: the image's right is the patient's left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from doseatlas.dosimetry.skin.coordinates import Coordinates

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

DETECTOR_CM = (40.0, 250.0)
LARGEST_SIDE_CM = 48.0
"""Of any flat detector on a C-arm, about 43 cm x 43 cm, with a margin."""
LARGEST_FIELD_CM2 = LARGEST_SIDE_CM**2
DIFFERS = 1.3
"""Ratio of a stated field's area to kerma-area product over kerma, or the inverse, beyond which they contradict."""
_OUTWARDS = np.array((-1.0, 1.0, -1.0, 1.0))
"""Signs of the left, right, bottom and top shutter, each stated away from the central ray."""


class Field(NamedTuple):
    """Fields at their detectors, ``detector_cm`` from the source: area (NaN where nothing gives it) and edges (n, 2).

    ``rotation_deg`` turns them about the central ray: clockwise, seen from the detector towards the source.
    """

    detector_cm: Floats
    area_cm2: Floats
    x_cm: Floats
    z_cm: Floats
    rotation_deg: Floats


def field_of(
    columns: dict[str, Floats],
    rows: Coordinates,
    isocentre: Floats,
    reference: Floats,
    rotation_deg: float,
    assumed: list[str],
) -> Field:
    """Return the fields of events; ``rotation_deg`` is of those that state none."""
    detector = columns["source_to_detector_mm"] / 10
    known = within(detector, DETECTOR_CM) & (detector > reference)
    detector = np.where(known, detector, isocentre + 30)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # Kerma-area product over kerma, both of one beam, is the field's area where the kerma is stated.
        from_kap = columns["kap_gy_cm2"] * 1000 / columns["reference_air_kerma_mgy"] * (detector / reference) ** 2
    from_kap = np.where((from_kap > 1) & (from_kap <= 2 * LARGEST_FIELD_CM2), from_kap, np.nan)
    stated = columns["collimated_field_area_cm2"]
    product = columns["collimated_field_width_mm"] * columns["collimated_field_height_mm"] / 100
    stated = np.where(stated > 0, stated, product)
    stated = np.where(known & (stated > 1) & (stated <= LARGEST_FIELD_CM2), stated, np.nan)
    x, z = _shutters(columns, rows, detector, np.where(np.isnan(from_kap), stated, from_kap), assumed)
    shut = ~np.isnan(x[:, 0])
    filled = np.isnan(stated) & ~np.isnan(from_kap) & ~shut
    _say(assumed, filled, "The field is a square whose area is kerma-area product over kerma")
    odd = _differ(stated, from_kap) & ~shut
    _say(assumed, odd, "The stated field is used although it differs by over 30 % from kerma-area product over kerma")
    area = np.where(np.isnan(stated), from_kap, stated)
    side_x, side_z = _sides(columns, area)
    x = np.where(shut[:, None], x, np.column_stack((-side_x / 2, side_x / 2)))
    z = np.where(shut[:, None], z, np.column_stack((-side_z / 2, side_z / 2)))
    area = np.where(shut, width_of(x) * width_of(z), area)
    return Field(detector, area, x, z, _rotation(columns["detector_rotation_deg"], rotation_deg, assumed))


def within(values: Floats, limits: tuple[float, float]) -> Booleans:
    """Return which values lie between two limits; NaN does not."""
    return (values >= limits[0]) & (values <= limits[1])


def width_of(edges: Floats) -> Floats:
    """Return the distance between the two edges (n, 2) of each field."""
    return edges[:, 1] - edges[:, 0]


def _shutters(
    columns: dict[str, Floats], rows: Coordinates, detector: Floats, other: Floats, assumed: list[str]
) -> tuple[Floats, Floats]:
    """Return the edges at the detector that four shutters make, NaN where they are not stated or not believed.

    ``other`` is the area that the event otherwise gives. Shutters are those at the end of a run, a kerma-area product
    is of all of it: where they contradict each other the shutters have moved, or mean something else.
    """
    stated = np.column_stack([columns[f"shutter_{side}_mm"] for side in ("left", "right", "bottom", "top")])
    present = np.logical_or.reduce(np.isfinite(stated), axis=1)
    if rows.shutter_plane_mm is None or not present.any():
        _say(assumed, present, "Shutters are stated but not used: where this device counts them from is not known")
        return np.full((len(stated), 2), np.nan), np.full((len(stated), 2), np.nan)
    edges = stated / rows.shutter_plane_mm * detector[:, None] * _OUTWARDS
    wide, high = width_of(edges[:, :2]), width_of(edges[:, 2:])
    area = wide * high
    bound = (wide > 0) & (high > 0) & (area > 1) & (area <= LARGEST_FIELD_CM2)
    bound &= (np.abs(edges) <= LARGEST_SIDE_CM).all(axis=1)
    contradict = bound & _differ(area, other)
    used = bound & ~contradict
    _say(
        assumed, used, "The field's edges are the four shutters; their right, seen from the detector, is patient's left"
    )
    _say(assumed, present & ~bound, "Shutters that bound no possible field are not used")
    _say(
        assumed,
        contradict,
        "Shutters, which are of the end of a run, are not used where their field differs by over 30 % from kerma-area "
        "product over kerma, or else from the stated area",
    )
    edges[~used] = np.nan
    return edges[:, :2], edges[:, 2:]


def _say(assumed: list[str], events: Booleans, text: str) -> None:
    """Say an assumption with the number of events of which it is made, if there are any."""
    count = int(np.count_nonzero(events))
    if count:
        assumed.append(f"{text} (events: {count}).")


def _differ(one: Floats, other: Floats) -> Booleans:
    """Return where two areas contradict each other; one that is not known contradicts nothing."""
    return (one > DIFFERS * other) | (other > DIFFERS * one)


def _sides(columns: dict[str, Floats], area: Floats) -> tuple[Floats, Floats]:
    """Return the field's sides across and along the patient: as stated where they give the area, else a square's."""
    width, height = columns["collimated_field_width_mm"] / 10, columns["collimated_field_height_mm"] / 10
    square = np.sqrt(area)
    with np.errstate(invalid="ignore", divide="ignore"):
        agrees = (width > 1) & (height > 1) & (np.abs(width * height / area - 1) < 0.1)
    return np.where(agrees, width, square), np.where(agrees, height, square)


def _rotation(stated: Floats, given: float, assumed: list[str]) -> Floats:
    """Return how each field is turned: with its detector, where that is stated; else as given."""
    known = np.abs(stated) <= 180
    how = f"turned by {given:g} degrees as given" if given else "taken to have its sides across and along the table"
    _say(assumed, known, "The field turns with the detector, whose rotation is stated")
    _say(assumed, ~known, f"A field whose rotation is not stated is {how}")
    return np.where(known, stated, given)
