"""What happens on one connection? The acceptor's side of a DICOM association (PS3.8 section 9.2), event by event.

A peer may stop anywhere, send a byte a second, or send garbage: whatever is incomplete has a deadline
(:meth:`Association.check_deadlines`), whatever is buffered has a bound, and whatever is invalid ends in an A-ABORT.
One message is served at a time; while one is, what the peer sends further waits in the socket.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, Protocol, cast

from doseatlas.network import sop_classes, transfer_syntaxes
from doseatlas.service import dimse, pdu
from doseatlas.service.callers import Caller
from doseatlas.service.dimse import Command
from doseatlas.service.part10 import IMPLEMENTATION

if TYPE_CHECKING:
    from doseatlas.service.listener import Listener

_CLOSING_SECONDS = 5.0
_NO_ABSTRACT_SYNTAX, _NO_TRANSFER_SYNTAX = 3, 4
_UNRECOGNIZED_PDU, _UNEXPECTED_PDU = 1, 2


class Receiver(Protocol):
    """Takes the data set of one message and answers it."""

    def write(self, piece: memoryview) -> None:
        """Take a piece of the data set. What goes wrong is said in the answer, not raised."""

    def finish(self) -> None:
        """Answer the message, now or later, through :meth:`Association.answer`."""

    def abandon(self) -> None:
        """Forget it: the association has ended before the data set was complete."""


class Association(asyncio.Protocol):
    """One connection. ``state``: waiting for the request, open, or closing."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.state: Literal["waiting", "open", "closing"] = "waiting"
        self.caller: Caller | None = None
        self.calling = ""
        self.address = ""
        self.contexts: dict[int, tuple[str, str]] = {}
        self.on_answer: dict[int, asyncio.Future[Command]] = {}
        self.max_pdu_bytes = 0
        self._buffer = bytearray()
        self._command = bytearray()
        self._command_context = 0
        self._receiver: Receiver | None = None
        self._serving = False
        self._paused = False
        self._message_bytes = 0
        now = listener.now()
        self._since = self._last_data = now
        self._message_since: float | None = now  # the request is a message too
        self._stuck_since: float | None = None

    # ---- what the transport tells ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the peer has the stall time to send its request."""
        self._transport = cast(asyncio.Transport, transport)
        self.address = str((transport.get_extra_info("peername") or ("", 0))[0])
        if not self.listener.connected(self):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End: what was incomplete is forgotten."""
        self.state = "closing"
        if self._receiver is not None and not self._serving:
            self._receiver.abandon()
            self._receiver = None
        for future in self.on_answer.values():
            future.cancel()
        self.listener.disconnected(self)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._last_data = self.listener.now()
        if self.state == "closing":
            return  # after a rejection or an abort the peer closes; what it still sends is of no interest
        if self._message_since is None:
            self._message_since = self._last_data
        self._message_bytes += len(data)
        self._buffer += data
        self._advance()

    def pause_writing(self) -> None:
        """The peer does not read what we answer."""
        self._stuck_since = self.listener.now()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._stuck_since = None

    def check_deadlines(self, now: float) -> None:
        """Cut off a peer that stalls: called every second."""
        settings = self.listener.settings
        if self.state == "closing":
            if now - self._since > _CLOSING_SECONDS:
                self._transport.abort()
        elif self._stuck_since is not None and now - self._stuck_since > settings.stall_seconds:
            self.listener.cut_off(self, "does-not-read")
            self._transport.abort()
        elif self._serving:
            return
        elif self._message_since is not None:
            allowed = settings.stall_seconds + self._message_bytes / settings.slowest_bytes_per_second
            if now - self._last_data > settings.stall_seconds or now - self._message_since > allowed:
                self.listener.cut_off(self, "stalled")
                self.abort(0)
        elif now - self._last_data > settings.idle_seconds:
            self.listener.cut_off(self, "idle")
            self.abort(0)

    @property
    def idle_since(self) -> float | None:
        """When the last message was complete; ``None`` while one is under way."""
        return None if self._serving or self._message_since is not None else self._last_data

    # ---- PDUs ----

    def _advance(self) -> None:
        try:
            while not self._serving and self.state != "closing" and self._next_pdu():
                pass
        except (pdu.ProtocolError, dimse.CommandError) as error:
            self.listener.protocol_error(self, str(error))
            self.abort(getattr(error, "reason", 6))
        if self._serving and len(self._buffer) > self.listener.max_pdu_bytes and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _next_pdu(self) -> bool:
        buffer = self._buffer
        if len(buffer) < pdu.HEADER.size:
            return False
        kind, length = pdu.HEADER.unpack_from(buffer)
        self._check_header(kind, length)
        end = pdu.HEADER.size + length
        if len(buffer) < end:
            return False
        body = bytes(memoryview(buffer)[pdu.HEADER.size : end])
        del buffer[:end]
        if kind == pdu.P_DATA:
            self._take_fragments(body)
        elif kind == pdu.ASSOCIATE_RQ:
            self._negotiate(body)
        elif kind == pdu.RELEASE_RQ:
            self._close_after(pdu.RELEASE_REPLY)
        else:
            self.state, self._since = "closing", self.listener.now()
            self._transport.close()
        return True

    def _check_header(self, kind: int, length: int) -> None:
        if not pdu.ASSOCIATE_RQ <= kind <= pdu.ABORT:
            raise pdu.ProtocolError("a PDU of unknown type", _UNRECOGNIZED_PDU)
        if self.state == "waiting":
            expected = {pdu.ASSOCIATE_RQ: pdu.MAX_ASSOCIATE_BYTES, pdu.ABORT: 4}
        else:
            expected = {pdu.P_DATA: self.listener.max_pdu_bytes, pdu.RELEASE_RQ: 4, pdu.ABORT: 4}
        if kind not in expected:
            raise pdu.ProtocolError("a PDU that this state does not expect", _UNEXPECTED_PDU)
        if length > expected[kind]:
            raise pdu.ProtocolError("a PDU longer than agreed")

    def _negotiate(self, body: bytes) -> None:
        request = pdu.decode_request(body)
        self.calling = request.calling
        rejection = self._rejection(request)
        if rejection is not None:
            self.listener.rejected(self, rejection)
            self._close_after(pdu.encode_reject(rejection))
            return
        answers: dict[int, str | int] = {}
        for context in request.contexts:
            accepted = transfer_syntaxes(context.abstract_syntax)
            syntax = next((uid for uid in accepted if uid in context.transfer_syntaxes), None)
            if syntax is not None:
                self.contexts[context.id] = (context.abstract_syntax, syntax)
            answers[context.id] = syntax or (_NO_TRANSFER_SYNTAX if accepted else _NO_ABSTRACT_SYNTAX)
        self.max_pdu_bytes = request.max_pdu_bytes
        self.state = "open"
        self._message_over()
        self._transport.write(
            pdu.encode_accept(
                request, answers, max_pdu_bytes=self.listener.max_pdu_bytes, implementation=IMPLEMENTATION
            )
        )
        self.listener.opened(self)

    def _rejection(self, request: pdu.AssociateRequest) -> pdu.Rejection | None:
        if not request.version & 1:
            return pdu.VERSION_UNKNOWN
        if request.application_context != pdu.APPLICATION_CONTEXT:
            return pdu.APPLICATION_CONTEXT_UNKNOWN
        self.caller = self.listener.callers.find(request.calling, self.address)
        if self.caller is None:
            return pdu.CALLING_TITLE_UNKNOWN
        if self.listener.is_full(self.caller):
            return pdu.LIMIT_EXCEEDED
        return None

    def abort(self, reason: int, source: int = 2) -> None:
        """Send an A-ABORT and wait for the peer to close."""
        if self._receiver is not None and not self._serving:
            self._receiver.abandon()
            self._receiver = None
        self._close_after(pdu.encode_abort(reason, source))

    def _close_after(self, last_words: bytes) -> None:
        self.state, self._since = "closing", self.listener.now()
        self._buffer.clear()
        if self._paused:  # the peer's close must be noticed
            self._paused = False
            self._transport.resume_reading()
        self._transport.write(last_words)

    # ---- messages ----

    def _take_fragments(self, body: bytes) -> None:
        for fragment in pdu.fragments(memoryview(body)):
            if self._serving:
                raise pdu.ProtocolError("a message before the one before it was answered")
            if fragment.context_id not in self.contexts:
                raise pdu.ProtocolError("a message in a presentation context that was not accepted")
            if fragment.is_command:
                self._take_command(fragment)
            elif self._receiver is None or fragment.context_id != self._command_context:
                raise pdu.ProtocolError("a data set without its command")
            else:
                self._receiver.write(fragment.data)
                if fragment.is_last:
                    self._complete()

    def _take_command(self, fragment: pdu.Fragment) -> None:
        if self._receiver is not None or len(self._command) + len(fragment.data) > dimse.MAX_COMMAND_BYTES:
            raise pdu.ProtocolError("a command inside a data set, or a command too long")
        self._command += fragment.data
        self._command_context = fragment.context_id
        if not fragment.is_last:
            return
        request = dimse.decode_command(bytes(self._command))
        self._command.clear()
        has_data_set = request[dimse.DATA_SET_TYPE] != dimse.NO_DATA_SET
        operation = int(request[dimse.FIELD])
        if operation & dimse.RESPONSE:
            self._take_response(request)
            has_data_set = False
        elif operation != dimse.C_CANCEL_RQ:
            self._receiver = self.listener.receiver(self, request, fragment.context_id)
            if not has_data_set:
                self._complete()
            return
        if has_data_set:
            raise pdu.ProtocolError("a data set that no operation of ours takes")
        self._message_over()

    def _take_response(self, response: Command) -> None:
        future = self.on_answer.pop(int(response.get(dimse.RESPONDED_TO, 0)), None)
        if future is None:
            raise pdu.ProtocolError("a response to no request", _UNEXPECTED_PDU)
        if not future.done():
            future.set_result(response)

    def _complete(self) -> None:
        assert self._receiver is not None
        self._serving = True
        self._receiver.finish()

    def _message_over(self) -> None:
        self._message_since = self.listener.now() if self._buffer else None
        self._message_bytes = len(self._buffer)

    def answer(self, response: Command, data_set: bytes = b"") -> None:
        """Answer the message being served and go on with what has come meanwhile."""
        self._receiver, self._serving = None, False
        self._last_data = self.listener.now()
        self._message_over()
        if self.state != "open" or self._transport.is_closing():
            return
        self.send(self._command_context, response, data_set)
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if self._buffer:
            self.listener.soon(self._advance)

    def send(self, context_id: int, command: Command, data_set: bytes = b"") -> None:
        """Send a message."""
        encoded = dimse.encode_command(command)
        self._transport.write(pdu.encode_message(context_id, encoded, data_set, self.max_pdu_bytes))

    def context_of(self, service: str) -> int | None:
        """Return an accepted presentation context of a service, if there is one."""
        classes = sop_classes()
        return next((number for number, (uid, _) in self.contexts.items() if classes[uid].service == service), None)
