"""Which country or region does a facility belong to, and which part of a registry is one country's?

A registry is a mart whose ``exams`` folder may have a level of folders ``country=NAME`` above the facilities. A country
is then read by itself, in memory that does not grow with the world. Where there is no such level, or for regions, a
sheet of places says which facility lies where.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from doseatlas.model import StoreError, TableError

EVERYWHERE = "all"


class Place(NamedTuple):
    """Where a facility lies; empty: not stated."""

    country: str
    region: str


class Places(NamedTuple):
    """Facility to place, and the digest of the sheet that says so (``None``: no sheet)."""

    by_facility: Mapping[str, Place]
    digest: str | None

    def area(self, facility: str, folder_area: str, *, regional: bool) -> str:
        """Return the country, or the region, of a facility; ``folder_area`` where the sheet does not say."""
        place = self.by_facility.get(facility)
        if regional:
            return (place.region if place else "") or EVERYWHERE
        return (place.country if place else "") or folder_area


NOWHERE = Places({}, None)


def load_places(path: Path) -> Places:
    """Read a sheet of places: a UTF-8 CSV with the columns ``facility``, ``country`` and, if wanted, ``region``.

    Raises:
        TableError: the file cannot be read, lacks a column, or names a facility twice.

    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read as a UTF-8 CSV ({error}).") from error
    reader = csv.DictReader(text.splitlines())
    missing = {"facility", "country"} - set(reader.fieldnames or ())
    if missing:
        raise TableError(f"{path}: missing columns {', '.join(sorted(missing))}. Add them to the first line.")
    found: dict[str, Place] = {}
    for row in reader:
        facility = (row["facility"] or "").strip()
        if not facility or facility in found:
            raise TableError(f"{path}, line {reader.line_num}, column facility: {facility!r} is empty or stands twice.")
        found[facility] = Place((row["country"] or "").strip(), (row.get("region") or "").strip())
    return Places(found, hashlib.sha256(text.encode()).hexdigest())


def area_folders(mart_dir: str | os.PathLike[str]) -> list[tuple[str, Path]]:
    """Return name and folder of each country of a registry; one area ``all`` where there are no countries.

    Raises:
        StoreError: some facilities lie in a country's folder and some do not.

    """
    exams = Path(mart_dir) / "exams"
    countries = sorted(exams.glob("country=*"))
    if not countries:
        return [(EVERYWHERE, exams)]
    stray = next((path for path in sorted(exams.iterdir()) if path not in countries), None)
    if stray is not None:
        raise StoreError(f"{stray} lies beside folders of countries; move it into its country's folder (country=NAME)")
    return [(unquote(folder.name.removeprefix("country=")), folder) for folder in countries]
