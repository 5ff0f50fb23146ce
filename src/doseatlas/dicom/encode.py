"""How is an element written in Explicit VR Little Endian? (DICOM PS3.5 section 7.1.2)

Every form that is not plain little endian DICOM (JSON, XML, what pydicom had to read) is first rewritten like this,
text as UTF-8, and then read like any other object: there is one reader, one set of limits, one de-identification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from doseatlas.dicom.item import NUMBER_FORMATS
from doseatlas.dicom.parse import LONG_VRS, SHORT_VRS

_SHORT_HEADER = struct.Struct("<HH2sH").pack
_LONG_HEADER = struct.Struct("<HH2sHI").pack
_ITEM_HEADER = struct.Struct("<HHI").pack

UTF8 = b"ISO_IR 192"
CHARACTER_SET = 0x00080005


def encode_element(tag: int, vr: bytes, value: bytes) -> bytes:
    """One element. A value too long for its VR's length field becomes UT (text) or UN, as PS3.5 6.2.2 has it."""
    if len(value) % 2:
        value += b" " if vr in SHORT_VRS and vr != b"UI" and vr not in NUMBER_FORMATS else b"\0"
    if vr not in SHORT_VRS and vr not in LONG_VRS and vr != b"SQ":
        vr = b"UN"
    if vr in SHORT_VRS and len(value) > 0xFFFE:
        vr = b"UN" if vr in NUMBER_FORMATS else b"UT"
    if vr in SHORT_VRS:
        return _SHORT_HEADER(tag >> 16, tag & 0xFFFF, vr, len(value)) + value
    return _LONG_HEADER(tag >> 16, tag & 0xFFFF, vr, 0, len(value)) + value


def encode_sequence(tag: int, data_sets: Iterable[bytes]) -> bytes:
    """A sequence of encoded data sets, lengths defined."""
    body = b"".join(_ITEM_HEADER(0xFFFE, 0xE000, len(data_set)) + data_set for data_set in data_sets)
    return _LONG_HEADER(tag >> 16, tag & 0xFFFF, b"SQ", 0, len(body)) + body


def encode_data_set(elements: dict[int, bytes]) -> bytes:
    """Encoded elements in the order of their tags, stated to be UTF-8."""
    elements[CHARACTER_SET] = encode_element(CHARACTER_SET, b"CS", UTF8)
    return b"".join(elements[tag] for tag in sorted(elements))


def encode_values(tag: int, vr: bytes, values: Iterable[str]) -> bytes:
    """An element from its values as text: packed for binary VRs, joined for the others.

    Raises ``ValueError`` when a binary VR's value is not a number that fits it.
    """
    known = NUMBER_FORMATS.get(vr)
    if known is None:
        return encode_element(tag, vr, "\\".join(values).encode())
    code, _ = known
    numbers = [float(value) if code in "fd" else int(value) for value in values if value]
    try:
        return encode_element(tag, vr, struct.pack(f"<{len(numbers)}{code}", *numbers))
    except (struct.error, OverflowError) as error:
        raise ValueError(f"a value that does not fit {vr.decode()}") from error
