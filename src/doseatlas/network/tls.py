"""How is a connection secured? By TLS 1.2 or newer as BCP 195 (RFC 9325, PS3.15 B.12) wants it, for both sides.

Every file that a setting names is read here, so that what is wrong with it is said at start, by the setting's name.
"""

from __future__ import annotations

import datetime as dt
import ssl
import warnings
from pathlib import Path

from doseatlas.model import SettingsError

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: the suites of BCP 195 with forward secrecy and authenticated encryption."""


def server_context(where: str, certificate: str, private_key: str, trusted_certificates: str = "") -> ssl.SSLContext:
    """Return the TLS context of a listener.

    Args:
        where: the settings that name the files, for errors, such as ``[service]``.
        certificate: PEM file of our certificate and those that sign it.
        private_key: PEM file of its key.
        trusted_certificates: PEM file; if set, the peer must show a certificate that these sign.

    Raises:
        SettingsError: a file cannot be read, does not hold what it should, or has expired.

    """
    if not certificate or not private_key:
        raise SettingsError(f"{where} is to listen over TLS, but certificate and private_key are not both set.")
    context = _strict(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    _load_own(context, where, certificate, private_key)
    if trusted_certificates:
        _load_trusted(context, where, trusted_certificates)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    where: str, trusted_certificates: str = "", certificate: str = "", private_key: str = ""
) -> ssl.SSLContext:
    """Return the TLS context of a connection that we open; the peer's certificate and name are verified.

    Args:
        where: the settings that name the files, for errors.
        trusted_certificates: PEM file of those that sign the peer's certificate; empty means those of this system.
        certificate: PEM file of what we show, if the peer wants it.
        private_key: PEM file of its key.

    Raises:
        SettingsError: a file cannot be read, does not hold what it should, or has expired.

    """
    if bool(certificate) != bool(private_key):
        raise SettingsError(f"{where} names one of certificate and private_key; name both or neither.")
    context = _strict(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    if trusted_certificates:
        _load_trusted(context, where, trusted_certificates)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if certificate:
        _load_own(context, where, certificate, private_key)
    return context


def _strict(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _load_own(context: ssl.SSLContext, where: str, certificate: str, private_key: str) -> None:
    file, key = (Path(path).expanduser() for path in (certificate, private_key))
    _check_validity(where, file)
    _read(where, "private_key", key)
    try:
        context.load_cert_chain(file, key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SettingsError(
            f"{where} certificate {file} and private_key {key} do not belong together or are not PEM ({reason}). A "
            "key that needs a password is not supported."
        ) from None


def _load_trusted(context: ssl.SSLContext, where: str, path: str) -> None:
    file = Path(path).expanduser()
    _read(where, "trusted_certificates", file)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError:
        raise SettingsError(f"{where} trusted_certificates: {file} does not hold PEM certificates.") from None


def _read(where: str, name: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{where} {name}: {file} cannot be read: {error.strerror}.") from None


def _check_validity(where: str, file: Path) -> None:
    """Check that the first certificate of a file, which is our own, is valid now."""
    from cryptography.x509 import load_pem_x509_certificate

    pem = _read(where, "certificate", file)
    try:
        with warnings.catch_warnings(action="ignore"):  # of certificates that bend the rules and are used all the same
            own = load_pem_x509_certificate(pem)
            begin, end = own.not_valid_before_utc, own.not_valid_after_utc
    except ValueError:
        raise SettingsError(f"{where} certificate: {file} does not hold a PEM certificate.") from None
    now = dt.datetime.now(dt.UTC)
    if now > end:
        raise SettingsError(f"{where} certificate: {file} expired on {end:%Y-%m-%d}. Renew it.")
    if now < begin:
        raise SettingsError(f"{where} certificate: {file} is valid from {begin:%Y-%m-%d} only. Is the clock right?")
