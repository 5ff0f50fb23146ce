"""Where does one HL7 message end and the next begin? The minimal lower layer protocol (HL7 v2 transport, MLLP).

A message is a vertical tab, its bytes, a file separator and a carriage return. Pure bookkeeping: bytes in, messages
out, bounded whatever a peer sends.
"""

from __future__ import annotations

BEGIN, END = b"\x0b", b"\x1c\r"
MAX_MESSAGE_BYTES = 2**20


class NotMllp(Exception):
    """The peer sent what is no MLLP, or a message without bound; the connection has to be closed."""


class Frames:
    """Takes the bytes of one connection and gives its messages."""

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held = bytearray()

    @property
    def waits(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; returns the messages that they complete.

        Raises:
            NotMllp: something else than a message stands where one should begin, or a message exceeds the bound.

        """
        self._held += data
        found: list[bytes] = []
        while self._held:
            if not self._held.startswith(BEGIN):
                raise NotMllp("what came does not begin with a vertical tab")
            end = self._held.find(END)
            if end < 0:
                if len(self._held) > self._max_bytes + len(END):
                    raise NotMllp(f"a message has more than {self._max_bytes} bytes")
                return found
            if end > self._max_bytes:
                raise NotMllp(f"a message has more than {self._max_bytes} bytes")
            found.append(bytes(self._held[1:end]))
            del self._held[: end + len(END)]
        return found


def framed(message: bytes) -> bytes:
    """Return a message in its frame."""
    return BEGIN + message + END
