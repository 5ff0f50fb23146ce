"""How is a store that is in use copied? Into a folder that appears when it is whole, with all that cannot be remade.

The order makes it whole while the service runs: the spool is copied before the database, so that an object that was
acknowledged before the backup began is in one of them or in both, and an object in both is recognised when it is
imported again. Packs are never changed, and are linked where that is possible. The mart is left out: it is written anew
from the database.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
from sqlalchemy import func, select

from doseatlas.audit import AuditTrail
from doseatlas.backup.files import copy_stream, files_below, link_or_copy, measure, run_postgresql
from doseatlas.backup.manifest import (
    AUDIT_KEY,
    FORMAT,
    KEYS,
    MANIFEST,
    POSTGRESQL_DUMP,
    SQLITE_DUMP,
    BackedUpFile,
    Manifest,
)
from doseatlas.model import StoreError
from doseatlas.settings import Settings
from doseatlas.store import Store
from doseatlas.store.archive import Archive
from doseatlas.store.database import Database, Progress, database_url, disk_errors
from doseatlas.store.files import make_folder, sync_folder, write_whole
from doseatlas.store.identity import KEY_FILE
from doseatlas.store.schema import exams, meta, objects, packs

_WAITING = ("spool", "quarantine")
_LOOKS_FOR_A_PACK = 3


def backup(settings: Settings, folder: Path, version: str, progress: Progress | None = None) -> Manifest:
    """Copy the store of the settings into a new folder, while it may be in use.

    Args:
        settings: of the store.
        folder: where to; it must not exist. It appears under its name when it is whole and on disk.
        version: of this program, for the manifest.
        progress: told how many files are copied, out of how many.

    Raises:
        StoreError: there is no store, or something could not be read or written; no backup is left behind then.

    """
    if folder.exists():
        raise StoreError(f"The backup folder {folder} exists. Name a new one: a backup is never written over another.")
    if not Store.exists(settings):
        raise StoreError(f"There is no store in {settings.data_path} to back up.")
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    with disk_errors("Writing the backup", folder):
        if unfinished.exists():
            shutil.rmtree(unfinished)
        make_folder(unfinished)
        unfinished.chmod(0o700)  # it holds objects with identity, and the keys
        try:
            made = _Backup(settings, unfinished, version, progress).run()
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        sync_folder(folder.parent)
    return made


class _Backup:
    """One backup under way."""

    def __init__(self, settings: Settings, folder: Path, version: str, progress: Progress | None) -> None:
        self._settings, self._folder, self._version = settings, folder, version
        self._progress = progress
        self._files: list[BackedUpFile] = []

    def run(self) -> Manifest:
        data = self._settings.data_path
        for name in _WAITING:
            self._copy_tree(data / name, self._folder / name)
        trail = AuditTrail.from_settings(self._settings)
        if trail.folder.is_dir():
            with trail.locked():
                self._copy_tree(trail.folder, self._folder / "audit")
        for key, name in ((data / KEY_FILE, KEY_FILE), (trail.key_file, AUDIT_KEY)):
            if key.is_file():
                self._copy(key, self._folder / KEYS / name)
        with Store.from_settings(self._settings) as store:
            dump = self._dump(store.database)
            counts, packs, store_id, mark = _facts(store, dump)
            for number, name in enumerate(packs, 1):
                self._pack(store.archive, name)
                if self._progress is not None:
                    self._progress(number, len(packs))
        made = Manifest(
            format=FORMAT,
            made_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            version=self._version,
            store_id=store_id,
            identity=mark,
            database="sqlite" if dump.name == SQLITE_DUMP else "postgresql",
            exams=counts[0],
            objects=counts[1],
            files=tuple(sorted(self._files, key=lambda file: file.path)),
        )
        write_whole(self._folder / MANIFEST, msgspec.json.format(msgspec.json.encode(made), indent=1))
        for one in sorted({file.parent for file in self._folder.rglob("*")}):
            sync_folder(one)
        return made

    def _copy_tree(self, source: Path, target: Path) -> None:
        for file in files_below(source):
            # What the importer has taken meanwhile is in the database, which is copied later.
            self._copy(file, target / file.relative_to(source), may_be_gone=True)

    def _copy(self, source: Path, target: Path, *, may_be_gone: bool = False) -> None:
        make_folder(target.parent)
        try:
            with source.open("rb") as stream:
                size, digest = copy_stream(stream.read, target)
        except FileNotFoundError:
            if not may_be_gone:
                raise
            return
        self._note(target, size, digest)

    def _note(self, target: Path, size: int, digest: str) -> None:
        path = target.relative_to(self._folder).as_posix()
        self._files.append(BackedUpFile(path=path, bytes=size, sha256=digest))

    def _pack(self, archive: Archive, name: str) -> None:
        """Link or copy a pack; it may move to its place in the archive at that very moment."""
        target = self._folder / "archive" / name[:2] / f"{name}.pack"
        make_folder(target.parent)
        for attempt in range(1, _LOOKS_FOR_A_PACK + 1):
            source = archive.file(name)
            try:
                link_or_copy(source, target)
                break
            except FileNotFoundError:
                if attempt == _LOOKS_FOR_A_PACK:
                    raise StoreError(f"The pack {source} of the archive is not there. Restore it first.") from None
        size, digest = measure(target)
        if digest != name:
            raise StoreError(f"The pack {source} of the archive is damaged. Restore it from an earlier backup first.")
        self._note(target, size, digest)

    def _dump(self, database: Database) -> Path:
        if database.is_sqlite:
            target = self._folder / SQLITE_DUMP
            with closing(sqlite3.connect(str(database.place))) as source, closing(sqlite3.connect(target)) as copy:
                try:
                    source.backup(copy)  # one read transaction: the state of one moment, whoever writes meanwhile
                    copy.execute("PRAGMA journal_mode = DELETE")
                except sqlite3.Error as error:
                    raise StoreError(f"The database {database.place} cannot be copied: {error}.") from error
        else:
            target = self._folder / POSTGRESQL_DUMP
            url = database_url(self._settings.store_url)
            run_postgresql("pg_dump", url, "--format=custom", "--no-owner", "--no-acl", f"--file={target}")
        with target.open("rb") as stream:
            os.fsync(stream.fileno())
        self._note(target, *measure(target))
        return target


def _facts(store: Store, dump: Path) -> tuple[tuple[int, int], list[str], str, str]:
    """Return counts of exams and objects, the packs, and the id and the identity mark of the store.

    Of SQLite they are those of the copy. Of PostgreSQL they are those of a moment later, when there can be more packs
    than the copy names, which does no harm, and never fewer; what was imported in between is counted too.
    """
    database = Database(f"sqlite:///{dump}") if dump.name == SQLITE_DUMP else store.database
    try:
        with database.reading() as connection:
            counts = tuple(
                int(connection.execute(select(func.count()).select_from(table)).scalar_one())
                for table in (exams, objects)
            )
            names = list(connection.execute(select(packs.c.name).order_by(packs.c.name)).scalars())
            kept = dict(connection.execute(select(meta.c.name, meta.c.value)).all())
    finally:
        if database is not store.database:
            database.close()
    return (counts[0], counts[1]), names, kept["id"], kept["identity-mark"]
