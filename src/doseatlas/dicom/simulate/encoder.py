"""How do elements and content items become bytes? A small DICOM encoder, made to write many reports quickly.

Explicit and implicit VR little endian, sequences with and without lengths (PS3.5 section 7). It writes what it is told
and checks nothing; that what it writes is valid is shown by tests with other readers and a validator.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from doseatlas.dicom.simulate.tables import Concept, concepts

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
_LONG_VR = frozenset({"OB", "OW", "SQ", "UC", "UN", "UR", "UT"})
_CODECS = {"ISO_IR 100": "latin-1", "ISO_IR 192": "utf-8"}
_UNDEFINED = 0xFFFFFFFF
_ITEM_END = b"\xfe\xff\x0d\xe0\x00\x00\x00\x00"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
_TAG = Struct("<HH")
_U16 = Struct("<H").pack
_U32 = Struct("<I").pack
_ITEM = b"\xfe\xff\x00\xe0"

# Meanings of unit codes (UCUM, PS3.16 CID 82) and of makers' spellings of them.
UNIT_MEANINGS = {
    "{events}": "events",
    "{X-Ray sources}": "X-Ray sources",
    "{ratio}": "ratio",
    "{pulse}/s": "pulse/s",
    "1": "no units",
    "%": "percent",
}


def decimal_string(value: float) -> str:
    """A number as a Decimal String: the shortest exact form, within the 16 characters that DS allows (PS3.5 6.2)."""
    text = repr(value)
    if text.endswith(".0"):
        text = text[:-2]
    return text if len(text) <= 16 else f"{value:.9g}"


class Encoder:
    """Writes elements, sequences and SR content items in one maker's way.

    Keys of concepts are those of ``tables/concepts.csv``. What repeats (the names of content items, units, coded
    values) is encoded once and kept.
    """

    def __init__(self, *, implicit: bool, undefined: bool, charset: str, old_codes: bool, french: bool) -> None:
        self.implicit = implicit
        self.undefined = undefined
        self.charset = charset
        self._codec = _CODECS[charset]
        self._old_codes = old_codes
        self._french = french
        self._heads: dict[tuple[str, str, str], bytes] = {}
        self._codes: dict[tuple[str, str, str], bytes] = {}
        self._units: dict[str, bytes] = {}
        self._value = self.header(0x0040A30A, "DS")
        self._measured = self.header(0x0040A300, "SQ")
        self._children = self.header(0x0040A730, "SQ")

    def header(self, tag: int, vr: str) -> bytes:
        """Tag and VR of an element, up to where its length stands."""
        start = _TAG.pack(tag >> 16, tag & 0xFFFF)
        if self.implicit:
            return start
        return start + vr.encode() + (b"\0\0" if vr in _LONG_VR else b"")

    def element(self, tag: int, vr: str, value: str | bytes) -> bytes:
        """One element; text is encoded in the character set and padded to an even length."""
        data = value.encode(self._codec) if isinstance(value, str) else value
        if len(data) & 1:
            data += b"\0" if vr in ("UI", "OB") else b" "
        pack = _U32 if self.implicit or vr in _LONG_VR else _U16
        return self.header(tag, vr) + pack(len(data)) + data

    def item(self, body: bytes) -> bytes:
        """One sequence item."""
        if self.undefined:
            return _ITEM + _U32(_UNDEFINED) + body + _ITEM_END
        return _ITEM + _U32(len(body)) + body

    def sequence(self, tag: int, *bodies: bytes) -> bytes:
        """A sequence of items with these bodies; none makes an empty sequence."""
        return self._sequence(self.header(tag, "SQ"), b"".join(map(self.item, bodies)))

    def _sequence(self, head: bytes, items: bytes) -> bytes:
        if self.undefined and items:
            return head + _U32(_UNDEFINED) + items + _SEQUENCE_END
        return head + _U32(len(items)) + items

    def coded(self, concept: Concept) -> tuple[str, str, str]:
        """Value, scheme and meaning of a concept in this maker's codes and language."""
        value, scheme = (concept.old_value, concept.old_scheme) if self._old_codes else (concept.value, concept.scheme)
        return value, scheme, concept.meaning_fr if self._french else concept.meaning

    def code_sequence(self, tag: int, value: str, scheme: str, meaning: str) -> bytes:
        """A code sequence of one item (PS3.3 section 8.8)."""
        body = self.element(0x00080100, "SH", value) + self.element(0x00080102, "SH", scheme)
        return self.sequence(tag, body + self.element(0x00080104, "LO", meaning))

    def _head(self, relationship: str, value_type: str, key: str) -> bytes:
        """Relationship, value type and concept name of a content item."""
        known = self._heads.get((relationship, value_type, key))
        if known is None:
            known = self.element(0x0040A010, "CS", relationship) if relationship else b""
            known += self.element(0x0040A040, "CS", value_type)
            known += self.code_sequence(0x0040A043, *self.coded(concepts()[key]))
            self._heads[relationship, value_type, key] = known
        return known

    def _content(self, children: Sequence[bytes]) -> bytes:
        return self._sequence(self._children, b"".join(children)) if children else b""

    def num(
        self, key: str, value: float, unit: str, children: Sequence[bytes] = (), relationship: str = "CONTAINS"
    ) -> bytes:
        """A NUM content item."""
        units = self._units.get(unit)
        if units is None:
            scheme, meaning = "UCUM", UNIT_MEANINGS.get(unit, unit)
            units = self._units[unit] = self.code_sequence(0x004008EA, unit, scheme, meaning)
        text = decimal_string(value).encode()
        if len(text) & 1:
            text += b" "
        length = _U32(len(text)) if self.implicit else _U16(len(text))
        measured = self.item(units + self._value + length + text)
        body = self._head(relationship, "NUM", key) + self._sequence(self._measured, measured)
        return self.item(body + self._content(children) if children else body)

    def code(self, key: str, value: str, children: Sequence[bytes] = (), relationship: str = "CONTAINS") -> bytes:
        """A CODE content item; ``value`` is the key of the concept that it holds."""
        known = self._codes.get((relationship, key, value))
        if known is None:
            known = self._head(relationship, "CODE", key)
            known += self.code_sequence(0x0040A168, *self.coded(concepts()[value]))
            self._codes[relationship, key, value] = known
        return self.item(known + self._content(children) if children else known)

    def text(self, key: str, value: str, relationship: str = "CONTAINS") -> bytes:
        """A TEXT content item."""
        return self.item(self._head(relationship, "TEXT", key) + self.element(0x0040A160, "UT", value))

    def uid(self, key: str, value: str, relationship: str = "CONTAINS") -> bytes:
        """A UIDREF content item."""
        return self.item(self._head(relationship, "UIDREF", key) + self.element(0x0040A124, "UI", value))

    def datetime(self, key: str, value: str, relationship: str = "CONTAINS") -> bytes:
        """A DATETIME content item; ``value`` in DICOM's form."""
        return self.item(self._head(relationship, "DATETIME", key) + self.element(0x0040A120, "DT", value))

    def composite(self, key: str, sop_class_uid: str, sop_instance_uid: str, relationship: str = "CONTAINS") -> bytes:
        """A COMPOSITE content item: the object that it refers to."""
        referenced = self.element(0x00081150, "UI", sop_class_uid) + self.element(0x00081155, "UI", sop_instance_uid)
        return self.item(self.sequence(0x00081199, referenced) + self._head(relationship, "COMPOSITE", key))

    def container(
        self, key: str, children: Sequence[bytes], template: str = "", relationship: str = "CONTAINS"
    ) -> bytes:
        """A CONTAINER content item; ``template`` is its TID."""
        return self.item(self.container_body(key, children, template, relationship))

    def container_body(
        self, key: str, children: Sequence[bytes], template: str = "", relationship: str = "", document: bytes = b""
    ) -> bytes:
        """The elements of a container. At the root they stand in the data set itself.

        ``document`` are the elements of the SR document module, whose tags lie between those of the root container.
        """
        body = self._head(relationship, "CONTAINER", key) + self.element(0x0040A050, "CS", "SEPARATE") + document
        if template:
            identified = self.element(0x00080105, "CS", "DCMR") + self.element(0x0040DB00, "CS", template)
            body += self.sequence(0x0040A504, identified)
        return body + self._content(children)

    def part10(self, sop_class_uid: str, sop_instance_uid: str, data_set: bytes) -> bytes:
        """Preamble, file meta information and data set (PS3.10 section 7)."""
        meta = _META.element(0x00020001, "OB", b"\0\1") + _META.element(0x00020002, "UI", sop_class_uid)
        meta += _META.element(0x00020003, "UI", sop_instance_uid)
        meta += _META.element(0x00020010, "UI", IMPLICIT if self.implicit else EXPLICIT)
        meta += _META.element(0x00020012, "UI", "2.25.190302941839186233706416208530346519114")
        meta += _META.element(0x00020013, "SH", "DOSEATLAS_SIM")
        return bytes(128) + b"DICM" + _META.element(0x00020000, "UL", _U32(len(meta))) + meta + data_set


_META = Encoder(implicit=False, undefined=False, charset="ISO_IR 100", old_codes=False, french=False)
