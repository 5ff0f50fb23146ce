"""How is the database reached? Connections, transactions and the sentences for what can go wrong with them.

One writer at a time, on both engines: a write transaction begins by taking the database's write lock (SQLite's own, an
advisory lock in PostgreSQL), so what it reads stays true until it commits, whichever process does it. Readers never
wait. A commit is on disk when it returns (SQLite: WAL with ``synchronous=FULL``).

An SQLite store in a folder that may not be written is opened to be read only. WAL needs two files beside the database,
which nobody can make there: where they are missing, nobody is writing, and the file is read as it lies.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, make_url, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, TimeoutError

from doseatlas.model import SettingsError, StoreError
from doseatlas.store.schema import ignored, objects

Value = TypeVar("Value")
_TOGETHER = 500
_BUSY_TIMEOUT_S = 120
_WRITE_LOCK = 0x446F7365  # any number; all writers of a PostgreSQL database use this one
_ENGINES = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}


class Database:
    """An open database. Use :meth:`reading` and :meth:`writing`; :meth:`close` when done."""

    def __init__(self, url: str) -> None:
        self._url = database_url(url)
        self.read_only = self.is_sqlite and _only_readable(Path(self._url.database or ""))
        self.place = self._url.database if self.is_sqlite else self._url.render_as_string(hide_password=True)
        try:
            self.engine = _engine(_read_only_url(self._url) if self.read_only else self._url)
        except ImportError as error:
            raise SettingsError(
                f"The store {self.place} needs the package {error.name}: install doseatlas[postgresql]."
            ) from None

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is an SQLite file."""
        return self._url.get_backend_name() == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the store. Raises :class:`StoreError`."""
        with self._explained(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give the only connection that may write; commits at the end, or undoes all. Raises :class:`StoreError`."""
        if self.read_only:
            raise StoreError(
                f"The store {self.place} can only be read here: its folder, or the file, may not be written, and what "
                "was asked for has to write. Run it where, or as who, the folder may be written. Nothing was changed."
            )
        with self._explained(), self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _WRITE_LOCK})
            yield connection

    def known(self, digests: list[bytes]) -> tuple[set[bytes], set[bytes]]:
        """Return which of the digests are objects of the store, and which are ignored."""
        with self.reading() as connection:
            return known_digests(connection, digests)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, TimeoutError) as error:
            raise StoreError(_sentence(error, self.place or "in memory")) from error


def database_url(url: str) -> URL:
    """Return the URL of a store, with the driver we use. Raises :class:`SettingsError` for what is no store."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError):
        backend = None
    if backend not in _ENGINES:
        raise SettingsError(
            "The setting 'store' is not the URL of an SQLite or PostgreSQL database, such as "
            "sqlite:////path/to/dose.sqlite or postgresql://user:password@host/database."
        )
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise SettingsError("The setting 'store' names no file; a store in memory would lose everything.")
    return parsed.set(drivername=_ENGINES[backend])


def _only_readable(file: Path) -> bool:
    return file.exists() and not (os.access(file.parent, os.W_OK) and os.access(file, os.W_OK))


def _read_only_url(url: URL) -> URL:
    """Return the URL under which SQLite writes nothing, not even beside the file.

    ``immutable`` leaves out all that lies in a WAL file, so it is for a store that nobody has open and that was closed
    well; otherwise SQLite reads by the WAL files that are there, or says that it cannot.
    """
    file = Path(url.database or "").absolute()
    open_elsewhere = any(file.with_name(file.name + ending).exists() for ending in ("-wal", "-shm"))
    query = {"uri": "true", "mode": "ro"} | ({} if open_elsewhere else {"immutable": "1"})
    return url.set(database=f"file:{quote(str(file))}", query=query)


def known_digests(connection: Connection, digests: list[bytes]) -> tuple[set[bytes], set[bytes]]:
    """Return which of the digests are objects of the store, and which are ignored."""
    known = select(objects.c.digest).where(objects.c.digest.in_(digests))
    passed = select(ignored.c.digest).where(ignored.c.digest.in_(digests), ~ignored.c.stale)
    return set(connection.execute(known).scalars()), set(connection.execute(passed).scalars())


def in_parts(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """Give values in parts that fit into one question to the database."""
    return (values[start : start + _TOGETHER] for start in range(0, len(values), _TOGETHER))


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, connect_args={"connect_timeout": 15}, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin where we say so, not where the driver guesses
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


# What the drivers say, and what a person needs to hear. The first that fits is told.
_CAUSES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("disk is full", "no space left", "disk i/o error"), "The disk of the store {place} is full or fails"),
    (("readonly", "read-only"), "The store {place} can only be read, not written"),
    (("unable to open",), "The store {place} cannot be opened: check that the folder exists and may be written"),
    (("locked",), f"The store {{place}} was busy for {_BUSY_TIMEOUT_S} s with another program; try again"),
    (("not a database", "malformed"), "The store {place} is damaged or is not a store; restore it from a backup"),
    (("password authentication", "role "), "The store {place} does not accept user or password"),
    (
        ("connection failed", "could not connect", "connection refused", "server closed the", "terminating connection"),
        "The server of the store {place} does not answer",
    ),
    (("permission denied",), "The store {place} does not permit this"),
)


def _sentence(error: DBAPIError | TimeoutError, place: str) -> str:
    said = str(error.orig if isinstance(error, DBAPIError) else error).strip()
    first_line = said.splitlines()[0] if said else type(error).__name__
    for marks, sentence in _CAUSES:
        if any(mark in said.lower() for mark in marks):
            return f"{sentence.format(place=place)} ({first_line}). What was reported as done is kept."
    return f"The store {place} failed ({first_line}). What was reported as done is kept."


@contextmanager
def disk_errors(doing: str, path: Path) -> Iterator[None]:
    """Turn an error of the file system into a :class:`StoreError` that says what could not be done, where and why."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{doing} {path} failed: {error.strerror or error}. What was reported as done is kept; "
            "mend that and run the same command again."
        ) from error


Progress = Callable[[int, int | None], None]
"""What a long task tells: how many are done, out of how many (``None`` while still counting)."""
