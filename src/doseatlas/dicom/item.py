"""What does a data set state under a tag? :class:`Item` answers from the bytes of the object, decoding when asked.

Whatever an object's encoding was, it arrives here as little endian bytes plus an index of its elements
(:mod:`doseatlas.dicom.parse`). Values are those of DICOM PS3.5 section 6.2; text comes without its padding.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence

from doseatlas.dicom.charset import DEFAULT_CODEC, Codec, decode_text
from doseatlas.dicom.dictionary import private_vr, public_vr

Element = tuple[bytes | None, int, int]
"""(VR or ``None`` where the encoding does not state it, first byte, byte after the last)."""

_SPECIFIC_CHARSET_VRS = frozenset({b"SH", b"LO", b"ST", b"PN", b"LT", b"UC", b"UT"})
_UNSPLIT_VRS = frozenset({b"ST", b"LT", b"UT", b"UR"})
_STRING_VRS = _SPECIFIC_CHARSET_VRS | frozenset({b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"TM", b"UI", b"UR"})
PADDING = " \0\t\r\n"
NUMBER_FORMATS = {
    b"FD": ("d", 8),
    b"FL": ("f", 4),
    b"US": ("H", 2),
    b"SS": ("h", 2),
    b"UL": ("I", 4),
    b"SL": ("i", 4),
    b"UV": ("Q", 8),
    b"SV": ("q", 8),
    b"OF": ("f", 4),
    b"OD": ("d", 8),
    b"OL": ("I", 4),
}


class Item:
    """One data set or sequence item. Immutable; equal sequences of one object may share their items."""

    __slots__ = ("_codec", "_data", "_elements")

    def __init__(self, data: bytes, elements: dict[int, Element | list[Item]], codec: Codec = DEFAULT_CODEC) -> None:
        self._data = data
        self._elements = elements
        self._codec = codec

    def __contains__(self, tag: int) -> bool:
        return tag in self._elements

    def __repr__(self) -> str:
        return f"Item({len(self._elements)} elements)"

    @property
    def codec(self) -> Codec:
        """The character set in force, for :func:`doseatlas.dicom.charset.decode_text`."""
        return self._codec

    def tags(self) -> Iterator[int]:
        """The tags present, private ones included, in the order of the object."""
        return iter(self._elements)

    def vr(self, tag: int) -> str | None:
        """The value representation of an element: stated, or else from the dictionary; ``None`` if absent."""
        element = self._elements.get(tag)
        if element is None:
            return None
        return "SQ" if isinstance(element, list) else self._vr(tag, element).decode("ascii")

    def raw(self, tag: int) -> bytes:
        """The encoded value of an element, empty when absent or a sequence."""
        element = self._elements.get(tag)
        return self._data[element[1] : element[2]] if isinstance(element, tuple) else b""

    def text(self, tag: int) -> str | None:
        """The first value as text, without padding; ``None`` when absent, empty or not text or a number."""
        element = self._elements.get(tag)
        if type(element) is not tuple:
            return None
        vr, start, stop = element
        if vr is None or vr == b"UN":
            vr = self._vr(tag, element)
        if vr not in _STRING_VRS:
            numbers = self.texts(tag)
            return numbers[0] if numbers else None
        text = decode_text(self._data[start:stop], self._codec if vr in _SPECIFIC_CHARSET_VRS else DEFAULT_CODEC)
        if "\\" in text and vr not in _UNSPLIT_VRS:
            text = text.split("\\")[0]
        return text.strip(PADDING) or None

    def texts(self, tag: int) -> list[str]:
        """All values as text, without padding (an inner value may be empty); empty when absent or empty."""
        element = self._elements.get(tag)
        if not isinstance(element, tuple):
            return []
        vr = self._vr(tag, element)
        raw = self._data[element[1] : element[2]]
        if vr in NUMBER_FORMATS:
            return [str(value) for value in _binary_numbers(vr, raw)]
        if vr not in _STRING_VRS:
            return []
        codec = self._codec if vr in _SPECIFIC_CHARSET_VRS else DEFAULT_CODEC
        decoded = decode_text(raw, codec)
        values = [decoded] if vr in _UNSPLIT_VRS else decoded.split("\\")
        values = [value.strip(PADDING) for value in values]
        return values if any(values) else []

    def number(self, tag: int) -> float | None:
        """The first value as a number; ``None`` when absent, empty or not a finite number."""
        values = self._numbers(tag)
        return values[0] if values else None

    def numbers(self, tag: int) -> list[float]:
        """All values as numbers; empty when absent or when any of them is not a finite number."""
        values = self._numbers(tag)
        return [value for value in values if value is not None] if None not in values else []

    def items(self, tag: int) -> Sequence[Item]:
        """The items of a sequence, whatever way its encoding hides that it is one; empty when absent."""
        element = self._elements.get(tag)
        if element is None:
            return ()
        if isinstance(element, tuple):
            if element[0] is not None and element[0] != b"UN":
                return ()
            if self._vr(tag, element) != b"SQ":
                return ()
            element = self._hidden_sequence(element)
            self._elements[tag] = element
        return element

    def _hidden_sequence(self, element: Element) -> list[Item]:
        """The items of an element that is a sequence only by the dictionary; ``parse.ParsedItem`` finds them."""
        return []

    def _numbers(self, tag: int) -> list[float | None]:
        element = self._elements.get(tag)
        if not isinstance(element, tuple):
            return []
        vr = self._vr(tag, element)
        raw = self._data[element[1] : element[2]]
        if vr in (b"DS", b"IS"):
            text = raw.strip(b" \0")
            return [parse_number(value) for value in text.split(b"\\")] if text else []
        return [value if math.isfinite(value) else None for value in _binary_numbers(vr, raw)]

    def _vr(self, tag: int, element: Element) -> bytes:
        vr = element[0]
        if vr is not None and vr != b"UN":
            return vr
        if tag >> 16 & 1:
            return self._private_vr(tag)
        if vr == b"UN" and element[2] - element[1] >= 0xFFFF:
            return vr  # a value that did not fit its own VR's length field: PS3.5 6.2.2
        return public_vr(tag)

    def _private_vr(self, tag: int) -> bytes:
        element = tag & 0xFFFF
        if 0x10 <= element < 0x100:
            return b"LO"  # a private creator
        creator = self.text(tag & 0xFFFF0000 | element >> 8) if element & 0xFF00 else None
        return private_vr(tag, creator) if creator else b"UN"


def parse_number(raw: bytes) -> float | None:
    """A decimal or integer string (DS, IS) as a finite number, else ``None``; a decimal comma is not a number."""
    try:
        value = float(raw.strip(b"\0"))
    except ValueError:
        return None
    return value if math.isfinite(value) and b"_" not in raw else None


def _binary_numbers(vr: bytes, raw: bytes) -> tuple[float, ...]:
    known = NUMBER_FORMATS.get(vr)
    if known is None:
        return ()
    code, width = known
    if len(raw) % width:
        return ()
    values: tuple[float, ...] = struct.unpack(f"<{len(raw) // width}{code}", raw)
    return values
