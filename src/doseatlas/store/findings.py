"""What happened to each finding, one event after the other? Events are only added: the history is the record.

What an event means is the business of the analysis (``analysis.compare.loop``); here it is bytes with a place.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from doseatlas.model import StoreError
from doseatlas.store.database import Database
from doseatlas.store.schema import finding_events


class FindingEvents:
    """The events of all findings in a store's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, finding_id: str, number: int, at: str, event: bytes) -> None:
        """Add event ``number`` (from 1) of a finding; ``at`` is its time, ISO 8601 in UTC.

        Raises:
            StoreError: somebody else has added that event meanwhile, or the store cannot be written.

        """
        row = {"finding_id": finding_id, "number": number, "at": at, "event": event}
        try:
            with self._database.writing() as connection:
                connection.execute(insert(finding_events).values(row))
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise StoreError(
                    f"Finding {finding_id} was changed by somebody else meanwhile; look at it again, then repeat."
                ) from error
            raise

    def of(self, finding_id: str) -> list[bytes]:
        """Return the events of a finding, the first first; none where there is no such finding."""
        found = select(finding_events.c.event).where(finding_events.c.finding_id == finding_id)
        with self._database.reading() as connection:
            return list(connection.execute(found.order_by(finding_events.c.number)).scalars())

    def all(self) -> dict[str, list[bytes]]:
        """Return the events of every finding, the finding that was opened first first."""
        columns = (finding_events.c.finding_id, finding_events.c.number, finding_events.c.at, finding_events.c.event)
        with self._database.reading() as connection:
            rows = connection.execute(select(*columns).order_by(finding_events.c.number)).all()
        by_finding: dict[str, list[bytes]] = defaultdict(list)
        for finding_id, _, _, event in sorted(rows, key=lambda row: (row[1], row[2], row[0])):
            by_finding[finding_id].append(event)
        return dict(by_finding)
