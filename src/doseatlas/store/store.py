"""What is kept, and how is it asked? The open store: one database, one archive, one mart, one data folder."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from sqlalchemy import Connection, delete, func, insert, inspect, select, update

from doseatlas.dicom import Limits
from doseatlas.model import Exam, SettingsError, StoreError
from doseatlas.settings import Settings
from doseatlas.store import mapping
from doseatlas.store.archive import Archive
from doseatlas.store.certificates import certificates_in_force
from doseatlas.store.database import Database, Progress, database_url, disk_errors, in_parts
from doseatlas.store.derive import DERIVATION, unpack_exam
from doseatlas.store.dose_rules import DoseRules
from doseatlas.store.files import make_folder
from doseatlas.store.identity import fingerprint, load_key
from doseatlas.store.migrate import migrate
from doseatlas.store.record import path_digest
from doseatlas.store.results import (
    Counts,
    Decision,
    DecisionsApplied,
    RebuildSummary,
    RefusedObject,
    UnmappedName,
)
from doseatlas.store.schema import exams, ignored, meta, objects, refused

_FETCHED = 500  # exams held at a time while all are listed


class Store:
    """An open store. Use it as a context manager, or call :meth:`close`. Its methods raise :class:`StoreError`."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.store_url
        self.data_dir = settings.data_path
        self.facility = settings.facility
        self.jobs = settings.jobs
        self.archives = settings.archive
        self.skin_dose_from_gy = settings.skin_dose_from_gy
        self.ct_coefficients = settings.ct_coefficients
        self.activity_guideline = settings.activity_guideline
        self.limits = Limits(
            header_bytes=settings.limits.max_mebibytes * 2**20,
            elements=settings.limits.max_items,
            depth=settings.limits.max_depth,
        )
        self.archive = Archive(self.data_dir / "archive")
        self.mart_dir = self.data_dir / "mart"
        database_url(self.url)
        with disk_errors("Making the data folder", self.data_dir):
            make_folder(self.data_dir)
        self.database = Database(self.url)
        try:
            migrate(self.database)
            self.key = load_key(self.data_dir) if settings.identity == "pseudonym" else None
            self.identity_mark = fingerprint(self.key) if self.key else "plain"
            self.id = self._identify(settings.identity)
        except BaseException:
            self.database.close()
            raise

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Open the store of the settings, making it where there is none.

        Raises:
            SettingsError: the URL is wrong, or ``identity`` is not what the store was made with.
            StoreTooNew: a newer version of DoseAtlas wrote it.
            StoreError: it cannot be reached, read or made.

        """
        return cls(settings)

    @staticmethod
    def exists(settings: Settings) -> bool:
        """Return whether there is a store to open. A server that does not answer may hold one: opening it tells why."""
        url = database_url(settings.store_url)
        if url.get_backend_name() == "sqlite":
            return Path(url.database or "").exists()
        with Database(settings.store_url) as database:
            try:
                with database.reading() as connection:
                    return inspect(connection).has_table("alembic_version")
            except StoreError:
                return True

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- lists ----

    def counts(self) -> Counts:
        """Return how much the store holds."""
        with self.database.reading() as connection:
            return Counts(
                exams=_count(connection, select(exams.c.exam_id).where(exams.c.kind != "estimate")),
                objects=_count(connection, select(objects.c.id)),
                refused=_count(connection, select(refused.c.path_digest)),
                ignored=_count(connection, select(ignored.c.digest)),
                unmapped=_count(connection, select(exams.c.exam_id).where(exams.c.mapped_by == "unmapped")),
            )

    def exams(
        self, kind: str | None = None, since: dt.date | None = None, until: dt.date | None = None
    ) -> Iterator[Exam]:
        """Give the merged exams by date of study, undated ones first; the order is the same however they came in.

        Args:
            kind: only exams of this kind.
            since: only studies of this day or later; leaves out undated ones.
            until: only studies of this day or earlier; leaves out undated ones.

        """
        found = select(exams.c.exam).order_by(exams.c.study_date, exams.c.exam_id)
        if kind is not None:
            found = found.where(exams.c.kind == kind)
        if since is not None:
            found = found.where(exams.c.study_date >= since.isoformat())
        if until is not None:
            found = found.where(exams.c.study_date <= until.isoformat(), exams.c.study_date != "")
        with self.database.reading() as connection:
            for data in connection.execute(found, execution_options={"yield_per": _FETCHED}).scalars():
                yield unpack_exam(data)

    def refused(self) -> list[RefusedObject]:
        """Return what was refused and has not been read well since, by path."""
        with self.database.reading() as connection:
            return [
                RefusedObject(
                    path=row.path,
                    code=row.code,
                    message=row.message,
                    first_seen=row.first_seen,
                    last_seen=row.last_seen,
                )
                for row in sorted(connection.execute(select(refused)), key=lambda row: str(row.path))
            ]

    def refused_counts(self) -> dict[str, int]:
        """Return how many objects are refused, by the code of the reason."""
        by_code = select(refused.c.code, func.count()).group_by(refused.c.code)
        with self.database.reading() as connection:
            rows = connection.execute(by_code).all()
        return dict(sorted(rows, key=lambda row: (-row[1], row[0])))

    def refusals_moved(self, moved: Mapping[str, str]) -> None:
        """Keep refusals under the paths that their files have now (old path to new path)."""
        digest = refused.c.path_digest
        with self.database.writing() as connection:
            for old, new in moved.items():
                connection.execute(delete(refused).where(digest == path_digest(new)))
                moving = update(refused).where(digest == path_digest(old))
                connection.execute(moving.values(path=new, path_digest=path_digest(new)))

    def kept_instances(self, sop_instance_uids: Collection[str]) -> set[tuple[str, str]]:
        """Return which of the instances are here with an archived original: pairs of SOP class and instance UID."""
        uid = objects.c.sop_instance_uid
        kept: set[tuple[str, str]] = set()
        with self.database.reading() as connection:
            for part in in_parts(sorted(sop_instance_uids)):
                found = select(uid, objects.c.exam).where(uid.in_(part), objects.c.pack_id.is_not(None))
                kept.update((unpack_exam(row.exam).sop_class_uid or "", row[0]) for row in connection.execute(found))
        return kept

    # ---- mapping ----

    def unmapped(self) -> list[UnmappedName]:
        """Return the names without a standard procedure, the most frequent first, with suggestions."""
        with self.database.reading() as connection:
            return mapping.unmapped_names(connection)

    def export_unmapped(self, file: Path) -> int:
        """Write the unmapped names to a CSV whose column ``procedure`` a person fills; returns how many."""
        with self.database.reading() as connection:
            return mapping.export_unmapped(connection, file)

    def apply_decisions(self, file: Path) -> DecisionsApplied:
        """Take the decisions of a CSV and map the exams that they concern again, all or nothing.

        Raises:
            MappingError: a row is wrong; it is named and nothing is changed.

        """
        decided = mapping.read_decisions(file)
        with self.database.writing() as connection:
            return mapping.apply_decisions(connection, decided, self.dose_rules(connection))

    def decisions(self) -> list[Decision]:
        """Return every decision that was taken, the newest first."""
        with self.database.reading() as connection:
            return list(mapping.decisions(connection))

    # ---- dosimetry ----

    def dose_rules(self, connection: Connection) -> DoseRules:
        """Return what dosimetric columns are derived with, as it stands within a transaction."""
        return DoseRules(
            certificates_in_force(connection), self.skin_dose_from_gy, self.ct_coefficients, self.activity_guideline
        )

    def rows_of_patient(self, pseudonym: str) -> list[dict[str, object]]:
        """Return the rows in the mart of a patient's exams by date; none where the store knows no such pseudonym."""
        found = (
            select(exams.c.mart_row)
            .where(exams.c.exam_id.in_(select(objects.c.exam_id).where(objects.c.patient_id == pseudonym)))
            .where(exams.c.kind != "estimate")
            .order_by(exams.c.study_date, exams.c.exam_id)
        )
        self._follow_settings()
        with self.database.reading() as connection:
            rows = connection.execute(found).scalars().all()
        return [msgspec.json.decode(data, type=dict[str, object]) for data in rows]

    def mart_row(self, exam_id: str) -> dict[str, object] | None:
        """Return an exam's row in the mart, without its nulls; ``None`` where the store holds no such exam."""
        self._follow_settings()
        with self.database.reading() as connection:
            data = connection.execute(select(exams.c.mart_row).where(exams.c.exam_id == exam_id)).scalar()
        return None if data is None else msgspec.json.decode(data, type=dict[str, object])

    def exams_by_id(self, keys: Sequence[str]) -> dict[str, Exam]:
        """Return merged exams by their key; those that the store does not hold are left out."""
        found: dict[str, Exam] = {}
        with self.database.reading() as connection:
            for part in in_parts(list(keys)):
                rows = connection.execute(select(exams.c.exam_id, exams.c.exam).where(exams.c.exam_id.in_(part)))
                found |= {key: unpack_exam(data) for key, data in rows}
        return found

    # ---- upkeep ----

    def is_outdated(self) -> bool:
        """Return whether the exams were derived by an older version of DoseAtlas; a rebuild derives them anew."""
        with self.database.reading() as connection:
            if _meta(connection).get("derivation") == DERIVATION:
                return False
            return connection.execute(select(exams.c.exam_id).limit(1)).first() is not None

    def refresh_mart(self) -> int:
        """Bring the mart up to date; returns how many files were written. Months that did not change are left alone.

        Exams that a changed setting touches are derived anew first.
        """
        from doseatlas.store.mart import refresh

        self._follow_settings()
        return refresh(self.database, self.mart_dir, self.id)

    def _follow_settings(self) -> None:
        from doseatlas.store.dose_settings import follow_settings

        follow_settings(self)

    def rebuild(self, progress: Progress | None = None) -> RebuildSummary:
        """Derive every exam again from the archive by the rules of today; the old ones stay until that is done."""
        from doseatlas.store.dose_settings import remember_settings
        from doseatlas.store.rebuilding import rebuild

        done = rebuild(self, progress)
        remember_settings(self)
        return done

    def _identify(self, identity: str) -> str:
        """Return the store's own id, after making sure that it keeps identity the way the settings say."""
        stated = {"identity": identity, "identity-mark": self.identity_mark}
        with self.database.reading() as connection:
            kept = _meta(connection)
        if not kept:
            with self.database.writing() as connection:
                kept = _meta(connection)
                if not kept:
                    kept = {**stated, "id": secrets.token_hex(16), "derivation": DERIVATION}
                    connection.execute(insert(meta), [{"name": n, "value": v} for n, v in kept.items()])
        if kept["identity"] != identity:
            raise SettingsError(
                f"The store {self.database.place} was made with identity = {kept['identity']!r}, the setting is "
                f"{identity!r}. A store holds one or the other: set it back, or make a new one in another data folder."
            )
        if kept["identity-mark"] != self.identity_mark:
            raise StoreError(
                f"The key of pseudonyms in {self.data_dir} is not the one that the store {self.database.place} was "
                "made with: the same patient would get another pseudonym. Restore the file identity.key from a backup."
            )
        return kept["id"]


def _meta(connection: Connection) -> dict[str, str]:
    return dict(connection.execute(select(meta.c.name, meta.c.value)).all())


def _count(connection: Connection, rows: object) -> int:
    return int(connection.execute(select(func.count()).select_from(rows.subquery())).scalar_one())  # type: ignore[attr-defined]
