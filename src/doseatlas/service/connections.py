"""What may an HTTP connection cost that asks for nothing? A bounded time, and never another sender's place.

uvicorn bounds neither how long a peer may take over a request's header, nor how many peers may be connected in silence
before everybody is answered with 503. Here a connection without a request has a deadline that what it sends does not
move, and where too many of them wait, a new one takes the place of the one that has waited longest.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_WAITING = 200


class GuardedProtocol(H11Protocol):
    """A connection that has ``timeout_keep_alive`` seconds for the whole header of its next request.

    It has as long to read what it was answered, once that waits in our buffer.
    """

    waits_since: float | None = None
    _deadline: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, if need be in the place of another connection."""
        super().connection_made(transport)
        waiting = [
            (other.waits_since, number, other)
            for number, other in enumerate(self.connections)
            if isinstance(other, GuardedProtocol) and other.waits_since is not None
        ]
        if len(waiting) >= MOST_WAITING:
            min(waiting)[2].cut_off()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        for timer in (self._deadline, self._stuck):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Take what came; a whole header begins a request."""
        super().handle_events()
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request; what still comes of the last one's body does not count."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """The peer does not read what we answer."""
        super().pause_writing()
        self._stuck = self.loop.call_later(self.timeout_keep_alive, self.cut_off)

    def resume_writing(self) -> None:
        """The peer reads again."""
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()

    def cut_off(self) -> None:
        """End the connection without another word."""
        self.waits_since = None
        self.transport.abort()

    def _look(self) -> None:
        waits = self.cycle is None or self.cycle.response_complete
        if waits and self.waits_since is None:
            self.waits_since = self.loop.time()
            self._deadline = self.loop.call_later(self.timeout_keep_alive, self.cut_off)
        elif not waits and self._deadline is not None:
            self.waits_since = None
            self._deadline.cancel()
