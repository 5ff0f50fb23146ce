"""Is the audit trail whole? Every seal is computed again; the first record that is wrong is named."""

from __future__ import annotations

from doseatlas.audit.trail import FIRST_SEAL, AuditTrail, is_head, is_sealed, lines_of, record_of
from doseatlas.model import Record


class Verified(Record, frozen=True, kw_only=True):
    """What was found. ``wrong`` is ``None`` for a trail that is whole.

    ``number`` and ``seal`` are of the last record that is right: noted elsewhere, they later show whether a trail was
    set back to an older state as a whole, which nothing within it can show.
    """

    records: int
    number: int
    seal: str
    wrong: str | None = None


def verify(trail: AuditTrail, first_record: int = 1) -> Verified:
    """Check the trail from its first file to its head.

    Args:
        trail: the trail.
        first_record: the first record that must be there; more than 1 where older files were moved away on purpose.

    Raises:
        StoreError: the key is not there, or the trail cannot be read.

    """
    if not trail.files() and trail.head() is None:
        return Verified(records=0, number=0, seal=FIRST_SEAL)
    key = trail.key(make=False)
    with trail.locked():
        return _Check(trail, key, first_record).run()


class _Check:
    def __init__(self, trail: AuditTrail, key: bytes, first_record: int) -> None:
        self._trail, self._key = trail, key
        self._records = 0
        self._number, self._seal = first_record - 1, FIRST_SEAL if first_record == 1 else None

    def run(self) -> Verified:
        files, head = self._trail.files(), self._trail.head()
        for file in files:
            for line_number, line in enumerate(lines_of(file), 1):
                is_last = file == files[-1] and not line.endswith(b"\n")
                if is_last and head is not None and head.number <= self._number:
                    break  # what a crash has left of a record that was never reported as written
                wrong = self._wrong(line)
                if wrong:
                    return self._found(f"Record {self._number + 1} ({file.name}, line {line_number}): {wrong}")
        return self._found(self._wrong_head())

    def _wrong(self, line: bytes) -> str | None:
        record = record_of(line)
        if record is None:
            return "the line is no record."
        if not is_sealed(self._key, record):
            return "its seal is wrong: the record was changed, or written without the key."
        if record.number != self._number + 1:
            return f"record {record.number} stands in its place: records were taken out or put in."
        if self._seal is not None and record.previous != self._seal:
            return "it does not follow from the record before it."
        self._records += 1
        self._number, self._seal = record.number, record.seal
        return None

    def _wrong_head(self) -> str | None:
        head = self._trail.head()
        if head is None or not is_head(self._key, head):
            return f"Record {self._number + 1}: the head of the trail is missing or was changed, so it may be missing."
        if head.number > self._number:
            return f"Record {self._number + 1} is missing: the trail was cut off; it had {head.number} records."
        if head.number == self._number and head.seal != self._seal:
            return f"Record {self._number}: it is not the one that the head of the trail knows."
        return None

    def _found(self, wrong: str | None) -> Verified:
        return Verified(records=self._records, number=self._number, seal=self._seal or FIRST_SEAL, wrong=wrong)
