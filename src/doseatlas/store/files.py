"""How does a file come to be whole or not at all? Written under another name, forced to disk, then renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to disk, so that a file made or renamed there outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each on disk when this returns."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        sync_folder(one.parent)


def write_whole(file: Path, content: bytes | Callable[[Path], object]) -> None:
    """Write a file under another name, by a function or as bytes, and give it its name when it is whole and on disk.

    Raises:
        OSError: nothing is left behind then, and an earlier file of that name stays as it was.

    """
    unfinished = file.with_name(f"{file.name}.{secrets.token_hex(8)}.unfinished")
    try:
        if isinstance(content, bytes):
            unfinished.write_bytes(content)
        else:
            content(unfinished)
        with unfinished.open("rb") as stream:
            os.fsync(stream.fileno())
        unfinished.replace(file)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)
