"""Can messages that were refused be read by now? Reads the quarantine again after a fix; what is taken leaves it.

A message counts as of the moment when it first came, so that an old value does not go before a newer one.
"""

from __future__ import annotations

import datetime as dt

from doseatlas.context.message import Rejected, read_message
from doseatlas.model import Record
from doseatlas.network import Quarantine, Quarantined, Sender
from doseatlas.settings import Settings
from doseatlas.store import Store, add_context


class RefusedMessage(Record, frozen=True, kw_only=True):
    """A message in quarantine: where it is kept, when it came, from where, and why it was refused."""

    path: str
    received_at: str
    address: str
    reason: str


class MessagesReadAgain(Record, frozen=True, kw_only=True):
    """How many messages were taken after all, and how many are still refused."""

    taken: int
    refused: int


def refuse(settings: Settings, message: bytes, why: Rejected, address: str, at: dt.datetime) -> None:
    """Put a message that is not taken into quarantine. Raises :class:`OSError`."""
    sender = Sender(via="hl7", caller=why.header.sender[:64], address=address)
    reason = Quarantined(code=f"hl7-{why.condition}", message=str(why), sender=sender)
    Quarantine.of_messages(settings).keep(message, reason, at.timestamp())


def refused_messages(settings: Settings) -> list[RefusedMessage]:
    """Return the messages in quarantine, the oldest first."""
    return [
        RefusedMessage(
            path=str(file),
            received_at=_received_at(file.name).isoformat(timespec="seconds"),
            address=why.sender.address if why.sender else "",
            reason=why.message,
        )
        for file, why in Quarantine.of_messages(settings).objects()
    ]


def read_again(settings: Settings) -> MessagesReadAgain:
    """Read every message of the quarantine again.

    Raises:
        StoreError: the store failed; what was taken until then is kept.

    """
    quarantine = Quarantine.of_messages(settings)
    taken = refused = 0
    waiting = list(quarantine.objects())
    if not waiting:  # and so no store is made where there is none
        return MessagesReadAgain(taken=0, refused=0)
    with Store.from_settings(settings) as store:
        for file, _ in waiting:
            at = _received_at(file.name)
            try:
                order = read_message(file.read_bytes(), settings.context, at.date())
            except Rejected:
                refused += 1
                continue
            if order.statements:
                add_context(store, order.statements, "hl7", f"hl7-{at:%Y-%m-%d}", received_at=at)
            quarantine.release(file)
            taken += 1
        store.refresh_mart()
    return MessagesReadAgain(taken=taken, refused=refused)


def _received_at(name: str) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(name.partition("-")[0]) / 1e6, dt.UTC)
