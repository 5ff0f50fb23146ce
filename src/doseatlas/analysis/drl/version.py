"""Which data is a figure from? A digest of the mart's files that neither names nor folders change."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from doseatlas.analysis.drl.records import DataVersion
from doseatlas.model import StoreError

_READ_AT_ONCE = 1 << 20


def data_version(mart_dir: str | os.PathLike[str]) -> DataVersion:
    """Return the version of a mart's data: the SHA-256 over the sorted SHA-256 of its Parquet files.

    Keep the files to compute the same figures again: a rebuilt mart holds other bytes, and so is another version.

    Raises:
        StoreError: a file cannot be read.

    """
    digests, size = [], 0
    for path in (Path(mart_dir) / "exams").rglob("*.parquet"):
        try:
            with path.open("rb") as file:
                digest = hashlib.sha256()
                while block := file.read(_READ_AT_ONCE):
                    digest.update(block)
                    size += len(block)
        except OSError as error:
            raise StoreError(f"the mart's file {path} cannot be read ({error.strerror}); see to its rights") from error
        digests.append(digest.digest())
    return DataVersion(digest=hashlib.sha256(b"".join(sorted(digests))).hexdigest(), files=len(digests), bytes=size)
