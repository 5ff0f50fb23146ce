"""Where are audit messages kept? In files that are only added to, each record sealed with the one before it.

``audit/audit-000001.jsonl`` holds one record a line: its number, its time, the seal of the record before it, the
message and its own seal, an HMAC-SHA-256 under the trail's key over the other four. ``audit/head.json`` holds the
number and the seal of the last record, sealed likewise. So a record that was changed, taken out, put in or cut off the
end is found, and who does not have the key cannot write the trail anew. A record is on disk when ``append`` returns;
what a crash leaves of an unfinished one is cut off by the next.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hmac
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import msgspec

from doseatlas.audit.message import AuditEvent, to_xml, user_event
from doseatlas.model import Record, SettingsError, StoreError
from doseatlas.settings import Settings
from doseatlas.store.database import disk_errors
from doseatlas.store.files import make_folder, sync_folder, write_whole
from doseatlas.store.identity import make_key

KEY_FILE = "audit.key"
FIRST_SEAL = "0" * 64
_KEY_BYTES = 32
_HEAD = "head.json"
_LOCK = "lock"
_MAX_LINE_BYTES = 2**20


class TrailRecord(Record, frozen=True, kw_only=True):
    """One record. ``previous`` is the seal of the record before it, zeros for the first."""

    number: int
    at: str
    previous: str
    message: str
    seal: str


class Head(Record, frozen=True, kw_only=True):
    """The end of the trail: the last record, and where the next one goes."""

    number: int
    seal: str
    file: int
    bytes: int
    mac: str


class AuditTrail:
    """The trail of one data folder. Several processes may append at once."""

    def __init__(self, folder: Path, key_file: Path, *, rotate_bytes: int, source: str) -> None:
        self.folder = folder
        self.key_file = key_file
        self._rotate_bytes = rotate_bytes
        self._source = source

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the trail of the settings; nothing is made on disk before the first record."""
        audit = settings.audit
        key_file = Path(audit.key_file).expanduser() if audit.key_file else settings.data_path / KEY_FILE
        return cls(
            settings.data_path / "audit",
            key_file,
            rotate_bytes=audit.rotate_mebibytes * 2**20,
            source=audit.source,
        )

    def check(self) -> None:
        """Check that the trail can be written.

        Raises:
            SettingsError: a setting of the trail is wrong, or its key is damaged or missing.

        """
        if self._rotate_bytes <= 0 or not self._source:
            raise SettingsError("[audit] rotate_mebibytes must be more than 0 and source must not be empty.")
        try:
            self.key(make=True)
        except StoreError as error:
            raise SettingsError(f"[audit] {error}") from None

    def append(self, events: Sequence[AuditEvent], at: dt.datetime | None = None) -> int:
        """Add events, all or none; they are on disk when this returns. Returns the number of the last record.

        Args:
            events: what happened, the first first.
            at: when; default now.

        Raises:
            StoreError: the trail cannot be written, or its key is missing or damaged.

        """
        if not events:
            return 0
        now = at or dt.datetime.now(dt.UTC)
        key = self.key(make=True)
        with disk_errors("Writing the audit trail", self.folder), self.locked():
            head = self._recovered_head(key, now)
            return self._add(key, head, [to_xml(event, now, self._source) for event in events], now).number

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from appending, to copy the trail as it is at one moment."""
        make_folder(self.folder)
        lock = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def files(self) -> list[Path]:
        """Return the files of the trail, the oldest first."""
        return sorted(self.folder.glob("audit-*.jsonl"))

    def records(self) -> Iterator[TrailRecord]:
        """Give the records as they are written, the first first, without checking their seals.

        Raises:
            StoreError: a line is no record; ``verify`` says more.

        """
        for file in self.files():
            for number, line in enumerate(lines_of(file), 1):
                record = record_of(line)
                if record is None:
                    raise StoreError(f"{file}, line {number} is no record. See 'doseatlas audit verify'.")
                yield record

    def head(self) -> Head | None:
        """Return the end of the trail as it is written down, or ``None`` where it is not or cannot be read."""
        try:
            return msgspec.json.decode((self.folder / _HEAD).read_bytes(), type=Head)
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeError):
            return None

    def key(self, *, make: bool) -> bytes:
        """Return the key of the trail.

        Args:
            make: make one where there is none and no trail either.

        Raises:
            StoreError: it is missing, damaged or cannot be read.

        """
        with disk_errors("Reading or making the key of the audit trail", self.key_file):
            if not self.key_file.exists():
                if not make or self.files():
                    raise StoreError(
                        f"The key {self.key_file} of the audit trail {self.folder} is not there. Restore it from a "
                        "backup: without it the trail cannot be told from a forged one."
                    )
                make_folder(self.key_file.parent)
                make_key(self.key_file)
            text = self.key_file.read_text(encoding="ascii", errors="replace").strip()
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) != _KEY_BYTES:
            raise StoreError(f"The key {self.key_file} of the audit trail is damaged; restore it from a backup.")
        return key

    # ---- appending, under the lock ----

    def _file(self, number: int) -> Path:
        return self.folder / f"audit-{number:06d}.jsonl"

    def _add(self, key: bytes, head: Head, messages: Sequence[str], now: dt.datetime) -> Head:
        """Write records behind the head and move the head."""
        number, seal, file, size = head.number, head.seal, head.file, head.bytes
        if size >= self._rotate_bytes:
            file, size = file + 1, 0
        lines = []
        for message in messages:
            number += 1
            at = now.astimezone(dt.UTC).isoformat(timespec="milliseconds")
            record = sealed(key, number, at, seal, message)
            seal = record.seal
            lines.append(msgspec.json.encode(record) + b"\n")
        data = b"".join(lines)
        _write(self._file(file), size, data)
        new = make_head(key, number, seal, file, size + len(data))
        write_whole(self.folder / _HEAD, msgspec.json.encode(new))
        return new

    def _recovered_head(self, key: bytes, now: dt.datetime) -> Head:
        """Return the end of the trail, after what a crash or a forger has left there.

        A crash can leave records behind the head, or a part of one: the former count, the latter is cut off. Where
        records that the head knows are missing or changed, the trail goes on behind the head, so that the gap stays to
        be found, and says so in a record.
        """
        head = self.head()
        if head is None and not self.files():
            beginning = make_head(key, 0, FIRST_SEAL, 1, 0)
            write_whole(self.folder / _HEAD, msgspec.json.encode(beginning))
            return beginning
        if head is None or not is_head(key, head):
            first = min((int(file.stem.rpartition("-")[2]) for file in self.files()), default=1)
            last = self._last(key, make_head(key, 0, FIRST_SEAL, first, 0))
            return self._goes_on(key, last, "The head of the trail was missing or forged.", now)
        file = self._file(head.file)
        size = file.stat().st_size if file.exists() else 0
        if size == head.bytes and not self._file(head.file + 1).exists():
            return head
        if size < head.bytes:
            return self._goes_on(key, head, "Records were cut off the end of the trail.", now)
        last = self._last(key, head)
        with self._file(last.file).open("rb") as stream:
            stream.seek(last.bytes)
            if b"\n" in stream.read():  # a crash leaves a part of the first line of several at most, or whole records
                return self._goes_on(key, last, "Lines without a right seal stood at the end of the trail.", now)
        return last

    def _goes_on(self, key: bytes, head: Head, what: str, now: dt.datetime) -> Head:
        """Go on in a new file behind a place that somebody has altered, and say so in its first record."""
        number = max((int(file.stem.rpartition("-")[2]) for file in self.files()), default=0) + 1
        behind = make_head(key, head.number, head.seal, number, 0)
        event = user_event("trail-damaged", "DoseAtlas", str(self.folder), failure=what)
        return self._add(key, behind, [to_xml(event, now, self._source)], now)

    def _last(self, key: bytes, head: Head) -> Head:
        """Return the end of the trail that the files show, from a head on; only records with a right seal count."""
        number, seal, file, size = head.number, head.seal, head.file, head.bytes
        while self._file(file).exists():
            for line in lines_of(self._file(file), size):
                record = record_of(line)
                if record is None or not line.endswith(b"\n") or not is_sealed(key, record):
                    break
                number, seal, size = record.number, record.seal, size + len(line)
            if not self._file(file + 1).exists():
                break
            file, size = file + 1, 0
        return make_head(key, number, seal, file, size)


def lines_of(file: Path, start: int = 0) -> Iterator[bytes]:
    """Give the lines of a file of the trail, none longer than a record can be."""
    with file.open("rb") as stream:
        stream.seek(start)
        while line := stream.readline(_MAX_LINE_BYTES):
            yield line


def record_of(line: bytes) -> TrailRecord | None:
    """Return the record of a line, or ``None`` where it is none, as after a change."""
    try:
        return msgspec.json.decode(line, type=TrailRecord)
    except (msgspec.MsgspecError, UnicodeError):
        return None


def sealed(key: bytes, number: int, at: str, previous: str, message: str) -> TrailRecord:
    """Return a record with its seal."""
    seal = _seal(key, number, at, previous, message)
    return TrailRecord(number=number, at=at, previous=previous, message=message, seal=seal)


def is_sealed(key: bytes, record: TrailRecord) -> bool:
    """Return whether a record's seal is the one that the key gives it."""
    expected = _seal(key, record.number, record.at, record.previous, record.message)
    return hmac.compare_digest(record.seal.encode(), expected.encode())


def make_head(key: bytes, number: int, seal: str, file: int, size: int) -> Head:
    """Return a head with its seal."""
    head = Head(number=number, seal=seal, file=file, bytes=size, mac="")
    return msgspec.structs.replace(head, mac=_mac(key, head))


def is_head(key: bytes, head: Head) -> bool:
    """Return whether a head's seal is the one that the key gives it."""
    return hmac.compare_digest(head.mac.encode(), _mac(key, head).encode())


def _seal(key: bytes, number: int, at: str, previous: str, message: str) -> str:
    return hmac.digest(key, msgspec.json.encode(["record", number, at, previous, message]), "sha256").hex()


def _mac(key: bytes, head: Head) -> str:
    return hmac.digest(
        key, msgspec.json.encode(["head", head.number, head.seal, head.file, head.bytes]), "sha256"
    ).hex()


def _write(file: Path, size: int, data: bytes) -> None:
    """Write behind ``size`` bytes of a file, cutting off what is there; on an error nothing is added."""
    is_new = not file.exists()
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, size)
        os.lseek(descriptor, size, os.SEEK_SET)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(file.parent)
