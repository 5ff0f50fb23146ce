"""How are objects taken over the web? Store transactions of DICOMweb, STOW-RS (PS3.18 section 10.5).

The same rule as for C-STORE: an object is in the list of those stored only when it is on disk. Bodies are streamed:
memory holds a piece of one object, whatever the request's size.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from doseatlas.model import UnreadableObject
from doseatlas.network import Sender, sop_classes
from doseatlas.service import dimse
from doseatlas.service.logs import hashed, log
from doseatlas.service.multipart import MultipartError, PartBegins, PartData, Splitter, content_type
from doseatlas.service.part10 import HEAD_BYTES, names_in
from doseatlas.service.spool import Incoming, TooLarge
from doseatlas.service.storage import VALID_UID
from doseatlas.settings import ServiceSettings

if TYPE_CHECKING:
    from doseatlas.service.listener import Listener

_DICOM, _JSON, _MULTIPART = "application/dicom", "application/dicom+json", "multipart/related"
_MAX_PARTS = 10_000
_MAX_BOUNDARY = 256  # RFC 2046 allows 70; Orthanc writes 73
_STUDY_MISMATCH = 0xA900  # as C-STORE says: the data set does not match (PS3.4 table B.2-1)


@dataclass
class _Part:
    """An object on its way in: its beginning is looked at before it may become a spooled object."""

    head: bytearray = field(default_factory=bytearray)
    incoming: Incoming | None = None
    sop_class: str = ""
    sop_instance: str = ""
    failure: int | None = None


class StowRequest:
    """One store request: takes its parts and answers."""

    def __init__(self, listener: Listener, sender: Sender, study: str | None) -> None:
        self._listener = listener
        self._sender = sender
        self._study = study
        self._stored: list[_Part] = []
        self._failed: list[_Part] = []
        self._commits: list[asyncio.Future[None]] = []
        self._part: _Part | None = None

    async def take(self, request: Request) -> Response:
        """Read the request's body and answer it."""
        kind, parameters = content_type(request.headers.get("content-type", ""))
        try:
            if kind == _MULTIPART:
                return await self._take_multipart(_body(request, self._listener.settings), parameters)
            if kind == _DICOM:
                self._begin()
                async for piece in _body(request, self._listener.settings):
                    self._write(piece)
                await self._end_at_our_pace()
                return await self._answer()
        except (ClientDisconnect, TimeoutError):
            self._abandon()
            return problem(408, "The request's body did not come in time. What was complete is stored.")
        return problem(415, f"Send {_DICOM}, or {_MULTIPART} with parts of that type.")

    async def _take_multipart(self, body: AsyncIterator[bytes], parameters: dict[str, str]) -> Response:
        inner = parameters.get("type", _DICOM)
        if inner != _DICOM:
            return problem(415, f"The type of the parts is {inner}; only {_DICOM} is taken.")
        boundary = parameters.get("boundary", "")
        if not 0 < len(boundary) <= _MAX_BOUNDARY or not boundary.isascii():
            return problem(400, "The Content-Type names no valid boundary.")
        splitter = Splitter(boundary)
        try:
            async for piece in body:
                for step in splitter.feed(piece):
                    if isinstance(step, PartBegins):
                        if len(self._stored) + len(self._failed) >= _MAX_PARTS:
                            return problem(413, f"The request has more than {_MAX_PARTS} parts. Send several requests.")
                        self._begin(step.headers.get("content-type", _DICOM))
                    elif isinstance(step, PartData):
                        self._write(step.data)
                    else:
                        await self._end_at_our_pace()
            splitter.close()
        except MultipartError as error:
            self._abandon()
            if not self._stored and not self._failed:
                return problem(400, f"The multipart body is not valid: {error}.")
            self._failed.append(_Part(failure=dimse.CANNOT_UNDERSTAND))  # what follows was not understood
        return await self._answer()

    # ---- parts ----

    def _begin(self, kind: str = _DICOM) -> None:
        self._part = _Part()
        if content_type(kind)[0] != _DICOM:
            self._part.failure = dimse.CANNOT_UNDERSTAND

    def _write(self, data: bytes) -> None:
        part = self._part
        if part is None or part.failure is not None:
            return
        try:
            if part.incoming is not None:
                part.incoming.write(data)
                return
            part.head += data
            if len(part.head) >= HEAD_BYTES:
                self._look(part)
        except (TooLarge, OSError) as error:
            self._fail(part, error)

    def _look(self, part: _Part) -> None:
        """Find out from its beginning what an object is, and begin to store it if it may be."""
        if part.head[128:132] != b"DICM":
            part.failure = dimse.CANNOT_UNDERSTAND
            return
        try:
            part.sop_class, part.sop_instance, study = names_in(bytes(part.head))
        except UnreadableObject:
            part.failure = dimse.CANNOT_UNDERSTAND
            return
        accepted = sop_classes().get(part.sop_class)
        if not VALID_UID.fullmatch(part.sop_instance):
            part.failure = dimse.CANNOT_UNDERSTAND
        elif accepted is None or accepted.service != "storage":
            part.failure = dimse.CLASS_NOT_SUPPORTED
        elif self._study and study != self._study:
            part.failure = _STUDY_MISMATCH
        else:
            limit = self._listener.settings.max_object_mebibytes * 2**20
            part.incoming = self._listener.spool.incoming(self._sender, part.sop_instance, limit)
            part.incoming.write(part.head)
        part.head = bytearray()

    async def _end_at_our_pace(self) -> None:
        """End an object, and leave the next one in the socket for a moment while the import is behind."""
        self._end()
        await asyncio.sleep(self._listener.delay_seconds)

    def _end(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        if part.failure is None and part.incoming is None:
            try:
                self._look(part)
            except (TooLarge, OSError) as error:
                self._fail(part, error)
        if part.failure is not None or part.incoming is None:
            self._failed.append(part)
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._commits.append(done)
        self._stored.append(part)
        began = self._listener.now()
        incoming = part.incoming

        def committed(error: Exception | None) -> None:
            if error is None:
                self._listener.metrics.commit_seconds.observe(self._listener.now() - began)
                self._listener.received(incoming, part.sop_class, self._sender.caller)
            else:
                self._stored.remove(part)
                part.failure = dimse.OUT_OF_RESOURCES
                self._failed.append(part)
            done.set_result(None)

        self._listener.spool.commit(incoming, lambda error: self._listener.soon(committed, error))

    def _fail(self, part: _Part, error: Exception) -> None:
        part.failure = dimse.CANNOT_UNDERSTAND if isinstance(error, TooLarge) else dimse.OUT_OF_RESOURCES
        if part.incoming is not None:
            part.incoming.discard()
            part.incoming = None

    def _abandon(self) -> None:
        if self._part is not None and self._part.incoming is not None:
            self._part.incoming.discard()
        self._part = None

    # ---- the answer (PS3.18 section 10.5.3) ----

    async def _answer(self) -> Response:
        if self._commits:
            await asyncio.wait(self._commits)
        for part in self._failed:
            status = f"{part.failure:04X}"
            self._listener.metrics.not_received.labels(status, self._sender.caller, "dicomweb").inc()
            log(
                "object not received",
                level=logging.WARNING,
                caller=self._sender.caller,
                object=hashed(part.sop_instance) if part.sop_instance else None,
                status=status,
            )
        if not self._stored and not self._failed:
            return problem(400, "The request holds no object.")
        status_code = 200 if not self._failed else 202 if self._stored else self._failed_status()
        body: dict[str, Any] = {}
        if self._stored:
            body["00081199"] = _sequence([_references(part) for part in self._stored])
        if self._failed:
            items = [_references(part) | {"00081197": {"vr": "US", "Value": [part.failure]}} for part in self._failed]
            body["00081198"] = _sequence(items)
        return Response(msgspec.json.encode(body), status_code, media_type=_JSON)

    def _failed_status(self) -> int:
        """The status where nothing was stored: 507 if only the disk is to blame, else 409."""
        return 507 if all(part.failure == dimse.OUT_OF_RESOURCES for part in self._failed) else 409


def _sequence(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"vr": "SQ", "Value": items}


def _references(part: _Part) -> dict[str, Any]:
    stated = {"00081150": part.sop_class, "00081155": part.sop_instance}
    return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in stated.items() if uid}


def problem(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    """Answer that a request as a whole cannot be served."""
    return Response(msgspec.json.encode({"error": sentence}), status, headers, media_type="application/json")


async def _body(request: Request, settings: ServiceSettings) -> AsyncIterator[bytes]:
    """Yield the request's body; a sender that is too slow or silent for too long ends it with :class:`TimeoutError`."""
    stream = request.stream()
    now = asyncio.get_running_loop().time
    waited = received = 0.0  # waited for the sender: our own time does not count
    while True:
        allowed = settings.stall_seconds + received / settings.slowest_bytes_per_second - waited
        began = now()
        try:
            piece = await asyncio.wait_for(anext(stream), min(allowed, settings.stall_seconds))
        except StopAsyncIteration:
            return
        waited += now() - began
        received += len(piece)
        if piece:
            yield piece
