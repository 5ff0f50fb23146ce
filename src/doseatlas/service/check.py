"""Can the service run as it is set? Everything that can be wrong is found before the first peer is let in.

Each error names the setting, what is wrong with it, and what to do.
"""

from __future__ import annotations

import datetime as dt
import errno
import os
import socket
import ssl
from pathlib import Path
from typing import NamedTuple

from doseatlas.alerts import Watch
from doseatlas.audit import AuditTrail
from doseatlas.model import SettingsError, TableError
from doseatlas.service.callers import Callers, Tokens, parse_address
from doseatlas.settings import ServiceSettings, Settings

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; the suites of BCP 195 (RFC 9325) that give forward secrecy and authenticated encryption."""

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
    if not 1 <= len(service.ae_title.strip()) <= 16 or not service.ae_title.isascii() or "\\" in service.ae_title:
        raise SettingsError(f"[service] ae_title is {service.ae_title!r}; an AE title has 1 to 16 ASCII characters.")
    Callers(service)
    tokens = Tokens(service.tokens)
    _check_openness(service, bool(tokens))
    if service.dicom_tls_port or service.https_port:
        server_context(service, mutual=True)
    elif service.certificate or service.trusted_certificates:
        raise SettingsError(
            "[service] names a certificate, but neither dicom_tls_port nor https_port is set. Set one of them, "
            "or leave the certificate out."
        )
    for row in service.folders:
        _check_folder(row.path)
    _check_data_folder(settings.data_path)
    _check_alerts(settings)
    AuditTrail.from_settings(settings).check()


def _check_alerts(settings: Settings) -> None:
    try:
        Watch(settings)
    except TableError as error:
        raise SettingsError(f"[alerts] cannot work: {error}") from None


def _check_numbers(service: ServiceSettings) -> None:
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


def _check_folder(text: str) -> None:
    folder = Path(text).expanduser()
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


# ---- TLS ----


def server_context(service: ServiceSettings, *, mutual: bool) -> ssl.SSLContext:
    """Make the TLS context of a listener: TLS 1.2 or newer (PS3.15 B.12, BCP 195).

    With ``mutual`` and ``trusted_certificates``, the peer must show a certificate.

    Raises:
        SettingsError: a file cannot be read, does not hold what it should, or has expired.

    """
    if not service.certificate or not service.private_key:
        raise SettingsError("[service] has a TLS port, but certificate and private_key are not both set.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    certificate = _read("certificate", service.certificate)
    _read("private_key", service.private_key)
    _check_validity(service.certificate, certificate)
    try:
        context.load_cert_chain(service.certificate, service.private_key, password=lambda: "")
    except ssl.SSLError as error:
        raise SettingsError(
            f"[service] certificate {service.certificate} and private_key {service.private_key} do not belong together "
            f"or are not PEM ({error.reason}). A key that needs a password is not supported."
        ) from None
    if mutual and service.trusted_certificates:
        _read("trusted_certificates", service.trusted_certificates)
        try:
            context.load_verify_locations(service.trusted_certificates)
        except ssl.SSLError:
            raise SettingsError(
                f"[service] trusted_certificates {service.trusted_certificates} does not hold PEM certificates."
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _read(name: str, path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="ascii")
    except OSError as error:
        raise SettingsError(f"[service] {name}: {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise SettingsError(f"[service] {name}: {path} is not a PEM file.") from None


def _check_validity(path: str, pem: str) -> None:
    try:
        begin, end = certificate_validity(ssl.PEM_cert_to_DER_cert(_first_certificate(pem)))
    except (ValueError, IndexError):
        raise SettingsError(f"[service] certificate: {path} does not hold a PEM certificate.") from None
    now = dt.datetime.now(dt.UTC)
    if now > end:
        raise SettingsError(f"[service] certificate: {path} expired on {end:%Y-%m-%d}. Renew it.")
    if now < begin:
        raise SettingsError(f"[service] certificate: {path} is valid from {begin:%Y-%m-%d} only. Is the clock right?")


def _first_certificate(pem: str) -> str:
    start = pem.index("-----BEGIN CERTIFICATE-----")
    stop = pem.index("-----END CERTIFICATE-----", start)
    return pem[start:stop] + "-----END CERTIFICATE-----\n"


def certificate_validity(der: bytes) -> tuple[dt.datetime, dt.datetime]:
    """Return from when to when a certificate is valid (RFC 5280 section 4.1).

    Raises:
        ValueError: it is no certificate.
        IndexError: it is cut short.

    """
    _, start, _ = _tlv(der, 0)  # Certificate
    _, pos, _ = _tlv(der, start)  # TBSCertificate
    tag, _, after = _tlv(der, pos)
    if tag == 0xA0:  # version
        pos = after
    for _ in range(3):  # serial number, signature algorithm, issuer
        _, _, pos = _tlv(der, pos)
    _, pos, _ = _tlv(der, pos)  # Validity
    times = []
    for _ in range(2):
        tag, value, after = _tlv(der, pos)
        text = der[value:after].decode("ascii")
        if tag == 0x17:  # UTCTime: years 1950 to 2049
            text = ("19" if text[:2] >= "50" else "20") + text
        times.append(dt.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=dt.UTC))
        pos = after
    return times[0], times[1]


def _tlv(der: bytes, pos: int) -> tuple[int, int, int]:
    """Return tag, start and end of a value in DER."""
    tag, length = der[pos], der[pos + 1]
    pos += 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(der[pos : pos + count], "big")
        pos += count
    if pos + length > len(der):
        raise ValueError("cut short")
    return tag, pos, pos + length


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
