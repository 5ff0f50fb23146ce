"""Where in these bytes is which element? The project's own reader for little endian data sets.

Explicit and implicit VR, defined and undefined lengths, sequences that call themselves UN (DICOM PS3.5 chapter 7 and
section 6.2.2). One pass indexes the elements; nothing is decoded. Code sequences and whole content items repeat
hundreds of times in a dose report, byte for byte: each distinct one is indexed once and shared. That is sound because
indexing depends on nothing but the bytes and the character set in force.

What pydicom would read otherwise than the standard says is left to pydicom (:class:`Unusual`); bytes that end too early
are read up to the last complete element, and the result says so. Why an own reader:
``docs/decisions/003-own-dicom-reader.md``.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from doseatlas.dicom.charset import DEFAULT_CODEC, Codec, codec_of
from doseatlas.dicom.dictionary import sequence_tags
from doseatlas.dicom.item import Element, Item
from doseatlas.dicom.limits import DEFAULT_LIMITS, Limits
from doseatlas.model.errors import UnreadableObject

Elements = dict[int, Element | list[Item]]

_EXPLICIT_HEADER = struct.Struct("<HH2sH").unpack_from
_IMPLICIT_HEADER = struct.Struct("<HHI").unpack_from
_LENGTH = struct.Struct("<I").unpack_from

SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())  # 16-bit length field
LONG_VRS = frozenset(b"OB OD OF OL OV OW SV UC UN UR UT UV".split())  # 32-bit length field

_UNDEFINED = 0xFFFFFFFF
_CHARACTER_SET = 0x00080005
_PIXEL_GROUP = 0x7FE0
_ITEM, _ITEM_END, _SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD
_SEQUENCE_END_BYTES = b"\xfe\xff\xdd\xe0\0\0\0\0"
_ITEM_END_THEN_ITEM = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\x00\xe0"
_SHARED_MAX = 512  # bytes; longer sequences and items hardly ever repeat
_CONTENT = 0x0040A730


class Unusual(Exception):
    """The bytes are not plainly encoded; another reader has to look at them."""


class Parsed(NamedTuple):
    """A data set as indexed: ``truncated`` when the bytes end early, ``stop`` where reading ended."""

    item: Item
    truncated: bool
    stop: int


def parse_data_set(data: bytes, start: int, implicit: bool, limits: Limits = DEFAULT_LIMITS) -> Parsed:
    """Index a little endian data set from ``start`` up to its pixel data or the end.

    Raises :class:`Unusual` for what needs another reader, :class:`UnreadableObject` past the limits.
    """
    parser = _Parser(data, limits)
    item, stop = parser.top_level(start, implicit)
    return Parsed(item, parser.truncated, stop)


def sequence_end(data: bytes, start: int, implicit: bool) -> int:
    """Where a sequence of undefined length, whose items begin at ``start``, ends. Raises as :func:`parse_data_set`."""
    parser = _Parser(data, DEFAULT_LIMITS)
    _, stop = parser.sequence(start, len(data), True, implicit, parser.scope(DEFAULT_CODEC), 0)
    return stop


class ParsedItem(Item):
    """A data set that finds the items of what turns out to be a sequence only by the dictionary."""

    __slots__ = ()

    def _hidden_sequence(self, element: Element) -> list[Item]:
        """The items of such an element; none when they make no sense."""
        parser = _Parser(self._data, DEFAULT_LIMITS)
        vr, start, stop = element
        try:
            items, _ = parser.sequence(start, stop, False, vr is None, parser.scope(self._codec), 0)
        except (Unusual, UnreadableObject):
            return []
        return [] if parser.truncated else items


class _Scope:
    """A stretch of the object under one character set, with the sequences already met in it."""

    __slots__ = ("codec", "items", "sequences")

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.sequences: tuple[dict[bytes, list[Item]], dict[bytes, list[Item]]] = ({}, {})  # explicit, implicit
        self.items: tuple[dict[bytes, Item], dict[bytes, Item]] = ({}, {})


class _Parser:
    """One walk over one object. Containers that outlast the bytes are clamped: all loops then end by themselves."""

    __slots__ = ("_budget", "_data", "_limits", "_scopes", "_size", "truncated")

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._size = len(data)
        self._limits = limits
        self._budget = limits.elements
        self._scopes: dict[Codec, _Scope] = {}
        self.truncated = False

    def top_level(self, start: int, implicit: bool) -> tuple[Item, int]:
        if self._size - start >= 6 and self._looks_explicit(start) == implicit:
            raise Unusual("the encoding is not the one stated")
        return self._data_set(start, self._size, False, implicit, self.scope(DEFAULT_CODEC), 0)

    def scope(self, codec: Codec) -> _Scope:
        if codec not in self._scopes:
            self._scopes[codec] = _Scope(codec)
        return self._scopes[codec]

    def sequence(
        self, pos: int, end: int, delimited: bool, implicit: bool, scope: _Scope, depth: int, content: bool = False
    ) -> tuple[list[Item], int]:
        """Index the items of one sequence; ``delimited``: it ends with a delimiter, otherwise at ``end``.

        ``content``: it is a content sequence, whose items are worth sharing.
        """
        if depth >= self._limits.depth:
            raise UnreadableObject(
                "too-deep", f"The object nests sequences more than {self._limits.depth} deep; no dose report does."
            )
        items: list[Item] = []
        data = self._data
        known = scope.items[implicit]
        while pos < end:
            if end - pos < 8:
                return items, self._cut(end)
            group, number, length = _IMPLICIT_HEADER(data, pos)
            pos += 8
            if group != 0xFFFE:
                raise Unusual("a sequence holds something else than items")
            if number == _ITEM:
                if length == _UNDEFINED:
                    stop = data.find(_ITEM_END_THEN_ITEM, pos, min(end, pos + _SHARED_MAX)) + 8 if content else 7
                    key = data[pos:stop] if stop > 7 else b""
                else:
                    stop = pos + length
                    key = data[pos:stop] if content and length <= _SHARED_MAX and stop <= end else b""
                item = known.get(key)
                if item is not None:
                    pos = stop
                else:
                    item_implicit = implicit or (length != 0 and not self._looks_explicit(pos))
                    if length == _UNDEFINED:
                        item, pos = self._data_set(pos, end, True, item_implicit, scope, depth + 1)
                    else:
                        stop = stop if stop <= end else self._cut(end)
                        item, pos = self._data_set(pos, stop, False, item_implicit, scope, depth + 1)
                    if key and pos == stop and not self.truncated:
                        known[key] = item
                items.append(item)
            elif number == _SEQUENCE_END and delimited:
                return items, pos
            else:
                raise Unusual("a stray delimiter")
        if pos > end:
            raise Unusual("lengths that contradict each other")
        return items, self._cut(end) if delimited else pos

    def _data_set(
        self, pos: int, end: int, delimited: bool, implicit: bool, scope: _Scope, depth: int
    ) -> tuple[Item, int]:
        elements: Elements = {}
        if implicit:
            pos = self._implicit(elements, pos, end, delimited, scope, depth)
        else:
            pos = self._explicit(elements, pos, end, delimited, scope, depth)
        self._budget -= len(elements) + 1
        if self._budget < 0:
            raise self._too_many()
        if _CHARACTER_SET in elements:
            scope = self._own_scope(elements, scope)
        return ParsedItem(self._data, elements, scope.codec), pos

    def _explicit(self, elements: Elements, pos: int, end: int, delimited: bool, scope: _Scope, depth: int) -> int:
        data = self._data
        might_overflow = (end - pos) >> 3 > self._budget
        try:
            while pos < end:
                group, number, vr, length = _EXPLICIT_HEADER(data, pos)
                start = pos + 8
                if vr in SHORT_VRS:
                    pos = start + length
                elif vr == b"SQ" or vr in LONG_VRS:
                    length = _LENGTH(data, start)[0]
                    start += 4
                    if group == _PIXEL_GROUP and depth == 0:
                        return start
                    if vr == b"SQ" or (vr == b"UN" and length == _UNDEFINED):
                        tag = group << 16 | number
                        pos = self._sequence_element(elements, tag, start, length, end, False, scope, depth)
                        continue
                    if length == _UNDEFINED:
                        raise Unusual("a value of undefined length")
                    pos = start + length
                elif group == 0xFFFE and number == _ITEM_END and delimited and start <= end:
                    return start
                else:
                    raise Unusual("an unknown value representation or a stray delimiter")
                if pos > end:
                    return self._cut(end)
                elements[group << 16 | number] = (vr, start, pos)
                if might_overflow and len(elements) > self._budget:
                    raise self._too_many()
        except struct.error:  # a header that the bytes end in
            return self._cut(end)
        return self._cut(end) if delimited else pos

    def _implicit(self, elements: Elements, pos: int, end: int, delimited: bool, scope: _Scope, depth: int) -> int:
        data = self._data
        might_overflow = (end - pos) >> 3 > self._budget
        sequences = sequence_tags()
        try:
            while pos < end:
                group, number, length = _IMPLICIT_HEADER(data, pos)
                start = pos + 8
                tag = group << 16 | number
                if length == _UNDEFINED or tag in sequences:
                    if group == _PIXEL_GROUP and depth == 0:
                        return start
                    pos = self._sequence_element(elements, tag, start, length, end, True, scope, depth)
                    continue
                if group == 0xFFFE:
                    if number == _ITEM_END and delimited and start <= end:
                        return start
                    raise Unusual("a stray delimiter")
                if group == _PIXEL_GROUP and depth == 0:
                    return start
                pos = start + length
                if pos > end:
                    return self._cut(end)
                elements[tag] = (None, start, pos)
                if might_overflow and len(elements) > self._budget:
                    raise self._too_many()
        except struct.error:  # a header that the bytes end in
            return self._cut(end)
        return self._cut(end) if delimited else pos

    def _sequence_element(
        self, elements: Elements, tag: int, start: int, length: int, end: int, implicit: bool, scope: _Scope, depth: int
    ) -> int:
        """Index a sequence under ``tag``, or find that the same bytes were indexed before; the position after it."""
        data = self._data
        if _CHARACTER_SET in elements:
            scope = self._own_scope(elements, scope)
        if tag == _CONTENT:
            if length != _UNDEFINED and start + length > end:
                length = self._cut(end) - start
            stop = end if length == _UNDEFINED else start + length
            elements[tag], pos = self.sequence(start, stop, length == _UNDEFINED, implicit, scope, depth, content=True)
            return pos
        if length == _UNDEFINED:
            # The nearest delimiter may belong to an inner sequence: the bytes up to it are then never remembered.
            stop = data.find(_SEQUENCE_END_BYTES, start, min(end, start + _SHARED_MAX)) + 8
            key = data[start:stop] if stop > 7 else b""
        else:
            stop = start + length
            key = data[start:stop] if length <= _SHARED_MAX and stop <= end else b""
        known = scope.sequences[implicit]
        items = known.get(key)
        if items is not None:
            elements[tag] = items
            return stop
        if length == _UNDEFINED:
            items, pos = self.sequence(start, end, True, implicit, scope, depth)
        else:
            items, pos = self.sequence(start, stop if stop <= end else self._cut(end), False, implicit, scope, depth)
        elements[tag] = items
        if key and pos == stop and not self.truncated:
            known[key] = items
        return pos

    def _own_scope(self, elements: Elements, outer: _Scope) -> _Scope:
        stated = elements[_CHARACTER_SET]
        if isinstance(stated, list):
            raise Unusual("a character set that is a sequence")
        codec = codec_of(self._data[stated[1] : stated[2]])
        if codec is None:
            raise Unusual("an unknown character set")
        return outer if codec == outer.codec else self.scope(codec)

    def _looks_explicit(self, pos: int) -> bool:
        vr = self._data[pos + 4 : pos + 6]
        return len(vr) == 2 and 0x41 <= vr[0] <= 0x5A and 0x41 <= vr[1] <= 0x5A

    def _cut(self, end: int) -> int:
        """Something does not fit before ``end``: the object is cut off there, or its lengths contradict each other."""
        if end < self._size:
            raise Unusual("lengths that contradict each other")
        self.truncated = True
        return end

    def _too_many(self) -> UnreadableObject:
        return UnreadableObject(
            "too-many-items",
            f"The object holds more than {self._limits.elements} data elements; the limit is a setting.",
        )
