"""Which SOP classes and transfer syntaxes are spoken? Reads the two tables; adding a class is adding a row."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

from doseatlas.model import TableError

Service = Literal["verification", "storage", "commitment", "mpps"]
Group = Literal["report", "image", ""]

_TABLES = Path(__file__).parent / "tables"
_SYNTAX_GROUPS = {"all", "storage", "image"}


class SopClass(NamedTuple):
    """A SOP class that is accepted. ``group``: whether objects of it are reports or images (storage only)."""

    uid: str
    name: str
    service: Service
    group: Group


@cache
def sop_classes() -> dict[str, SopClass]:
    """The SOP classes accepted, by UID, in the table's order.

    Raises:
        TableError: a row does not fit the schema.

    """
    classes = {}
    for row in _rows("sop_classes.csv"):
        service, group = row["service"], row["group"]
        fits = service in get_args(Service) and group in get_args(Group) and (service == "storage") == bool(group)
        if not fits or not row["source"] or row["uid"] in classes:
            raise TableError(f"sop_classes.csv: the row of {row['uid']} does not fit the schema.")
        classes[row["uid"]] = SopClass(row["uid"], row["name"], cast(Service, service), cast(Group, group))
    return classes


@cache
def transfer_syntaxes(uid: str) -> dict[str, str]:
    """The transfer syntaxes accepted for a SOP class (UID to name), the preferred first; none if it is not accepted."""
    accepted = sop_classes().get(uid)
    if accepted is None:
        return {}
    groups = {"all"}
    if accepted.service == "storage":
        groups |= {"storage", accepted.group}
    rows = _rows("transfer_syntaxes.csv")
    if any(row["for"] not in _SYNTAX_GROUPS or not row["source"] for row in rows):
        raise TableError("transfer_syntaxes.csv: a row does not fit the schema.")
    return {row["uid"]: row["name"] for row in rows if row["for"] in groups}


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    with (_TABLES / name).open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))
