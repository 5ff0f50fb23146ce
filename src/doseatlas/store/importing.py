"""How do objects get into the store? Found, read by all processors, committed batch by batch, each whole or not at all.

An object counts as imported only after its original is on disk and the database has committed. Interrupting an import,
or killing it, loses nothing that was counted; running it again goes on where it stopped. Imports by several processes
at once do not disturb each other.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile, ZipInfo

import msgspec
from sqlalchemy import Connection

from doseatlas.dicom import Limits, SourceObject, find_objects
from doseatlas.model import Refusal
from doseatlas.store.alerts import mark_due
from doseatlas.store.archive import Frame, build_pack
from doseatlas.store.database import Database, Progress, known_digests
from doseatlas.store.derive import plain_text
from doseatlas.store.image_sizes import Member, keep_sizes, may_be_ct_image, measured_image
from doseatlas.store.open_store import OpenStore
from doseatlas.store.prepare import Prepared, Rules, prepare, read_source
from doseatlas.store.record import (
    Derivation,
    Located,
    add_objects,
    add_pack,
    decisions_in_force,
    derive_again,
    forget_ignored,
    is_pack,
    mark_months,
    record_ignored,
    record_refusals,
)
from doseatlas.store.results import ImportSummary, Outcome, Result
from doseatlas.store.schema import CURRENT
from doseatlas.store.workers import Done, encoded, in_order

BATCH_OBJECTS = 250
_BATCH_BYTES = 8 * 2**20
_READ_OBJECTS = 50  # looked up in the database together


class Loaded(NamedTuple):
    """An object that only this process can read, such as the member of an archive, or why it cannot."""

    path: str
    content: bytes | Refusal
    member: Member | None


Task = SourceObject | Loaded


def import_paths(
    store: OpenStore,
    paths: Sequence[Path],
    progress: Progress | None = None,
    *,
    facility: str | None = None,
    committed: Callable[[Sequence[Outcome]], None] | None = None,
) -> ImportSummary:
    """Import every dose object under paths into a store.

    Args:
        store: an open store.
        paths: files, folders, zip archives or DICOMDIRs.
        progress: called after each commit with how many objects are done, out of how many; until all are found, the
            whole is an estimate by the number of files, or ``None``.
        facility: the one that the sender of the objects is bound to. It goes before the setting and before what the
            objects state, is kept with each object, and holds whenever its exam is derived again.
        committed: called after each commit with what became of each object; from then on its file may be removed.

    Raises:
        StoreError: the store or its disk failed; what was told to ``progress`` and ``committed`` is kept.

    """
    began = time.monotonic()
    counts: Counter[Result] = Counter()
    reasons: Counter[str] = Counter()
    settle(store)
    with store.database.reading() as connection:
        decisions = decisions_in_force(connection)
        dose = store.dose_rules(connection)
    bound = plain_text(facility or "").strip() or None
    rules = Rules(store.key, store.archives, store.facility, store.limits, decisions, dose, bound)
    estimate = _Estimate(paths)
    found = _Counted(find_objects(paths, limits=store.limits))
    with closing(in_order(_batches(found), _work, _start, (store.url, rules), store.jobs)) as batches:
        for prepared in batches:
            outcomes = _commit(store, prepared, rules)
            counts.update(outcome.result for outcome in outcomes)
            reasons.update(one.refusal.code for one in prepared if one.refusal is not None)
            if committed is not None:
                committed(outcomes)
            if progress is not None:
                done = counts.total()
                progress(done, found.count if found.ended else estimate.at_least(done))
    return ImportSummary(
        imported=counts["imported"],
        already_there=counts["already-there"],
        ignored=counts["ignored"],
        refused=counts["refused"],
        reasons=dict(reasons.most_common()),
        seconds=time.monotonic() - began,
    )


def settle(store: OpenStore) -> None:
    """Finish or undo what an import that was killed left in the archive: packs that were not yet in their place."""
    if store.archive.is_settled():
        return
    with store.database.writing() as connection:
        # No other process writes to the archive now: whoever does holds the lock that we hold.
        store.archive.settle(lambda name: is_pack(connection, name))


# ---- in this process: find, commit ----


class _Counted:
    """Passes objects on and counts them."""

    def __init__(self, found: Iterator[SourceObject]) -> None:
        self._found = found
        self.count = 0
        self.ended = False

    def __iter__(self) -> Iterator[SourceObject]:
        for one in self._found:
            self.count += 1
            yield one
        self.ended = True


class _Estimate:
    """Counts files ahead of the import, in the background, without reading them."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._count: int | None = None
        threading.Thread(target=self._run, args=(paths,), daemon=True).start()

    def _run(self, paths: Sequence[Path]) -> None:
        self._count = sum(len(files) for path in paths for _, _, files in os.walk(path))

    def at_least(self, done: int) -> int | None:
        """Return the number of files; ``None`` while counting, or where files hold several objects each."""
        return self._count if self._count is not None and self._count > done else None


def _batches(found: Iterable[SourceObject]) -> Iterator[list[Task]]:
    batch: list[Task] = []
    held = 0
    for source in found:
        if _is_portable(source):
            batch.append(source)
        else:
            content = read_source(source)
            batch.append(Loaded(source.path, content, _member(source)))
            held += len(content) if isinstance(content, bytes) else 0
        if len(batch) >= BATCH_OBJECTS or held >= _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _is_portable(source: SourceObject) -> bool:
    """Whether another process can read it: its reading depends on nothing but a path and limits."""
    read = source.read
    return isinstance(read, partial) and all(isinstance(value, Path | Limits) for value in read.args)


def _member(source: SourceObject) -> Member | None:
    """Return where in a zip archive an object lies, so that a worker can read its pixels."""
    if isinstance(source.read, partial):
        match source.read.args:
            case (ZipFile(filename=str(archive)), ZipInfo(filename=name), *_):
                return Member(archive, name)
    return None


def _commit(store: OpenStore, prepared: list[Prepared], rules: Rules) -> list[Outcome]:
    """Record a batch in one transaction; the originals are on disk before it commits."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    with store.database.writing() as connection:
        known, known_ignored = known_digests(connection, [one.digest for one in prepared if one.digest])
        new: dict[bytes, Prepared] = {}
        for one in prepared:
            if one.dose is not None and one.digest not in known:
                new.setdefault(one.digest, one)
        located, pack = _archived(store, connection, new, now)
        decisions, dose = decisions_in_force(connection), store.dose_rules(connection)
        as_prepared = decisions == rules.decisions and dose == rules.dose
        derivation = Derivation(decisions, store.facility, dose, as_prepared)
        sized = keep_sizes(connection, [one.sized for one in prepared if one.sized is not None])
        same, touched = add_objects(connection, CURRENT, located, derivation)
        mark_months(connection, touched)
        derive_again(connection, sized - {one.dose.exam_id for one in located}, decisions, dose)
        mark_due(connection, {one.dose.exam_id for one in located if one.dose.alone.kind != "estimate"})
        forget_ignored(connection, new)
        record_ignored(connection, {one.digest for one in prepared if one.state == "ignored"} - known_ignored)
        record_refusals(connection, prepared, now)
    if pack is not None:
        store.archive.accept(pack)
    counted = new.keys() - same
    outcomes = []
    for one in prepared:
        exam_id = one.dose.exam_id if one.dose is not None else None
        outcomes.append(Outcome(path=one.path, result=_result(one, counted), exam_id=exam_id))
        counted.discard(one.digest)  # the same object a second time is already there
    return outcomes


def _result(one: Prepared, counted: set[bytes]) -> Result:
    if one.state == "refused":
        return "refused"
    if one.state == "ignored":
        return "ignored"
    return "imported" if one.digest in counted else "already-there"


def _archived(
    store: OpenStore, connection: Connection, new: dict[bytes, Prepared], now: str
) -> tuple[list[Located], str | None]:
    """Write the originals of new objects to the archive, if there is one; returns where each lies, and the pack."""
    doses = [(digest, one.dose) for digest, one in new.items() if one.dose is not None]
    frames = [Frame(digest, d.frame, d.path, d.notes, d.facility) for digest, d in doses if d.frame is not None]
    if not frames:
        return [Located(digest, dose, now) for digest, dose in doses], None
    pack = build_pack(store.identity_mark, frames)
    store.archive.write(pack)
    pack_id = add_pack(connection, pack.name)
    originals = {original.digest: original for original in pack.originals}
    return [Located(digest, dose, now, pack_id, originals[digest]) for digest, dose in doses], pack.name


# ---- in a worker: read, prepare ----


@contextmanager
def _start(url: str, rules: Rules) -> Iterator[tuple[Database, Rules]]:
    with Database(url) as database:
        yield database, rules


def _work(state: tuple[Database, Rules], batch: list[Task]) -> Done:
    return encoded(_prepare_all(batch, *state))


def _prepare_all(batch: list[Task], database: Database, rules: Rules) -> Iterator[Prepared]:
    for group in _read_groups(batch):
        digests = [hashlib.sha256(data).digest() for _, data in group if isinstance(data, bytes)]
        known, known_ignored = database.known(digests)
        for task, data in group:
            path = task.path
            if isinstance(data, Refusal):
                yield Prepared(plain_text(path), b"", "refused", data)
                continue
            digest = hashlib.sha256(data).digest()
            if digest in known:
                yield _sized(Prepared(plain_text(path), digest, "known"), task, data, rules, database)
            elif digest in known_ignored:
                yield _sized(Prepared(plain_text(path), digest, "ignored"), task, data, rules, database)
            else:
                yield _sized(prepare(path, data, digest, rules), task, data, rules)


def _sized(prepared: Prepared, task: Task, header: bytes, rules: Rules, database: Database | None = None) -> Prepared:
    """Return what was prepared with what its pixels say of the patient's size, where it is a CT image.

    With a database, as of an object that it knows, only what it lacks is measured.
    """
    if prepared.state == "refused" or not may_be_ct_image(header):
        return prepared
    where = task.member if isinstance(task, Loaded) else Path(task.path)
    sized = None if where is None else measured_image(where, rules.limits, database)
    return prepared if sized is None else msgspec.structs.replace(prepared, sized=sized)


def _read_groups(batch: list[Task]) -> Iterator[list[tuple[Task, bytes | Refusal]]]:
    """Read objects, so many at a time as one question to the database is worth and memory has room for."""
    group: list[tuple[Task, bytes | Refusal]] = []
    held = 0
    for task in batch:
        content = task.content if isinstance(task, Loaded) else read_source(task)
        group.append((task, content))
        held += len(content) if isinstance(content, bytes) else 0
        if len(group) >= _READ_OBJECTS or held >= _BATCH_BYTES:
            yield group
            group, held = [], 0
    if group:
        yield group
