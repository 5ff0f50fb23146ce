"""How do exams count that send no report? By modality performed procedure steps, which state dose (PS3.4 annex F).

A step that is created is on disk before it is answered; what is set later is merged into it. When it is completed or
discontinued, the whole data set becomes a spooled object like any other, and the step may no longer be changed.
"""

from __future__ import annotations

import hashlib
import io
import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from doseatlas.network import Sender
from doseatlas.service import dimse
from doseatlas.service.logs import log
from doseatlas.service.normalized import Answer
from doseatlas.service.part10 import file_header
from doseatlas.service.spool import Disk, Spool, write_durably
from doseatlas.service.storage import VALID_UID, caller_name

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from doseatlas.service.association import Association

SOP_CLASS = "1.2.840.10008.3.1.2.3.3"
_EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
_IMPLICIT_LITTLE = "1.2.840.10008.1.2"
_FORGOTTEN_AFTER_SECONDS = 90 * 86_400
_MAX_BYTES = 64 * 2**20
_FINAL = ("COMPLETED", "DISCONTINUED")
_STATUSES = ("IN PROGRESS", *_FINAL)  # PS3.3 C.4.14


class Mpps:
    """The performed procedure steps that are under way."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._disk: Disk = spool.disk
        self._folder = spool.folder / "mpps"
        self._folder.mkdir(exist_ok=True)
        self._one_at_a_time = threading.Lock()
        self._forget_old()

    def _forget_old(self) -> None:
        """Forget steps that have not been changed for long; of those that never ended it is told how many."""
        old = [one for one in self._folder.iterdir() if time.time() - one.stat().st_mtime > _FORGOTTEN_AFTER_SECONDS]
        for file in old:
            file.unlink()
        never_ended = sum(file.suffix == ".dcm" for file in old)
        if never_ended:
            log("procedure steps that never ended were forgotten", level=logging.WARNING, count=never_ended)

    def create(self, association: Association, request: dimse.Command, data: bytes, syntax: str) -> Answer:
        """Begin a step (N-CREATE, PS3.4 F.7.2.1); runs in a thread."""
        from pydicom.uid import generate_uid

        uid = str(request.get(dimse.AFFECTED_INSTANCE, "")) or str(generate_uid(None))
        if not VALID_UID.fullmatch(uid):
            return Answer(dimse.INVALID_INSTANCE, "SOP Instance UID is not valid")
        step = _decode(data, syntax)
        if str(step.get("PerformedProcedureStepStatus", "")) != "IN PROGRESS":
            return Answer(dimse.MISSING_ATTRIBUTE, "Performed Procedure Step Status must be IN PROGRESS")
        with self._one_at_a_time:
            if self._open_file(uid).exists() or self._final_file(uid).exists():
                return Answer(dimse.DUPLICATE_INSTANCE)
            self._keep(uid, step)
        return Answer(dimse.SUCCESS, uid=uid)

    def set(self, association: Association, request: dimse.Command, data: bytes, syntax: str) -> Answer:
        """Change a step, or end it (N-SET, PS3.4 F.7.2.2); runs in a thread."""
        from pydicom import dcmread

        uid = str(request.get(dimse.REQUESTED_INSTANCE, ""))
        changes = _decode(data, syntax)
        with self._one_at_a_time:
            if self._final_file(uid).exists():
                return Answer(dimse.PROCESSING_FAILURE, "Performed Procedure Step may no longer be updated")
            try:
                step = dcmread(self._open_file(uid))
            except FileNotFoundError:
                return Answer(dimse.NO_SUCH_INSTANCE)
            step.update(changes)
            status = str(step.get("PerformedProcedureStepStatus", ""))
            if status not in _STATUSES:
                return Answer(dimse.INVALID_VALUE, f"Performed Procedure Step Status must be {', '.join(_STATUSES)}")
            if status not in _FINAL:
                self._keep(uid, step)
                return Answer(dimse.SUCCESS)
            self._hand_over(association, uid, step)
            write_durably(self._final_file(uid), b"", self._disk)
            self._open_file(uid).unlink()
        return Answer(dimse.SUCCESS)

    def _hand_over(self, association: Association, uid: str, step: Dataset) -> None:
        facility = association.caller.facility if association.caller else None
        sender = Sender(via="mpps", caller=association.calling, address=association.address, facility=facility)
        incoming = self._spool.incoming(sender, uid, _MAX_BYTES)
        incoming.write(_encode(uid, step))
        outcome: list[Exception | None] = []
        over = threading.Event()

        def done(error: Exception | None) -> None:
            outcome.append(error)
            over.set()

        self._spool.commit(incoming, done)
        over.wait()
        if outcome[0] is not None:
            raise outcome[0]
        listener = association.listener
        listener.soon(listener.received, incoming, SOP_CLASS, caller_name(association))

    def _keep(self, uid: str, step: Dataset) -> None:
        write_durably(self._open_file(uid), _encode(uid, step), self._disk)

    def _open_file(self, uid: str) -> Path:
        return self._folder / f"{_key(uid)}.dcm"

    def _final_file(self, uid: str) -> Path:
        return self._folder / f"{_key(uid)}.final"


def _key(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:32]


def _decode(data: bytes, syntax: str) -> Dataset:
    from pynetdicom.dsutils import decode

    data_set: Dataset = decode(io.BytesIO(data), syntax == _IMPLICIT_LITTLE, True)
    data_set.walk(lambda _, element: element.value)  # decode all of it now, so that what is unreadable fails here
    return data_set


def _encode(uid: str, step: Dataset) -> bytes:
    from pynetdicom.dsutils import encode

    step.SOPClassUID, step.SOPInstanceUID = SOP_CLASS, uid
    encoded: bytes | None = encode(step, False, True)
    if encoded is None:
        raise ValueError("the data set cannot be encoded")
    return file_header(SOP_CLASS, uid, _EXPLICIT_LITTLE) + encoded
