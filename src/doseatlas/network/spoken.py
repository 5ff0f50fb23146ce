"""Which SOP classes and transfer syntaxes are spoken, and what is in their objects? Reads the two tables.

Adding a class is adding a row: it is then received, asked for at archives, and read.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

from doseatlas.model import TableError
from doseatlas.reference import read_rows

Service = Literal["verification", "storage", "commitment", "mpps"]
Group = Literal["dose-report", "report", "screen", "image", ""]

TABLES = Path(__file__).parent / "tables"
_SYNTAX_GROUPS = {"all", "storage", "image"}


class SopClass(NamedTuple):
    """A SOP class that is spoken.

    ``group`` is what its objects are (storage only): dose reports, other reports, secondary captures that may show a
    dose (``screen``), or images.
    """

    uid: str
    name: str
    service: Service
    group: Group

    @property
    def is_report(self) -> bool:
        """Whether its objects are structured reports, which are kept whole; of images only the header is."""
        return self.group in ("dose-report", "report")


@cache
def sop_classes() -> dict[str, SopClass]:
    """Return the SOP classes that are spoken, by UID, in the table's order.

    Raises:
        TableError: a row does not fit the schema.

    """
    path = TABLES / "sop_classes.csv"
    classes: dict[str, SopClass] = {}
    for line, row in read_rows(path, ("uid", "name", "service", "group", "source")):
        service, group = row["service"], row["group"]
        fits = service in get_args(Service) and group in get_args(Group) and (service == "storage") == bool(group)
        if not fits or not row["source"] or row["uid"] in classes:
            raise TableError(f"{path}, line {line}: the row of {row['uid']} repeats or does not fit the schema.")
        classes[row["uid"]] = SopClass(row["uid"], row["name"], cast(Service, service), cast(Group, group))
    return classes


@cache
def transfer_syntaxes(uid: str) -> dict[str, str]:
    """Return the transfer syntaxes spoken for a SOP class (UID to name), the preferred first; none for another.

    Raises:
        TableError: a row does not fit the schema.

    """
    spoken = sop_classes().get(uid)
    if spoken is None:
        return {}
    groups = {"all"}
    if spoken.service == "storage":
        groups |= {"storage"} if spoken.is_report else {"storage", "image"}
    path = TABLES / "transfer_syntaxes.csv"
    rows = list(read_rows(path, ("uid", "name", "for", "source")))
    for line, row in rows:
        if row["for"] not in _SYNTAX_GROUPS or not row["source"]:
            raise TableError(f"{path}, line {line}: the row does not fit the schema.")
    return {row["uid"]: row["name"] for _, row in rows if row["for"] in groups}
