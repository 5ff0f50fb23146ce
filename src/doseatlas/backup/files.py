"""How are files copied, measured and forced to disk? And how are PostgreSQL's own programs run?"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import URL

from doseatlas.model import StoreError

_NOT_COPIED = {"lock", "importer.lock", "tmp"}
_READ_BYTES = 2**20


def files_below(folder: Path) -> Iterator[Path]:
    """Give the files of a folder and those below it, but for locks and what is not complete."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _NOT_COPIED)
        yield from (Path(parent) / name for name in sorted(names) if name not in _NOT_COPIED)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where that is not possible. Raises :class:`OSError`."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        with source.open("rb") as stream:
            copy_stream(stream.read, target)


def copy_stream(read: Callable[[int], bytes], target: Path) -> tuple[int, str]:
    """Write what is read to a new file, forced to disk; returns its size and SHA-256."""
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        while piece := read(_READ_BYTES):
            digest.update(piece)
            size += len(piece)
            stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())
    return size, digest.hexdigest()


def measure(file: Path) -> tuple[int, str]:
    """Return the size and the SHA-256 of a file."""
    with file.open("rb") as stream:
        return file.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest()


def run_postgresql(program: str, url: URL, *options: str) -> None:
    """Run a program of PostgreSQL on a database; the password goes by the environment, which others cannot read.

    Raises:
        StoreError: it is not installed, or failed; the first line of what it said is in the message.

    """
    named = {"PGHOST": url.host, "PGPORT": url.port, "PGUSER": url.username, "PGPASSWORD": url.password}
    environment = os.environ | {name: str(value) for name, value in named.items() if value is not None}
    try:
        done = subprocess.run(
            [program, f"--dbname={url.database}", *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise StoreError(f"The program {program} is not installed; Debian and Ubuntu: postgresql-client.") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise StoreError(f"{program} failed: {said[0] if said else f'status {done.returncode}'}.")
