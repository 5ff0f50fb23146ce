"""How is a message answered? By an acknowledgment in the original mode (HL7 v2 chapter 2.9.2)."""

from __future__ import annotations

import datetime as dt

from doseatlas.context.message import Header, Rejected

_ERR_WITH_TEXT = "2.5"  # the version from which ERR has fields for code, severity and text
_NAMES = {
    100: "Segment sequence error",
    101: "Required field missing",
    102: "Data type error",
    103: "Table value not found",
    200: "Unsupported message type",
    201: "Unsupported event code",
    202: "Unsupported processing ID",
    203: "Unsupported version ID",
    207: "Application internal error",
}  # HL7 table 0357


def accepted(header: Header, now: dt.datetime) -> bytes:
    """Return the answer to a message that is in the store."""
    return _encoded(_msh(header, now), f"MSA|AA|{_plain(header.control_id)}")


def refused(error: Rejected, now: dt.datetime) -> bytes:
    """Return the answer to a message that is not taken."""
    header = error.header
    text = _escaped(str(error))
    msa = f"MSA|{error.acknowledgment}|{_plain(header.control_id)}"
    if header.version < _ERR_WITH_TEXT:
        return _encoded(_msh(header, now), f"{msa}|{text}")
    code = f"{error.condition}^{_NAMES[error.condition]}^HL70357"
    return _encoded(_msh(header, now), msa, f"ERR||{error.location}|{code}|E||||{text}")


def _msh(header: Header, now: dt.datetime) -> str:
    to = f"{_plain(header.sender)}|{_plain(header.sender_facility)}"
    kind = f"ACK^{_plain(header.event)}" if header.event else "ACK"
    control = f"{now:%Y%m%d%H%M%S%f}"
    return f"MSH|^~\\&|DOSEATLAS||{to}|{now:%Y%m%d%H%M%S}||{kind}|{control}|P|{_plain(header.version)}"


def _plain(text: str) -> str:
    """Return what a sender said of itself as far as it can be repeated between our separators."""
    return "".join(c for c in text[:180] if c.isascii() and c.isprintable() and c not in "|~\\&")


def _escaped(text: str) -> str:
    for character, escape in (("\\", "\\E\\"), ("|", "\\F\\"), ("^", "\\S\\"), ("~", "\\R\\"), ("&", "\\T\\")):
        text = text.replace(character, escape)
    return text


def _encoded(*segments: str) -> bytes:
    return ("\r".join(segments) + "\r").encode("ascii", "replace")
