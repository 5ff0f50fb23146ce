"""Which texts of a report could not be printed as they are? What objects state is not trusted to be plain text.

Control characters break files and terminals, marks that turn the direction of writing make a text look like another,
and a name of a megabyte makes a page useless. Markup and formulas are no matter here: each writer escapes its own.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import msgspec

from doseatlas.analysis import FacilityReport

LONGEST_TEXT = 300
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(report: FacilityReport) -> FacilityReport:
    """Return the report with every text safe to print: see :func:`printable_text`."""
    return msgspec.convert(_printable(msgspec.to_builtins(report)), FacilityReport)


def printable_text(text: str) -> str:
    """Return a text on one line, without control characters, cut after 300 characters; what is replaced shows."""
    text = "".join(_character(character) for character in text[: LONGEST_TEXT + 1])
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def _character(character: str) -> str:
    if character in "\t\n\r":
        return " "
    if character in _TURNING or unicodedata.category(character) in ("Cc", "Cs", "Cn"):
        return REPLACEMENT
    return character


def _printable(value: Any) -> Any:
    match value:
        case str():
            return printable_text(value)
        case dict():
            return {key: _printable(member) for key, member in value.items()}
        case list() | tuple():
            return [_printable(member) for member in value]
    return value
