"""In which directions, and from which zero, does a maker state angles and table positions?

The room axes are those of the DICOM patient system for a patient lying supine, head first, on a level table: x to the
patient's left, y downwards (posterior), z to the head; the origin is the isocentre. The rows of
``tables/coordinates.csv`` say how a maker's fields lie in them; the last row, DICOM's own definitions, fits every
device.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path
from typing import Literal

from doseatlas.model import Device, Record, TableError

TABLES = Path(__file__).parent / "tables"


class Coordinates(Record, frozen=True, kw_only=True):
    """How a maker's angles and table positions lie in the room axes.

    ``zero`` of an axis is ``isocentre`` where the stated 0 means that the table's middle line (x) or top (y) is at the
    isocentre, ``system-height`` where the 0 is the floor and the isocentre's height above it is stated as the height of
    the system, else ``unknown``. ``shutter_plane_mm`` is the distance from the source at which shutters are stated from
    the central ray; without it they are not understood. ``table`` is ``unrelated`` where the report states table and
    beam in coordinate systems that it does not relate to each other.
    """

    name: str
    manufacturer: str
    model: str
    primary_sign: int
    secondary_sign: int
    x_field: str
    x_sign: int
    x_zero: Literal["isocentre", "unknown"]
    y_field: str
    y_sign: int
    y_zero: Literal["isocentre", "system-height", "unknown"]
    z_field: str
    z_sign: int
    shutter_plane_mm: float | None
    table: Literal["related", "unrelated"]
    message: str
    source: str


def coordinates_of(device: Device) -> Coordinates:
    """Return the first row that fits the device's maker and model."""
    for row in coordinate_rows():
        if _fits(row.manufacturer, device.manufacturer) and _fits(row.model, device.model):
            return row
    raise TableError(f"{TABLES / 'coordinates.csv'} has no row that fits every device; add DICOM's own as the last.")


@cache
def coordinate_rows() -> tuple[Coordinates, ...]:
    """Return the rows of the table in their order."""
    path = TABLES / "coordinates.csv"
    signs = ("primary_sign", "secondary_sign", "x_sign", "y_sign", "z_sign")
    found = []
    with path.open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), 2):
            if any(row[sign] not in ("1", "-1") for sign in signs) or not row["source"]:
                raise TableError(f"{path}, line {line}: a sign is not 1 or -1, or the source is missing.")
            plane = float(row["shutter_plane_mm"]) if row["shutter_plane_mm"] else None
            numbers = {"shutter_plane_mm": plane, **{sign: int(row[sign]) for sign in signs}}
            found.append(Coordinates(**{**row, **numbers}))  # type: ignore[arg-type]
    return tuple(found)


def _fits(pattern: str, text: str | None) -> bool:
    return not pattern or (text is not None and re.search(pattern, text, re.IGNORECASE) is not None)
