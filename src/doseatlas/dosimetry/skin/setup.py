"""What does each irradiation event state about its beam, in numbers that the engine can use?

Events become columns (:class:`Setup`), one row a beam; a rotational run becomes several. An event without an angle,
a distance or a kerma cannot be placed: it is left out and counted, and what had to be assumed is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import structs

from doseatlas.dosimetry.skin.coordinates import Coordinates
from doseatlas.dosimetry.skin.field import field_of, within
from doseatlas.model import Event, Filter

Floats = npt.NDArray[np.float64]

REFERENCE_POINT_CM = 15.0
"""From the isocentre towards the source (IEC 60601-2-43, 21 CFR 1020.30)."""
ROTATION_STEP_DEG = 3.0
MOST_STEPS = 120
LARGEST_TURN_DEG = 270.0
"""Of a C-arm in one run; a larger difference of angles is a turn over the 180 degrees at which they start again."""
ISOCENTRE_CM = (30.0, 150.0)
TABLE_LIMIT_CM = 400.0
SYSTEM_HEIGHT_CM = (60.0, 180.0)
LARGEST_KERMA_MGY = 100_000.0
"""Of one event; more than a tube gives in hours."""
ASSUMED_KV = 80.0
ABSURD = 1e12


class Setup(NamedTuple):
    """Beams as columns. Angles are in degrees in the senses of the room axes, lengths in cm, kerma in mGy.

    ``field_x_cm`` and ``field_z_cm`` (n, 2) are the field's edges at the detector across and along the patient, seen
    from the central ray; ``table_cm`` (n, 3) is the table's reference point in the room; ``table_deg`` (n, 3) are its
    horizontal rotation, head tilt and cradle tilt. ``event`` is the position of the beam's event.
    """

    event: npt.NDArray[np.int64]
    kerma_mgy: Floats
    kap_gy_cm2: Floats
    source_to_reference_cm: Floats
    source_to_isocentre_cm: Floats
    source_to_detector_cm: Floats
    primary_deg: Floats
    secondary_deg: Floats
    field_rotation_deg: Floats
    field_x_cm: Floats
    field_z_cm: Floats
    table_cm: Floats
    table_deg: Floats
    kv: Floats
    al_mm: Floats
    cu_mm: Floats


class Placed(NamedTuple):
    """The beams that can be placed, with how their coordinates count; which events cannot, by reason; assumptions."""

    setup: Setup
    rows: Coordinates
    left_out: dict[str, list[int]]
    assumptions: tuple[str, ...]


def setup_of(
    events: Sequence[Event], rows: Coordinates, tube_filtration_mm_al: float, field_rotation_deg: float = 0.0
) -> Placed:
    """Return the beams of one device's events; ``field_rotation_deg`` is of those that state no rotation."""
    columns = _columns(events, rows)
    assumed: list[str] = [] if rows.name == "dicom" else [rows.message + "."]
    rows = _vertical_zero(columns, rows, assumed)
    isocentre = columns["source_to_isocenter_mm"] / 10
    reference = _reference_distance(columns["source_to_reference_point_mm"] / 10, isocentre, assumed)
    field = field_of(columns, rows, isocentre, reference, field_rotation_deg, assumed)
    area = field.area_cm2
    kerma = _kerma(columns, area, field.detector_cm, reference, assumed)
    reasons = {
        "no reference air kerma, or one that cannot be": ~within(kerma, (0.0, LARGEST_KERMA_MGY)),
        "no angle, or one beyond 180 degrees": ~(
            (np.abs(columns["primary_angle_deg"]) <= 180) & (np.abs(columns["secondary_angle_deg"]) <= 180)
        ),
        "no plausible distance from source to isocentre": ~within(isocentre, ISOCENTRE_CM),
        "no plausible field size": ~np.isfinite(area),
    }
    out = np.logical_or.reduce(list(reasons.values())) | (kerma == 0)
    left_out = {reason: np.flatnonzero(wrong & (kerma != 0)).tolist() for reason, wrong in reasons.items()}
    keep = np.flatnonzero(~out)
    kv, al, cu = _quality(events, columns["kvp"], keep, tube_filtration_mm_al, assumed)
    table, table_deg = _table(columns, keep, assumed)
    count = len(events)
    setup = Setup(
        event=np.arange(count),
        kerma_mgy=kerma,
        kap_gy_cm2=np.where(columns["kap_gy_cm2"] >= 0, columns["kap_gy_cm2"], np.nan),
        source_to_reference_cm=reference,
        source_to_isocentre_cm=isocentre,
        source_to_detector_cm=field.detector_cm,
        primary_deg=rows.primary_sign * columns["primary_angle_deg"],
        secondary_deg=rows.secondary_sign * columns["secondary_angle_deg"],
        field_rotation_deg=field.rotation_deg,
        field_x_cm=field.x_cm,
        field_z_cm=field.z_cm,
        table_cm=table,
        table_deg=table_deg,
        kv=kv,
        al_mm=al,
        cu_mm=cu,
    )
    ends = (
        rows.primary_sign * columns["primary_end_angle_deg"],
        rows.secondary_sign * columns["secondary_end_angle_deg"],
    )
    setup = _split_rotations(setup, keep, ends, events, assumed)
    return Placed(setup, rows, {reason: some for reason, some in left_out.items() if some}, tuple(assumed))


def take(setup: Setup, rows: Any) -> Setup:
    """Return the beams of these rows."""
    return Setup(*(column[rows] for column in setup))


_FIELDS = (
    "reference_air_kerma_mgy",
    "kap_gy_cm2",
    "kvp",
    "primary_angle_deg",
    "secondary_angle_deg",
    "primary_end_angle_deg",
    "secondary_end_angle_deg",
    "source_to_isocenter_mm",
    "source_to_detector_mm",
    "source_to_reference_point_mm",
    "collimated_field_area_cm2",
    "collimated_field_width_mm",
    "collimated_field_height_mm",
    "shutter_left_mm",
    "shutter_right_mm",
    "shutter_bottom_mm",
    "shutter_top_mm",
    "detector_rotation_deg",
    "system_height_mm",
    "table_horizontal_rotation_deg",
    "table_head_tilt_deg",
    "table_cradle_tilt_deg",
)


def _columns(events: Sequence[Event], rows: Coordinates) -> dict[str, Floats]:
    axes = (("x", rows.x_field, rows.x_sign), ("y", rows.y_field, rows.y_sign), ("z", rows.z_field, rows.z_sign))
    fields = attrgetter(*_FIELDS, *(field for _, field, _ in axes))
    # None becomes NaN.
    count = len(_FIELDS) + len(axes)
    stated = np.fromiter(chain.from_iterable(map(fields, events)), np.float64, count * len(events))
    table = stated.reshape(len(events), count).T
    # What is not a number, or beyond any unit, is not stated.
    table[~(np.abs(table) < ABSURD)] = np.nan
    found = dict(zip(_FIELDS, table, strict=False))
    for (axis, _, sign), column in zip(axes, table[len(_FIELDS) :], strict=True):
        found[axis] = column * (sign / 10)
    return found


def _vertical_zero(columns: dict[str, Floats], rows: Coordinates, assumed: list[str]) -> Coordinates:
    """Count the table's height from the isocentre where the isocentre's own is stated, and say so in the rows."""
    if rows.y_zero != "system-height":
        return rows
    system = columns["system_height_mm"] / 10
    stated = np.isfinite(columns["y"])
    if not within(system[stated], SYSTEM_HEIGHT_CM).all():
        return structs.replace(rows, y_zero="unknown")
    columns["y"] -= rows.y_sign * system
    if stated.any():
        assumed.append(
            "The isocentre is taken to be as high above the floor as the stated height of the system "
            f"({float(np.median(system[stated])):g} cm); the maker's own words on it were not read."
        )
    return structs.replace(rows, y_zero="isocentre")


def _reference_distance(stated: Floats, isocentre: Floats, assumed: list[str]) -> Floats:
    """Return the distance from the source to the point at which the kerma is stated."""
    usable = (stated > 20) & (stated < isocentre + 30)
    missing = int(np.count_nonzero(~usable & np.isfinite(isocentre)))
    if missing:
        assumed.append(
            "The reference point is taken to lie 15 cm from the isocentre towards the source (IEC 60601-2-43; "
            f"events: {missing})."
        )
    return np.where(usable, stated, isocentre - REFERENCE_POINT_CM)


def _kerma(columns: dict[str, Floats], area: Floats, detector: Floats, reference: Floats, assumed: list[str]) -> Floats:
    """Return the air kerma at the reference point; where it is not stated, kerma-area product over the field's area."""
    kerma = columns["reference_air_kerma_mgy"]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        from_kap = columns["kap_gy_cm2"] * 1000 / (area * (reference / detector) ** 2)
    # A kerma of 0 beside a kerma-area product is a dose not stated, or rounded off; it is no dose of 0.
    unstated = np.isnan(kerma) | ((kerma == 0) & (columns["kap_gy_cm2"] > 0))
    filled = int(np.count_nonzero(unstated & (from_kap >= 0)))
    if filled:
        assumed.append(
            f"The kerma is not stated, or as 0; it is kerma-area product over the field's area (events: {filled})."
        )
    return np.where(unstated, from_kap, kerma)


def _table(columns: dict[str, Floats], keep: npt.NDArray[np.int64], assumed: list[str]) -> tuple[Floats, Floats]:
    """Return positions (NaN where not stated) and angles of the table."""
    table = np.column_stack((columns["x"], columns["y"], columns["z"]))
    absurd = np.abs(table) > TABLE_LIMIT_CM
    if absurd[keep].any():
        assumed.append(
            f"Table positions beyond {TABLE_LIMIT_CM / 100:g} m are not used ({int(absurd[keep].sum())} values)."
        )
        table[absurd] = np.nan
    names = ("table_horizontal_rotation_deg", "table_head_tilt_deg", "table_cradle_tilt_deg")
    angles = np.column_stack([columns[name] for name in names])
    unknown = ~(np.abs(angles) <= 180)
    if unknown[keep].any():
        assumed.append("The table is taken as level and straight where its rotation or tilt is not stated.")
    return table, np.where(unknown, 0.0, angles)


def _quality(
    events: Sequence[Event], kv: Floats, keep: npt.NDArray[np.int64], tube_mm_al: float, assumed: list[str]
) -> tuple[Floats, Floats, Floats]:
    """Return tube voltage and filtration; 80 kV where none is stated."""
    known = within(kv, (20.0, 200.0))
    if not known[keep].all():
        assumed.append(
            f"{ASSUMED_KV:g} kV is assumed where no tube voltage is stated (events: {int((~known[keep]).sum())})."
        )
    number: dict[tuple[Filter, ...], int] = {}
    which = [number.setdefault(event.filters, len(number)) for event in events]
    thickness = [filtration(filters) for filters in number]
    al, cu = np.array([mm[:2] for mm in thickness])[which].T
    others = {other for _, _, other in thickness if other}
    if others:
        assumed.append(f"Filters of {', '.join(sorted(others))} are not counted in the beam quality.")
    assumed.append(f"The tube itself filters like {tube_mm_al:g} mm aluminium.")
    return np.where(known, kv, ASSUMED_KV), al + tube_mm_al, cu


def filtration(filters: tuple[Filter, ...]) -> tuple[float, float, str]:
    """Return added aluminium and copper (mm), and the materials that are neither."""
    al = cu = 0.0
    others = []
    for one in filters:
        stated = [mm for mm in (one.thickness_min_mm, one.thickness_max_mm) if mm is not None and 0 <= mm < 50]
        mm = sum(stated) / len(stated) if stated else 0.0
        material = (one.material or "").lower()
        if "alumi" in material:
            al += mm
        elif "copper" in material:
            cu += mm
        elif mm:
            others.append(one.material or "an unstated material")
    return al, cu, ", ".join(others)


def is_stationary(event: Event) -> bool:
    """Return whether an event is stated to be of a beam that does not move (DCM 113611)."""
    code = event.acquisition_code
    if code is not None and (code.scheme, code.value) == ("DCM", "113611"):
        return True
    return "stationary" in (event.acquisition_type or "").lower()


def _split_rotations(
    setup: Setup,
    keep: npt.NDArray[np.int64],
    ends: tuple[Floats, Floats],
    events: Sequence[Event],
    assumed: list[str],
) -> Setup:
    """Return the beams kept, a rotational run as beams of equal kerma at even angles."""
    turn_1 = np.where(np.abs(ends[0]) <= 180, ends[0] - setup.primary_deg, 0.0)
    turn_2 = np.where(np.abs(ends[1]) <= 180, ends[1] - setup.secondary_deg, 0.0)
    moves = (np.abs(turn_1) > 0) | (np.abs(turn_2) > 0)
    still = np.zeros(len(events), bool)
    for index in np.flatnonzero(moves):
        still[index] = is_stationary(events[int(index)])
    contradict = still & ((np.abs(turn_1) > ROTATION_STEP_DEG) | (np.abs(turn_2) > ROTATION_STEP_DEG))
    if contradict[keep].any():
        assumed.append(
            "Events stated as stationary stay at their first angle, although they state another as the last "
            f"(events: {int(contradict[keep].sum())})."
        )
    turn_1, turn_2 = np.where(still, 0.0, turn_1), np.where(still, 0.0, turn_2)
    over = np.abs(turn_1) > LARGEST_TURN_DEG
    if over[keep].any():
        assumed.append(
            f"A run whose angles differ by more than {LARGEST_TURN_DEG:g} degrees is taken to go the short way, over "
            f"180 degrees (runs: {int(over[keep].sum())})."
        )
        turn_1 = np.where(over, turn_1 - np.copysign(360.0, turn_1), turn_1)
    steps = np.ceil(np.maximum(np.abs(turn_1), np.abs(turn_2))[keep] / ROTATION_STEP_DEG)
    steps = np.clip(steps, 1, MOST_STEPS).astype(np.int64)
    if (steps == 1).all():
        return take(setup, keep)
    assumed.append(
        f"A rotational run is spread evenly from its first to its last angle, a beam every {ROTATION_STEP_DEG:g} "
        f"degrees of the same kerma (runs: {int((steps > 1).sum())})."
    )
    rows = np.repeat(keep, steps)
    first = np.repeat(np.cumsum(steps) - steps, steps)
    along = (np.arange(len(rows)) - first + 0.5) / np.repeat(steps, steps)
    along[np.repeat(steps, steps) == 1] = 0.0
    split = take(setup, rows)
    return split._replace(
        kerma_mgy=split.kerma_mgy / np.repeat(steps, steps),
        kap_gy_cm2=split.kap_gy_cm2 / np.repeat(steps, steps),
        primary_deg=split.primary_deg + along * turn_1[rows],
        secondary_deg=split.secondary_deg + along * turn_2[rows],
    )
