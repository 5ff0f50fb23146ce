"""What becomes of a C-STORE? Its object is on disk before Success is answered (PS3.4 annex B, PS3.7 section 9.1.1)."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from doseatlas.network import Sender
from doseatlas.service import dimse
from doseatlas.service.dimse import Command
from doseatlas.service.logs import hashed, log
from doseatlas.service.part10 import file_header
from doseatlas.service.spool import Incoming, TooLarge

if TYPE_CHECKING:
    from doseatlas.service.association import Association

VALID_UID = re.compile(r"[0-9.]{1,64}")


class StoreReceiver:
    """Takes one object. Once something has gone wrong, the rest of it is read and dropped, and the status says why."""

    def __init__(self, association: Association, request: Command, context_id: int) -> None:
        self._association = association
        self._request = request
        self._listener = association.listener
        self._failure: tuple[int, str] | None = None
        self._incoming: Incoming | None = None
        self._sop_class, syntax = association.contexts[context_id]
        self._uid = str(request.get(dimse.AFFECTED_INSTANCE, ""))
        if request.get(dimse.AFFECTED_CLASS) != self._sop_class:
            self._failure = dimse.CLASS_NOT_SUPPORTED, "SOP class is not the one of the presentation context"
        elif not VALID_UID.fullmatch(self._uid):
            self._failure = dimse.INVALID_INSTANCE, "SOP Instance UID is not valid"
        elif request[dimse.DATA_SET_TYPE] == dimse.NO_DATA_SET:
            self._failure = dimse.CANNOT_UNDERSTAND, "The request has no data set"
        else:
            self._incoming = self._listener.spool.incoming(
                sender(association), self._uid, self._listener.settings.max_object_mebibytes * 2**20
            )
            self.write(memoryview(file_header(self._sop_class, self._uid, syntax)))

    def write(self, piece: memoryview) -> None:
        """Take a piece; a failing disk or an object too large becomes the status."""
        if self._incoming is None:
            return
        try:
            self._incoming.write(piece)
        except TooLarge:
            limit = self._listener.settings.max_object_mebibytes
            self._fail(dimse.CANNOT_UNDERSTAND, f"The object is larger than {limit} MiB, the limit set")
        except OSError as error:
            self._fail(dimse.OUT_OF_RESOURCES, f"Cannot be stored: {error.strerror}")

    def finish(self) -> None:
        """Have the object made durable, then answer."""
        if self._incoming is None:
            self._answer(self._failure or (dimse.CANNOT_UNDERSTAND, ""))
            return
        self._since = self._listener.now()
        self._listener.spool.commit(self._incoming, partial(self._listener.soon, self._committed))

    def abandon(self) -> None:
        """Forget an object whose end did not come."""
        if self._incoming is not None:
            self._incoming.discard()

    def _fail(self, status: int, comment: str) -> None:
        self._failure = status, comment
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None

    def _committed(self, error: Exception | None) -> None:
        if error is not None:
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            self._answer((dimse.OUT_OF_RESOURCES, f"Cannot be stored: {reason}"))
            return
        assert self._incoming is not None
        self._listener.metrics.commit_seconds.observe(self._listener.now() - self._since)
        self._listener.received(self._incoming, self._sop_class, caller_name(self._association))
        answer = dimse.response(self._request, dimse.SUCCESS)
        self._listener.at_our_pace(self._association.answer, answer)

    def _answer(self, failure: tuple[int, str]) -> None:
        status, comment = failure
        name = caller_name(self._association)
        self._listener.metrics.not_received.labels(f"{status:04X}", name, "dicom").inc()
        log("object not received", caller=name, object=hashed(self._uid), status=f"{status:04X}", reason=comment)
        self._association.answer(dimse.response(self._request, status, comment))


def caller_name(association: Association) -> str:
    """Return the name under which a peer is counted."""
    return association.caller.name if association.caller else "unknown"


def sender(association: Association) -> Sender:
    """Return who sends on an association."""
    facility = association.caller.facility if association.caller else None
    return Sender(via="dicom", caller=association.calling, address=association.address, facility=facility)
