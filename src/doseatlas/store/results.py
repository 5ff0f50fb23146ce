"""What the store answers: counts, lists and the outcome of an import or a rebuild, as immutable records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from doseatlas.model import Record

if TYPE_CHECKING:
    from doseatlas.dosimetry import Certificate
    from doseatlas.standardise import Suggestion

CertificateState = Literal["in force", "superseded", "removed"]
Result = Literal["imported", "already-there", "ignored", "refused"]


class Counts(Record, frozen=True, kw_only=True):
    """How much the store holds. ``unmapped`` counts exams without a standard procedure."""

    exams: int
    objects: int
    refused: int
    ignored: int
    unmapped: int


class RefusedObject(Record, frozen=True, kw_only=True):
    """An object that was refused, why, and when it was seen first and last (ISO 8601, UTC)."""

    path: str
    code: str
    message: str
    first_seen: str
    last_seen: str


class UnmappedName(Record, frozen=True, kw_only=True):
    """A name of exams without a standard procedure, how many exams bear it, and what it may mean."""

    key: str
    text: str
    kind: str
    count: int
    suggestions: tuple[Suggestion, ...]


class Decision(Record, frozen=True, kw_only=True):
    """A site's decision that a name means a standard procedure; ``superseded`` by a later one for the same key."""

    key: str
    procedure: str
    decided_at: str
    superseded: bool


class DecisionsApplied(Record, frozen=True, kw_only=True):
    """How many decisions were new, and how many exams were mapped again because of them."""

    decisions: int
    exams: int


class Outcome(Record, frozen=True, kw_only=True):
    """What became of one object, told after it is safe: the archive is on disk and the database has committed.

    ``exam_id`` is the exam that a new object came into.
    """

    path: str
    result: Result
    exam_id: str | None = None


class ImportSummary(Record, frozen=True, kw_only=True):
    """What an import did. ``reasons`` counts refusals by their code, the most frequent first."""

    imported: int
    already_there: int
    ignored: int
    refused: int
    reasons: dict[str, int]
    seconds: float

    @property
    def objects(self) -> int:
        """All objects that were looked at."""
        return self.imported + self.already_there + self.ignored + self.refused

    @property
    def rate(self) -> float:
        """Objects a second."""
        return self.objects / max(self.seconds, 1e-3)


class RebuildSummary(Record, frozen=True, kw_only=True):
    """What a rebuild did.

    ``read_again`` objects came from the archive; ``kept`` objects have no usable original there and were derived from
    what was read of them before; ``damaged`` counts archived originals that could not be read back; ``refused`` and
    ``ignored`` objects are no dose objects by the rules of today.
    """

    exams: int
    read_again: int
    kept: int
    damaged: int
    refused: int
    ignored: int
    seconds: float


class KeptCertificate(Record, frozen=True, kw_only=True):
    """A calibration certificate, and whether it is in force, superseded by another, or removed."""

    certificate: Certificate
    state: CertificateState
    added_at: str
    removed_at: str | None = None


class CertificatesChanged(Record, frozen=True, kw_only=True):
    """What a change of certificates did: the devices that it is about, and how many exams were derived anew."""

    devices: tuple[str, ...]
    exams: int
