"""Which files of a watched folder are ready? Those whose size and time have stood still for a while.

``done/`` and ``refused/`` inside the folder hold what was dealt with; a reason lies beside each refused file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

DONE, REFUSED = "done", "refused"
STILL_SECONDS = 2.0
_REASON = ".reason.txt"
_UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload")


class _Seen(NamedTuple):
    size: int
    changed_ns: int
    since: float


class WatchedFolder:
    """One watched folder and what was seen in it last time."""

    def __init__(self, folder: Path, facility: str | None) -> None:
        self.folder = folder
        self.facility = facility
        self._seen: dict[Path, _Seen] = {}

    def ready(self, now: float, limit: int) -> list[Path]:
        """Return up to ``limit`` files that have stood still, by name.

        Args:
            now: a monotonic time in seconds.
            limit: how many at most.

        Raises:
            OSError: the folder cannot be listed.

        """
        seen: dict[Path, _Seen] = {}
        ready: list[Path] = []
        for path in self._files():
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            before = self._seen.get(path)
            same = before is not None and before[:2] == (status.st_size, status.st_mtime_ns)
            seen[path] = before if same and before else _Seen(status.st_size, status.st_mtime_ns, now)
            if now - seen[path].since >= STILL_SECONDS and len(ready) < limit:
                ready.append(path)
        self._seen = seen
        return ready

    def _files(self) -> list[Path]:
        found = []
        for place, folders, names in os.walk(self.folder, onerror=_fail):
            if Path(place) == self.folder:
                folders[:] = [name for name in folders if name not in (DONE, REFUSED)]
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith(".") and not name.lower().endswith(_UNFINISHED):
                    found.append(Path(place) / name)
        return found

    def move_away(self, file: Path, reasons: list[str]) -> Path:
        """Move a file to ``done``, or with reasons to ``refused`` with the reasons beside it; returns where it is."""
        return self._move(file, file.relative_to(self.folder), reasons)

    def refused(self) -> list[Path]:
        """Return the files that were refused, by name."""
        place = self.folder / REFUSED
        return sorted(path for path in place.rglob("*") if path.is_file() and not path.name.endswith(_REASON))

    def release(self, file: Path) -> None:
        """Move a file that was refused, and has been read well after all, to ``done``."""
        self._move(file, file.relative_to(self.folder / REFUSED), [])
        file.with_name(file.name + _REASON).unlink(missing_ok=True)

    def _move(self, file: Path, name: Path, reasons: list[str]) -> Path:
        target = self.folder / (REFUSED if reasons else DONE) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        number = 2
        while target.exists():
            target = target.with_name(f"{file.stem}-{number}{file.suffix}")
            number += 1
        if reasons:
            reason = target.with_name(target.name + _REASON)
            reason.write_text("\n".join(reasons) + "\n", encoding="utf-8")
        return file.rename(target)


def _fail(error: OSError) -> None:
    raise error
