"""What does a registry hold, and how does a submission land in it whole or not at all? Files only, no server.

A registry is a folder: ``registry.toml`` (the agreement), ``submissions/SENDER/HASH.parquet`` with its signed manifest
beside it, and ``ledger/SENDER.json``, which says whose submission each month is. A submission's files are written
first; renaming the ledger then makes its months current all at once. A crash before that leaves files that nothing
names.
"""

from __future__ import annotations

import datetime as dt
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from doseatlas.exchange.package import Submission, read_submission
from doseatlas.exchange.records import Accepted, Agreement, ExchangeError, SubmissionRefused
from doseatlas.exchange.validate import checked_table
from doseatlas.store.files import make_folder, write_whole

AGREEMENT = "registry.toml"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger says of a month: the submission that is current, or that it was withdrawn; and when made."""

    submission: str
    made_at: dt.datetime
    kind: str
    withdrawn: bool = False


Ledger = dict[str, Entry]


def load_agreement(path: Path) -> Agreement:
    """Read an agreement: ``registry.toml`` of a registry's folder, or a copy of it.

    Raises:
        ExchangeError: it is absent, no TOML, or does not fit the schema.

    """
    file = path / AGREEMENT if path.is_dir() else path
    try:
        agreement = msgspec.toml.decode(file.read_bytes(), type=Agreement)
    except FileNotFoundError:
        raise ExchangeError(f"{file}: no registry is there. Make one: doseatlas registry new.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ExchangeError(f"{file}: this agreement does not fit the schema ({error}).") from error
    names = [sender.id for sender in agreement.senders]
    if len(set(names)) < len(names):
        raise ExchangeError(f"{file}: a sender stands there twice.")
    return agreement


def check(path: Path, agreement: Agreement, now: dt.datetime) -> Submission:
    """Check a submission as the registry will, without a registry.

    Raises:
        SubmissionRefused: the registry would refuse it; the findings say why.

    """
    submission = read_submission(path, agreement)
    if submission.manifest.kind != "withdrawal":
        checked_table(submission, agreement, now)
    return submission


def submit(registry: Path, path: Path, now: dt.datetime) -> Accepted:
    """Take a submission, or a withdrawal, into a registry.

    The same submission again changes nothing. A later one of the same months replaces the earlier one. What is no
    longer current is deleted.

    Raises:
        SubmissionRefused: it is not taken, and nothing of it is kept.
        ExchangeError: the registry's folder is damaged.

    """
    agreement = load_agreement(registry)
    submission = check(path, agreement, now)
    manifest = submission.manifest
    with _locked(registry):
        ledger = read_ledger(registry, manifest.sender)
        if _is_held(submission, ledger):
            outcome = "already held"
        else:
            _refuse_replay(submission, ledger)
            outcome = "replaced" if any(month in ledger for month in manifest.months) else "taken"
            if manifest.kind == "withdrawal":
                outcome = "withdrawn"
            _land(registry, submission, ledger)
    return Accepted(
        sender=manifest.sender,
        kind=manifest.kind,
        months=manifest.months,
        rows=manifest.rows,
        outcome=outcome,  # type: ignore[arg-type]
    )


@contextmanager
def _locked(registry: Path) -> Iterator[None]:
    """Let one submission land at a time; others wait."""
    with (registry / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read_ledger(registry: Path, sender: str) -> Ledger:
    """Return what is current of a sender, by month.

    Raises:
        ExchangeError: the ledger is damaged.

    """
    file = registry / "ledger" / f"{sender}.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Ledger)
    except FileNotFoundError:
        return {}
    except msgspec.MsgspecError as error:
        raise ExchangeError(f"{file}: damaged ({error}). Restore it from a backup.") from error


def _is_held(submission: Submission, ledger: Ledger) -> bool:
    return all(
        month in ledger and ledger[month].submission == submission.digest for month in submission.manifest.months
    )


def _refuse_replay(submission: Submission, ledger: Ledger) -> None:
    manifest = submission.manifest
    for month in manifest.months:
        held = ledger.get(month)
        if held is not None and held.made_at >= manifest.made_at:
            what = "withdrawn" if held.withdrawn else "replaced"
            raise SubmissionRefused(
                "replay",
                f"{month} of {manifest.sender} was {what} by what was made at {held.made_at:%Y-%m-%d %H:%M:%S}; this is"
                f" from {manifest.made_at:%Y-%m-%d %H:%M:%S}. Export the month again.",
            )
        if manifest.kind == "withdrawal" and (held is None or held.withdrawn):
            raise SubmissionRefused("nothing-held", f"Nothing of {manifest.sender} is held for {month}.")


def _land(registry: Path, submission: Submission, ledger: Ledger) -> None:
    manifest = submission.manifest
    folder = registry / "submissions" / manifest.sender
    make_folder(folder)
    make_folder(registry / "ledger")
    files = {".json": submission.signed, ".sig": submission.signature}
    if manifest.kind != "withdrawal":
        files[".parquet"] = submission.data
    for suffix, content in files.items():
        write_whole(folder / f"{submission.digest}{suffix}", content)
    entry = Entry(
        submission=submission.digest,
        made_at=manifest.made_at,
        kind=manifest.kind,
        withdrawn=manifest.kind == "withdrawal",
    )
    current = dict(sorted((ledger | dict.fromkeys(manifest.months, entry)).items()))
    write_whole(registry / "ledger" / f"{manifest.sender}.json", msgspec.json.encode(current))
    named = {held.submission for held in current.values()}
    for file in folder.iterdir():
        if file.name.split(".")[0] not in named:
            file.unlink()


def current_files(registry: Path, sender: str) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
    """Yield kind and file of each submission that is current, and the months that it is current for."""
    months: dict[tuple[str, str], list[str]] = {}
    for month, entry in read_ledger(registry, sender).items():
        if not entry.withdrawn:
            months.setdefault((entry.kind, entry.submission), []).append(month)
    for (kind, digest), of_months in months.items():
        yield kind, registry / "submissions" / sender / f"{digest}.parquet", tuple(of_months)
