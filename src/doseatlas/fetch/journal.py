"""Where did the last run stop? What is known of each study of an archive, in a small SQLite file of its own.

Written after each study, so that a run that breaks off, or is killed, goes on where it was. Deleting it costs nothing
but asking again: what is in the store is not taken twice.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from doseatlas.fetch.records import FetchError, FolderError, FoundStudy, State, StudyState, state_of

_TABLES = """
CREATE TABLE IF NOT EXISTS studies (
    archive TEXT NOT NULL, study_instance_uid TEXT NOT NULL, study_date TEXT NOT NULL, modalities TEXT NOT NULL,
    description TEXT NOT NULL, instances INTEGER, state TEXT NOT NULL, lacks TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (archive, study_instance_uid)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
    archive TEXT NOT NULL, sop_instance_uid TEXT NOT NULL, PRIMARY KEY (archive, sop_instance_uid)
) WITHOUT ROWID;
"""


class Journal:
    """The journal of one data folder; one process at a time holds it.

    Raises:
        FetchError: another process holds it, or it is no journal.
        FolderError: the disk is full or fails; every method raises this.

    """

    def __init__(self, data_path: Path) -> None:
        self.folder = data_path / "fetch"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)  # objects in here still bear the patient's identity
            self._lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FolderError(self.folder, error) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise FetchError(f"Another doseatlas fetch works in {self.folder}. Wait for it, or stop it.") from None
        try:
            self._database = sqlite3.connect(self.folder / "journal.sqlite", isolation_level=None)
            self._database.executescript(_TABLES)
        except sqlite3.Error as error:
            os.close(self._lock)
            raise FetchError(
                f"The journal {self.folder / 'journal.sqlite'} cannot be used ({error}). Delete it: what is in the "
                "store is not taken twice."
            ) from None

    def close(self) -> None:
        """Close it."""
        self._database.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def is_settled(self, archive: str, study: FoundStudy) -> bool:
        """Return whether a study was dealt with, and has not grown since."""
        rows = self._rows(
            "SELECT state, instances FROM studies WHERE archive = ? AND study_instance_uid = ?",
            (archive, study.study_instance_uid),
        )
        found = rows[0] if rows else None
        if found is None or found[0] not in ("complete", "lacking"):
            return False
        return study.instances == found[1] and (study.instances is not None or found[0] == "complete")

    def record(self, archive: str, study: FoundStudy, state: State, lacks: str = "") -> StudyState:
        """Write down what became of a study."""
        made = state_of(archive, study, state, lacks)
        row = (made.study_date, made.modalities, made.description)
        self._rows(
            "INSERT OR REPLACE INTO studies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (archive, study.study_instance_uid, *row, study.instances, state, lacks, _now()),
        )
        return made

    def add_seen(self, archive: str, instances: Collection[str]) -> None:
        """Remember objects that came, whatever the store made of them."""
        self._rows("BEGIN")
        try:
            self._database.executemany(
                "INSERT OR IGNORE INTO seen VALUES (?, ?)", [(archive, one) for one in instances]
            )
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                self._database.rollback()
            raise self._failed(error) from None

    def unseen(self, archive: str, instances: Collection[str]) -> list[str]:
        """Return which of the objects never came."""
        ask = "SELECT 1 FROM seen WHERE archive = ? AND sop_instance_uid = ?"
        return [one for one in instances if not self._rows(ask, (archive, one))]

    def states(self, *states: State) -> list[StudyState]:
        """Return the studies in these states, by archive and date."""
        rows = self._rows(
            "SELECT archive, study_instance_uid, study_date, modalities, description, state, lacks FROM studies "
            f"WHERE state IN ({', '.join('?' * len(states))}) ORDER BY archive, study_date, study_instance_uid",
            states,
        )
        return [StudyState(**dict(zip(StudyState.__struct_fields__, row, strict=True))) for row in rows]

    def _rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(statement, tuple(values)).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def _failed(self, error: sqlite3.Error) -> FolderError:
        return FolderError(self.folder / "journal.sqlite", error)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
