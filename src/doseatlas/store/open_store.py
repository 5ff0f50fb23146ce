"""What of an open store do importing, rebuilding and certificates work with? Its parts, not its questions."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection

from doseatlas.dicom import Limits
from doseatlas.store.archive import Archive
from doseatlas.store.database import Database
from doseatlas.store.dose_rules import DoseRules


class OpenStore(Protocol):
    """The parts of an open :class:`~doseatlas.store.store.Store`.

    ``key`` is ``None`` where identity is kept as stated; ``identity_mark`` says in what form the archive keeps it;
    ``archives``: whether originals are archived; ``jobs``: how many processes read;
    ``skin_dose_from_gy``: the reference air kerma from which a skin dose is computed; ``ct_coefficients`` and
    ``activity_guideline``: the set of effective dose per DLP, and what children's activities are compared with.
    """

    url: str
    database: Database
    archive: Archive
    archives: bool
    key: bytes | None
    identity_mark: str
    facility: str | None
    jobs: int
    limits: Limits
    skin_dose_from_gy: float
    ct_coefficients: str
    activity_guideline: str

    def dose_rules(self, connection: Connection) -> DoseRules:
        """Return what dosimetric columns are derived with, as it stands within a transaction."""
        ...
