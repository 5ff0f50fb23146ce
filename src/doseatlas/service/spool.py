"""Where does an object wait, safely, until it is in the store? On disk: nothing is acknowledged before it is there.

``spool/new/<sender>/<when>-<number>-<SOP instance UID>.dcm`` are objects received; ``sender.json`` beside them says
who sent them and to which facility they belong. ``spool/tmp`` holds what is not complete and is emptied at the start.
An object is written to ``tmp``, fsynced, renamed into ``new``, and its folder is fsynced; then it is acknowledged.
One thread does this for all that wait at the same moment, so that they share the folder's fsync.
"""

from __future__ import annotations

import errno
import fcntl
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from doseatlas.model import SettingsError
from doseatlas.network import Sender

Done = Callable[[Exception | None], None]

_SPILL_BYTES = 256 * 1024
_GROUP = 64
_SENDER_FILE = "sender.json"
_UID_CHARACTERS = frozenset("0123456789.")


class TooLarge(Exception):
    """The object exceeds what one object may have."""


class Disk:
    """The calls of the operating system that a full or failing disk makes fail; tests put a failing disk in here."""

    def write(self, descriptor: int, data: bytes | bytearray) -> None:
        """Write all of the data."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def fsync(self, descriptor: int) -> None:
        """Wait until what was written is on the medium."""
        os.fsync(descriptor)

    def free_bytes(self, folder: Path) -> int:
        """Return how much may still be written."""
        return shutil.disk_usage(folder).free


class SpoolFile(NamedTuple):
    """An object that waits: its file and when it was received (seconds since 1970)."""

    path: Path
    received_at: float
    sop_instance_uid: str


class Incoming:
    """An object on its way in: small ones stay in memory, larger ones go to a temporary file as they arrive."""

    def __init__(self, spool: Spool, sender: Sender, sop_instance_uid: str, max_bytes: int) -> None:
        self.sender = sender
        self.name = spool.new_name(sop_instance_uid)
        self.bytes = 0
        self._spool = spool
        self._max_bytes = max_bytes
        self._held = bytearray()
        self._descriptor: int | None = None

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Add a piece.

        Raises:
            TooLarge: the object exceeds its limit.
            OSError: the disk is full or fails.

        """
        self.bytes += len(piece)
        if self.bytes > self._max_bytes:
            raise TooLarge
        self._held += piece
        if len(self._held) > _SPILL_BYTES:
            self._flush()

    def seal(self) -> None:
        """Bring all of it to the medium, still under its temporary name."""
        self._flush()
        assert self._descriptor is not None
        self._spool.disk.fsync(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = None

    def discard(self) -> None:
        """Forget what came; nothing of it stays."""
        self._held.clear()
        descriptor, self._descriptor = self._descriptor, None
        with suppress(OSError):  # a failing disk: the next start empties the folder
            self._temporary.unlink(missing_ok=True)
        with suppress(OSError):
            if descriptor is not None:
                os.close(descriptor)

    @property
    def _temporary(self) -> Path:
        return self._spool.temporary / self.name

    def publish(self) -> None:
        """Give it its final name."""
        self._temporary.rename(self._spool.folder_of(self.sender) / self.name)

    def _flush(self) -> None:
        if self._descriptor is None:
            self._descriptor = os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        self._spool.disk.write(self._descriptor, self._held)
        self._held = bytearray()


class Spool:
    """The spool of one data folder; one process at a time holds it.

    Raises:
        SettingsError: the folder cannot be made or written, or another process holds it.

    """

    def __init__(
        self,
        data_path: Path,
        *,
        min_free_bytes: int = 0,
        disk: Disk | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.folder = data_path / "spool"
        self.new = self.folder / "new"
        self.temporary = self.folder / "tmp"
        self.disk = disk or Disk()
        self._min_free_bytes = min_free_bytes
        self._now_ns = now_ns
        self._mark = os.urandom(3).hex()
        self._number = 0
        self._senders: set[str] = set()
        self._waiting: queue.SimpleQueue[tuple[Incoming, Done] | None] = queue.SimpleQueue()
        try:
            for folder in (self.new, self.temporary):
                folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)  # objects in here still bear the patient's identity
            self._lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError(
                f"The spool {self.folder} cannot be written: {error.strerror}. "
                "Set data_dir to a folder that the service's user may write."
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise SettingsError(
                f"Another doseatlas serve holds the spool {self.folder}. Stop it, or give this one its own data_dir."
            ) from None
        for leftover in self.temporary.iterdir():
            leftover.unlink()
        self._committer = threading.Thread(target=self._commit_groups, name="spool", daemon=True)
        self._committer.start()

    def incoming(self, sender: Sender, sop_instance_uid: str, max_bytes: int) -> Incoming:
        """Begin to receive an object."""
        return Incoming(self, sender, sop_instance_uid, max_bytes)

    def commit(self, incoming: Incoming, done: Done) -> None:
        """Make an object durable; ``done`` is then called, in another thread, with ``None`` or what went wrong."""
        self._waiting.put((incoming, done))

    def close(self) -> None:
        """Finish what was given to :meth:`commit` and let the spool go."""
        self._waiting.put(None)
        self._committer.join()
        os.close(self._lock)

    def new_name(self, sop_instance_uid: str) -> str:
        """Return a file name that no other object has, whatever the clock does."""
        self._number += 1
        uid = "".join(c for c in sop_instance_uid if c in _UID_CHARACTERS)[:64]
        return f"{self._now_ns():020d}-{self._mark}{self._number:x}-{uid}.dcm"

    def folder_of(self, sender: Sender) -> Path:
        """Return the folder of a sender's objects."""
        return self.new / sender.key

    def free_bytes_left(self) -> int:
        """Return how much may be written before the reserve is reached."""
        return self.disk.free_bytes(self.folder) - self._min_free_bytes

    # ---- the committing thread ----

    def _commit_groups(self) -> None:
        while True:
            first = self._waiting.get()
            if first is None:
                return
            group, stop = [first], False
            while len(group) < _GROUP and not self._waiting.empty():
                item = self._waiting.get()
                if item is None:
                    stop = True
                    break
                group.append(item)
            self._commit_group(group)
            if stop:
                return

    def _commit_group(self, group: list[tuple[Incoming, Done]]) -> None:
        outcomes: dict[int, Exception | None] = {}
        published: dict[str, list[Incoming]] = {}
        for incoming, _ in group:
            try:
                if self.free_bytes_left() < 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                incoming.seal()
                self._make_folder(incoming.sender)
                incoming.publish()
                published.setdefault(incoming.sender.key, []).append(incoming)
                outcomes[id(incoming)] = None
            except Exception as error:
                outcomes[id(incoming)] = error
                incoming.discard()
        for key, members in published.items():
            try:
                _sync_folder(self.new / key, self.disk)
            except OSError as error:
                for incoming in members:
                    with suppress(OSError):  # then it is imported, and counted once when it comes again
                        (self.new / key / incoming.name).unlink(missing_ok=True)
                    outcomes[id(incoming)] = error
        for incoming, done in group:
            done(outcomes[id(incoming)])

    def _make_folder(self, sender: Sender) -> None:
        if sender.key in self._senders:
            return
        folder = self.folder_of(sender)
        folder.mkdir(exist_ok=True)
        write_durably(folder / _SENDER_FILE, msgspec.json.encode(sender), self.disk)
        _sync_folder(self.new, self.disk)
        self._senders.add(sender.key)


def write_durably(path: Path, data: bytes, disk: Disk) -> None:
    """Replace a small file so that after a crash it is the old or the new one, and after the return the new one."""
    temporary = path.with_name(path.name + ".tmp")
    descriptor = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        disk.write(descriptor, data)
        disk.fsync(descriptor)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    temporary.rename(path)
    _sync_folder(path.parent, disk)


def _sync_folder(folder: Path, disk: Disk) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        disk.fsync(descriptor)
    finally:
        os.close(descriptor)


def spooled(new: Path) -> Iterator[tuple[Sender, Path, list[SpoolFile]]]:
    """Yield each sender, its folder and the objects that wait in it, the oldest first."""
    for folder in sorted(new.iterdir()):
        try:
            sender = msgspec.json.decode((folder / _SENDER_FILE).read_bytes(), type=Sender)
        except FileNotFoundError:  # a crash fell between making the folder and its first object
            continue
        names = sorted(name for name in os.listdir(folder) if name.endswith(".dcm"))  # noqa: PTH208
        yield sender, folder, [_spool_file(folder, name) for name in names]


def _spool_file(folder: Path, name: str) -> SpoolFile:
    path = folder / name
    return SpoolFile(path, received_at(path), path.stem.split("-", 2)[2])


def received_at(path: Path) -> float:
    """Return when a spooled object was received (seconds since 1970)."""
    return int(path.name.split("-", 1)[0]) / 1e9
