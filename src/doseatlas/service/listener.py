"""Who listens for DICOM peers? Holds the associations, their limits and deadlines, and hands messages to services."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from doseatlas.network import sop_classes
from doseatlas.service import dimse, pdu
from doseatlas.service.association import Association, Receiver
from doseatlas.service.callers import Caller, Callers
from doseatlas.service.commitment import Commitments
from doseatlas.service.dimse import Command
from doseatlas.service.logs import log
from doseatlas.service.metrics import Metrics
from doseatlas.service.mpps import Mpps
from doseatlas.service.normalized import Echo, NormalizedReceiver, Refuse
from doseatlas.service.spool import Incoming, Spool
from doseatlas.service.storage import StoreReceiver, caller_name
from doseatlas.settings import ServiceSettings

T = TypeVar("T")

_CONNECTIONS_PER_ASSOCIATION = 4
_BACKLOG = 512
_QUIET_SECONDS = 0.5
_TLS_HANDSHAKE_SECONDS = 15
_BEHIND_SECONDS, _DELAY_PER_SECOND, _LONGEST_DELAY_SECONDS = 2.5, 0.05, 0.5
_PACE_HOLDS_SECONDS = 10.0


class Listener:
    """The DICOM side of the service; all of its methods run in the event loop's thread, except :meth:`soon`."""

    def __init__(
        self,
        settings: ServiceSettings,
        spool: Spool,
        metrics: Metrics,
        *,
        commitments: Commitments,
        mpps: Mpps,
        on_received: Callable[[], None],
        on_refused: Callable[[str, str, str], None],
    ) -> None:
        self.settings = settings
        self.spool = spool
        self.metrics = metrics
        self.callers = Callers(settings)
        self.max_pdu_bytes = settings.max_pdu_kibibytes * 1024
        self._commitments = commitments
        self._mpps = mpps
        self._on_received = on_received
        self.on_refused = on_refused
        self._loop = asyncio.get_running_loop()
        self._connections: set[Association] = set()
        self._open: dict[Association, str] = {}
        self._per_caller: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.Task[None] | None = None
        self._delay = self._delay_learned = 0.0
        self.now = self._loop.time

    async def start(self, sockets: list[tuple[socket.socket, ssl.SSLContext | None]]) -> None:
        """Listen on sockets that are bound already; with a TLS context, TLS is spoken on that one."""
        for bound, context in sockets:
            server = await self._loop.create_server(
                lambda: Association(self),
                sock=bound,
                ssl=context,
                backlog=_BACKLOG,
                ssl_handshake_timeout=_TLS_HANDSHAKE_SECONDS if context else None,
            )
            self._servers.append(server)
        self._sweeper = self._loop.create_task(self._sweep())

    async def stop(self, grace_seconds: float) -> None:
        """Accept no more; let what is under way come to its end; then abort what is still open."""
        for server in self._servers:
            server.close()
        deadline = self.now() + grace_seconds
        while self._connections and self.now() < deadline:
            for association in list(self._connections):
                since = association.idle_since
                if association.state == "open" and since is not None and self.now() - since > _QUIET_SECONDS:
                    association.abort(0, source=0)
            await asyncio.sleep(0.05)
        for association in list(self._connections):
            association.abort(0, source=0)
        if self._sweeper is not None:
            self._sweeper.cancel()

    def soon(self, call: Callable[..., object], *arguments: object) -> None:
        """Call in the event loop's thread; may be called from any thread."""
        with suppress(RuntimeError):  # the loop has ended: nobody is left to be told
            self._loop.call_soon_threadsafe(call, *arguments)

    def in_thread(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Do work off the loop, then hand its result over in the loop's thread. The work must not raise."""
        future = self._loop.run_in_executor(None, work)
        future.add_done_callback(lambda done: then(done.result()))

    # ---- pace ----

    def pace(self, behind_seconds: float) -> None:
        """Learn how far the import is behind; receiving slows down so that the store is never far from complete."""
        self._delay = min(_LONGEST_DELAY_SECONDS, max(0.0, behind_seconds - _BEHIND_SECONDS) * _DELAY_PER_SECOND)
        self._delay_learned = self.now()

    def at_our_pace(self, call: Callable[..., object], *arguments: object) -> None:
        """Call now, or a little later while the import is behind. An import that does not answer slows nothing down."""
        if self.delay_seconds:
            self._loop.call_later(self.delay_seconds, call, *arguments)
        else:
            call(*arguments)

    @property
    def delay_seconds(self) -> float:
        """How much later than usual a sender is answered now."""
        return self._delay if self.now() - self._delay_learned < _PACE_HOLDS_SECONDS else 0.0

    # ---- what associations tell ----

    def connected(self, association: Association) -> bool:
        """Whether one more connection is let in at all, if only to be rejected properly."""
        if len(self._connections) >= self.settings.max_associations * _CONNECTIONS_PER_ASSOCIATION:
            self.metrics.rejected.labels("too-many-connections").inc()
            return False
        self._connections.add(association)
        self.metrics.connections.set(len(self._connections))
        return True

    def is_full(self, caller: Caller) -> bool:
        """Whether one more association would exceed the limit of all or of the caller."""
        full = len(self._open) >= self.settings.max_associations
        return full or self._per_caller[caller.name] >= caller.max_associations

    def opened(self, association: Association) -> None:
        """Count an association that was accepted."""
        name = caller_name(association)
        self._open[association] = name
        self._per_caller[name] += 1
        self.metrics.associations.set(len(self._open))

    def disconnected(self, association: Association) -> None:
        """Forget a connection."""
        self._connections.discard(association)
        name = self._open.pop(association, None)
        if name is not None:
            self._per_caller[name] -= 1
        self.metrics.associations.set(len(self._open))
        self.metrics.connections.set(len(self._connections))

    def rejected(self, association: Association, rejection: pdu.Rejection) -> None:
        """Write down a rejection."""
        self.metrics.rejected.labels(rejection.name).inc()
        if rejection == pdu.CALLING_TITLE_UNKNOWN:
            self.on_refused(association.calling, association.address, "calling AE title or address not let in")
        log(
            "association rejected",
            level=logging.WARNING,
            reason=rejection.name,
            calling=association.calling,
            address=association.address,
        )

    def protocol_error(self, association: Association, message: str) -> None:
        """Write down that a peer sent what is no DICOM."""
        self.metrics.aborted.labels("protocol-error").inc()
        log("association aborted", level=logging.WARNING, reason=message, address=association.address)

    def cut_off(self, association: Association, reason: str) -> None:
        """Write down that a peer was too slow."""
        self.metrics.aborted.labels(reason).inc()
        log("association aborted", level=logging.WARNING, reason=reason, address=association.address)

    def received(self, incoming: Incoming, sop_class_uid: str, caller: str) -> None:
        """Count an object that is durable, and tell the importer; ``caller`` is one of few names."""
        known = sop_classes().get(sop_class_uid)
        name = known.name if known else "other"
        self.metrics.received.labels(name, caller, incoming.sender.via).inc()
        self.metrics.received_bytes.inc(incoming.bytes)
        self._on_received()

    # ---- which service takes a message ----

    def receiver(self, association: Association, request: Command, context_id: int) -> Receiver:
        """Return what takes the data set of a message and answers it."""
        service = sop_classes()[association.contexts[context_id][0]].service
        match int(request[dimse.FIELD]), service:
            case dimse.C_STORE_RQ, "storage":
                return StoreReceiver(association, request, context_id)
            case dimse.C_ECHO_RQ, _:
                return Echo(association, request)
            case dimse.N_ACTION_RQ, "commitment":
                return NormalizedReceiver(association, request, context_id, self._commitments.action)
            case dimse.N_CREATE_RQ, "mpps":
                return NormalizedReceiver(association, request, context_id, self._mpps.create)
            case dimse.N_SET_RQ, "mpps":
                return NormalizedReceiver(association, request, context_id, self._mpps.set)
            case _:
                return Refuse(association, request, dimse.UNRECOGNIZED_OPERATION)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(1)
            for association in list(self._connections):
                association.check_deadlines(self.now())
