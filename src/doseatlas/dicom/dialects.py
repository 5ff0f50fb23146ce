"""Where do vendors deviate from what the standard says, and what is done about it? Each deviation is a row of a table.

A row names the maker and model it was seen on (and the modality of images), the field and unit as stated, the range of
values for which the stated unit cannot be meant, and the unit that is. Every use of a row leaves the note
``vendor-correction`` in the exam.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from doseatlas.dicom.table import rows


class Dialect(NamedTuple):
    """One deviation: ``field`` in ``stated_unit``, from ``at_least`` up to ``below``, is in ``taken_as_unit``."""

    name: str
    field: str
    stated_unit: str
    at_least: float
    below: float
    taken_as_unit: str
    message: str


@lru_cache(maxsize=1)
def _table() -> tuple[tuple[re.Pattern[str], re.Pattern[str], str, Dialect], ...]:
    return tuple(
        (
            re.compile(row["manufacturer"], re.IGNORECASE),
            re.compile(row["model"], re.IGNORECASE),
            row["modality"],
            Dialect(
                row["name"],
                row["field"],
                row["stated_unit"],
                float(row["at_least"]),
                float(row["below"] or "inf"),
                row["taken_as_unit"],
                row["message"],
            ),
        )
        for row in rows("dialects.csv")
    )


@lru_cache(maxsize=1024)
def dialects_of(
    manufacturer: str | None, model: str | None, modality: str | None = None
) -> dict[tuple[str, str], Dialect]:
    """Return the deviations of a device, by (field, stated unit); ``modality``: those of its images."""
    return {
        (dialect.field, dialect.stated_unit): dialect
        for maker, kind, of_images, dialect in _table()
        if of_images in ("", modality) and maker.search(manufacturer or "") and kind.search(model or "")
    }
