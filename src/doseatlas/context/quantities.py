"""Is this a height or a weight, and how much is it in our unit? Tables of codes and units; nothing is guessed."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from doseatlas.reference import number, plausible_ranges, read_rows

TABLES = Path(__file__).parent / "tables"
_NUMBER = re.compile(r"[+]?\d{1,6}(\.\d{0,9})?")


class WrongValue(Exception):
    """A value that cannot be used; the sentence says why and does not quote it."""


@cache
def units() -> dict[str, dict[str, float]]:
    """Return for each field (``height_cm``, ``weight_kg``) the units it is stated in, and their factors to ours."""
    path = TABLES / "units.csv"
    found: dict[str, dict[str, float]] = {}
    for line, row in read_rows(path, ("field", "unit", "factor", "source")):
        found.setdefault(row["field"], {})[row["unit"].lower()] = number(path, line, row, "factor")
    return found


@cache
def observations() -> dict[tuple[str, str], str]:
    """Return which field a coded observation fills, by code and scheme."""
    rows = read_rows(TABLES / "observations.csv", ("code", "scheme", "field", "meaning", "source"))
    return {(row["code"], row["scheme"]): row["field"] for _, row in rows}


def quantity(field: str, text: str, unit: str) -> float:
    """Return a height in cm or a weight in kg.

    Args:
        field: ``height_cm`` or ``weight_kg``.
        text: the number as stated, with a decimal point.
        unit: as stated; upper and lower case are the same.

    Raises:
        WrongValue: no number, no unit, an unknown unit, or a value that no patient has.

    """
    name = field.partition("_")[0]
    known = units()[field]
    if not unit.strip():
        raise WrongValue(f"the {name} has no unit")
    factor = known.get(unit.strip().lower())
    if factor is None:
        raise WrongValue(f"the {name} has a unit that is not known; known are {', '.join(known)}")
    if not _NUMBER.fullmatch(text.strip()):
        raise WrongValue(f"the {name} is no plain number with a decimal point")
    value = float(f"{float(text) * factor:.6g}")
    bounds = plausible_ranges()[field]
    if not bounds.low <= value <= bounds.high:
        raise WrongValue(
            f"the {name} in its unit is out of what patients have ({bounds.low:g} to {bounds.high:g} {bounds.unit}); "
            "the unit may be wrong"
        )
    return value
