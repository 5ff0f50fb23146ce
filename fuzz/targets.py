"""What is promised of any bytes at all? One function for each entry point; it raises where the promise is broken."""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import cast

from starlette.requests import Request
from starlette.types import Message

from doseatlas.dicom import Limits, Pseudonyms, deidentify, read_bytes
from doseatlas.model import UnreadableObject
from doseatlas.network import Sender
from doseatlas.service import pdu
from doseatlas.service.association import Association
from doseatlas.service.commitment import Commitments, Pending
from doseatlas.service.listener import Listener
from doseatlas.service.metrics import Metrics
from doseatlas.service.mpps import Mpps
from doseatlas.service.spool import Disk, Done, Incoming, Spool
from doseatlas.service.stow import StowRequest
from doseatlas.settings import ServiceSettings

_LIMITS = Limits(header_bytes=2**20, elements=20_000, depth=50)
_MOST_BUFFERED = 2**20
_STATUSES = {200, 202, 400, 408, 409, 413, 415, 507}
_SENDER = Sender(via="dicomweb", caller="fuzz", address="192.0.2.1")


def reader(data: bytes) -> None:
    """Reading gives an exam or a refusal, never an error; what could be read can be when it is freed of identity."""
    exam = read_bytes(data, path="fuzz", limits=_LIMITS).exam
    try:
        archived, _, _ = deidentify(data, pseudonymise=lambda _: Pseudonyms("P", "A"), limits=_LIMITS)
    except UnreadableObject:
        if exam.error is None:
            raise AssertionError("what can be read cannot be freed of identity") from None
        return
    again = read_bytes(archived, path="fuzz", limits=_LIMITS).exam
    if exam.error is None and again.kind != exam.kind:
        raise AssertionError(f"what is of kind {exam.kind} is of kind {again.kind} when it is freed of identity")


def association(data: bytes) -> None:
    """Whatever a DICOM peer sends, in whatever pieces, is answered with valid PDUs, and little of it is held.

    The first byte says how large the pieces are.
    """
    bench = _bench()
    transport = _Transport()
    one = Association(bench)
    one.connection_made(transport)
    size = data[0] * data[0] + 1 if data else 1
    for start in range(1, len(data), size):
        if transport.closed:
            break
        one.data_received(data[start : start + size])
        bench.settle()
        if len(one._buffer) > _MOST_BUFFERED:
            raise AssertionError("too much is held")
    one.connection_lost(None)
    bench.settle()
    _check_pdus(bytes(transport.written))


def stow(data: bytes) -> None:
    """Whatever a web client sends is answered with a status that the conformance statement lists.

    The first line is the Content-Type, the byte after it says how large the pieces of the body are.
    """
    kind, _, body = data.partition(b"\n")
    size = body[0] * body[0] + 1 if body else 1
    pieces = deque(body[start : start + size] for start in range(1, len(body), size))

    async def receive() -> Message:
        piece = pieces.popleft() if pieces else b""
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def take() -> int:
        headers = [(b"content-type", kind)]
        request = Request({"type": "http", "method": "POST", "path": "/studies", "headers": headers}, receive)
        answering = asyncio.ensure_future(StowRequest(bench, _SENDER, None).take(request))
        while not answering.done():
            bench.settle()
            await asyncio.sleep(0)
        return (await answering).status_code

    bench = _bench()
    status = _loop().run_until_complete(take())
    if status not in _STATUSES:
        raise AssertionError(f"status {status}")


TARGETS: dict[str, Callable[[bytes], None]] = {"reader": reader, "association": association, "stow": stow}


# ---- the service around an entry point, without threads and without a disk that is waited for ----


class _Transport(asyncio.Transport):
    """Holds what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = bytearray()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """What is fed while it serves waits in its buffer."""

    def resume_reading(self) -> None:
        """The same."""


class _QuickDisk(Disk):
    def fsync(self, descriptor: int) -> None:
        """Do not wait."""


class _Sink(Spool):
    """Takes objects and forgets them."""

    def commit(self, incoming: Incoming, done: Done) -> None:
        """Say that it is durable."""
        incoming.discard()
        done(None)


class _Undelivered(Commitments):
    """Takes requests and delivers no reports."""

    def _begin(self, pending: Pending) -> None:
        self._file(pending).unlink(missing_ok=True)


class _Bench(Listener):
    """A listener that listens to nobody; what is to be done soon waits for :meth:`settle`."""

    def __init__(self, folder: Path) -> None:
        metrics, spool = Metrics(), _Sink(folder, disk=_QuickDisk())
        commitments = _Undelivered(
            spool.folder, ae_title="FUZZ", kept=lambda _: set(), metrics=metrics, disk=_QuickDisk()
        )
        self._soon: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        super().__init__(
            ServiceSettings(),
            spool,
            metrics,
            commitments=commitments,
            mpps=Mpps(spool),
            on_received=lambda: None,
            on_refused=lambda *_: None,
        )

    def soon(self, call: Callable[..., object], *arguments: object) -> None:
        self._soon.append((call, arguments))

    def in_thread(self, work: Callable[[], object], then: Callable[..., None]) -> None:
        self.soon(lambda: then(work()))

    def settle(self) -> None:
        """Do what is to be done."""
        while self._soon:
            call, arguments = self._soon.popleft()
            call(*arguments)


_made: list[_Bench | asyncio.AbstractEventLoop] = []


def _loop() -> asyncio.AbstractEventLoop:
    if not _made:

        async def make() -> _Bench:
            return _Bench(Path(tempfile.mkdtemp(prefix="doseatlas-fuzz-")))

        loop = asyncio.new_event_loop()
        _made.extend([loop, loop.run_until_complete(make())])
    return cast(asyncio.AbstractEventLoop, _made[0])


def _bench() -> _Bench:
    _loop()
    return cast(_Bench, _made[1])


def _check_pdus(written: bytes) -> None:
    pos = 0
    while pos < len(written):
        kind, length = pdu.HEADER.unpack_from(written, pos)
        if not pdu.ASSOCIATE_AC <= kind <= pdu.ABORT or pos + pdu.HEADER.size + length > len(written):
            raise AssertionError(f"an answer is no PDU: {written[pos : pos + 20].hex()}")
        pos += pdu.HEADER.size + length
