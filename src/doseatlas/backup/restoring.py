"""How does a backup come back? Into an empty data folder and database, every file checked, and nothing written over."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, inspect

from doseatlas.backup.files import copy_stream, run_postgresql
from doseatlas.backup.manifest import (
    AUDIT_KEY,
    KEYS,
    POSTGRESQL_DUMP,
    SQLITE_DUMP,
    BackedUpFile,
    Manifest,
    read_manifest,
)
from doseatlas.model import SettingsError, StoreError
from doseatlas.settings import Settings
from doseatlas.store import Store
from doseatlas.store.database import Database, Progress, database_url, disk_errors
from doseatlas.store.files import make_folder, sync_folder, write_whole

_UNFINISHED = "RESTORE-UNFINISHED"


def restore(settings: Settings, folder: Path, keys: Path | None = None, progress: Progress | None = None) -> Manifest:
    """Bring a backup back into the empty data folder (and the empty database) of the settings, and check it.

    Args:
        settings: of the store that is to be.
        folder: the backup.
        keys: where its keys are, if they were kept apart.
        progress: told how many files are back, out of how many.

    Raises:
        StoreError: the backup is damaged or incomplete, or there is something in the way. Nothing that was there
            before is touched; a restore that was interrupted is begun anew by running it again.
        SettingsError: the settings are for another kind of database.

    """
    made = read_manifest(folder)
    data, url = settings.data_path, database_url(settings.store_url)
    if url.get_backend_name() != made.database:
        raise SettingsError(
            f"The backup {folder} is of a {made.database} database, the setting 'store' is of another kind. "
            "Set it to an empty database of that kind."
        )
    with disk_errors("Restoring into", data):
        _begin(data, url)
        for number, file in enumerate(made.files, 1):
            _bring_back(file, folder, keys, settings)
            if progress is not None:
                progress(number, len(made.files))
        _load_database(data, url)
        _check(settings, made)
        (data / _UNFINISHED).unlink()
        sync_folder(data)
    return made


def _begin(data: Path, url: URL) -> None:
    """Make sure that nothing is in the way, and clear what an interrupted restore has left."""
    mark = data / _UNFINISHED
    there = [file for file in data.iterdir() if file.name != "lost+found"] if data.is_dir() else []
    if there and not mark.exists():
        raise StoreError(f"The data folder {data} is not empty. Move it away, or set data_dir to another: {there[0]}.")
    place = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
    if place is not None and place.exists() and not mark.exists():
        raise StoreError(f"There is a database {place} already. Move it away, or set 'store' to another.")
    if place is None and not mark.exists():
        with Database(url.render_as_string(hide_password=False)) as database, database.reading() as connection:
            if inspect(connection).get_table_names():
                raise StoreError(f"The database {database.place} is not empty. Give the restore an empty one.")
    for file in there:
        if file.is_dir():
            shutil.rmtree(file)
        elif file != mark:
            file.unlink()
    make_folder(data)
    write_whole(mark, b"A restore is under way or was interrupted. Run it again.\n")


def _bring_back(file: BackedUpFile, folder: Path, keys: Path | None, settings: Settings) -> None:
    source, target = folder / file.path, settings.data_path / file.path
    if file.path.startswith(f"{KEYS}/"):
        name = Path(file.path).name
        source = keys / name if keys is not None else source
        is_audit = name == AUDIT_KEY and settings.audit.key_file
        target = Path(settings.audit.key_file).expanduser() if is_audit else settings.data_path / name
        if is_audit and target.exists():
            return  # the key was never lost; the trail is checked against it
    if not source.is_file():
        why = "the keys were kept apart: name their folder with --keys" if KEYS in file.path else "it is incomplete"
        raise StoreError(f"The backup {folder} lacks {file.path}: {why}.")
    make_folder(target.parent)
    with source.open("rb") as stream:
        size, digest = copy_stream(stream.read, target)
    if (size, digest) != (file.bytes, file.sha256):
        raise StoreError(f"{source} is not what the backup's manifest says: it is damaged. Take another backup.")
    sync_folder(target.parent)


def _load_database(data: Path, url: URL) -> None:
    if url.get_backend_name() != "sqlite":
        dump = data / POSTGRESQL_DUMP
        options = ("--no-owner", "--no-acl", "--exit-on-error", "--single-transaction")
        run_postgresql("pg_restore", url, *options, str(dump))
        dump.unlink()
        return
    dump, place = data / SQLITE_DUMP, Path(url.database or "")
    with closing(sqlite3.connect(dump)) as connection:
        said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
    if said != ["ok"]:
        raise StoreError(f"The database of the backup is damaged: {'; '.join(said)}. Take another backup.")
    make_folder(place.parent)
    if dump.resolve() != place.resolve():
        shutil.move(dump, place)
    with place.open("rb") as stream:
        os.fsync(stream.fileno())
    sync_folder(place.parent)


def _check(settings: Settings, made: Manifest) -> None:
    """Open the store that came back: its key must be its own, its packs there, and it must hold what was counted."""
    with Store.from_settings(settings) as store:
        counts = store.counts()
        if store.id != made.store_id:
            raise StoreError("The restored database is not the one that the backup's manifest names.")
        if made.database == "sqlite" and (counts.exams, counts.objects) != (made.exams, made.objects):
            raise StoreError(
                f"The restored store holds {counts.exams} exams and {counts.objects} objects, the backup "
                f"{made.exams} and {made.objects}. Take another backup."
            )
