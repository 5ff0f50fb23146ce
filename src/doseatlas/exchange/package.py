"""How does a submission travel? One file: a ZIP archive of the manifest, its signature and the data, nothing packed.

It is read with bounds: half a file, a foreign file or one that unfolds without end is refused before its data are
parsed.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from doseatlas.exchange.keys import is_signed
from doseatlas.exchange.records import SCHEMA_VERSION, Agreement, Manifest, Sender, SubmissionRefused
from doseatlas.store.files import write_whole

if TYPE_CHECKING:
    import pyarrow as pa
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MANIFEST, SIGNATURE, DATA = "manifest.json", "manifest.sig", "data.parquet"
MOST_BYTES = 2 * 2**30
MOST_MANIFEST_BYTES = 2**20
MOST_UNPACKED_BYTES = 8 * 2**30
MOST_ROWS = 20_000_000
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # so that the same submission has the same bytes


class Submission(NamedTuple):
    """A submission whose signature was checked: what it says, who sent it, its manifest's bytes, and the data's."""

    manifest: Manifest
    sender: Sender
    signed: bytes
    signature: bytes
    data: bytes

    @property
    def digest(self) -> str:
        """What names this submission: the hash of its manifest."""
        return hashlib.sha256(self.signed).hexdigest()


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as Parquet."""
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    return stream.getvalue()


def write_submission(path: Path, manifest: Manifest, data: bytes, key: Ed25519PrivateKey) -> None:
    """Write a signed submission; the file is there whole or not at all.

    Raises:
        OSError: it cannot be written.

    """
    signed = msgspec.json.encode(msgspec.structs.replace(manifest, data_sha256=hashlib.sha256(data).hexdigest()))
    parts = {MANIFEST: signed, SIGNATURE: key.sign(signed), DATA: data}

    def write(unfinished: Path) -> None:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
            for name, content in parts.items():
                archive.writestr(zipfile.ZipInfo(name, _FIXED_DATE), content)

    write_whole(path, write)


def read_submission(path: Path, agreement: Agreement) -> Submission:
    """Read a submission and check who signed it; its data are not parsed here.

    Raises:
        SubmissionRefused: it is no whole submission to this registry, of a sender of the agreement, rightly signed.
        OSError: it cannot be read.

    """
    name = path.name
    if path.stat().st_size > MOST_BYTES:
        raise SubmissionRefused("too-large", f"{name}: more than {MOST_BYTES // 2**30} GiB; send fewer months.")
    signed, signature, data = _parts(path)
    manifest = _manifest(name, signed)
    if manifest.registry != agreement.id:
        raise SubmissionRefused(
            "wrong-registry", f"{name}: made for registry {manifest.registry!r}; this is {agreement.id!r}."
        )
    sender = agreement.sender(manifest.sender)
    if sender is None:
        raise SubmissionRefused(
            "unknown-sender", f"{name}: {manifest.sender!r} is no sender of this registry's agreement."
        )
    if not is_signed(sender.public_key, signed, signature):
        raise SubmissionRefused(
            "bad-signature",
            f"{name}: the signature is not that of {sender.id!r}. It was changed, or signed with another key;"
            " export it again with the key whose public part is in the agreement.",
        )
    if hashlib.sha256(data).hexdigest() != manifest.data_sha256:
        raise SubmissionRefused("changed-data", f"{name}: the data are not those that were signed; export it again.")
    return Submission(manifest, sender, signed, signature, data)


def _parts(path: Path) -> tuple[bytes, bytes, bytes]:
    """Return the three parts of a submission's file."""
    most = {MANIFEST: MOST_MANIFEST_BYTES, SIGNATURE: 64, DATA: MOST_BYTES}
    try:
        with zipfile.ZipFile(path) as archive:
            infos = {info.filename: info for info in archive.infolist()}
            if set(infos) != set(most) or len(archive.infolist()) != len(most):
                raise SubmissionRefused("not-a-submission", f"{path.name}: its parts are not those of a submission.")
            for name, info in infos.items():
                if info.compress_type != zipfile.ZIP_STORED or info.file_size > most[name]:
                    raise SubmissionRefused("not-a-submission", f"{path.name}: its part {name} is packed or too large.")
            signed, signature, data = (archive.read(name) for name in (MANIFEST, SIGNATURE, DATA))
    except SubmissionRefused:
        raise
    except Exception as error:  # what zipfile raises on damaged bytes is no closed list
        raise SubmissionRefused(
            "not-whole", f"{path.name}: not a whole submission ({error}). Copy or export it again."
        ) from error
    return signed, signature, data


def _manifest(name: str, signed: bytes) -> Manifest:
    try:
        schema = msgspec.json.decode(signed, type=dict[str, object]).get("schema")
        if schema != SCHEMA_VERSION:
            raise SubmissionRefused(
                "other-schema",
                f"{name}: schema {schema}; this registry takes schema {SCHEMA_VERSION}. Export it again with"
                " the version of DoseAtlas that the registry names.",
            )
        manifest = msgspec.json.decode(signed, type=Manifest)
    except msgspec.MsgspecError as error:
        raise SubmissionRefused("bad-manifest", f"{name}: its manifest cannot be read ({error}).") from error
    if manifest.made_at.tzinfo is None or not manifest.months or len(set(manifest.months)) < len(manifest.months):
        raise SubmissionRefused(
            "bad-manifest", f"{name}: its manifest must state a time with zone, and each month once."
        )
    return manifest
