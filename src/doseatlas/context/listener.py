"""How does the RIS reach us? Listens for HL7 messages over MLLP, with TLS if set, and answers each.

``AA`` is answered only after what the message states is committed to the store. A message that is not taken changes
nothing, is kept in quarantine, and its answer says why; a store that fails closes the connection without an answer, so
that the sender keeps the message. Events go to standard error, one JSON object a line, without patient data.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import signal
import ssl
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import msgspec

from doseatlas.audit import AuditTrail, context_event
from doseatlas.context.acknowledge import accepted, refused
from doseatlas.context.again import refuse
from doseatlas.context.message import Rejected, read_message
from doseatlas.context.mllp import Frames, NotMllp, framed
from doseatlas.model import DoseAtlasError, SettingsError
from doseatlas.network import server_context
from doseatlas.settings import ContextSettings, Settings
from doseatlas.store import ContextSummary, Statement, Store, add_context

_READ_BYTES = 64 * 1024
_MAX_CONNECTIONS = 100
_IDLE_SECONDS = 3600.0  # interface engines keep connections open
_STALL_SECONDS = 30.0
_MAX_DAYS = 366


def check(settings: ContextSettings) -> ssl.SSLContext | None:
    """Check all that can be checked without listening; returns the TLS context, if TLS is set.

    Raises:
        SettingsError: a setting cannot work; which, and what to do.

    """
    if not 0 < settings.port < 65536:
        raise SettingsError(f"[context] port is {settings.port}; a port is 1 to 65535.")
    if not 0 <= settings.patient_days <= _MAX_DAYS:
        raise SettingsError(f"[context] patient_days is {settings.patient_days}; it must be 0 to {_MAX_DAYS}.")
    for place in settings.accession_fields:
        segment, _, rest = place.partition("-")
        if not (len(segment) == 3 and segment.isalnum() and all(part.isdigit() for part in rest.split("."))):
            raise SettingsError(
                f"[context] accession_fields names {place!r}; write OBR-18, or OBR-3.1 for a component."
            )
    try:
        local = ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        raise SettingsError(f"[context] host is {settings.host!r}; write an address, such as 0.0.0.0.") from None
    _networks(settings)
    if not local and not settings.addresses:
        raise SettingsError(
            f"[context] listens on {settings.host} but names no addresses, so that anyone could send. Name those of "
            'the RIS or the interface engine: addresses = ["10.1.2.3"].'
        )
    return _tls(settings)


def _networks(settings: ContextSettings) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    try:
        return [ipaddress.ip_network(text, strict=False) for text in settings.addresses]
    except ValueError as error:
        raise SettingsError(f"[context] addresses: {error}. Write 10.1.2.3 or 10.1.0.0/16.") from None


def _tls(settings: ContextSettings) -> ssl.SSLContext | None:
    if not settings.certificate and not settings.private_key:
        if settings.trusted_certificates:
            raise SettingsError("[context] names trusted_certificates, but no certificate and private_key for TLS.")
        return None
    return server_context("[context]", settings.certificate, settings.private_key, settings.trusted_certificates)


def listen(settings: Settings) -> None:
    """Listen until SIGTERM or SIGINT.

    Raises:
        SettingsError: it cannot listen as it is set.
        StoreError: the store cannot be opened.

    """
    tls = check(settings.context)
    with Store.from_settings(settings):
        pass  # what is wrong with the store is said at start
    asyncio.run(_Listener(settings, tls).run())


class _Listener:
    def __init__(self, settings: Settings, tls: ssl.SSLContext | None) -> None:
        self._all_settings = settings
        self._settings = settings.context
        self._opened: Store | None = None
        self._tls = tls
        self._trail = AuditTrail.from_settings(settings)
        self._networks = _networks(settings.context)
        self._stop = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        self._writer = ThreadPoolExecutor(1, "store")  # messages change the store in the order in which they came

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        host, port = self._settings.host, self._settings.port
        try:
            server = await asyncio.start_server(self._connected, host, port, ssl=self._tls, limit=_READ_BYTES)
        except OSError as error:
            raise SettingsError(
                f"[context] port {port} on {host} cannot be listened on: {error.strerror}. Stop what uses it, or "
                "choose another."
            ) from None
        _log("started", host=host, port=port, tls=self._tls is not None)
        await self._stop.wait()
        server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        self._writer.submit(self._close)
        self._writer.shutdown()  # what was being committed is
        _log("stopped")

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        address = str(writer.get_extra_info("peername")[0])
        self._open.add(task)
        try:
            if len(self._open) > _MAX_CONNECTIONS or not self._may_send(address):
                _log("connection refused", address=address)
                return
            await self._serve(reader, writer, address)
        except (NotMllp, TimeoutError) as error:
            _log("connection closed", address=address, reason=str(error) or "the peer was silent for too long")
        except (ConnectionError, ssl.SSLError):
            pass
        except DoseAtlasError as error:
            _log("the store does not take messages", reason=str(error))
        except asyncio.CancelledError:
            pass
        except Exception as error:  # ours to mend; its text and trace may quote a message
            _log("a defect", exception=type(error).__name__)
        finally:
            self._open.discard(task)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    def _may_send(self, address: str) -> bool:
        at = ipaddress.ip_address(address.split("%", 1)[0])
        at = getattr(at, "ipv4_mapped", None) or at
        return at.is_loopback or any(at in network for network in self._networks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        frames = Frames()
        loop = asyncio.get_running_loop()
        deadline: float | None = None  # of a message that has begun: a byte now and then does not move it
        while True:
            now = loop.time()
            deadline = (deadline or now + _STALL_SECONDS) if frames.waits else None
            data = await asyncio.wait_for(reader.read(_READ_BYTES), deadline - now if deadline else _IDLE_SECONDS)
            if not data:
                return
            messages = frames.feed(data)
            for message in messages:
                writer.write(framed(await loop.run_in_executor(self._writer, self._take, message, address)))
                await writer.drain()
            if messages:
                deadline = None

    def _take(self, message: bytes, address: str) -> bytes:
        """Commit what a message states and return the answer; runs in the writing thread."""
        now = dt.datetime.now(dt.UTC)
        try:
            order = read_message(message, self._settings, now.date())
            summary = None
            if order.statements:
                summary = self._add(order.statements, f"hl7-{now:%Y-%m-%d}")
        except Rejected as error:
            _log("message refused", answer=error.acknowledgment, condition=error.condition, reason=str(error))
            self._quarantine(message, error, address, now)
            return refused(error, now)
        changed = len(summary.changes) if summary else 0
        _log("message taken", statements=len(order.statements), changes=changed)
        if summary is not None and summary.new:
            self._audit(summary, address)
        return accepted(order.header, now)

    def _add(self, statements: Sequence[Statement], batch: str) -> ContextSummary:
        self._opened = self._opened or Store.from_settings(self._all_settings)
        try:
            summary = add_context(self._opened, statements, "hl7", batch)
            if summary.changes:
                self._opened.refresh_mart()
        except DoseAtlasError:
            self._close()  # the next message opens it again: what was opened while it could only be read stays so
            raise
        return summary

    def _close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def _quarantine(self, message: bytes, error: Rejected, address: str, now: dt.datetime) -> None:
        """Keep a refused message; its sender has it too, so that a disk that fails is told and holds up no answer."""
        try:
            refuse(self._all_settings, message, error, address, now)
        except OSError as failure:
            _log("message not kept in quarantine", reason=failure.strerror)

    def _audit(self, summary: ContextSummary, address: str) -> None:
        """Write down that values came. A trail that fails is told; the values are in the store already."""
        event = context_event(
            peer=address, address=address, batch=summary.batch, values=summary.new, changes=len(summary.changes)
        )
        try:
            self._trail.append([event])
        except (DoseAtlasError, OSError) as error:
            _log("not written to the audit trail", reason=str(error))


def _log(event: str, **fields: object) -> None:
    line = {"time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
    print(msgspec.json.encode(line).decode(), file=sys.stderr, flush=True)
