"""What becomes of objects that the store refuses? They are kept, with the reason beside each, up to a total size.

``quarantine/<name>.dcm`` is the object as received, ``<name>.json`` says who sent it and why it was refused. The names
begin with the time of receipt; when the folder outgrows its limit, the oldest go.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from doseatlas.model import Record
from doseatlas.service.spool import Sender


class Quarantined(Record, frozen=True, kw_only=True):
    """Why an object is in quarantine, and who sent it."""

    code: str
    message: str
    sender: Sender | None = None


class Quarantine:
    """The quarantine of one data folder."""

    def __init__(self, data_path: Path, max_bytes: int) -> None:
        self.folder = data_path / "quarantine"
        self._max_bytes = max_bytes

    def take(self, file: Path, why: Quarantined) -> Path:
        """Move a refused object here and return where it is now."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        target = self.folder / file.name
        target.with_suffix(".json").write_bytes(msgspec.json.encode(why))
        file.rename(target)
        self._prune()
        return target

    def objects(self) -> Iterator[tuple[Path, Quarantined]]:
        """Yield what is in quarantine, the oldest first."""
        if not self.folder.is_dir():
            return
        for file in sorted(self.folder.glob("*.dcm")):
            try:
                why = msgspec.json.decode(file.with_suffix(".json").read_bytes(), type=Quarantined)
            except (FileNotFoundError, msgspec.DecodeError):
                why = Quarantined(code="unknown", message="The reason was not kept.")
            yield file, why

    def release(self, file: Path) -> None:
        """Forget an object that has been read well after all."""
        file.unlink(missing_ok=True)
        file.with_suffix(".json").unlink(missing_ok=True)

    def _prune(self) -> None:
        with os.scandir(self.folder) as entries:
            files = sorted((entry.name, entry.stat().st_size) for entry in entries if entry.name.endswith(".dcm"))
        excess = sum(size for _, size in files) - self._max_bytes
        for name, size in files:
            if excess <= 0:
                return
            self.release(self.folder / name)
            excess -= size
