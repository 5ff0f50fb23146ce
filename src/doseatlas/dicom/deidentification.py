"""What of an object may be archived? The same object without the identity of the patient and of staff.

The attributes are those of the Basic Application Confidentiality Profile (DICOM PS3.15 annex E) that identify people;
dates, UIDs, equipment and institution stay, because dose monitoring is about them (``tables/deidentify.csv`` lists
each attribute, what is done and why). Of private attributes the numeric ones and the private creators stay; private
text and values of unknown representation go, since nobody can say what they hold. Person names are emptied wherever
they are. Where the patient's name, identifiers or birth date, or a name of staff, stand inside another text, they are
blanked there; a UID stays as it is even if its maker put an identifier into it. Patient's Age is stated where it
follows from a birth date that is taken away. Pixel data is dropped.

The result is a DICOM file in little endian. Most objects take a path that copies bytes; what is not plainly encoded,
or has identity in unexpected places, is written anew from its elements.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from doseatlas.dicom.charset import DEFAULT_CODEC, codec_of
from doseatlas.dicom.deidentified import Pseudonyms, Writer, actions, dicom_file, secrets_of
from doseatlas.dicom.header import identity_of
from doseatlas.dicom.item import Item
from doseatlas.dicom.limits import DEFAULT_LIMITS, Limits
from doseatlas.dicom.open import EXPLICIT_LITTLE, IMPLICIT_LITTLE, meta_information, open_plain
from doseatlas.dicom.parse import LONG_VRS, SHORT_VRS, ParsedItem, Unusual, parse_data_set, sequence_end
from doseatlas.model import Identity, UnreadableObject

_CONTENT = 0x0040A730
_CHARACTER_SET = 0x00080005
_PERSON_NAME = 0x0040A123
_SEQUENCE_END_BYTES = b"\xfe\xff\xdd\xe0\0\0\0\0"
_UNDEFINED = 0xFFFFFFFF


class Deidentified(NamedTuple):
    """The archive form of an object, whose it was, and ``whole``: it was plainly encoded up to its end."""

    data: bytes
    identity: Identity
    whole: bool


def deidentify(
    data: bytes, *, pseudonymise: Callable[[Identity], Pseudonyms], limits: Limits = DEFAULT_LIMITS
) -> Deidentified:
    """The archive form of an object: see the module. ``pseudonymise`` is asked what stands for whom.

    Raises :class:`UnreadableObject` as :func:`doseatlas.dicom.open.open_object` does.
    """
    try:
        result = _copy(data, pseudonymise, limits)
        if result is not None:
            return result
        plain = open_plain(data, limits)
        item = plain.parsed.item
        identity = identity_of(item)
        writer = Writer(plain.implicit, secrets_of(item), pseudonymise(identity))
        written = dicom_file(item, plain.implicit, writer.data_set(item, top=True))
        return Deidentified(written, identity, plain.read_by == "own" and not plain.parsed.truncated)
    except RecursionError:
        raise UnreadableObject("too-deep", "The object nests sequences too deeply; no dose report does.") from None


class _Element(NamedTuple):
    tag: int
    vr: bytes
    header: int
    value: int
    stop: int


def _copy(data: bytes, pseudonymise: Callable[[Identity], Pseudonyms], limits: Limits) -> Deidentified | None:
    """The result by copying what is kept; ``None`` when the object needs to be written anew."""
    if data[128:132] != b"DICM" or len(data) > limits.header_bytes:
        return None
    try:
        syntax, start = meta_information(data, 132)
        if syntax not in (IMPLICIT_LITTLE, EXPLICIT_LITTLE):
            return None
        implicit = syntax == IMPLICIT_LITTLE
        elements = _top_level(data, start, implicit)
    except (struct.error, Unusual):
        return None
    if elements is None:
        return None
    stated: dict[int, tuple[bytes | None, int, int] | list[Item]] = {
        e.tag: (None if implicit else e.vr, e.value, e.stop) for e in elements if e.vr != b"SQ"
    }
    codec = codec_of(ParsedItem(data, stated).raw(_CHARACTER_SET)) if _CHARACTER_SET in stated else DEFAULT_CODEC
    if codec is None:
        return None
    top = ParsedItem(data, stated, codec)
    secrets, identity = secrets_of(top), identity_of(top)
    writer = Writer(implicit, secrets, pseudonymise(identity))
    parts: dict[int, bytes] = {}
    for element in elements:
        if element.tag >> 16 & 1 or element.tag in writer.actions or element.vr in (b"PN", b"UN"):
            if element.vr == b"SQ" and writer.actions.get(element.tag) != "remove":
                return None
            if element.vr != b"SQ":
                writer.add(parts, top, element.tag)
        else:
            parts[element.tag] = data[element.header : element.stop]
            if element.tag == _CONTENT:
                parts[element.tag] = _without_names(parts[element.tag], implicit)
            if element.vr == b"SQ" and (
                _identifying().search(data, element.value, element.stop)
                or _may_hold_unknown(data, element.value, element.stop, implicit)
            ):
                rewritten = _rewritten_sequence(parts[element.tag], implicit, writer)
                if rewritten is None:
                    return None
                parts[element.tag] = rewritten
    writer.add_statements(parts, top)
    body = b"".join(parts[tag] for tag in sorted(parts))
    if any(secret in body for secret in secrets):
        return None
    return Deidentified(dicom_file(top, implicit, body), identity, whole=True)


def _top_level(data: bytes, pos: int, implicit: bool) -> list[_Element] | None:
    """The top-level elements up to the pixel data, sequences unopened; ``None`` when they are not plainly encoded."""
    from doseatlas.dicom.dictionary import public_vr

    size = len(data)
    elements: list[_Element] = []
    while pos < size:
        header = pos
        if implicit:
            group, number, length = struct.unpack_from("<HHI", data, pos)
            vr = public_vr(group << 16 | number)
            pos += 8
        else:
            group, number, vr, length = struct.unpack_from("<HH2sH", data, pos)
            pos += 8
            if vr == b"SQ" or vr in LONG_VRS:
                length = struct.unpack_from("<I", data, pos)[0]
                pos += 4
            elif vr not in SHORT_VRS:
                return None
        if group == 0x7FE0:
            return elements
        tag = group << 16 | number
        if tag == _CHARACTER_SET and b"\\" in data[pos : pos + length]:
            return None
        value = pos
        if length == _UNDEFINED and tag != _CONTENT:
            vr, pos = b"SQ", sequence_end(data, value, implicit)
        elif length == _UNDEFINED:
            # All that was open is closed by the last delimiter of the object, if what follows it is plain.
            pos = data.rfind(_SEQUENCE_END_BYTES, value) + 8
            if pos < 8 or not _ends_plainly(data, pos, implicit):
                return None
            vr = b"SQ"
        else:
            pos += length
        if pos > size or (elements and tag <= elements[-1].tag):
            return None
        elements.append(_Element(tag, vr, header, value, pos))
    return elements


def _ends_plainly(data: bytes, pos: int, implicit: bool) -> bool:
    """Whether nothing but elements after the content sequence follows, up to the very end."""
    rest = _top_level(data, pos, implicit)
    return rest is not None and all(e.tag > _CONTENT and e.vr != b"SQ" for e in rest)


def _without_names(content: bytes, implicit: bool) -> bytes:
    """An encoded content sequence with the values of its PNAME content items blanked; no length changes."""
    header = b"\x40\x00\x23\xa1" if implicit else b"\x40\x00\x23\xa1PN"
    pos = content.find(header)
    if pos < 0:
        return content
    blanked = bytearray(content)
    while pos >= 0:
        start = pos + 8
        length = struct.unpack_from("<I" if implicit else "<H", content, pos + len(header))[0]
        if start + length <= len(content):
            blanked[start : start + length] = b" " * length
        pos = content.find(header, pos + 1)
    return bytes(blanked)


@lru_cache(maxsize=1)
def _identifying() -> re.Pattern[bytes]:
    """Finds what may be an identifying attribute inside a sequence; what it finds may be chance."""
    by_group: dict[bytes, list[bytes]] = {}
    for tag in actions().keys() - {_PERSON_NAME}:
        by_group.setdefault((tag >> 16).to_bytes(2, "little"), []).append((tag & 0xFFFF).to_bytes(2, "little"))
    header = rb"(?=[A-Z][A-Z]|..\x00\x00)"  # explicit objects may hold implicit items
    known = [
        re.escape(group) + b"(?:" + b"|".join(map(re.escape, numbers)) + b")" + header
        for group, numbers in by_group.items()
    ]
    return re.compile(b"|".join(known), re.DOTALL)


_IMPLICIT_CREATOR = re.compile(rb"[\x10-\xff]\x00[\x01-\x40]\x00\x00\x00")


def _may_hold_unknown(data: bytes, start: int, stop: int, implicit: bool) -> bool:
    """Whether there may be a private creator, (odd group, 0010 to 00FF), or a value of VR UN inside a sequence."""
    if implicit:
        return any(data[m.start() - 2] & 1 for m in _IMPLICIT_CREATOR.finditer(data, start, stop))
    if data.find(b"UN\0\0", start, stop) >= 0:
        return True
    pos = data.find(b"\0LO", start, stop)
    while pos >= 0:
        if data[pos - 3] & 1 and data[pos - 1] >= 0x10:
            return True
        pos = data.find(b"\0LO", pos + 1, stop)
    return False


def _rewritten_sequence(encoded: bytes, implicit: bool, writer: Writer) -> bytes | None:
    try:
        item, truncated, _ = parse_data_set(encoded, 0, implicit)
    except Unusual:
        return None
    return None if truncated else writer.data_set(item, top=False)
