"""Can the service run as it is set? Everything that can be wrong is found before the first peer is let in.

Each error names the setting, what is wrong with it, and what to do.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from doseatlas.alerts import Watch
from doseatlas.audit import AuditTrail
from doseatlas.model import SettingsError, TableError
from doseatlas.network import server_context
from doseatlas.service.callers import Callers, Tokens, is_ae_title, parse_address
from doseatlas.settings import ServiceSettings, Settings

_POSITIVE = (
    *("max_associations", "max_associations_per_caller", "max_pdu_kibibytes", "max_object_mebibytes"),
    *("idle_seconds", "stall_seconds", "slowest_bytes_per_second", "quarantine_mebibytes"),
)
_PORTS = ("dicom_port", "dicom_tls_port", "http_port", "https_port")


class Sockets(NamedTuple):
    """What the service listens on, bound already; ``None`` is off."""

    dicom: socket.socket | None
    dicom_tls: socket.socket | None
    http: socket.socket | None
    https: socket.socket | None


def check(settings: Settings) -> None:
    """Check all that can be checked without listening.

    Raises:
        SettingsError: a setting cannot work.

    """
    service = settings.service
    _check_numbers(service)
    if not is_ae_title(service.ae_title):
        raise SettingsError(f"[service] ae_title is {service.ae_title!r}; an AE title has 1 to 16 ASCII characters.")
    Callers(service)
    _check_store(settings)
    tokens = Tokens(service.tokens)
    _check_openness(service, bool(tokens))
    if service.dicom_tls_port or service.https_port:
        tls(service, mutual=True)
    elif service.certificate or service.trusted_certificates:
        raise SettingsError(
            "[service] names a certificate, but neither dicom_tls_port nor https_port is set. Set one of them, "
            "or leave the certificate out."
        )
    _check_folders([Path(row.path).expanduser() for row in service.folders], settings.data_path)
    _check_data_folder(settings.data_path)
    _check_alerts(settings)
    AuditTrail.from_settings(settings).check()


def tls(service: ServiceSettings, *, mutual: bool) -> ssl.SSLContext:
    """Return the TLS context of the ports; with ``mutual``, peers show a certificate if the settings want it.

    Raises:
        SettingsError: a file cannot be read, does not hold what it should, or has expired.

    """
    trusted = service.trusted_certificates if mutual else ""
    return server_context("[service]", service.certificate, service.private_key, trusted)


def _check_store(settings: Settings) -> None:
    from doseatlas.store.database import database_url

    database_url(settings.store_url)


def _check_alerts(settings: Settings) -> None:
    try:
        Watch(settings)
    except TableError as error:
        raise SettingsError(f"[alerts] cannot work: {error}") from None


def _check_numbers(service: ServiceSettings) -> None:
    for name in (*_POSITIVE, "grace_seconds"):
        if not isfinite(getattr(service, name)):
            raise SettingsError(f"[service] {name} is {getattr(service, name)}; it must be a number.")
    for name in _POSITIVE:
        if getattr(service, name) <= 0:
            raise SettingsError(f"[service] {name} is {getattr(service, name)}; it must be more than 0.")
    if service.max_pdu_kibibytes < 4 or service.max_pdu_kibibytes > 16384:
        raise SettingsError(f"[service] max_pdu_kibibytes is {service.max_pdu_kibibytes}; it must be 4 to 16384.")
    if service.grace_seconds < 0 or service.min_free_mebibytes < 0:
        raise SettingsError("[service] grace_seconds and min_free_mebibytes must not be negative.")
    for name in _PORTS:
        if not 0 <= getattr(service, name) < 65536:
            raise SettingsError(f"[service] {name} is {getattr(service, name)}; a port is 1 to 65535, or 0 for off.")
    ports = [port for port in map(service.__getattribute__, _PORTS) if port]
    if not ports and not service.folders:
        raise SettingsError("[service] listens to no port and watches no folder: there is nothing to serve.")
    if len(set(ports)) != len(ports):
        raise SettingsError(f"[service] uses one port twice; {', '.join(_PORTS)} must differ.")


def _check_openness(service: ServiceSettings, has_tokens: bool) -> None:
    try:
        if service.anyone or parse_address(service.host).is_loopback:
            return
    except ValueError:
        if service.host == "localhost":
            return
        raise SettingsError(
            f"[service] host is {service.host!r}; write an address, such as 0.0.0.0 for all of this machine's."
        ) from None
    if any(row.ae_title == "*" and not row.addresses for row in service.callers):
        raise SettingsError(
            f"[service] listens on {service.host}, and a caller with the AE title '*' and no addresses lets anyone "
            "send. Name addresses, or set anyone = true on a network where that is right."
        )
    if (service.dicom_port or service.dicom_tls_port) and not service.callers:
        raise SettingsError(
            f"[service] listens on {service.host} but names no callers, so that anyone could send. Name them under "
            "[[service.callers]], or set anyone = true on a network where that is right."
        )
    if (service.http_port or service.https_port) and not has_tokens:
        raise SettingsError(
            f"[service] listens on {service.host} for DICOMweb but names no tokens, so that anyone could send. Name "
            "them under [[service.tokens]], set http_port and https_port to 0, or set anyone = true."
        )


def _check_folders(folders: list[Path], data_folder: Path) -> None:
    for number, folder in enumerate(folders):
        _check_folder(folder)
        for other in (data_folder, *folders[:number]):
            one, two = folder.resolve(), other.resolve()
            if one.is_relative_to(two) or two.is_relative_to(one):
                raise SettingsError(
                    f"The watched folder {folder} and {other} are one, or one is in the other: everything in a watched "
                    "folder is imported and moved away. Choose a folder of its own."
                )


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise SettingsError(f"The watched folder {folder} is not a folder. Make it, or mend [[service.folders]].")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise SettingsError(f"The watched folder {folder} may not be read and written by this user.")


def _check_data_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise SettingsError(
            f"The data folder {folder} cannot be written: {error.strerror}. "
            "Set data_dir to a folder that the service's user may write."
        ) from None


# ---- ports ----


def bind(service: ServiceSettings) -> Sockets:
    """Bind the ports of the service.

    Raises:
        SettingsError: a port is in use or may not be used, or the host is not an address of this machine.

    """
    bound: list[socket.socket | None] = []
    try:
        for name in _PORTS:
            port = getattr(service, name)
            bound.append(_bind(service.host, port, name) if port else None)
    except SettingsError:
        for one in bound:
            if one is not None:
                one.close()
        raise
    return Sockets(*bound)


def _bind(host: str, port: int, name: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(512)  # a second process that binds now learns of us
    except OSError as error:
        made.close()
        reasons = {
            errno.EADDRINUSE: "is in use by another program. Stop that, or choose another port",
            errno.EACCES: "may not be used: ports below 1024 need a privilege. Choose another port, such as 11112",
            errno.EADDRNOTAVAIL: f"cannot be bound: {host} is not an address of this machine",
        }
        reason = reasons.get(error.errno or 0, f"cannot be bound: {error.strerror}")
        raise SettingsError(f"[service] {name}: port {port} on {host} {reason}.") from None
    made.setblocking(False)
    return made
