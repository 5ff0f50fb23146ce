"""How do alerts reach their recipients? The store's outbox is emptied: once each, tried again until it succeeds.

A delivery is put off before each attempt, so that no other process makes the same one and a death in mid-attempt only
delays it. It is tried until the receiver takes it or somebody acknowledges the alert.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from doseatlas.alerts.alert import Alert, body, delivery_id, subject
from doseatlas.alerts.channels import NotDelivered, post_webhook, send_mail
from doseatlas.alerts.recipients import webhook_secret
from doseatlas.model import DoseAtlasError, Record, SettingsError
from doseatlas.settings import AlertSettings, RecipientSettings, Settings
from doseatlas.store.alerts import AlertTables

if TYPE_CHECKING:
    from doseatlas.store import Store

_FIRST_PAUSE, _LONGEST_PAUSE = dt.timedelta(minutes=2), dt.timedelta(hours=6)
_LOOK_SECONDS = 5.0
_KEPT_FROM_MESSAGES = {"study_instance_uid", "exam_id"}


class Delivered(Record, frozen=True, kw_only=True):
    """What emptying the outbox did: messages that went out, and why others did not yet."""

    sent: int = 0
    failures: tuple[str, ...] = ()


class TestMessage(Record, frozen=True, kw_only=True):
    """What came of a message that tests a recipient; ``failure`` is ``None`` where it was taken."""

    recipient: str
    channel: str
    failure: str | None = None


def pause_after(attempts: int) -> dt.timedelta:
    """Return how long to wait after so many attempts: longer than one can take, twice as long each time."""
    return min(_FIRST_PAUSE * (1 << min(attempts - 1, 20)), _LONGEST_PAUSE)


def deliver_due(store: Store, settings: AlertSettings, now: Callable[[], dt.datetime]) -> Delivered:
    """Make one attempt of every delivery that is due.

    Raises:
        StoreError: the store failed; what went out is known to it but for the last.

    """
    tables = AlertTables(store.database)
    began, sent, failures = now(), 0, []
    while (claimed := tables.claim(began, pause_after)) is not None:
        delivery, kept = claimed
        alert = msgspec.json.decode(kept.alert, type=Alert)
        try:
            recipient = _recipient(settings, delivery.recipient)
            _send(settings, recipient, delivery.channel, alert, now())
        except (NotDelivered, SettingsError) as error:
            tables.failed(delivery.delivery_id, str(error))
            failures.append(f"{delivery.recipient}: {error}")
        else:
            tables.sent(delivery.delivery_id, now())
            sent += 1
    return Delivered(sent=sent, failures=tuple(failures))


def keep_delivering(settings: Settings, ended: threading.Event, tell: Callable[[Delivered], None]) -> None:
    """Empty the outbox again and again until ``ended``; a store that fails is tried again later."""
    from doseatlas.store import Store

    while not ended.is_set():
        try:
            with Store.from_settings(settings) as store:
                while not ended.wait(_LOOK_SECONDS):
                    done = deliver_due(store, settings.alerts, lambda: dt.datetime.now(dt.UTC))
                    if done.sent or done.failures:
                        tell(done)
        except (DoseAtlasError, OSError) as error:
            tell(Delivered(failures=(str(error),)))
            ended.wait(_LOOK_SECONDS)


def send_tests(settings: AlertSettings, now: dt.datetime) -> list[TestMessage]:
    """Send every recipient a message that says it is a test, and return what came of each."""
    at = now.astimezone(dt.UTC).isoformat(timespec="seconds")
    found = []
    for recipient in settings.recipients:
        for channel in ("email", "webhook"):
            if not getattr(recipient, channel):
                continue
            failure = None
            try:
                _send(settings, recipient, channel, _test_alert(recipient, at), now)
            except (NotDelivered, SettingsError) as error:
                failure = str(error)
            found.append(TestMessage(recipient=recipient.name, channel=channel, failure=failure))
    return found


def _recipient(settings: AlertSettings, name: str) -> RecipientSettings:
    for row in settings.recipients:
        if row.name == name:
            return row
    raise SettingsError(f"The settings name no recipient {name!r} any more. Name it again, or acknowledge the alert.")


def _send(settings: AlertSettings, recipient: RecipientSettings, channel: str, alert: Alert, now: dt.datetime) -> None:
    identifier = delivery_id(alert.alert_id, recipient.name, channel)
    address = recipient.email if channel == "email" else recipient.webhook
    if not address:
        raise SettingsError(f"The recipient {recipient.name!r} has no {channel} any more. Give it one again.")
    if channel == "email":
        send_mail(settings.mail, address, subject(alert), body(alert), identifier)
        return
    stated = {name: value for name, value in msgspec.to_builtins(alert).items() if name not in _KEPT_FROM_MESSAGES}
    timestamp = str(int(now.timestamp()))
    post_webhook(address, webhook_secret(recipient), stated, identifier, timestamp)


def _test_alert(recipient: RecipientSettings, at: str) -> Alert:
    return Alert(
        alert_id=delivery_id("test", recipient.name, at),
        rule="test",
        title="Test",
        finding="This is a test; no examination is behind it",
        advice="Nothing has to be done.",
        source="doseatlas alerts test",
        value=0.0,
        threshold=0.0,
        exam_id="",
        kind="test",
        facility=f"sent at {at}",
    )
