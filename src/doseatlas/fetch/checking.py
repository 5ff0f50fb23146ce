"""Can archives be asked as they are set? What is wrong is named before the first of them is."""

from __future__ import annotations

import urllib.parse
from pathlib import Path

from doseatlas.fetch.dimse import DicomArchive
from doseatlas.fetch.records import Archive
from doseatlas.fetch.web import WebArchive
from doseatlas.model import SettingsError
from doseatlas.network import client_context
from doseatlas.settings import ArchiveSettings, FetchSettings


def check(settings: FetchSettings) -> None:
    """Check all that can be checked without asking.

    Raises:
        SettingsError: a setting cannot work; which, and what to do.

    """
    if not settings.archives:
        raise SettingsError("[fetch] names no archives; add [[fetch.archives]] to the settings file (docs/fetch.md).")
    if len({one.name for one in settings.archives}) != len(settings.archives):
        raise SettingsError("Two archives of [fetch] have one name; their names must differ.")
    if settings.objects_per_minute < 0 or settings.days_back < 0 or settings.timeout_seconds <= 0:
        raise SettingsError(
            "[fetch] objects_per_minute and days_back must not be negative, timeout_seconds must be more than 0."
        )
    _ae_title("[fetch] ae_title", settings.ae_title)
    for archive in settings.archives:
        connect(archive, settings).close()


def connect(archive: ArchiveSettings, settings: FetchSettings) -> Archive:
    """Return an archive, ready to be asked; nothing is sent yet.

    Raises:
        SettingsError: it cannot be asked as it is set.

    """
    where = f"The archive {archive.name!r} of [fetch]"
    if not archive.name or not archive.name.replace("-", "").replace("_", "").isalnum():
        raise SettingsError(f"{where} needs a name of letters, digits, - and _.")
    if bool(archive.url) == bool(archive.address):
        raise SettingsError(f"{where} needs either url (DICOMweb) or address and ae_title (DICOM).")
    tls = client_context(where, archive.trusted_certificates, archive.certificate, archive.private_key)
    if archive.url:
        if urllib.parse.urlsplit(archive.url).scheme not in ("http", "https"):
            raise SettingsError(f"{where} has the url {archive.url!r}; it must begin with https:// or http://.")
        return WebArchive(archive, settings.timeout_seconds, _token(where, archive), tls)
    host, _, port = archive.address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(f"{where} has the address {archive.address!r}; write host:port, such as 10.1.0.5:104.")
    _ae_title(f"{where}: ae_title", archive.ae_title)
    _ae_title(f"{where}: move_to", archive.move_to)
    over_tls = archive.trusted_certificates or archive.certificate
    return DicomArchive(archive, settings, tls if over_tls else None)


def _ae_title(what: str, title: str) -> None:
    if not 1 <= len(title.strip()) <= 16 or not title.isascii() or "\\" in title:
        raise SettingsError(f"{what} is {title!r}; an AE title has 1 to 16 ASCII characters.")


def _token(where: str, archive: ArchiveSettings) -> str | None:
    if not archive.token_file:
        return None
    try:
        token = Path(archive.token_file).expanduser().read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where}: the token_file {archive.token_file} cannot be read: {error}.") from None
    if not token or not token.isprintable():
        raise SettingsError(f"{where}: the token_file {archive.token_file} does not hold one token.")
    return token
