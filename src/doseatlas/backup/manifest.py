"""What does a backup hold? The manifest that lies in it, and the names of its parts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from doseatlas.model import Record, StoreError

MANIFEST = "manifest.json"
KEYS = "keys-keep-apart"
AUDIT_KEY = "audit.key"
SQLITE_DUMP, POSTGRESQL_DUMP = "store.sqlite", "store.pgdump"
FORMAT = 1


class BackedUpFile(Record, frozen=True, kw_only=True):
    """A file of a backup, by its path in it."""

    path: str
    bytes: int
    sha256: str


class Manifest(Record, frozen=True, kw_only=True):
    """What a backup holds, and of which store."""

    format: int
    made_at: str
    version: str
    store_id: str
    identity: str
    database: str
    exams: int
    objects: int
    files: tuple[BackedUpFile, ...]

    @property
    def total_bytes(self) -> int:
        """The size of all files."""
        return sum(file.bytes for file in self.files)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a backup.

    Raises:
        StoreError: the folder is no backup, or its manifest cannot be right.

    """
    file = folder / MANIFEST
    try:
        made = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise StoreError(f"{folder} is no backup, or an unfinished one: it has no {MANIFEST}.") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise StoreError(f"The manifest {file} of the backup cannot be read: {error}.") from None
    if made.format != FORMAT:
        raise StoreError(f"The backup {folder} is of format {made.format}; this version knows {FORMAT}. Update it.")
    for one in made.files:
        if one.path.startswith("/") or ".." in Path(one.path).parts:
            raise StoreError(f"The manifest {file} names {one.path!r}, which is outside of the backup.")
    return made
