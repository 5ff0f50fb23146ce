"""How is a file written so that it is there whole or not at all? Beside its place first, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a file to write to; it takes its place when the block ends well, and is removed when it does not.

    Raises:
        OSError: the folder is missing or cannot be written, or the disk is full. The error names ``path``; what was
            there is untouched.

    """
    place = Path(path)
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{place.name}.", suffix=".part", dir=place.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read; a report is made to be passed on.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(place)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and _is_of(error.filename, place):
            error.filename, error.filename2 = os.fspath(place), None
        raise


def _is_of(named: str | None, place: Path) -> bool:
    """Return whether an error is about this file: it names the temporary one, or none."""
    return named is None or Path(named).name.startswith(f".{place.name}.")


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
