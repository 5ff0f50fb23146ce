"""Where does one part of a multipart body end and the next begin? A streaming splitter (RFC 2046, RFC 2387).

It holds no more than a boundary and one part's headers; bodies pass through in pieces as they come.
"""

from __future__ import annotations

from collections.abc import Iterator
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Literal, NamedTuple

_MAX_HEADER_BYTES = 8 * 1024
_MAX_PREAMBLE_BYTES = 64 * 1024


class MultipartError(Exception):
    """The body is not what its Content-Type says."""


class PartBegins(NamedTuple):
    """A part begins; its headers, names in lower case."""

    headers: dict[str, str]


class PartData(NamedTuple):
    """A piece of the part's body."""

    data: bytes


class PartEnds(NamedTuple):
    """The part is complete."""


Step = PartBegins | PartData | PartEnds


class Splitter:
    """Splits a body that is fed to it piece by piece."""

    def __init__(self, boundary: str) -> None:
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._buffer = bytearray(b"\r\n")  # the first delimiter may stand at the very beginning
        self._state: Literal["preamble", "headers", "body", "epilogue"] = "preamble"

    def feed(self, data: bytes) -> Iterator[Step]:
        """Take a piece of the body.

        Raises:
            MultipartError: headers are too long or malformed, or the boundary does not come.

        """
        self._buffer += data
        while (step := self._step()) is not None:
            if not isinstance(step, bool):
                yield step

    def close(self) -> None:
        """Say that the body has ended.

        Raises:
            MultipartError: it ended in the middle.

        """
        if self._state != "epilogue":
            raise MultipartError("the body ends before its last boundary")

    def _step(self) -> Step | bool | None:
        """Go one step: a step for the caller, ``True`` for one of ours, ``None`` when more has to come."""
        if self._state == "epilogue":
            self._buffer.clear()
            return None
        if self._state == "headers":
            return self._headers()
        return self._to_delimiter()

    def _to_delimiter(self) -> Step | bool | None:
        at = self._buffer.find(self._delimiter)
        in_body = self._state == "body"
        if at < 0:
            if not in_body and len(self._buffer) > _MAX_PREAMBLE_BYTES:
                raise MultipartError("the boundary that the Content-Type names does not come")
            safe = len(self._buffer) - len(self._delimiter)
            if in_body and safe > 0:
                return self._piece(safe)
            return None
        if in_body and at > 0:
            return self._piece(at)
        after = at + len(self._delimiter)
        line_end = self._buffer.find(b"\r\n", after)
        closing = self._buffer[after : after + 2] == b"--"
        if not closing and line_end < 0:
            if len(self._buffer) - after > _MAX_HEADER_BYTES:
                raise MultipartError("a boundary line does not end")
            return None
        if not closing and self._buffer[after:line_end].strip(b" \t"):
            raise MultipartError("a boundary line has something after the boundary")
        self._state = "epilogue" if closing else "headers"
        del self._buffer[: after if closing else line_end]
        return PartEnds() if in_body else True

    def _piece(self, size: int) -> PartData:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return PartData(data)

    def _headers(self) -> Step | None:
        # The buffer begins with the line end of the boundary line, so no header at all is a double line end too.
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEADER_BYTES:
                raise MultipartError("the headers of a part do not end")
            return None
        headers = {}
        for line in self._buffer[:end].decode("latin-1").split("\r\n"):
            name, colon, value = line.partition(":")
            if line and not colon:
                raise MultipartError("a header of a part has no colon")
            if line:
                headers[name.strip().lower()] = value.strip()
        del self._buffer[: end + 4]
        self._state = "body"
        return PartBegins(headers)


def content_type(text: str) -> tuple[str, dict[str, str]]:
    """Return media type and parameters of a Content-Type, names in lower case, quotes removed."""
    message = Message()
    message["Content-Type"] = text
    parameters = dict(message.get_params(failobj=[])[1:])
    plain = {name.lower(): collapse_rfc2231_value(value) for name, value in parameters.items()}
    return message.get_content_type() if text else "", plain
