"""How do spooled objects get into the store? A process of its own that imports them and removes each after its commit.

It is told what to do on standard input: the settings in the first line, then a line whenever something has come; when
the input ends, it finishes its batch and ends too, so it never outlives the service. What it did goes to standard
output, one JSON object a line. Being killed at any moment costs nothing: what was committed but not removed is
recognised by the store, what was not committed is still in the spool.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from doseatlas.model import DoseAtlasError, Record
from doseatlas.network import Quarantine, Quarantined, Sender
from doseatlas.service.at_hand import AtHand
from doseatlas.service.spool import received_at, spooled
from doseatlas.service.watch import WatchedFolder
from doseatlas.settings import Settings

if TYPE_CHECKING:
    from doseatlas.alerts import Delivered, Watch
    from doseatlas.store import Outcome, Store

_BATCH = 250  # the store does so many in this process; for more it starts workers, which takes longer than these
_ALONE = 50  # suspects read one by one before the spool is listed anew
_BACKLOG, _BACKLOG_BATCH = 5_000, 20_000  # after a stop of the store or the importer, workers pay
_REST_SECONDS, _WATCHING_SECONDS = 5.0, 1.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
_AWAY_SECONDS = 5.0
_LOCK_SECONDS = 0.2
_LAST_MESSAGE_SECONDS = 15.0
_TELLING = threading.Lock()
_DEFECT = 70


class Order(Record, frozen=True, kw_only=True):
    """The first line of the input. ``cautious``: importers have died, so what they had at hand is read one by one."""

    settings: Settings
    cautious: bool = False


class Event(Record, frozen=True, kw_only=True):
    """A line of the output: what became of a batch, or why an import failed as a whole.

    ``behind_seconds``: how long ago the oldest object of the batch was received. ``alerts`` were raised, ``told`` went
    out, ``untold`` says why others did not yet. ``unaudited``: why the audit trail could not be written. ``away``: why
    a watched folder cannot be used, ``back``: that it can again. ``recovered``: a round went well after a failed one.
    """

    results: dict[str, int] = msgspec.field(default_factory=dict)
    seconds: float = 0.0
    behind_seconds: float = 0.0
    failure: str | None = None
    alerts: int = 0
    told: int = 0
    untold: tuple[str, ...] = ()
    unaudited: str | None = None
    away: str | None = None
    back: str | None = None
    recovered: bool = False


class Importer:
    """Feeds the spool and the watched folders of one data folder into its store."""

    def __init__(self, order: Order, tell: Callable[[Event], None]) -> None:
        self._settings = order.settings
        self._tell = tell
        service = order.settings.service
        self._new = order.settings.data_path / "spool" / "new"
        self._at_hand = AtHand(order.settings.data_path / "spool", cautious=order.cautious)
        self._quarantine = Quarantine.of_objects(order.settings)
        self._away: dict[Path, float] = {}  # watched folders that cannot be used, and when to try them again
        self._watched = [WatchedFolder(Path(row.path).expanduser(), row.facility) for row in service.folders]
        self._opened: Store | None = None
        self._watch: Watch | None = None
        self._unlooked = True  # an importer that died may have left exams that no rule has looked at
        self._put_deadly_away()

    @property
    def rest_seconds(self) -> float:
        """How long to rest when there was nothing to do and nobody wakes us."""
        return _WATCHING_SECONDS if self._watched else _REST_SECONDS

    def close(self) -> None:
        """Close the store; the next round opens it again."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def round(self) -> bool:
        """Import one batch for each facility and each watched folder; return whether there was anything.

        Raises:
            DoseAtlasError: the store failed; nothing is lost, try again later.
            OSError: the disk failed; the same.

        """
        waiting: dict[str | None, list[tuple[Sender, Path]]] = {}
        for sender, _, files in spooled(self._new):
            waiting.setdefault(sender.facility, []).extend((sender, file.path) for file in files)
        busy = False
        for facility, objects in waiting.items():
            if objects:
                objects.sort(key=lambda one: one[1].name)
                alone = [[one] for one in objects if self._at_hand.is_suspect(one[1])][:_ALONE]
                for batch in alone or [objects[: _BACKLOG_BATCH if len(objects) >= _BACKLOG else _BATCH]]:
                    self._import_spooled(facility, batch)
                busy = True
        for watched in self._watched:
            busy |= self._look_into(watched)
        if self._unlooked:
            self._look()
        return busy

    def _look_into(self, watched: WatchedFolder) -> bool:
        """Import what is ready in a watched folder; one that is away holds up nothing else."""
        now = time.monotonic()
        if now < self._away.get(watched.folder, now):
            return False
        try:
            ready = watched.ready(now, _BATCH)
            alone = [[file] for file in ready if self._at_hand.is_suspect(file)]
            for batch in alone or ([ready] if ready else []):
                self._import_watched(watched, batch)
        except OSError as error:
            if watched.folder not in self._away:
                self._tell(Event(away=f"The watched folder {watched.folder} cannot be used: {error.strerror}."))
            self._away[watched.folder] = now + _AWAY_SECONDS
            return False
        if self._away.pop(watched.folder, None) is not None:
            self._tell(Event(back=str(watched.folder)))
        return bool(ready)

    def _look(self) -> None:
        """Raise the alerts of what has come; the store knows what was not looked at, should this fail."""
        from doseatlas.alerts import Watch
        from doseatlas.store import Store

        self._unlooked = Store.exists(self._settings)
        if not self._unlooked:
            return
        self._watch = self._watch or Watch(self._settings)
        raised = self._watch.look(self._store(), dt.datetime.now(dt.UTC))
        self._unlooked = False
        if raised:
            self._tell(Event(alerts=raised))

    # ---- spool ----

    def _import_spooled(self, facility: str | None, objects: Sequence[tuple[Sender, Path]]) -> None:
        senders = {str(path): sender for sender, path in objects}
        refused: list[str] = []
        settled: set[str] = set()

        def committed(outcomes: Sequence[Outcome]) -> None:
            self._audit(outcomes, senders)
            for outcome in outcomes:
                settled.add(outcome.path)
                if outcome.result == "refused":
                    refused.append(outcome.path)
                else:
                    Path(outcome.path).unlink(missing_ok=True)

        paths = [path for _, path in objects]
        self._at_hand.take(paths)
        self._import(facility, paths, committed, since=received_at(paths[0]))
        self._at_hand.drop(paths)
        reasons = self._reasons() if refused else {}
        unsettled = [path for path in senders if path not in settled and Path(path).exists()]
        moved = {}
        for path in [*refused, *unsettled]:
            code, message = reasons.get(path, ("unsettled", "The import did not say what became of this object."))
            why = Quarantined(code=code, message=message, sender=senders[path])
            moved[path] = str(self._quarantine.take(Path(path), why))
        if moved:
            self._store().refusals_moved(moved)

    def _audit(self, outcomes: Sequence[Outcome], senders: Mapping[str, Sender]) -> None:
        """Write down who sent what. An audit trail that fails is told; it must not keep objects from the store."""
        from doseatlas.service.transfers import record_transfers

        try:
            record_transfers(self._settings, self._store(), outcomes, senders)
        except (DoseAtlasError, OSError) as error:
            self._tell(Event(unaudited=str(error)))

    def _put_deadly_away(self) -> None:
        """Put the object away that importers before us died of."""
        path = self._at_hand.deadly
        if path is None:
            return
        if path.is_file():
            said = "The importing process ended each time that it read this object alone."
            watched = next((one for one in self._watched if path.is_relative_to(one.folder)), None)
            if watched is not None:
                watched.move_away(path, [f"{path}: importer-died {said}"])
            else:
                self._quarantine.take(path, Quarantined(code="importer-died", message=said))
        self._at_hand.drop([path])

    # ---- watched folders ----

    def _import_watched(self, watched: WatchedFolder, files: Sequence[Path]) -> None:
        refused: set[str] = set()
        from doseatlas.store.derive import plain_text

        sender = Sender(via="folder", caller=watched.folder.name, address="")

        def committed(outcomes: Sequence[Outcome]) -> None:
            self._audit(outcomes, {outcome.path: sender for outcome in outcomes})
            refused.update(outcome.path for outcome in outcomes if outcome.result == "refused")

        self._at_hand.take(files)
        self._import(watched.facility, files, committed)
        self._at_hand.drop(files)
        reasons = self._reasons() if refused else {}
        moved: dict[str, str] = {}
        for file in files:
            named = plain_text(str(file))  # as the import names it
            mine = sorted(path for path in refused if path == named or path.startswith(f"{named}/"))
            there = watched.move_away(file, [f"{path}: {' '.join(reasons.get(path, ()))}" for path in mine])
            moved |= {path: plain_text(str(there)) + path[len(named) :] for path in mine}
        if moved:
            self._store().refusals_moved(moved)

    # ---- the store ----

    def _import(
        self,
        facility: str | None,
        paths: Sequence[Path],
        committed: Callable[[Sequence[Outcome]], None],
        since: float | None = None,
    ) -> None:
        from doseatlas.store import import_paths

        self._unlooked = True
        summary = import_paths(self._store(), paths, facility=facility, committed=committed)
        results = Counter(
            {
                "imported": summary.imported,
                "already-there": summary.already_there,
                "ignored": summary.ignored,
                "refused": summary.refused,
            }
        )
        behind = 0.0 if since is None else max(0.0, time.time() - since)
        self._tell(Event(results=dict(+results), seconds=round(summary.seconds, 3), behind_seconds=round(behind, 3)))

    def _store(self) -> Store:
        from doseatlas.store import Store

        if self._opened is None:
            self._opened = Store.from_settings(self._settings)
        return self._opened

    def _reasons(self) -> dict[str, tuple[str, str]]:
        return {one.path: (one.code, one.message) for one in self._store().refused()}


def main() -> None:
    """Run as the process that the service starts."""
    warnings.simplefilter("ignore")  # warnings and the logs of libraries may quote objects
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service says when to end
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    lines = iter(sys.stdin.readline, "")
    order = msgspec.json.decode(next(lines), type=Order)
    wake, ended = threading.Event(), threading.Event()
    threading.Thread(target=_listen, args=(lines, wake, ended), daemon=True).start()
    lock = _only_importer(order.settings.data_path / "spool" / "importer.lock", ended)
    telling = _start_telling(order.settings, ended)
    pause, failed = _FIRST_PAUSE_SECONDS, False
    importer = Importer(order, _tell)
    while not ended.is_set():
        wake.clear()
        try:
            busy = importer.round()
            if failed:
                _tell(Event(recovered=True))
            pause, failed = _FIRST_PAUSE_SECONDS, False
            if not busy and not ended.is_set():
                wake.wait(importer.rest_seconds)
        except (DoseAtlasError, OSError) as error:
            failed = True
            _tell(Event(failure=str(error)))
            importer.close()  # what was opened while it could only be read stays so
            ended.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        except Exception as error:  # ours to mend; its text and trace may quote an object
            _tell(Event(failure=f"a defect: {type(error).__name__} at {_place(error)}"))
            sys.exit(_DEFECT)
    importer.close()
    if telling is not None:
        telling.join(_LAST_MESSAGE_SECONDS)
    os.close(lock)


def _start_telling(settings: Settings, ended: threading.Event) -> threading.Thread | None:
    """Deliver alerts beside the import, which a mail server that does not answer must not hold up."""
    if not settings.alerts.recipients:
        return None
    from doseatlas.alerts import keep_delivering

    def tell(done: Delivered) -> None:
        _tell(Event(told=done.sent, untold=done.failures))

    telling = threading.Thread(target=keep_delivering, args=(settings, ended, tell), name="alerts", daemon=True)
    telling.start()
    return telling


def _only_importer(path: Path, ended: threading.Event) -> int:
    """Wait until the importer of a service that was killed has finished its batch; return the lock."""
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    began = time.monotonic()
    while not ended.is_set():
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() - began > _LONGEST_PAUSE_SECONDS:
                _tell(Event(failure="the importing process of an earlier start has not ended yet"))
                began = time.monotonic()
            ended.wait(_LOCK_SECONDS)
    return lock


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"


def _listen(lines: Iterable[str], wake: threading.Event, ended: threading.Event) -> None:
    for _ in lines:
        wake.set()
    ended.set()
    wake.set()


def _tell(event: Event) -> None:
    try:
        with _TELLING:
            sys.stdout.write(msgspec.json.encode(event).decode() + "\n")
            sys.stdout.flush()
    except BrokenPipeError:  # the service is gone; the input's end says so too
        pass


if __name__ == "__main__":
    main()
