"""What object are these bytes, and what does it hold? Finds out the form, bounds it, and has it read.

Forms: DICOM files (PS3.10) with or without preamble and meta information, plain, deflated or gzip-wrapped; JSON
(PS3.18 annex F, or a dump by keyword); XML (PS3.19 annex A.1). Pixel data is never read.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

from doseatlas.dicom.content import ContentItem, content_tree
from doseatlas.dicom.item import Item
from doseatlas.dicom.limits import DEFAULT_LIMITS, Limits
from doseatlas.dicom.parse import LONG_VRS, SHORT_VRS, Parsed, Unusual, parse_data_set
from doseatlas.model.errors import UnreadableObject

ReadBy = Literal["own", "pydicom", "json", "xml"]

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
_EXPLICIT_BIG = "1.2.840.10008.1.2.2"
_DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
_BLANK = b"\0 \r\n\t"
_SOP_CLASS = 0x00080016


@dataclass(frozen=True, slots=True)
class DicomObject:
    """An object as read. ``content`` is set for structured reports; ``truncated``: the bytes end before the object."""

    item: Item
    content: ContentItem | None
    sop_class_uid: str | None
    transfer_syntax: str | None
    read_by: ReadBy
    truncated: bool


class Plain(NamedTuple):
    """A little endian data set inside some bytes, indexed: where it starts and how it is encoded."""

    data: bytes
    start: int
    implicit: bool
    transfer_syntax: str | None
    read_by: ReadBy
    parsed: Parsed


def open_object(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> DicomObject:
    """Read one object up to its pixel data.

    Raises :class:`UnreadableObject`; its codes are ``empty``, ``not-dicom``, ``damaged``, ``too-large``, ``too-deep``,
    ``too-many-items`` and ``several-objects``.
    """
    plain = open_plain(data, limits)
    item, truncated, _ = plain.parsed
    return DicomObject(
        item=item,
        content=content_tree(item),
        sop_class_uid=item.text(_SOP_CLASS),
        transfer_syntax=plain.transfer_syntax,
        read_by=plain.read_by,
        truncated=truncated,
    )


def open_plain(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Plain:
    """The object as a little endian data set, whatever form it came in. Raises as :func:`open_object` does."""
    if data[:2] == b"\x1f\x8b":
        data = inflate(data, limits, zlib.MAX_WBITS | 16)
    if not data[:4096].strip(_BLANK) and not data.strip(_BLANK):
        raise UnreadableObject("empty", "The file is empty.")
    try:
        return _open_form(data, limits)
    except RecursionError:
        raise UnreadableObject("too-deep", "The object nests sequences too deeply; no dose report does.") from None


def _open_form(data: bytes, limits: Limits) -> Plain:
    if data[128:132] == b"DICM":
        return _open_file(data, 132, limits)
    if data[:4] == b"DICM":
        return _open_file(data, 4, limits)
    if data[:4] == b"\x02\0\0\0" or data[:2] == b"\x02\0":
        return _open_file(data, 0, limits)
    head = data[:64].lstrip(b"\xef\xbb\xbf \r\n\t")[:1]
    if head in (b"{", b"["):
        from doseatlas.dicom.parse_json import rewrite_json

        return _rewritten(rewrite_json(data, limits), "json", None, limits)
    if head == b"<" or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        from doseatlas.dicom.parse_xml import rewrite_xml

        return _rewritten(rewrite_xml(data, limits), "xml", None, limits)
    if not _starts_like_a_data_set(data):
        raise UnreadableObject("not-dicom", "The file is not DICOM: it has neither the DICM mark nor a data set.")
    return _open_data_set(data, 0, None, limits)


def _open_file(data: bytes, start: int, limits: Limits) -> Plain:
    """A Part 10 file whose meta information starts at ``start``."""
    try:
        syntax, start = meta_information(data, start)
    except (struct.error, Unusual):
        return _open_unusual(data, limits)
    if start >= len(data):
        raise UnreadableObject("empty", "The file is a DICOM file without anything in it: it ends after its header.")
    if syntax == _EXPLICIT_BIG:
        return _open_unusual(data, limits)
    if syntax in _DEFLATED:
        data, start = inflate(data[start:], limits, -zlib.MAX_WBITS), 0
    return _open_data_set(data, start, syntax, limits)


def meta_information(data: bytes, pos: int) -> tuple[str | None, int]:
    """The transfer syntax and the start of the data set; group 0002 is explicit VR little endian (PS3.10 7.1)."""
    syntax = None
    while data[pos : pos + 2] == b"\x02\0":
        _, number, vr, length = struct.unpack_from("<HH2sH", data, pos)
        pos += 8
        if vr in LONG_VRS:
            length = struct.unpack_from("<I", data, pos)[0]
            pos += 4
        elif vr not in SHORT_VRS:
            raise Unusual("meta information in another encoding")
        if pos + length > len(data):
            raise Unusual("meta information that is cut off")
        if number == 0x0010:
            syntax = data[pos : pos + length].decode("latin-1").strip(" \0")
        pos += length
    return syntax, pos


def _open_data_set(data: bytes, start: int, syntax: str | None, limits: Limits) -> Plain:
    implicit = syntax == IMPLICIT_LITTLE
    if syntax is None or not syntax.startswith(IMPLICIT_LITTLE):
        implicit = data[start + 4 : start + 6] not in SHORT_VRS | LONG_VRS | {b"SQ"}
    try:
        parsed = parse_data_set(data, start, implicit, limits)
    except Unusual:
        return _open_unusual(data, limits, syntax)
    if parsed.stop > limits.header_bytes:
        raise too_large(limits)
    return Plain(data, start, implicit, syntax, "own", parsed)


def _open_unusual(data: bytes, limits: Limits, syntax: str | None = None) -> Plain:
    from doseatlas.dicom.parse_unusual import rewrite_unusual

    encoded, found, truncated = rewrite_unusual(data, limits)
    return _rewritten(encoded, "pydicom", found or syntax, limits, truncated)


def _rewritten(encoded: bytes, read_by: ReadBy, syntax: str | None, limits: Limits, truncated: bool = False) -> Plain:
    try:
        item, cut, stop = parse_data_set(encoded, 0, False, limits)
    except Unusual as error:
        raise UnreadableObject("damaged", f"The object contradicts itself: {error}.") from None
    return Plain(encoded, 0, False, syntax, read_by, Parsed(item, truncated or cut, stop))


def header_is_complete(data: bytes, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Whether the beginning of a file already holds all of its header: the pixel data begins before it ends."""
    if data[128:132] != b"DICM":
        return False
    try:
        syntax, start = meta_information(data, 132)
        if syntax in _DEFLATED or syntax == _EXPLICIT_BIG:
            return False
        _, truncated, stop = parse_data_set(data, start, syntax == IMPLICIT_LITTLE, limits)
        return stop < len(data) and not truncated
    except (struct.error, Unusual, UnreadableObject):
        return False


def _starts_like_a_data_set(data: bytes) -> bool:
    """Whether bytes without a DICM mark may be a bare data set: group 0008 first, in either byte order."""
    if len(data) < 8 or data[:2] not in (b"\x08\0", b"\0\x08", b"\0\0"):
        return False
    if data[4:6] in SHORT_VRS | LONG_VRS | {b"SQ"}:
        return True
    length: int = struct.unpack_from("<I", data, 4)[0]
    return data[:2] == b"\x08\0" and length <= len(data)


def inflate(data: bytes, limits: Limits, window_bits: int) -> bytes:
    """Decompress at most ``limits.header_bytes``; raises :class:`UnreadableObject` for more, or for damage."""
    decompressor = zlib.decompressobj(window_bits)
    try:
        inflated = decompressor.decompress(data, limits.header_bytes + 1)
    except zlib.error as error:
        raise UnreadableObject("damaged", f"The compressed object is damaged ({error}).") from None
    if len(inflated) > limits.header_bytes:
        raise too_large(limits)
    return inflated


def too_large(limits: Limits) -> UnreadableObject:
    """The refusal of an object whose header exceeds the limit."""
    return UnreadableObject(
        "too-large", f"The object without pixel data is larger than {limits.header_bytes >> 20} MiB, the limit set."
    )
