"""What becomes of what is refused? It is kept, with the reason beside each, up to a total size.

``<name>.dcm`` is an object as received (``<name>.hl7`` a message), ``<name>.json`` says who sent it and why it was
refused. The names begin with the time of receipt; when the folder outgrows its limit, the oldest go.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from doseatlas.model import Record
from doseatlas.network.sender import Sender
from doseatlas.settings import Settings


class Quarantined(Record, frozen=True, kw_only=True):
    """Why an object or message is in quarantine, and who sent it."""

    code: str
    message: str
    sender: Sender | None = None


class Quarantine:
    """What was refused of one kind.

    Args:
        folder: where it is kept; made when something is.
        max_bytes: its limit.
        suffix: of the files that are refused.

    """

    def __init__(self, folder: Path, max_bytes: int, suffix: str = ".dcm") -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._suffix = suffix

    @classmethod
    def of_objects(cls, settings: Settings) -> Self:
        """Return the quarantine of DICOM objects that were received."""
        return cls(settings.data_path / "quarantine", settings.service.quarantine_mebibytes * 2**20)

    @classmethod
    def of_messages(cls, settings: Settings) -> Self:
        """Return the quarantine of HL7 messages."""
        return cls(settings.data_path / "quarantine" / "hl7", settings.context.quarantine_mebibytes * 2**20, ".hl7")

    def take(self, file: Path, why: Quarantined) -> Path:
        """Move a refused object here and return where it is now."""
        self._make_folder()
        target = self.folder / file.name
        target.with_suffix(".json").write_bytes(msgspec.json.encode(why))
        file.rename(target)
        self._prune()
        return target

    def keep(self, content: bytes, why: Quarantined, received_at: float) -> Path:
        """Keep what was refused as it came and return where; ``received_at`` in seconds since 1970."""
        self._make_folder()
        file = self.folder / f"{int(received_at * 1e6):020d}-{secrets.token_hex(4)}{self._suffix}"
        unfinished = file.with_suffix(".part")
        unfinished.write_bytes(content)
        return self.take(unfinished.rename(file), why)

    def objects(self) -> Iterator[tuple[Path, Quarantined]]:
        """Yield what is in quarantine, the oldest first."""
        if not self.folder.is_dir():
            return
        for file in sorted(self.folder.glob(f"*{self._suffix}")):
            try:
                why = msgspec.json.decode(file.with_suffix(".json").read_bytes(), type=Quarantined)
            except (FileNotFoundError, msgspec.DecodeError):
                why = Quarantined(code="unknown", message="The reason was not kept.")
            yield file, why

    def release(self, file: Path) -> None:
        """Forget an object that has been read well after all."""
        file.unlink(missing_ok=True)
        file.with_suffix(".json").unlink(missing_ok=True)

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _prune(self) -> None:
        with os.scandir(self.folder) as entries:
            files = sorted((entry.name, entry.stat().st_size) for entry in entries if entry.name.endswith(self._suffix))
        excess = sum(size for _, size in files) - self._max_bytes
        for name, size in files:
            if excess <= 0:
                return
            self.release(self.folder / name)
            excess -= size
