"""Which plain words is a name made of, and what do they say of a scan?

Words are compared without case and accents. The words and codes are rows of ``tables/scan_roles.csv`` and
``tables/adult_words.csv``.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal, get_args

from doseatlas.model import TableError

Role = Literal["scan", "localiser", "tracking", "stationary"]
_FOLDER = Path(__file__).parent / "tables"
_WORD = re.compile(r"[^\W\d_]+")
_JOINED = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])")
_PLAIN = str.maketrans({"ı": "i", "ł": "l", "ø": "o", "đ": "d"})


def plain_words(text: str) -> tuple[str, ...]:
    """Return the words of a name in lower case without accents, digits and punctuation."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_PLAIN))
    return tuple(_WORD.findall("".join(char for char in decomposed if not unicodedata.combining(char))))


def all_words(name: str) -> tuple[str, ...]:
    """Return the words of a name, and those that only capitals part (``ThoraxAdult``)."""
    return plain_words(name) + plain_words(_JOINED.sub(" ", name))


@lru_cache(maxsize=8192)
def is_for_adults(name: str) -> bool:
    """Return whether a protocol's name says that it is for adults, in any of the languages of the table."""
    whole, begins = _adult_words()
    return any(word in whole or word.startswith(begins) for word in all_words(name))


@lru_cache(maxsize=8192)
def role_by_name(name: str) -> Role | None:
    """Return what the words of a protocol's name say of a CT scan, ``None`` where they say nothing."""
    words = scan_roles("word")
    return next((words[word] for word in all_words(name) if word in words), None)


@cache
def scan_roles(match: str) -> dict[str, Role]:
    """Return the roles of CT scans by code (``"scheme value"``) or by word; ``match`` is ``code`` or ``word``."""
    roles: dict[str, Role] = {}
    for row in _rows("scan_roles.csv", ("match", "value", "role", "source")):
        if row["match"] not in ("code", "word") or row["role"] not in get_args(Role) or not row["source"]:
            raise TableError(f"scan_roles.csv: the row of {row['value']!r} does not fit the schema.")
        if row["match"] == match:
            roles[row["value"]] = row["role"]  # type: ignore[assignment]
    return roles


@cache
def _adult_words() -> tuple[frozenset[str], tuple[str, ...]]:
    rows = _rows("adult_words.csv", ("match", "word", "language", "source"))
    for row in rows:
        if row["match"] not in ("word", "begins") or plain_words(row["word"]) != (row["word"],) or not row["source"]:
            raise TableError(f"adult_words.csv: the row of {row['word']!r} does not fit the schema.")
    whole = frozenset(row["word"] for row in rows if row["match"] == "word")
    return whole, tuple(row["word"] for row in rows if row["match"] == "begins")


def _rows(name: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    with (_FOLDER / name).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != columns:
            raise TableError(f"{name}: the columns must be {', '.join(columns)}.")
        return list(reader)
