"""How much is one unit of another? By the table of UCUM codes and vendors' spellings; a unit not in it is unknown.

UCUM is case-sensitive and so is the table: ``MGy`` is not ``mGy``. Nothing is assumed for a unit that is missing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from doseatlas.dicom.table import rows


class Unit(NamedTuple):
    """A spelling of a unit: what it measures, and its size in the dimension's base unit."""

    dimension: str
    factor: float


@lru_cache(maxsize=1)
def units() -> dict[str, Unit]:
    """All spellings known (``tables/units.csv``)."""
    return {row["unit"]: Unit(row["dimension"], float(row["factor"])) for row in rows("units.csv")}


@lru_cache(maxsize=4096)
def factor(stated: str, wanted: str) -> float | None:
    """Return the number to multiply by to get from the stated unit to the wanted one.

    ``None``: the stated unit is unknown, or measures something else.
    """
    known = units()
    stated = stated.strip()
    if stated[:1] == "{" and stated[-1:] == "}":
        stated = "1"  # a UCUM annotation by itself is the unity
    source, target = known.get(stated), known[wanted]
    if source is None or source.dimension != target.dimension:
        return None
    return source.factor / target.factor


def convert(value: float, stated: str, wanted: str) -> float | None:
    """Convert a value; ``None`` where the stated unit is unknown or measures something else."""
    by = factor(stated, wanted)
    return None if by is None else scaled(value, by)


def scaled(value: float, by: float) -> float:
    """Multiply without the noise of binary fractions: 1.07e-05 Gy·m2 is 0.107 Gy·cm2, not 0.10700000000000001."""
    return value if by == 1 else float(f"{value * by:.13g}")
