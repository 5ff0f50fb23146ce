"""The words of the exchange: the agreement, what a submission says about itself, and what a registry answers."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Literal

import msgspec

from doseatlas.model import DoseAtlasError, Record

SCHEMA_VERSION = 2
"""Of submissions: 2 adds the effective dose of each exam."""

Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Month = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
SubmissionKind = Literal["exams", "summaries", "withdrawal"]


class ExchangeError(DoseAtlasError):
    """A file or folder of the exchange cannot be used; the message says which and what to do."""

    code = "exchange"


class SubmissionRefused(ExchangeError):
    """A submission is not taken; ``code`` of the instance says why, and nothing of it is kept."""

    def __init__(self, code: str, message: str, findings: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]
        self.findings = findings


def check_months(*months: str) -> None:
    """Raise ``ExchangeError`` for what is no month."""
    for month in months:
        if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", month):
            raise ExchangeError(f"{month!r} is no month; write it as 2025-01.")


class Sender(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may submit: a facility, or a nation on behalf of its facilities (``sends = "many"``)."""

    id: Id
    country: str
    public_key: str
    sends: Literal["one", "many"] = "one"


class Agreement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a registry and its senders have agreed: ``registry.toml``, in the registry and at every sender.

    ``kinds``: what is taken. ``exact_ages``: ages and weights are sent as numbers, not only in bands.
    ``minimum_exams`` and ``minimum_facilities``: cells of fewer are not released; of two facilities, each would know
    the other's figure.
    """

    schema: Literal[1]
    id: Id
    name: str
    kinds: tuple[Literal["exams", "summaries"], ...] = ("exams", "summaries")
    exact_ages: bool = False
    dose_values: Literal["stated", "corrected"] = "stated"
    """Which doses are sent: as devices state them, or corrected by the senders' calibration certificates."""
    minimum_exams: Annotated[int, msgspec.Meta(ge=1)] = 5
    minimum_facilities: Annotated[int, msgspec.Meta(ge=3)] = 3
    senders: tuple[Sender, ...] = ()

    def sender(self, name: str) -> Sender | None:
        """Return who submits under a name, ``None`` where nobody does."""
        return next((one for one in self.senders if one.id == name), None)


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a submission says about itself; the signature is over these bytes, which hold the hash of the data."""

    schema: int
    registry: str
    kind: SubmissionKind
    sender: str
    months: tuple[Month, ...]
    made_at: dt.datetime
    rows: int
    data_sha256: str
    dose_values: Literal["stated", "corrected"] = "stated"
    left_out: int = 0
    """Exams of the months that are not sent: implausible, or without procedure or patient group; or suppressed."""
    software: str = ""


class Accepted(Record, frozen=True, kw_only=True):
    """What a registry did with a submission."""

    sender: str
    kind: SubmissionKind
    months: tuple[str, ...]
    rows: int
    outcome: Literal["taken", "replaced", "already held", "withdrawn"]


class ReleaseCell(Record, frozen=True, kw_only=True):
    """Typical values of facilities for one procedure, group and quantity: what a registry may show.

    ``p25``, ``median`` and ``p75`` are of the facilities' medians; ``p75`` is what a DRL is set from (ICRP 135). They
    are of the running means of ``averaged_over`` of them, so that none is one facility's (``exchange/disclosure.py``).
    ``pooled_p75`` is of all exams, whatever their facility. ``regional`` is the median of the countries' p75.
    ``suppressed`` says why there are no figures; ``carried_from`` names the release whose figures are repeated because
    the difference to it would show too few.
    """

    procedure: str
    patient_group: str
    quantity: str
    phantom_cm: int | None = None
    facilities: int | None = None
    countries: int | None = None
    exams: int | None = None
    averaged_over: int | None = None
    p25: float | None = None
    median: float | None = None
    p75: float | None = None
    pooled_p75: float | None = None
    regional: float | None = None
    suppressed: str | None = None
    carried_from: int | None = None


class Release(Record, frozen=True, kw_only=True):
    """One release of a registry's figures."""

    registry: str
    number: int
    since: str
    until: str
    made_at: dt.datetime
    version: str
    dose_values: Literal["stated", "corrected"] = "stated"
    minimum_exams: int
    minimum_facilities: int
    cells: tuple[ReleaseCell, ...] = ()
