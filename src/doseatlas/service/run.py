"""How does the service live? Starts what receives and what imports, watches over both, stops without losing any."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import ssl
import sys
import time
from collections.abc import Collection
from contextlib import suppress

import msgspec

from doseatlas.audit import AuditTrail, application_event
from doseatlas.model import DoseAtlasError
from doseatlas.service.checking import Sockets, bind, check, tls
from doseatlas.service.commitment import Commitments
from doseatlas.service.importer import Event, Order
from doseatlas.service.intruders import Intruders
from doseatlas.service.listener import Listener
from doseatlas.service.logs import log, start_logging
from doseatlas.service.metrics import Metrics
from doseatlas.service.mpps import Mpps
from doseatlas.service.spool import Spool, spooled
from doseatlas.service.web import WebServer, application
from doseatlas.settings import Settings

_SWITCH_SECONDS = 0.0005  # the thread that commits waits this long for the loop's thread, instead of 5 ms
_WAKE_SECONDS = 0.05
_CRASHES_BEFORE_CAUTION = 2
_IMPORTER_STOP_SECONDS = 60
_LONGEST_PAUSE_SECONDS = 30.0


def serve(settings: Settings) -> None:
    """Receive until SIGTERM or SIGINT.

    Raises:
        SettingsError: the service cannot run as it is set; nothing was started.

    """
    settings = msgspec.structs.replace(settings, data_dir=str(settings.data_path.resolve()))
    check(settings)
    sockets = bind(settings.service)
    spool = Spool(settings.data_path, min_free_bytes=settings.service.min_free_mebibytes * 2**20)
    start_logging()
    sys.setswitchinterval(_SWITCH_SECONDS)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        asyncio.run(_Service(settings, spool, sockets).run())
    finally:
        spool.close()


class _Service:
    def __init__(self, settings: Settings, spool: Spool, sockets: Sockets) -> None:
        self._settings = settings
        self._spool = spool
        self._sockets = sockets
        self._metrics = Metrics()
        self._stop = asyncio.Event()
        self._wake = asyncio.Event()
        self._importer: asyncio.subprocess.Process | None = None
        self._failure: str | None = None
        self._accepting = False
        self._listener: Listener | None = None

    async def run(self) -> None:
        service = self._settings.service
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._metrics.watch_spool(self._depth, self._oldest_seconds, self._spool.free_bytes_left)
        commitments = Commitments(
            self._spool.folder, ae_title=service.ae_title, kept=self._kept, metrics=self._metrics, disk=self._spool.disk
        )
        intruders = Intruders(AuditTrail.from_settings(self._settings))
        listener = self._listener = Listener(
            service,
            self._spool,
            self._metrics,
            commitments=commitments,
            mpps=Mpps(self._spool),
            on_received=self._wake.set,
            on_refused=intruders.note,
        )
        await listener.start(self._dicom_sockets())
        web = WebServer(application(service, listener, self.unready), self._web_sockets(), service)
        await web.start()
        commitments.resume()
        importing = asyncio.create_task(self._keep_importing())
        waking = asyncio.create_task(self._pass_on_wakes())
        self._accepting = True
        await self._audit("application-start")
        log("started", ae_title=service.ae_title, host=service.host, ports=self._ports(), callers=len(service.callers))
        await self._stop.wait()
        log("stopping")
        self._accepting = False
        await asyncio.gather(listener.stop(service.grace_seconds), web.stop(service.grace_seconds))
        commitments.stop()
        waking.cancel()
        await self._stop_importer(importing)
        await intruders.finish()
        await self._audit("application-stop")
        log("stopped", waiting=self._depth())

    def _dicom_sockets(self) -> list[tuple[socket.socket, ssl.SSLContext | None]]:
        found: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        if self._sockets.dicom is not None:
            found.append((self._sockets.dicom, None))
        if self._sockets.dicom_tls is not None:
            found.append((self._sockets.dicom_tls, tls(self._settings.service, mutual=True)))
        return found

    def _web_sockets(self) -> list[tuple[socket.socket, ssl.SSLContext | None]]:
        found: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        if self._sockets.http is not None:
            found.append((self._sockets.http, None))
        if self._sockets.https is not None:
            found.append((self._sockets.https, tls(self._settings.service, mutual=False)))  # senders show tokens
        return found

    def _ports(self) -> dict[str, int]:
        return {name: one.getsockname()[1] for name, one in self._sockets._asdict().items() if one is not None}

    async def _audit(self, what: str) -> None:
        trail = AuditTrail.from_settings(self._settings)
        try:
            await asyncio.to_thread(trail.append, [application_event(what, self._settings.service.ae_title)])
        except (DoseAtlasError, OSError) as error:
            log("not written to the audit trail", level=logging.ERROR, reason=str(error))

    # ---- state ----

    def unready(self) -> str | None:
        """Return why the service is not ready to receive, or ``None``."""
        if not self._accepting:
            return "starting or stopping"
        if self._spool.free_bytes_left() < 0:
            return "the disk is full"
        if self._importer is None:
            return "the importing process is not running"
        return self._failure and f"the store does not take objects: {self._failure}"

    def _depth(self) -> int:
        return sum(len(files) for _, _, files in spooled(self._spool.new))

    def _oldest_seconds(self) -> float:
        oldest = min((files[0].received_at for _, _, files in spooled(self._spool.new) if files), default=None)
        return 0.0 if oldest is None else max(0.0, time.time() - oldest)

    def _kept(self, instances: Collection[str]) -> set[tuple[str, str]]:
        from doseatlas.store import Store

        try:
            if not Store.exists(self._settings):
                return set()
            with Store.from_settings(self._settings) as store:
                return store.kept_instances(instances)
        except DoseAtlasError as error:
            log("the store was not asked for a storage commitment", level=logging.ERROR, reason=str(error))
            return set()

    # ---- the importing process ----

    async def _keep_importing(self) -> None:
        """Run the importing process, and start it again when it dies, later each time."""
        crashes, pause = 0, 1.0
        while not self._stop.is_set():
            began = time.monotonic()
            status = await self._run_importer(cautious=crashes >= _CRASHES_BEFORE_CAUTION)
            if self._stop.is_set():
                return
            if time.monotonic() - began > _LONGEST_PAUSE_SECONDS * 2:
                crashes, pause = 0, 1.0
            crashes += 1
            self._metrics.importer_restarts.inc()
            log("the importing process ended", level=logging.ERROR, status=status, next_start_seconds=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _run_importer(self, *, cautious: bool) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "doseatlas.service.importer", stdin=-1, stdout=-1, start_new_session=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        order = msgspec.json.encode(Order(settings=self._settings, cautious=cautious))
        process.stdin.write(order + b"\n")
        self._importer = process
        try:
            async for line in process.stdout:
                self._told(msgspec.json.decode(line, type=Event))
        finally:
            self._importer = None
        return await process.wait()

    def _told(self, event: Event) -> None:
        if event.failure is not None:
            self._failure = event.failure
            self._metrics.import_failures.inc()
            log("import failed, will be tried again", level=logging.ERROR, reason=event.failure)
            return
        if event.unaudited is not None:
            log("not written to the audit trail", level=logging.ERROR, reason=event.unaudited)
            return
        if event.alerts:
            log("alerts raised", count=event.alerts)
            return
        if event.told or event.untold:
            level = logging.ERROR if event.untold else logging.INFO
            log("alerts sent", level=level, count=event.told, not_yet=list(event.untold) or None)
            return
        if event.away or event.back:
            level = logging.ERROR if event.away else logging.INFO
            log("watched folder", level=level, away=event.away, back=event.back)
            return
        self._failure = None
        if event.recovered:
            log("import goes on")
            return
        if self._listener is not None:
            self._listener.pace(event.behind_seconds)
        for result, count in event.results.items():
            self._metrics.imported.labels(result).inc(count)
        log("imported", **event.results, seconds=event.seconds)

    async def _pass_on_wakes(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._importer is not None and self._importer.stdin is not None:
                self._importer.stdin.write(b"\n")
            await asyncio.sleep(_WAKE_SECONDS)

    async def _stop_importer(self, importing: asyncio.Task[None]) -> None:
        """Let the importer finish its batch; what it does not finish in time stays in the spool."""
        if self._importer is not None and self._importer.stdin is not None:
            self._importer.stdin.close()
        try:
            await asyncio.wait_for(importing, _IMPORTER_STOP_SECONDS)
        except TimeoutError:
            if self._importer is not None:
                self._importer.kill()
