"""What is a stated number in our unit? One place decides, for reports, images and procedure steps alike.

A number without a unit, or in a unit that is unknown or measures something else, is not used, and a note says so. What
a vendor is known to state wrongly is corrected with a note (``tables/dialects.csv``). A dose that cannot be is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from doseatlas.dicom.dialects import Dialect, dialects_of
from doseatlas.dicom.notes import Notes
from doseatlas.dicom.templates import Field, dose_maxima, field_units
from doseatlas.dicom.units import factor, scaled
from doseatlas.model import Device, UnreadableObject

Stated = tuple[Field, object]
"""A field and its value in our unit, as found in one place of an object."""

_PRINTED_UNITS = {"cm2": "cm²", "m2": "m²", ".": "·"}


class _Way(NamedTuple):
    """How numbers of one field in one stated unit become ours: the factor, or ``None`` where they are not usable."""

    by: float | None
    dialect: Dialect | None
    maximum: float | None


class Measures:
    """Converts the numbers of one object, noting what is left out or corrected. Knows the device for its dialects."""

    def __init__(self, device: Device, notes: Notes, modality: str | None = None) -> None:
        self.notes = notes
        self._dialects = dialects_of(device.manufacturer, device.model, modality)
        self._ways: dict[tuple[int, str | None], _Way] = {}

    def number(self, field: Field, value: float, unit: str | None) -> float | None:
        """Return a stated value in the field's unit; ``None`` where it cannot be used, with a note.

        Raises:
            UnreadableObject: code ``impossible-value``: a dose that is negative or beyond ``tables/impossible.csv``.

        """
        key = field.rank, unit
        way = self._ways.get(key)
        if way is None:
            way = self._ways[key] = self._way(field, unit)
        by, dialect, maximum = way
        if by is None:
            self._unusable(field, unit)
            return None
        if dialect is not None and dialect.at_least <= value < dialect.below:
            self.notes.add("vendor-correction", dialect.message, f"{field.name} {value:g} {unit}")
            by = factor(dialect.taken_as_unit, field.unit) or by
        # Adding zero turns a stated -0 into 0.
        converted = (value if by == 1 else scaled(value, by)) + 0.0
        if maximum is not None and not 0 <= converted <= maximum:
            raise _impossible(field.meaning, converted, field.unit, maximum)
        return converted

    def _way(self, field: Field, unit: str | None) -> _Way:
        by = None if unit is None else factor(unit, field.unit)
        return _Way(by, self._dialects.get((field.name, unit or "")), dose_maxima().get(field.name))

    def _unusable(self, field: Field, unit: str | None) -> None:
        if unit is None:
            self.notes.add("unit-missing", f"{field.meaning} is stated without a unit and is not used")
        else:
            about = f"{field.meaning} is stated in {unit!r}, which is no known unit of it, and is not used"
            self.notes.add("unit-unknown", about)


def refuse_impossible(totals: Mapping[str, object]) -> None:
    """Raise the refusal of :meth:`Measures.number` where a sum of possible doses is impossible."""
    for name, maximum in dose_maxima().items():
        value = totals.get(name)
        if isinstance(value, float) and value > maximum:
            raise _impossible(f"a total of {name}", value, field_units()[name], maximum)


def _impossible(what: str, value: float, unit: str, maximum: float) -> UnreadableObject:
    for plain, printed in _PRINTED_UNITS.items():
        unit = unit.replace(plain, printed)
    reason = "a dose is never negative" if value < 0 else f"more than {maximum:g} {unit} cannot be"
    return UnreadableObject(
        "impossible-value",
        f"The object states {what} = {value:g} {unit}; {reason}. Nothing of it is used: compare it with the device's "
        "own display.",
    )
