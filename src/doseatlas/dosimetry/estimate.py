"""What does dosimetry answer with? A value with method, source, uncertainty and flags, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import NamedTuple

from doseatlas.model import DoseAtlasError, Note, Record

NOT_VERIFIED = "coefficient-not-verified"
_LARGEST = 1e9  # of any dose, distance or age in the units used here


class DosimetryError(DoseAtlasError):
    """What was asked for does not exist or cannot be: an unknown coefficient set, certificates that overlap."""

    code = "dosimetry"


class CalibrationError(DosimetryError):
    """A certificate is wrong in itself, or contradicts another."""

    code = "calibration"


class Estimate(Record, frozen=True, kw_only=True):
    """A derived value. ``quantity`` is the name of a column, with the unit of value and standard uncertainty (k = 1).

    ``method`` says how, ``source`` from which documents, ``coefficient_set`` from which table; ``flags`` say what
    weakens it.
    """

    quantity: str
    value: float
    standard_uncertainty: float
    method: str
    source: str
    coefficient_set: str | None = None
    flags: tuple[Note, ...] = ()

    @property
    def relative_standard_uncertainty(self) -> float:
        """Standard uncertainty over value; 0 for a value of 0."""
        return self.standard_uncertainty / self.value if self.value else 0.0


class DosimetryColumn(NamedTuple):
    """A column that this room adds to the mart."""

    name: str
    type: str
    meaning: str


class NotEstimated(Record, frozen=True, kw_only=True):
    """Why a quantity has no value: a stable code (``tables/flags.csv``) and what is missing or wrong."""

    quantity: str
    code: str
    message: str


def not_verified(rows: Iterable[object]) -> tuple[Note, ...]:
    """Return one flag where a coefficient row was not read in its source; rows have ``verified`` and ``source``."""
    weak = [row for row in rows if getattr(row, "verified", "seen") != "seen"]
    if not weak:
        return ()
    sources = "; ".join(dict.fromkeys(str(getattr(row, "source", "")) for row in weak))
    return (Note(code=NOT_VERIFIED, message=f"Coefficient not verified: recalled, not read, from {sources}."),)


def bad_number(quantity: str, name: str, value: float | None, *, zero_allowed: bool = False) -> NotEstimated | None:
    """Return why a value cannot be used: not stated, not finite, negative, or 0 where 0 is impossible."""
    if value is None:
        return NotEstimated(quantity=quantity, code="not-stated", message=f"{name} is not stated.")
    if not isfinite(value) or not 0 <= value <= _LARGEST or (value == 0 and not zero_allowed):
        return NotEstimated(quantity=quantity, code="not-physical", message=f"{name} is {value:g}, which cannot be.")
    return None
