"""How does a message leave? By mail (SMTP with TLS) or to a webhook (HTTP POST of JSON, signed). One attempt each.

A receiver can tell a repetition: a message keeps its id (``Message-ID``; ``X-DoseAtlas-Delivery`` and
``Idempotency-Key``) however often it is tried. It can be sent again where a process died after the receiver took it and
before the store knew.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import smtplib
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec

from doseatlas.network import client_context
from doseatlas.settings import MailSettings

TIMEOUT_SECONDS = 10.0
_MOST_READ = 65_536
_SHOWN_REASON = 200


class NotDelivered(Exception):
    """An attempt failed; the text says why, for the log and the list of alerts."""


def send_mail(settings: MailSettings, to: str, subject: str, text: str, message_id: str) -> None:
    """Send one mail.

    Raises:
        NotDelivered: the server cannot be reached, is not to be trusted, or does not take the message.
        SettingsError: ``trusted_certificates`` cannot be used.

    """
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = settings.sender, to, subject
    message["Message-ID"] = f"<{message_id}@{settings.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: an absence notice is no answer to it
    message.set_content(text)
    try:
        with _connect(settings) as server:
            if settings.user:
                server.login(settings.user, Path(settings.password_file).expanduser().read_text("utf-8").strip())
            server.send_message(message)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise NotDelivered(_reason("The mail server", settings.host, error)) from error


def _connect(settings: MailSettings) -> smtplib.SMTP:
    if settings.security == "none":
        return smtplib.SMTP(settings.host, settings.port, timeout=TIMEOUT_SECONDS)
    context = client_context("[alerts.mail]", settings.trusted_certificates)
    if settings.security == "tls":
        return smtplib.SMTP_SSL(settings.host, settings.port, timeout=TIMEOUT_SECONDS, context=context)
    server = smtplib.SMTP(settings.host, settings.port, timeout=TIMEOUT_SECONDS)
    try:
        server.starttls(context=context)
    except BaseException:
        server.close()
        raise
    return server


def post_webhook(url: str, secret: bytes, message: Mapping[str, Any], delivery: str, timestamp: str) -> None:
    """Post one message as JSON, signed (:func:`signature`); any status but 2xx is a failure.

    Raises:
        NotDelivered: the receiver cannot be reached, is not to be trusted, or does not take the message.

    """
    body = msgspec.json.encode(message)
    request = urllib.request.Request(url, data=body, method="POST")
    request.add_header("Content-Type", "application/json")
    request.add_header("User-Agent", "DoseAtlas")
    request.add_header("X-DoseAtlas-Delivery", delivery)
    request.add_header("Idempotency-Key", f'"{delivery}"')  # as gateways know it
    request.add_header("X-DoseAtlas-Timestamp", timestamp)
    request.add_header("X-DoseAtlas-Signature", signature(secret, timestamp, body))
    opener = urllib.request.build_opener(
        _NoRedirect, urllib.request.HTTPSHandler(context=client_context("The webhook"))
    )
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            answer.read(_MOST_READ)
    except urllib.error.HTTPError as error:
        with error:
            raise NotDelivered(f"The webhook answered with status {error.code}.") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotDelivered(_reason("The webhook", urllib.request.Request(url).host, error)) from error


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """Return the signature of a webhook's message: HMAC-SHA-256 of the timestamp, a full stop and the body."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Does not follow: a message signed for one receiver is not handed to another."""

    def redirect_request(self, *given: Any, **named: Any) -> None:
        """Leave the answer as it is, which makes it a failure."""


def _reason(who: str, host: str, error: Exception) -> str:
    said = " ".join(str(error).split())[:_SHOWN_REASON]
    return f"{who} {host} did not take the message: {said or type(error).__name__}."
