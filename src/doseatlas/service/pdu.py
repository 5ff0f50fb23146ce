"""What do the bytes of the DICOM upper layer say? Its protocol data units (PS3.8 section 9.3), decoded and encoded.

Pure functions over bytes: no sockets, no clocks. Everything a peer can send is bounded here or refused with
:class:`ProtocolError`. Why this is not pynetdicom's: ``docs/decisions/010-own-upper-layer.md``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
HEADER = struct.Struct(">BxI")
"""Type and length of a PDU; the length counts what follows."""

MAX_ASSOCIATE_BYTES = 512 * 1024
"""128 presentation contexts with dozens of transfer syntaxes each take less than half of this."""

APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
RELEASE_REPLY = struct.pack(">BxI4x", RELEASE_RP, 4)

_ITEM = struct.Struct(">BxH")
_PDV = struct.Struct(">IBB")
_APPLICATION, _CONTEXT_RQ, _CONTEXT_AC, _ABSTRACT, _SYNTAX, _USER = 0x10, 0x20, 0x21, 0x30, 0x40, 0x50
_MAX_LENGTH, _CLASS_UID, _ROLE, _VERSION_NAME = 0x51, 0x52, 0x54, 0x55


class ProtocolError(Exception):
    """What the peer sent is no valid PDU; ``reason`` is the one of A-ABORT (PS3.8 table 9-26)."""

    def __init__(self, message: str, reason: int = 6) -> None:
        super().__init__(message)
        self.reason = reason


class Rejection(NamedTuple):
    """Why an association is rejected: result, source and reason of A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    result: int
    source: int
    reason: int
    name: str


APPLICATION_CONTEXT_UNKNOWN = Rejection(1, 1, 2, "application-context-unknown")
CALLING_TITLE_UNKNOWN = Rejection(1, 1, 3, "caller-unknown")
VERSION_UNKNOWN = Rejection(1, 2, 2, "protocol-version-unknown")
LIMIT_EXCEEDED = Rejection(2, 3, 2, "too-many-associations")


class ProposedContext(NamedTuple):
    """A presentation context as the peer proposes it."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


class AssociateRequest(NamedTuple):
    """What an A-ASSOCIATE-RQ asks for. ``max_pdu_bytes`` 0 means that the peer sets no limit."""

    calling: str
    called: str
    version: int
    application_context: bytes
    contexts: tuple[ProposedContext, ...]
    max_pdu_bytes: int
    roles: tuple[tuple[str, int, int], ...]


class Fragment(NamedTuple):
    """A presentation data value: a piece of a command or of a data set."""

    context_id: int
    is_command: bool
    is_last: bool
    data: memoryview


def decode_request(body: bytes) -> AssociateRequest:
    """Decode what follows the header of an A-ASSOCIATE-RQ (PS3.8 section 9.3.2)."""
    if len(body) < 68:
        raise ProtocolError("the association request is cut short")
    version = int.from_bytes(body[0:2], "big")
    called, calling = (body[start : start + 16].decode("latin-1").strip(" \0") for start in (4, 20))
    application, contexts, max_pdu, roles = b"", [], 0, []
    for kind, value in _items(body, 68):
        if kind == _APPLICATION:
            application = value.rstrip(b"\0 ")
        elif kind == _CONTEXT_RQ:
            contexts.append(_proposed(value))
        elif kind == _USER:
            for part, content in _items(value, 0):
                if part == _MAX_LENGTH and len(content) == 4:
                    max_pdu = int.from_bytes(content, "big")
                elif part == _ROLE:
                    roles.append(_role(content))
    if not contexts or len(contexts) > 128 or len({context.id for context in contexts}) != len(contexts):
        raise ProtocolError("the association request has no, too many or repeated presentation contexts")
    return AssociateRequest(calling, called, version, application, tuple(contexts), max_pdu, tuple(roles))


def _proposed(value: bytes) -> ProposedContext:
    if len(value) < 4 or value[0] % 2 == 0:
        raise ProtocolError("a presentation context has no valid identifier")
    abstract, syntaxes = "", []
    for kind, content in _items(value, 4):
        if kind == _ABSTRACT:
            abstract = _uid(content)
        elif kind == _SYNTAX:
            syntaxes.append(_uid(content))
    return ProposedContext(value[0], abstract, tuple(syntaxes))


def _role(content: bytes) -> tuple[str, int, int]:
    length = int.from_bytes(content[:2], "big")
    if len(content) != length + 4:
        raise ProtocolError("a role selection contradicts its own length")
    return _uid(content[2 : 2 + length]), content[-2], content[-1]


def _uid(content: bytes) -> str:
    return content.decode("latin-1").strip(" \0")


def _items(data: bytes, pos: int) -> Iterator[tuple[int, bytes]]:
    while pos < len(data):
        if pos + 4 > len(data):
            raise ProtocolError("an item is cut short")
        kind, length = _ITEM.unpack_from(data, pos)
        pos += 4
        if pos + length > len(data):
            raise ProtocolError("an item is longer than what holds it")
        yield kind, data[pos : pos + length]
        pos += length


def encode_accept(
    request: AssociateRequest,
    answers: Mapping[int, str | int],
    *,
    max_pdu_bytes: int,
    implementation: tuple[str, str],
) -> bytes:
    """Encode an A-ASSOCIATE-AC (PS3.8 section 9.3.3).

    ``answers`` has for each context identifier the transfer syntax accepted, or the reason (1 to 4) why it is not.
    Of the roles proposed, those of the service user are granted.
    """
    contexts = b"".join(
        _item(_CONTEXT_AC, struct.pack(">BxBx", number, 0) + _item(_SYNTAX, answer.encode()))
        if isinstance(answer, str)
        else _item(_CONTEXT_AC, struct.pack(">BxBx", number, answer) + _item(_SYNTAX, b""))
        for number, answer in answers.items()
    )
    user = _item(_MAX_LENGTH, struct.pack(">I", max_pdu_bytes)) + _item(_CLASS_UID, implementation[0].encode())
    for uid, user_role, _ in request.roles:
        user += _item(_ROLE, struct.pack(">H", len(uid)) + uid.encode("latin-1") + bytes((user_role & 1, 0)))
    user += _item(_VERSION_NAME, implementation[1].encode())
    titles = request.called.encode("latin-1").ljust(16) + request.calling.encode("latin-1").ljust(16)
    body = struct.pack(">HH", 1, 0) + titles + bytes(32)
    body += _item(_APPLICATION, APPLICATION_CONTEXT) + contexts + _item(_USER, user)
    return HEADER.pack(ASSOCIATE_AC, len(body)) + body


def _item(kind: int, content: bytes) -> bytes:
    return _ITEM.pack(kind, len(content)) + content


def encode_reject(rejection: Rejection) -> bytes:
    """Encode an A-ASSOCIATE-RJ (PS3.8 section 9.3.4)."""
    return HEADER.pack(ASSOCIATE_RJ, 4) + bytes((0, rejection.result, rejection.source, rejection.reason))


def encode_abort(reason: int, source: int = 2) -> bytes:
    """Encode an A-ABORT (PS3.8 section 9.3.8); source 2 is the service provider, 0 the service user."""
    return HEADER.pack(ABORT, 4) + bytes((0, 0, source, reason))


def fragments(body: memoryview) -> Iterator[Fragment]:
    """Yield the presentation data values of a P-DATA-TF (PS3.8 section 9.3.5)."""
    pos, end = 0, len(body)
    if not end:
        raise ProtocolError("a data PDU holds nothing")
    while pos < end:
        if pos + 6 > end:
            raise ProtocolError("a presentation data value is cut short")
        length, context_id, control = _PDV.unpack_from(body, pos)
        stop = pos + 4 + length
        if length < 2 or stop > end:
            raise ProtocolError("a presentation data value contradicts the length of its PDU")
        yield Fragment(context_id, bool(control & 1), bool(control & 2), body[pos + 6 : stop])
        pos = stop


def encode_message(context_id: int, command: bytes, data_set: bytes, max_pdu_bytes: int) -> bytes:
    """Encode a DIMSE message as P-DATA-TF PDUs that the peer's maximum length allows (0: no limit)."""
    room = (min(max_pdu_bytes, 65536) if max_pdu_bytes else 65536) - 6
    parts = [_pdus(context_id, 1, command, room)]
    if data_set:
        parts.append(_pdus(context_id, 0, data_set, room))
    return b"".join(parts)


def _pdus(context_id: int, command: int, data: bytes, room: int) -> bytes:
    out = []
    for start in range(0, len(data), room):
        piece = data[start : start + room]
        control = command | (2 if start + room >= len(data) else 0)
        out.append(HEADER.pack(P_DATA, len(piece) + 6) + _PDV.pack(len(piece) + 2, context_id, control) + piece)
    return b"".join(out)
