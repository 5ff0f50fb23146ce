"""Who was not let in? Told in the audit trail, each peer once an hour, so that knocking does not fill the trail."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from doseatlas.audit import AuditEvent, AuditTrail, refused_peer_event
from doseatlas.model import DoseAtlasError
from doseatlas.service.logs import log

_AGAIN_SECONDS = 3600.0
_MOST_PEERS = 100  # told in an hour; the log names all


class Intruders:
    """Writes down peers that were not let in, off the event loop."""

    def __init__(self, trail: AuditTrail, now: Callable[[], float] = time.monotonic) -> None:
        self._trail = trail
        self._now = now
        self._told: dict[tuple[str, str], float] = {}
        self._writing: set[asyncio.Task[None]] = set()

    def note(self, caller: str, address: str, why: str) -> None:
        """Write down that a peer was not let in, unless that was done within the hour."""
        now = self._now()
        self._told = {peer: at for peer, at in self._told.items() if now - at < _AGAIN_SECONDS}
        if (caller, address) in self._told or len(self._told) >= _MOST_PEERS:
            return
        self._told[caller, address] = now
        task = asyncio.get_running_loop().create_task(self._write(refused_peer_event(caller, address, why)))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def finish(self) -> None:
        """Wait until all is written."""
        if self._writing:
            await asyncio.wait(self._writing)

    async def _write(self, event: AuditEvent) -> None:
        try:
            await asyncio.to_thread(self._trail.append, [event])
        except (DoseAtlasError, OSError) as error:
            log("not written to the audit trail", level=logging.ERROR, reason=str(error))
