"""Alerts reach the recipients they are for, once each, however often the servers fail."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import json
import ssl
import threading
from pathlib import Path
from typing import Literal

import msgspec
import pytest
import trustme
from tests.alerts.conftest import NOW, MailServer, Report, WebhookServer, raised

from doseatlas.alerts import Watch, deliver_due, keep_delivering, send_tests
from doseatlas.alerts.channels import NotDelivered, send_mail, signature
from doseatlas.alerts.deliver import pause_after
from doseatlas.model import SettingsError
from doseatlas.settings import AlertSettings, MailSettings, RecipientSettings, Settings
from doseatlas.store import Store, import_paths
from doseatlas.store.alerts import AlertTables

SECRET = b"0123456789abcdef-secret"


def told(settings: Settings, *recipients: RecipientSettings, mail_port: int = 25) -> Settings:
    """Settings that tell these recipients of a high kerma."""
    mail = MailSettings(host="127.0.0.1", port=mail_port, security="none", sender="dose@hospital.example")
    return msgspec.structs.replace(settings, alerts=AlertSettings(mail=mail, recipients=recipients))


def by_mail(name: str = "Physicist", **more: object) -> RecipientSettings:
    """A recipient by mail."""
    given = {"email": "physicist@hospital.example", "rules": ("reference-air-kerma",), **more}
    return msgspec.convert({"name": name, **given}, RecipientSettings)


def by_webhook(url: str, folder: Path) -> RecipientSettings:
    """A recipient by webhook."""
    (folder / "secret").write_bytes(SECRET + b"\n")
    return RecipientSettings(
        name="System", webhook=url, secret_file=str(folder / "secret"), rules=("reference-air-kerma",)
    )


def test_a_mail_tells_what_was_found_and_goes_out_once(
    store: Store, settings: Settings, report: Report, mail_server: MailServer
) -> None:
    settings = told(settings, by_mail(), mail_port=mail_server.port)
    import_paths(store, [report(0, kerma_mgy=6200)])
    Watch(settings).look(store, NOW)
    assert deliver_due(store, settings.alerts, lambda: NOW).sent == 1
    assert deliver_due(store, settings.alerts, lambda: NOW + dt.timedelta(days=3)).sent == 0
    (text,) = mail_server.mails
    mail = email.message_from_string(text, policy=email.policy.default)
    (alert,) = (one for one in raised(store) if one.rule == "reference-air-kerma")
    assert mail["To"] == "physicist@hospital.example"
    assert alert.finding in mail["Subject"]
    assert alert.advice in " ".join(mail.get_content().split())
    assert mail["Auto-Submitted"] == "auto-generated"


def test_a_webhook_is_signed_and_holds_no_identifier_of_the_study(
    store: Store, settings: Settings, report: Report, webhook_server: WebhookServer, tmp_path: Path
) -> None:
    settings = told(settings, by_webhook(webhook_server.url, tmp_path))
    import_paths(store, [report(0, kerma_mgy=6200)])
    Watch(settings).look(store, NOW)
    assert deliver_due(store, settings.alerts, lambda: NOW).sent == 1
    ((headers, body),) = webhook_server.posts
    assert headers["X-DoseAtlas-Signature"] == signature(SECRET, headers["X-DoseAtlas-Timestamp"], body)
    assert headers["X-DoseAtlas-Signature"] != signature(
        b"another secret of 16+", headers["X-DoseAtlas-Timestamp"], body
    )
    message = json.loads(body)
    assert message["rule"] == "reference-air-kerma"
    assert not {"study_instance_uid", "exam_id"} & set(message)


def test_what_a_server_refuses_is_tried_again_later_and_later_until_it_is_taken(
    store: Store, settings: Settings, report: Report, mail_server: MailServer
) -> None:
    settings = told(settings, by_mail(), mail_port=mail_server.port)
    mail_server.refusing = True
    import_paths(store, [report(0, kerma_mgy=6200)])
    Watch(settings).look(store, NOW)
    done = deliver_due(store, settings.alerts, lambda: NOW)
    assert done.sent == 0
    assert "451" in done.failures[0]
    at_once = deliver_due(store, settings.alerts, lambda: NOW + dt.timedelta(seconds=1))
    assert (at_once.sent, at_once.failures) == (0, ())
    (delivery,) = AlertTables(store.database).deliveries()
    assert delivery.last_error == done.failures[0].removeprefix("Physicist: ")
    mail_server.refusing = False
    assert deliver_due(store, settings.alerts, lambda: NOW + pause_after(1)).sent == 1
    assert len(mail_server.mails) == 1
    assert [pause_after(n) < pause_after(n + 1) for n in range(1, 5)] == [True] * 4
    assert pause_after(1000) == pause_after(10_000)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_does_not_answer_with_success_is_tried_again(
    store: Store,
    settings: Settings,
    report: Report,
    webhook_server: WebhookServer,
    tmp_path: Path,
    status: int,
) -> None:
    settings = told(settings, by_webhook(webhook_server.url, tmp_path))
    webhook_server.status = status
    import_paths(store, [report(0, kerma_mgy=6200)])
    Watch(settings).look(store, NOW)
    done = deliver_due(store, settings.alerts, lambda: NOW)
    assert (done.sent, len(webhook_server.posts)) == (0, 1)
    assert str(status) in done.failures[0]
    webhook_server.status = 200
    assert deliver_due(store, settings.alerts, lambda: NOW + pause_after(1)).sent == 1
    for name in ("X-DoseAtlas-Delivery", "Idempotency-Key"):
        first, second = (headers[name] for headers, _ in webhook_server.posts)
        assert first == second


def test_a_process_that_dies_in_an_attempt_only_delays_it(store: Store, settings: Settings, report: Report) -> None:
    settings = told(settings, by_mail())
    import_paths(store, [report(0, kerma_mgy=6200)])
    Watch(settings).look(store, NOW)
    tables = AlertTables(store.database)
    assert tables.claim(NOW, pause_after) is not None  # and dies
    assert tables.claim(NOW, pause_after) is None
    claimed = tables.claim(NOW + pause_after(1), pause_after)
    assert claimed is not None
    assert claimed[0].attempts == 2


def test_an_acknowledged_alert_is_not_sent_any_more(
    store: Store, settings: Settings, report: Report, mail_server: MailServer
) -> None:
    settings = told(settings, by_mail(), mail_port=mail_server.port)
    import_paths(store, [report(0, kerma_mgy=6200)])
    Watch(settings).look(store, NOW)
    for alert in raised(store):
        AlertTables(store.database).acknowledge(alert.alert_id, by="Physicist", comment="done", at=NOW)
    assert deliver_due(store, settings.alerts, lambda: NOW).sent == 0
    assert mail_server.mails == []


def test_two_processes_that_deliver_at_once_send_each_message_once(
    store: Store, settings: Settings, report: Report, mail_server: MailServer
) -> None:
    recipients = tuple(by_mail(f"Physicist {number}") for number in range(8))
    settings = told(settings, *recipients, mail_port=mail_server.port)
    import_paths(store, [report(0, kerma_mgy=6200)])
    Watch(settings).look(store, NOW)

    def deliver() -> None:
        with Store.from_settings(settings) as own:
            deliver_due(own, settings.alerts, lambda: NOW)

    threads = [threading.Thread(target=deliver) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(mail_server.mails) == 8


def test_delivering_goes_on_until_it_is_told_to_stop(settings: Settings) -> None:
    ended = threading.Event()
    thread = threading.Thread(target=keep_delivering, args=(settings, ended, lambda done: None))
    thread.start()
    ended.set()
    thread.join(20)
    assert not thread.is_alive()


def test_alerts_go_to_whom_role_facility_room_and_procedure_say(
    store: Store, settings: Settings, report: Report
) -> None:
    import_paths(store, [report(0, kerma_mgy=6200)])
    room, facility = next(
        (exam.device.station_name, exam.device.institution) for exam in store.exams(kind="projection")
    )
    assert room is not None
    assert facility is not None
    settings = told(
        settings,
        by_mail("all"),
        by_mail("physicists", roles=("physicist",)),
        by_mail("technologists", roles=("technologist",)),
        by_mail("this room", rooms=(room.lower(),)),
        by_mail("another room", rooms=("no such room",)),
        by_mail("this facility", facilities=(f" {facility} ",)),
        by_mail("another facility", facilities=("Elsewhere",)),
        by_mail("other procedures", procedures=("ct-head",)),
        by_mail("other rules", rules=("kap",)),
    )
    Watch(settings).look(store, NOW)
    (alert,) = (one for one in raised(store) if one.rule == "reference-air-kerma")
    deliveries = AlertTables(store.database).deliveries()
    assert [one.recipient for one in deliveries if one.alert_id == alert.alert_id] == [
        "all",
        "physicists",
        "this facility",
        "this room",
    ]


def test_a_test_message_tells_which_recipient_cannot_be_reached(
    settings: Settings, mail_server: MailServer, webhook_server: WebhookServer, tmp_path: Path
) -> None:
    webhook_server.status = 500
    settings = told(settings, by_mail(), by_webhook(webhook_server.url, tmp_path), mail_port=mail_server.port)
    mail, webhook = send_tests(settings.alerts, NOW)
    assert mail.failure is None
    assert webhook.failure is not None
    assert "500" in webhook.failure
    assert "This is a test" in mail_server.mails[0]


def test_a_server_without_tls_gets_no_mail_where_tls_is_asked_for(mail_server: MailServer) -> None:
    mail = MailSettings(host="127.0.0.1", port=mail_server.port, sender="dose@hospital.example")
    with pytest.raises(NotDelivered):
        send_mail(mail, "physicist@hospital.example", "Test", "text", "id")
    assert mail_server.mails == []


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_mail_goes_over_tls_to_a_server_that_is_trusted_and_to_no_other(
    tmp_path: Path, security: Literal["tls", "starttls"]
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    (tmp_path / "password").write_text("secret\n")
    server = MailServer(context, starttls=security == "starttls")
    try:
        mail = MailSettings(
            host="127.0.0.1",
            port=server.port,
            security=security,
            user="dose",
            password_file=str(tmp_path / "password"),
            sender="dose@hospital.example",
            trusted_certificates=str(tmp_path / "ca.pem"),
        )
        send_mail(mail, "physicist@hospital.example", "Test", "text", "id")
        assert len(server.mails) == 1
        assert server.logins == ["\0dose\0secret"]
        for untrusted in ("", str(tmp_path / "other.pem")):
            with pytest.raises(NotDelivered, match="certificate"):
                send_mail(msgspec.structs.replace(mail, trusted_certificates=untrusted), "a@b.example", "T", "t", "id")
        assert len(server.mails) == 1
    finally:
        server.close()


@pytest.mark.parametrize(
    ("recipient", "why"),
    [
        (RecipientSettings(name="X"), "neither email nor webhook"),
        (RecipientSettings(name="X", email="a@b.example\r\nBcc: c@d.example"), "no address"),
        (RecipientSettings(name="X", email="a@b.example", roles=("king",)), "king"),
        (RecipientSettings(name="X", email="a@b.example", rules=("no-such",)), "no-such"),
        (RecipientSettings(name="X", email="a@b.example", procedures=("ct-nothing",)), "ct-nothing"),
        (RecipientSettings(name="X", webhook="ftp://host/"), "https://host/path"),
        (RecipientSettings(name="X", webhook="https://host/", secret_file="missing"), "cannot be read"),
    ],
)
def test_a_recipient_that_could_never_be_reached_is_refused_at_the_start(
    settings: Settings, recipient: RecipientSettings, why: str
) -> None:
    with pytest.raises(SettingsError, match=why):
        Watch(told(settings, recipient))


def test_mail_needs_a_server(settings: Settings) -> None:
    without = msgspec.structs.replace(settings, alerts=AlertSettings(recipients=(by_mail(),)))
    with pytest.raises(SettingsError, match="host and sender"):
        Watch(without)
