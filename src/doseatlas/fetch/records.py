"""What is asked of an archive, what it has, and what came of it: immutable records, and the archive's face."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, Protocol

from doseatlas.model import DoseAtlasError, Record

State = Literal["found", "sent", "complete", "lacking", "failed"]
_UID = re.compile(r"[0-9.]{1,64}")


class FetchError(DoseAtlasError):
    """An archive cannot be asked, or answers what it must not; the message names it and says what to do."""

    code = "fetch"


class FolderError(DoseAtlasError):
    """What comes, or the journal, cannot be written or read: the disk is full, or fails. The run stops; the next one
    goes on where it was.
    """

    code = "fetch-folder"

    def __init__(self, path: Path, error: Exception) -> None:
        why = getattr(error, "strerror", None) or str(error)
        super().__init__(
            f"{path} cannot be used: {why}. What came before is kept. Make room or mend the disk; the next run goes on "
            "where this one stopped."
        )


class Query(Record, frozen=True, kw_only=True):
    """Which studies: of these days (both included), with any of these modalities, with this text in the description."""

    since: dt.date
    until: dt.date
    modalities: tuple[str, ...] = ()
    description: str = ""

    def days(self) -> Iterator[dt.date]:
        """Give the days, the first first."""
        day = self.since
        while day <= self.until:
            yield day
            day += dt.timedelta(days=1)


class FoundStudy(Record, frozen=True, kw_only=True):
    """A study that an archive has; ``instances`` is how many objects, where it says so."""

    study_instance_uid: str
    study_date: str = ""
    description: str = ""
    modalities: tuple[str, ...] = ()
    instances: int | None = None


class FoundSeries(Record, frozen=True, kw_only=True):
    """A series of a study."""

    series_instance_uid: str
    modality: str = ""
    instances: int | None = None


class FoundInstance(Record, frozen=True, kw_only=True):
    """An object of a series; ``sop_class_uid`` is empty where the archive does not say it."""

    sop_instance_uid: str
    sop_class_uid: str = ""


class StudyState(Record, frozen=True, kw_only=True):
    """What became of a study. ``lacks`` says why no dose of it is in the store, or what went wrong."""

    archive: str
    study_instance_uid: str
    study_date: str
    modalities: str
    description: str
    state: State
    lacks: str = ""


class FetchSummary(Record, frozen=True, kw_only=True):
    """What a run did. ``skipped`` studies were dealt with before; ``objects`` came from the archive."""

    archive: str
    studies: int
    skipped: int
    objects: int
    imported: int
    worked_on: tuple[StudyState, ...]


class Archive(Protocol):
    """An archive that is asked, by DICOM or by DICOMweb. Its methods raise :class:`FetchError`."""

    gives_headers: bool
    """Whether :meth:`headers` can be asked."""
    sends_elsewhere: bool
    """Whether :meth:`take` has objects sent to ``doseatlas serve`` instead of bringing them."""

    def studies(self, day: dt.date, modality: str) -> list[FoundStudy]:
        """Return the studies of a day, all or those with a modality."""

    def series(self, study: str) -> list[FoundSeries]:
        """Return the series of a study."""

    def instances(self, study: str, series: str) -> list[FoundInstance]:
        """Return the objects of a series."""

    def take(self, study: str, series: str, instances: Collection[str], folder: Path) -> list[Path]:
        """Bring objects into a folder; returns those that came."""

    def headers(self, study: str, series: str, instances: Collection[str], folder: Path) -> list[Path]:
        """Bring the headers of objects, without pixels, into a folder; returns those that came."""

    def close(self) -> None:
        """Let the archive go."""


def state_of(archive: str, study: FoundStudy, state: State, lacks: str = "") -> StudyState:
    """Return a study of an archive in a state."""
    return StudyState(
        archive=archive,
        study_instance_uid=study.study_instance_uid,
        study_date=study.study_date,
        modalities=" ".join(study.modalities),
        description=study.description,
        state=state,
        lacks=lacks,
    )


def is_uid(text: str) -> bool:
    """Return whether a text can be a UID, and so part of a path or URL."""
    return _UID.fullmatch(text) is not None
