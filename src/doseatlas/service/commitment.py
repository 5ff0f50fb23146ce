"""Which objects may a sender delete, because we keep them? Storage commitment, push model (PS3.4 annex J).

Committed is a dose report whose archived original and values are in the store. An image is not: of images only the
header is kept, and a sender must not delete pixels on our word. Nor is an instance asked for as one of another class
than what is kept under its UID. An object that still waits in the spool is waited for.

A request is on disk before it is answered, and stays there until its report has been delivered: on the association
that asked while that is open, else on a new one to the caller's ``commitment_address``, again and again for a day.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import msgspec

from doseatlas.model import Record, UnreadableObject
from doseatlas.network import sop_classes
from doseatlas.service import dimse
from doseatlas.service.logs import hashed, log
from doseatlas.service.normalized import Answer
from doseatlas.service.part10 import HEAD_BYTES, names_in
from doseatlas.service.spool import Disk, SpoolFile, spooled, write_durably
from doseatlas.service.storage import VALID_UID

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from doseatlas.service.association import Association
    from doseatlas.service.metrics import Metrics

_CLASS = "1.2.840.10008.1.20.1"
_WELL_KNOWN_INSTANCE = "1.2.840.10008.1.20.1.1"
_REQUEST_COMMITMENT = 1
_ALL_COMMITTED, _SOME_FAILED = 1, 2
_MAX_INSTANCES = 50_000
_WAIT_FOR_SPOOL_SECONDS = 60.0
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS, _GIVE_UP_SECONDS = 5.0, 900.0, 86_400.0
_REPORT_TIMEOUT_SECONDS = 15
_PRESENT_MESSAGE_ID = 1


class Pending(Record, frozen=True, kw_only=True):
    """A request whose report is not delivered yet. ``instances``: pairs of SOP class and SOP instance UID."""

    transaction_uid: str
    calling: str
    asked_at: float
    instances: tuple[tuple[str, str], ...]
    address: tuple[str, int] | None = None


class Outcome(Record, frozen=True, kw_only=True):
    """The report: which instances are committed, and which are not with the reason (PS3.3 C.14)."""

    committed: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str, int], ...]


class Commitments:
    """The storage commitments of the service."""

    def __init__(
        self,
        spool_folder: Path,
        *,
        ae_title: str,
        kept: Callable[[Collection[str]], set[tuple[str, str]]],
        metrics: Metrics,
        disk: Disk | None = None,
    ) -> None:
        self._folder = spool_folder / "commitments"
        self._folder.mkdir(exist_ok=True)
        self._new = spool_folder / "new"
        self._ae_title = ae_title
        self._kept = kept
        self._metrics = metrics
        self._disk = disk or Disk()
        self._askers: WeakValueDictionary[str, Association] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()

    def resume(self) -> None:
        """Go on with the requests whose reports were not delivered before the last stop."""
        for file in self._folder.glob("*.json"):
            self._begin(msgspec.json.decode(file.read_bytes(), type=Pending))

    def stop(self) -> None:
        """Leave what is not delivered for the next start."""
        for task in self._tasks:
            task.cancel()

    def action(self, association: Association, request: dimse.Command, data: bytes, syntax: str) -> Answer:
        """Take a request (N-ACTION, PS3.4 J.3.2); runs in a thread."""
        if request.get(dimse.ACTION_TYPE) != _REQUEST_COMMITMENT:
            return Answer(dimse.NO_SUCH_ACTION)
        if request.get(dimse.REQUESTED_INSTANCE) != _WELL_KNOWN_INSTANCE:
            return Answer(dimse.NO_SUCH_INSTANCE)
        transaction, instances = _decode(data, syntax)
        if not VALID_UID.fullmatch(transaction) or not instances:
            return Answer(dimse.INVALID_ARGUMENT, "No transaction UID, or nothing referenced")
        if len(instances) > _MAX_INSTANCES:
            return Answer(dimse.PROCESSING_FAILURE, f"More than {_MAX_INSTANCES} instances in one request")
        pending = Pending(
            transaction_uid=transaction,
            calling=association.calling,
            asked_at=time.time(),
            instances=tuple(instances),
            address=association.caller.commitment_address if association.caller else None,
        )
        write_durably(self._file(pending), msgspec.json.encode(pending), self._disk)
        self._askers[transaction] = association
        return Answer(dimse.SUCCESS, uid=_WELL_KNOWN_INSTANCE, afterwards=lambda: self._begin(pending))

    def _file(self, pending: Pending) -> Path:
        key = f"{pending.calling}\0{pending.transaction_uid}".encode()
        return self._folder / f"{hashlib.sha256(key).hexdigest()[:32]}.json"

    def _begin(self, pending: Pending) -> None:
        task = asyncio.get_running_loop().create_task(self._see_through(pending))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _see_through(self, pending: Pending) -> None:
        outcome = await self._decide(pending)
        wait = _FIRST_RETRY_SECONDS
        while not await self._deliver(pending, outcome):
            if pending.address is None or time.time() - pending.asked_at > _GIVE_UP_SECONDS:
                self._metrics.commitments.labels("undeliverable").inc()
                log("storage commitment report not delivered", level=logging.WARNING, calling=pending.calling)
                break
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_RETRY_SECONDS)
        self._file(pending).unlink(missing_ok=True)

    async def _decide(self, pending: Pending) -> Outcome:
        wanted = {instance for _, instance in pending.instances}
        began = time.monotonic()
        while await asyncio.to_thread(self._any_waits, wanted) and time.monotonic() - began < _WAIT_FOR_SPOOL_SECONDS:
            await asyncio.sleep(0.2)
        # The spool first: what passes from there into the store meanwhile is found in the store.
        kept = await asyncio.to_thread(waiting_instances, self._new, wanted)
        kept |= await asyncio.to_thread(self._kept, wanted)
        return decide(pending.instances, kept)

    def _any_waits(self, wanted: set[str]) -> bool:
        return any(True for _ in _waiting(self._new, wanted))

    async def _deliver(self, pending: Pending, outcome: Outcome) -> bool:
        asker = self._askers.get(pending.transaction_uid)
        delivered = asker is not None and await self._deliver_on(asker, pending, outcome)
        if not delivered and pending.address is not None:
            delivered = await asyncio.to_thread(self._deliver_anew, pending, outcome)
        if delivered:
            self._metrics.commitments.labels("failed" if outcome.failed else "committed").inc()
            log(
                "storage commitment reported",
                calling=pending.calling,
                transaction=hashed(pending.transaction_uid),
                committed=len(outcome.committed),
                failed=len(outcome.failed),
            )
        return delivered

    async def _deliver_on(self, association: Association, pending: Pending, outcome: Outcome) -> bool:
        """Report on the association that asked, if it is still open."""
        context_id = association.context_of("commitment")
        if association.state != "open" or context_id is None:
            return False
        answered: asyncio.Future[dimse.Command] = asyncio.get_running_loop().create_future()
        association.on_answer[_PRESENT_MESSAGE_ID] = answered
        request: dimse.Command = {
            dimse.AFFECTED_CLASS: _CLASS,
            dimse.FIELD: dimse.N_EVENT_REPORT_RQ,
            dimse.MESSAGE_ID: _PRESENT_MESSAGE_ID,
            dimse.DATA_SET_TYPE: 1,
            dimse.AFFECTED_INSTANCE: _WELL_KNOWN_INSTANCE,
            dimse.EVENT_TYPE: _SOME_FAILED if outcome.failed else _ALL_COMMITTED,
        }
        syntax = association.contexts[context_id][1]
        association.send(context_id, request, _encode(pending.transaction_uid, outcome, syntax))
        try:
            response = await asyncio.wait_for(answered, _REPORT_TIMEOUT_SECONDS)
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            if answered.cancelled():  # the association has ended
                return False
            raise
        return response.get(dimse.STATUS) == dimse.SUCCESS

    def _deliver_anew(self, pending: Pending, outcome: Outcome) -> bool:
        """Report on a new association, in which we ask for the role of the provider (PS3.4 J.3.3.1.4)."""
        from pynetdicom import AE, build_role

        assert pending.address is not None
        entity = AE(ae_title=self._ae_title)
        entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = _REPORT_TIMEOUT_SECONDS
        entity.network_timeout = _REPORT_TIMEOUT_SECONDS
        entity.add_requested_context(_CLASS)
        host, port = pending.address
        association = entity.associate(
            host, port, ae_title=pending.calling, ext_neg=[build_role(_CLASS, scu_role=False, scp_role=True)]
        )
        if not association.is_established:
            return False
        try:
            status, _ = association.send_n_event_report(
                _data_set(pending.transaction_uid, outcome),
                _SOME_FAILED if outcome.failed else _ALL_COMMITTED,
                _CLASS,
                _WELL_KNOWN_INSTANCE,
            )
        except (RuntimeError, ValueError):  # the context was not accepted
            return False
        finally:
            association.release()
        return bool(status) and int(status.Status) == dimse.SUCCESS


def decide(instances: Collection[tuple[str, str]], kept: Collection[tuple[str, str]]) -> Outcome:
    """Say which instances are committed, given those that are kept (both: pairs of SOP class and instance UID)."""
    kept_uids = {uid for _, uid in kept}
    committed: list[tuple[str, str]] = []
    failed: list[tuple[str, str, int]] = []
    for sop_class, instance in instances:
        known = sop_classes().get(sop_class)
        if known is None or not known.is_report:
            failed.append((sop_class, instance, dimse.CLASS_NOT_SUPPORTED))
        elif (sop_class, instance) in kept:
            committed.append((sop_class, instance))
        elif instance in kept_uids:
            failed.append((sop_class, instance, dimse.CLASS_INSTANCE_CONFLICT))
        else:
            failed.append((sop_class, instance, dimse.NO_SUCH_INSTANCE))
    return Outcome(committed=tuple(committed), failed=tuple(failed))


def waiting_instances(new: Path, wanted: Collection[str]) -> set[tuple[str, str]]:
    """Return which of the instances wait in the spool: pairs of the SOP class that the object states and its UID."""
    found: set[tuple[str, str]] = set()
    for file in _waiting(new, wanted):
        with suppress(OSError, UnreadableObject), file.path.open("rb") as opened:  # has passed on, or is no report
            found.add((names_in(opened.read(HEAD_BYTES)).sop_class, file.sop_instance_uid))
    return found


def _waiting(new: Path, wanted: Collection[str]) -> Iterator[SpoolFile]:
    return (file for _, _, files in spooled(new) for file in files if file.sop_instance_uid in wanted)


def _decode(data: bytes, syntax: str) -> tuple[str, list[tuple[str, str]]]:
    from pynetdicom.dsutils import decode

    data_set = decode(io.BytesIO(data), syntax == "1.2.840.10008.1.2", True)
    referenced = data_set.get("ReferencedSOPSequence") or []
    pairs = [(str(i.get("ReferencedSOPClassUID", "")), str(i.get("ReferencedSOPInstanceUID", ""))) for i in referenced]
    return str(data_set.get("TransactionUID", "")), pairs


def _encode(transaction_uid: str, outcome: Outcome, syntax: str) -> bytes:
    from pynetdicom.dsutils import encode

    encoded: bytes | None = encode(_data_set(transaction_uid, outcome), syntax == "1.2.840.10008.1.2", True)
    assert encoded is not None
    return encoded


def _data_set(transaction_uid: str, outcome: Outcome) -> Dataset:
    from pydicom.dataset import Dataset

    report = Dataset()
    report.TransactionUID = transaction_uid
    committed, failed = [], []
    for sop_class, instance in outcome.committed:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
        committed.append(item)
    for sop_class, instance, reason in outcome.failed:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
        item.FailureReason = reason
        failed.append(item)
    if committed:
        report.ReferencedSOPSequence = committed
    if failed:
        report.FailedSOPSequence = failed
    return report
