"""Where do the reader's tables lie, and how are they read?"""

from __future__ import annotations

import csv
from pathlib import Path

_FOLDER = Path(__file__).parent / "tables"


def rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a table of ``dicom/tables`` as text, by column name."""
    with (_FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
