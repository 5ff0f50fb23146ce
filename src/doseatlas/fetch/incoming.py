"""Where do objects wait between the archive and the store? In a folder of the journal, each whole or not at all."""

from __future__ import annotations

from pathlib import Path

_UNFINISHED = ".part"


def keep(folder: Path, name: str, data: bytes) -> Path:
    """Write a file so that no import ever meets half of it. Raises :class:`OSError`."""
    unfinished = folder / (name + _UNFINISHED)
    unfinished.write_bytes(data)
    return unfinished.replace(folder / name)


def left_over(folder: Path) -> list[Path]:
    """Return the whole files that a run which broke off has left, and remove what is not whole."""
    found = []
    for file in sorted(folder.iterdir()):
        if file.suffix == _UNFINISHED:
            file.unlink()
        else:
            found.append(file)
    return found
