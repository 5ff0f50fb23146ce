"""Who signed this? Ed25519 keys (RFC 8032): the private one stays with its sender, the other is in the agreement."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from doseatlas.exchange.records import ExchangeError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def make_key(path: Path) -> str:
    """Write a new private key that only its owner can read, and return the public key for the agreement.

    Raises:
        ExchangeError: a file is there already; a key is never overwritten.
        OSError: it cannot be written.

    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ExchangeError(f"{path} exists; a key is never overwritten. Name another file.") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    return public_text(key)


def load_key(path: Path) -> Ed25519PrivateKey:
    """Return a private key.

    Raises:
        ExchangeError: the file holds no Ed25519 private key.
        OSError: it cannot be read.

    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise ExchangeError(f"{path}: no private key without password. Make one: doseatlas registry key.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ExchangeError(f"{path}: not an Ed25519 key. Make one: doseatlas registry key.")
    return key


def public_text(key: Ed25519PrivateKey) -> str:
    """Return the public key as the agreement writes it: base64 of its 32 bytes."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def public_key(text: str) -> Ed25519PublicKey:
    """Return the public key that an agreement states.

    Raises:
        ExchangeError: the text is none.

    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise ExchangeError(f"{text[:60]!r} is not a public key as 'doseatlas registry key' prints it.") from error


def is_signed(public: str, content: bytes, signature: bytes) -> bool:
    """Return whether the owner of a public key signed the content."""
    from cryptography.exceptions import InvalidSignature

    try:
        public_key(public).verify(signature, content)
    except InvalidSignature:
        return False
    return True


def code_for(key: Ed25519PrivateKey, text: str) -> str:
    """Return a code that stands for a text: the same each time, and not to be traced back without the private key."""
    secret = hashlib.sha256(b"doseatlas code" + key.private_bytes_raw()).digest()
    return hashlib.blake2b(text.encode(), key=secret, digest_size=6).hexdigest()
