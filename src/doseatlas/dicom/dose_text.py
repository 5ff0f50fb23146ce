"""What dose does the text of a dose screen state? Makers' forms of it are rows of ``tables/dose_texts.csv``.

Some CT scanners keep the DLP of an examination only as text in Comments on Radiation Dose (0040,0310) of the picture of
their dose screen. The text bears no units: mGy and mGy.cm are what IEC 60601-2-44 has CT scanners display.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from doseatlas.dicom.item import parse_number
from doseatlas.dicom.table import rows

_LONGEST_TEXT = 64 * 1024  # an ST element has 1024 characters by the standard


class DoseLine(NamedTuple):
    """Values found in a line, by field name; ``number`` and ``protocol`` say which exposure of the object it is."""

    level: str
    values: dict[str, float]
    number: int | None
    protocol: str | None


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((row["level"], re.compile(row["pattern"])) for row in rows("dose_texts.csv"))


def dose_lines(text: str) -> list[DoseLine]:
    """Return the doses that a text states, in the order of the text; units are in the names."""
    found: list[tuple[int, DoseLine]] = []
    for level, pattern in _patterns():
        for match in pattern.finditer(text[:_LONGEST_TEXT].replace("\r\n", "\n").replace("\r", "\n")):
            groups = match.groupdict()
            number, protocol = groups.pop("number", None), groups.pop("protocol", None)
            values = {name: parse_number(value.encode()) for name, value in groups.items() if value}
            stated = {name: value for name, value in values.items() if value is not None}
            line = DoseLine(level, stated, int(number) if number else None, protocol or None)
            found.append((match.start(), line))
    return [line for _, line in sorted(found, key=lambda pair: pair[0])]
