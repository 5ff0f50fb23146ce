"""What does the peer want? DIMSE command sets (PS3.7 annex E), decoded and encoded; and the status codes we answer.

A command set is implicit VR little endian, group 0000 only, and small: it is read here in a few lines.
"""

from __future__ import annotations

import struct
from typing import Final

C_STORE_RQ, C_ECHO_RQ = 0x0001, 0x0030
N_EVENT_REPORT_RQ, N_SET_RQ, N_ACTION_RQ, N_CREATE_RQ = 0x0100, 0x0120, 0x0130, 0x0140
C_CANCEL_RQ = 0x0FFF
RESPONSE = 0x8000

GROUP_LENGTH, AFFECTED_CLASS, REQUESTED_CLASS, FIELD = 0x0000, 0x0002, 0x0003, 0x0100
MESSAGE_ID, RESPONDED_TO, DATA_SET_TYPE, STATUS, ERROR_COMMENT = 0x0110, 0x0120, 0x0800, 0x0900, 0x0902
AFFECTED_INSTANCE, REQUESTED_INSTANCE, EVENT_TYPE, ACTION_TYPE = 0x1000, 0x1001, 0x1002, 0x1008
NO_DATA_SET: Final = 0x0101

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
DUPLICATE_INSTANCE = 0x0111
NO_SUCH_INSTANCE = 0x0112
INVALID_VALUE = 0x0106
INVALID_ARGUMENT = 0x0115
INVALID_INSTANCE = 0x0117
CLASS_INSTANCE_CONFLICT = 0x0119
MISSING_ATTRIBUTE = 0x0120
CLASS_NOT_SUPPORTED = 0x0122
NO_SUCH_ACTION = 0x0123
UNRECOGNIZED_OPERATION = 0x0211
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000

MAX_COMMAND_BYTES = 16 * 1024

_UIDS = frozenset({AFFECTED_CLASS, REQUESTED_CLASS, AFFECTED_INSTANCE, REQUESTED_INSTANCE})
_NUMBERS = frozenset({FIELD, MESSAGE_ID, RESPONDED_TO, DATA_SET_TYPE, STATUS, EVENT_TYPE, ACTION_TYPE, 0x0700})
_ELEMENT = struct.Struct("<HHI")

Command = dict[int, int | str]
"""The elements of a command set that we use, by element number."""


class CommandError(Exception):
    """The bytes are no command set."""


def decode_command(data: bytes) -> Command:
    """Decode a command set; elements that we do not use are left out."""
    command: Command = {}
    pos = 0
    while pos < len(data):
        if pos + 8 > len(data):
            raise CommandError("a command element is cut short")
        group, number, length = _ELEMENT.unpack_from(data, pos)
        pos += 8
        if group != 0 or pos + length > len(data):
            raise CommandError("a command element is not of group 0000 or is longer than the command")
        value = data[pos : pos + length]
        pos += length
        if number in _NUMBERS:
            if length != 2:
                raise CommandError("a number of the command is not two bytes long")
            command[number] = int.from_bytes(value, "little")
        elif number in _UIDS:
            command[number] = value.decode("latin-1").strip(" \0")
    if FIELD not in command or DATA_SET_TYPE not in command:
        raise CommandError("the command states no operation")
    return command


def encode_command(command: Command) -> bytes:
    """Encode a command set, elements in order, with its group length."""
    parts = []
    for number in sorted(command):
        value = command[number]
        if isinstance(value, int):
            content = value.to_bytes(2, "little")
        else:
            content = value.encode("ascii", "replace")
            content += b"" if len(content) % 2 == 0 else b"\0" if number in _UIDS else b" "
        parts.append(_ELEMENT.pack(0, number, len(content)) + content)
    body = b"".join(parts)
    return _ELEMENT.pack(0, GROUP_LENGTH, 4) + struct.pack("<I", len(body)) + body


def response(request: Command, status: int, comment: str = "") -> Command:
    """Make the response to a request (PS3.7 sections 9.3 and 10.3), without a data set.

    ``comment`` goes into Error Comment, which holds 64 characters.
    """
    answer: Command = {
        FIELD: int(request[FIELD]) | RESPONSE,
        RESPONDED_TO: request.get(MESSAGE_ID, 0),
        DATA_SET_TYPE: NO_DATA_SET,
        STATUS: status,
    }
    for affected, requested in ((AFFECTED_CLASS, REQUESTED_CLASS), (AFFECTED_INSTANCE, REQUESTED_INSTANCE)):
        uid = request.get(affected) or request.get(requested)
        if uid:
            answer[affected] = uid
    if comment:
        answer[ERROR_COMMENT] = comment[:64]
    return answer
