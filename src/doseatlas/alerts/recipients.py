"""Who is told of an alert? The recipients of the settings whose role, facility, room, procedure and rules it fits."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from doseatlas.alerts.alert import Alert, plain
from doseatlas.alerts.rules import Rules
from doseatlas.model import SettingsError
from doseatlas.reference import procedures
from doseatlas.settings import AlertSettings, RecipientSettings

_ADDRESS = re.compile(r"[^@\s<>,;\"\x00-\x1f]{1,64}@[A-Za-z0-9.\-\[\]:]{1,250}")
_SECRET_BYTES = 16
_MAX_NAME = 100


class Recipients:
    """The recipients of the settings, checked.

    Raises:
        SettingsError: one of them could never be reached, or names what no rule or procedure has.

    """

    def __init__(self, settings: AlertSettings, rules: Rules) -> None:
        self._rows = settings.recipients
        names = [row.name for row in self._rows]
        for row in self._rows:
            _check(row, rules)
            if names.count(row.name) > 1:
                raise SettingsError(f"[alerts] names two recipients {row.name!r}; a name must be one recipient's.")
        if any(row.email for row in self._rows):
            _check_mail(settings)

    def of(self, alert: Alert) -> list[tuple[str, str]]:
        """Return who is told of an alert, and how: pairs of recipient and channel (``email`` or ``webhook``)."""
        found = []
        for row in self._rows:
            if _is_for(row, alert):
                found += [(row.name, channel) for channel in ("email", "webhook") if getattr(row, channel)]
        return found


def webhook_secret(row: RecipientSettings) -> bytes:
    """Return what the messages to a recipient's webhook are signed with.

    Raises:
        SettingsError: its file cannot be read or holds too little.

    """
    try:
        secret = Path(row.secret_file).expanduser().read_bytes().strip()
    except OSError as error:
        raise SettingsError(
            f"[alerts] the secret_file {row.secret_file!r} of {row.name!r} cannot be read: {error.strerror}."
        ) from None
    if len(secret) < _SECRET_BYTES:
        raise SettingsError(
            f"[alerts] the secret_file of {row.name!r} must hold at least {_SECRET_BYTES} characters; "
            "make one with 'openssl rand -hex 32'."
        )
    return secret


def _is_for(row: RecipientSettings, alert: Alert) -> bool:
    return (
        (not row.roles or bool(set(row.roles) & set(alert.roles)))
        and _fits(row.facilities, alert.facility)
        and (not row.rooms or any(_fits(row.rooms, one) for one in (alert.room, alert.device) if one))
        and (not row.procedures or alert.procedure in row.procedures)
        and (not row.rules or alert.rule in row.rules)
    )


def _fits(wanted: tuple[str, ...], stated: str) -> bool:
    """Compare names as people write them: case and spaces do not count."""
    return not wanted or plain(stated).casefold() in {plain(one).casefold() for one in wanted}


def _check(row: RecipientSettings, rules: Rules) -> None:
    who = f"[alerts] the recipient {row.name!r}"
    if not row.name or len(row.name) > _MAX_NAME:
        raise SettingsError(f"[alerts] a recipient needs a name of at most {_MAX_NAME} characters.")
    if not row.email and not row.webhook:
        raise SettingsError(f"{who} has neither email nor webhook: give one.")
    if row.email and not _ADDRESS.fullmatch(row.email):
        raise SettingsError(f"{who} has the email {row.email!r}, which is no address.")
    if row.webhook:
        _check_webhook(who, row)
    for name, known in (("roles", rules.roles), ("rules", rules.names), ("procedures", {p.id for p in procedures()})):
        unknown = [one for one in getattr(row, name) if one not in known]
        if unknown:
            raise SettingsError(f"{who} names {', '.join(unknown)} under {name}, which is not known.")


def _check_webhook(who: str, row: RecipientSettings) -> None:
    try:
        url = urlsplit(row.webhook)
        is_valid = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        is_valid = False
    if not is_valid or not row.webhook.isascii() or any(c.isspace() for c in row.webhook):
        raise SettingsError(f"{who} has the webhook {row.webhook!r}; write an address such as https://host/path.")
    webhook_secret(row)


def _check_mail(settings: AlertSettings) -> None:
    mail = settings.mail
    if not mail.host or not _ADDRESS.fullmatch(mail.sender):
        raise SettingsError("[alerts.mail] needs host and sender (an address), since recipients have an email.")
    if not 0 < mail.port < 65536:
        raise SettingsError(f"[alerts.mail] port is {mail.port}; it must be 1 to 65535.")
    if mail.user and not mail.password_file:
        raise SettingsError("[alerts.mail] names a user but no password_file.")
    if mail.user and mail.security == "none":
        raise SettingsError("[alerts.mail] would send the password in the clear: set security to starttls or tls.")
    for name in ("password_file", "trusted_certificates"):
        file = getattr(mail, name)
        if file and not Path(file).expanduser().is_file():
            raise SettingsError(f"[alerts.mail] {name} names {file}, which is not a file.")
