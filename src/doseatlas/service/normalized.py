"""How are messages with small data sets served? Takes the data set whole, has it handled off the loop, answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from doseatlas.service import dimse
from doseatlas.service.dimse import Command
from doseatlas.service.logs import LOGGER, log

if TYPE_CHECKING:
    from doseatlas.service.association import Association

_MAX_BYTES = 16 * 2**20


class Answer(NamedTuple):
    """What a service answers: the status, why, and what is to be done once the answer is out."""

    status: int
    comment: str = ""
    uid: str | None = None
    afterwards: Callable[[], None] | None = None


Handler = Callable[["Association", Command, bytes, str], Answer]
"""Handles a request, given its data set and transfer syntax; runs in a thread of its own."""


class Echo:
    """C-ECHO (PS3.7 section 9.1.5)."""

    def __init__(self, association: Association, request: Command) -> None:
        self._association, self._request = association, request

    def write(self, piece: memoryview) -> None:
        """Drop it: there is no data set in C-ECHO."""

    def finish(self) -> None:
        """Answer at once."""
        self._association.answer(dimse.response(self._request, dimse.SUCCESS))

    def abandon(self) -> None:
        """There is nothing to forget."""


class Refuse(Echo):
    """An operation that is not served in this presentation context."""

    def __init__(self, association: Association, request: Command, status: int) -> None:
        super().__init__(association, request)
        self._status = status

    def finish(self) -> None:
        """Answer at once."""
        self._association.answer(dimse.response(self._request, self._status))


class NormalizedReceiver:
    """N-ACTION, N-CREATE and N-SET (PS3.7 section 10.1)."""

    def __init__(self, association: Association, request: Command, context_id: int, handler: Handler) -> None:
        self._association = association
        self._request = request
        self._syntax = association.contexts[context_id][1]
        self._handler = handler
        self._data = bytearray()
        self._too_large = False

    def write(self, piece: memoryview) -> None:
        """Take a piece; what is too large is dropped and answered with a failure."""
        self._too_large = self._too_large or len(self._data) + len(piece) > _MAX_BYTES
        if not self._too_large:
            self._data += piece

    def finish(self) -> None:
        """Have it handled, then answer."""
        if self._too_large:
            self._answer(Answer(dimse.PROCESSING_FAILURE, "The data set is too large"))
            return
        listener = self._association.listener
        listener.in_thread(self._handle, self._answer)

    def abandon(self) -> None:
        """Forget it."""
        self._data.clear()

    def _handle(self) -> Answer:
        try:
            return self._handler(self._association, self._request, bytes(self._data), self._syntax)
        except OSError as error:
            return Answer(dimse.PROCESSING_FAILURE, f"Cannot be stored: {error.strerror}")
        except Exception:
            LOGGER.exception("a request could not be handled")
            return Answer(dimse.PROCESSING_FAILURE, "The data set cannot be read")

    def _answer(self, answer: Answer) -> None:
        if answer.status != dimse.SUCCESS:
            log(
                "request failed",
                level=logging.WARNING,
                operation=f"{int(self._request[dimse.FIELD]):04X}",
                calling=self._association.calling,
                status=f"{answer.status:04X}",
                reason=answer.comment,
            )
        response = dimse.response(self._request, answer.status, answer.comment)
        if answer.uid:
            response[dimse.AFFECTED_INSTANCE] = answer.uid
        self._association.answer(response)
        if answer.afterwards is not None:
            answer.afterwards()
