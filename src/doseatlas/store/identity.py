"""Whose dose is it, without saying who? Keyed pseudonyms instead of patient ID and accession number.

A pseudonym is an HMAC-SHA-256 under a key that lies in the data folder and nowhere else: the same patient always gets
the same one, and without the key nobody can compute one from an ID. The key is made once and never overwritten.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import unicodedata
from pathlib import Path

from doseatlas.model import Identity, StoreError
from doseatlas.store.database import disk_errors
from doseatlas.store.files import sync_folder

KEY_FILE = "identity.key"
_KEY_BYTES = 32
_MIN_MASKED = 4  # characters; shorter identifiers occur in paths by chance
_NO_NAMES = ("anon", "unknown", "unbekannt", "inconnu", "deident", "removed", "patient", "phantom", "test")
_WRITTEN_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "æ": "ae", "å": "aa", "ł": "l"})


def load_key(data_dir: Path) -> bytes:
    """Return the key of the data folder, making it where there is none.

    Raises:
        StoreError: the key file is damaged, or cannot be read or made.

    """
    file = data_dir / KEY_FILE
    with disk_errors("Reading or making the key of pseudonyms", file):
        if not file.exists():
            make_key(file)
        text = file.read_text(encoding="ascii", errors="replace").strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise StoreError(f"The key file {file} is damaged; restore it from a backup. It was not overwritten.")
    return key


def make_key(file: Path) -> None:
    """Write a new key under another name and link it, so that no process ever sees half a key or replaces one."""
    unfinished = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(_KEY_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(unfinished, file)
        except FileExistsError:
            return
    finally:
        unfinished.unlink()
    sync_folder(file.parent)


def fingerprint(key: bytes) -> str:
    """Return what tells keys apart without giving them away."""
    return hmac.digest(key, b"fingerprint", "sha256").hex()[:16]


def patient_pseudonym(key: bytes, identity: Identity) -> str | None:
    """Return the pseudonym of a patient, 32 characters; ``None`` where no patient ID is stated."""
    if not identity.patient_id:
        return None
    return _digest(key, "patient", identity.issuer or "", identity.patient_id).hex()[:32]


def accession_pseudonym(key: bytes, identity: Identity) -> str | None:
    """Return the pseudonym of an accession number; 16 characters, as DICOM allows no more (PS3.5, VR SH)."""
    if not identity.accession_number:
        return None
    return base64.b32encode(_digest(key, "accession", identity.accession_number)).decode()[:16]


def _digest(key: bytes, *parts: str) -> bytes:
    message = b"".join(len(part).to_bytes(4, "big") + part for part in (p.encode("utf-8", "replace") for p in parts))
    return hmac.digest(key, message, hashlib.sha256)


def masked(text: str, identity: Identity) -> str:
    """Return a text, such as a path, without the patient's name, ID, accession number and birth date.

    Each part of the name goes, in any case, with and without accents; a part of less than four letters only where it
    stands as a word. Words that stand for a name where there is none, such as "anonymous", stay.
    """
    anywhere, words = _identifying(identity)
    composed = unicodedata.normalize("NFC", text)
    lowered = composed.lower()
    if not any(value in lowered for value in (*anywhere, *words)):
        return text
    parts = [re.escape(value) for value in sorted(anywhere, key=len, reverse=True)]
    parts += [rf"(?<![^\W\d_]){re.escape(word)}(?![^\W\d_])" for word in sorted(words)]
    return re.sub("|".join(parts), "*", composed, flags=re.IGNORECASE)


def _identifying(identity: Identity) -> tuple[set[str], set[str]]:
    """Return what tells who the patient is, in lower case: wherever it stands, and only where it stands as a word."""
    stated = {value.lower() for value in (identity.patient_id, identity.accession_number) if value}
    if identity.birth_date:
        stated |= {identity.birth_date.strftime("%Y%m%d"), identity.birth_date.isoformat()}
    parts = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFC", identity.patient_name or "").lower())
    names = {form for part in parts if not part.startswith(_NO_NAMES) for form in _spellings(part)}
    long = {name for name in names if len(name) >= _MIN_MASKED or not name.isascii()}
    return {value for value in stated if len(value) >= _MIN_MASKED} | long, {n for n in names - long if len(n) > 1}


def _spellings(name: str) -> tuple[str, ...]:
    """Return a name as it is, without its accents, and with the letters that stand for them in German."""
    bare = "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c))
    return name, name.casefold(), bare, bare.casefold(), name.translate(_WRITTEN_OUT)
