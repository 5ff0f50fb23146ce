"""Which objects did the importing process have at hand when it died, and which of them killed it?

What is at hand is named in a file of the spool. A batch in whose midst importers died is read again one object at a
time; an object that was at hand alone twice is put away. A process may be killed for reasons of its own, so once does
not suffice.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from doseatlas.model import Record

DEATHS = 2
"""So many processes die with an object alone at hand before it is put away."""


class _Left(Record, frozen=True):
    paths: list[bytes]  # a name need not be text
    deaths: int


class AtHand:
    """What is at hand, and what the process before this one left."""

    deadly: Path | None = None

    def __init__(self, spool: Path, *, cautious: bool) -> None:
        """Read what was left; ``cautious``: several processes have died, so all that was at hand is suspect."""
        self._file = spool / "at-hand"
        self._deaths: dict[Path, int] = {}
        self._suspects: set[Path] = set()
        left = self._left()
        paths = [Path(os.fsdecode(path)) for path in left.paths]
        if len(paths) == 1:
            self._deaths[paths[0]] = left.deaths + 1
            if self._deaths[paths[0]] >= DEATHS:
                self.deadly = paths[0]
        if cautious or len(paths) == 1:
            self._suspects.update(paths)

    def _left(self) -> _Left:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Left)
        except (FileNotFoundError, msgspec.DecodeError):  # none, or not whole after a power cut
            return _Left([], 0)

    def is_suspect(self, path: Path) -> bool:
        """Return whether an object is to be read alone."""
        return path in self._suspects

    def take(self, paths: Sequence[Path]) -> None:
        """Name what is read now. This outlives the process; a power cut may cost it."""
        deaths = self._deaths.get(paths[0], 0) if len(paths) == 1 else 0
        self._file.write_bytes(msgspec.json.encode(_Left([os.fsencode(path) for path in paths], deaths)))

    def drop(self, paths: Sequence[Path] = ()) -> None:
        """These are dealt with, and nothing is at hand."""
        self._suspects.difference_update(paths)
        self._file.unlink(missing_ok=True)
