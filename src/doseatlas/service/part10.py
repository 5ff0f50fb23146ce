"""How does a data set received become a file, and which object is in a file? Its header (PS3.10 section 7.1).

The header says nothing about the sender, so that an object sent twice is the same bytes twice.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from doseatlas.dicom import IMPLEMENTATION_CLASS_UID

HEAD_BYTES = 256 * 1024  # of an object, in which its UIDs stand
_SOP_CLASS, _SOP_INSTANCE, _STUDY = 0x00080016, 0x00080018, 0x0020000D
IMPLEMENTATION = (IMPLEMENTATION_CLASS_UID, "DOSEATLAS")


class Names(NamedTuple):
    """The UIDs of an object; empty: not stated."""

    sop_class: str
    sop_instance: str
    study: str


def names_in(head: bytes) -> Names:
    """Return the UIDs that the beginning of a DICOM file states.

    Raises:
        UnreadableObject: it is no beginning of a DICOM file.

    """
    from doseatlas.dicom import open_plain

    item = open_plain(head).parsed.item
    return Names(item.text(_SOP_CLASS) or "", item.text(_SOP_INSTANCE) or "", item.text(_STUDY) or "")


def file_header(sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str) -> bytes:
    """Encode preamble, prefix and meta information of an object; its data set follows as received."""
    class_uid, version_name = IMPLEMENTATION
    elements = struct.pack("<HH2sHI", 2, 1, b"OB", 0, 2) + b"\0\1"
    for number, vr, text in (
        (0x02, b"UI", sop_class_uid),
        (0x03, b"UI", sop_instance_uid),
        (0x10, b"UI", transfer_syntax),
        (0x12, b"UI", class_uid),
        (0x13, b"SH", version_name),
    ):
        value = text.encode("ascii")
        value += b"" if len(value) % 2 == 0 else b"\0" if vr == b"UI" else b" "
        elements += struct.pack("<HH2sH", 2, number, vr, len(value)) + value
    return bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(elements)) + elements
