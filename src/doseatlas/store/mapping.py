"""What did the site decide about the names of its procedures, and which names wait for a decision?

A decision takes effect at once, on the exams that bear its key and no others. Decisions are never overwritten: a later
one supersedes, and the history stays.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy import Connection, func, insert, select, update

from doseatlas.model import MappingError
from doseatlas.reference import procedures
from doseatlas.standardise import suggest
from doseatlas.store.database import disk_errors, in_parts
from doseatlas.store.derive import plain_text
from doseatlas.store.dose_rules import DoseRules
from doseatlas.store.files import write_whole
from doseatlas.store.record import decisions_in_force, derive_again
from doseatlas.store.results import Decision, DecisionsApplied, UnmappedName
from doseatlas.store.schema import exams, mapping_decisions

COLUMNS = ("key", "text", "kind", "count", "procedure", "suggestion", "score")
_SEPARATORS = ",;\t"  # a spreadsheet may save with any of them
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def unmapped_names(connection: Connection) -> list[UnmappedName]:
    """Return the names of exams without a standard procedure, the most frequent first, with ranked suggestions."""
    count = func.count().label("count")
    found = (
        select(exams.c.mapping_key, func.min(exams.c.name), exams.c.kind, count)
        .where(exams.c.mapped_by == "unmapped")
        .group_by(exams.c.mapping_key, exams.c.kind)
    )
    rows = sorted(connection.execute(found).all(), key=lambda row: (-row[3], row[0]))
    return [
        UnmappedName(key=k, text=text, kind=kind, count=number, suggestions=tuple(suggest(text, kind) if text else ()))
        for k, text, kind, number in rows
    ]


def export_unmapped(connection: Connection, file: Path) -> int:
    """Write the unmapped names to a CSV with an empty column ``procedure``; returns how many.

    Exams that have no name at all are left out: a decision on no name would hold for whatever has none.

    Raises:
        StoreError: the file cannot be written.

    """
    names = [name for name in unmapped_names(connection) if not name.key.endswith(":")]
    with disk_errors("Writing", file):
        write_whole(file, lambda unfinished: _write_names(unfinished, names))
    return len(names)


def _write_names(file: Path, names: list[UnmappedName]) -> None:
    # With a byte order mark, without which spreadsheets take it for another encoding.
    with file.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name in names:
            best = name.suggestions[0] if name.suggestions else None
            text = f"'{name.text}" if name.text.startswith(_FORMULA) else name.text
            row = (name.key, text, name.kind, name.count, "", best and best.procedure, best and best.score)
            writer.writerow("" if value is None else value for value in row)


def read_decisions(file: Path) -> dict[str, str]:
    """Return the decisions of a CSV, key to procedure; rows without a procedure are left for later.

    Raises:
        MappingError: the file cannot be read, or a row is wrong; which, and how.

    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise MappingError(f"The file {file} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise MappingError(f"The file {file} is not UTF-8 text. Save it as 'CSV UTF-8' and try again.") from None
    lines = text.splitlines()
    header = lines[0] if lines else ""
    separator = max(_SEPARATORS, key=header.count)
    reader = csv.DictReader(lines, delimiter=separator)
    if not {"key", "procedure"} <= set(reader.fieldnames or ()):
        raise MappingError(f"The file {file} needs the columns 'key' and 'procedure' in its first line.")
    kinds = {procedure.id: procedure.kind for procedure in procedures()}
    decided: dict[str, str] = {}
    try:
        for row in reader:
            key, procedure = (row["key"] or "").strip(), (row["procedure"] or "").strip()
            if procedure:
                _check(f"The file {file}, line {reader.line_num}", key, procedure, kinds, decided)
                decided[key] = procedure
    except csv.Error as error:
        raise MappingError(
            f"The file {file}, line {reader.line_num}, is not CSV: {error}. Nothing was changed."
        ) from None
    return decided


def _check(where: str, key: str, procedure: str, kinds: Mapping[str, str], decided: Mapping[str, str]) -> None:
    kind = key.split(":", 1)[0]
    if procedure not in kinds:
        wrong = f"there is no standard procedure {procedure!r}; 'doseatlas mapping procedures' lists them"
    elif ":" not in key or key.endswith(":") or plain_text(key) != key:
        wrong = f"{key!r} is not a key; copy it from 'doseatlas mapping export'"
    elif kinds[procedure] != kind:
        wrong = f"{procedure!r} is a procedure of kind {kinds[procedure]}, the key {key!r} is of kind {kind}"
    elif decided.get(key, procedure) != procedure:
        wrong = f"the key {key!r} is decided twice, as {decided[key]!r} and as {procedure!r}"
    else:
        return
    raise MappingError(f"{where}: {wrong}. Nothing was changed.")


def apply_decisions(connection: Connection, decided: Mapping[str, str], dose_rules: DoseRules) -> DecisionsApplied:
    """Take decisions, and map the exams that bear their keys again. A decision that stands already changes nothing."""
    in_force = decisions_in_force(connection)
    new = {key: procedure for key, procedure in decided.items() if in_force.get(key) != procedure}
    if not new:
        return DecisionsApplied(decisions=0, exams=0)
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    decisions = {**in_force, **new}
    changed = 0
    for keys in in_parts(list(new)):
        connection.execute(update(mapping_decisions).where(mapping_decisions.c.key.in_(keys)).values(superseded=True))
        connection.execute(
            insert(mapping_decisions),
            [{"key": key, "procedure": new[key], "decided_at": now, "superseded": False} for key in keys],
        )
        concerned = list(connection.execute(select(exams.c.exam_id).where(exams.c.mapping_key.in_(keys))).scalars())
        for part in in_parts(concerned):
            derive_again(connection, part, decisions, dose_rules)
        changed += len(concerned)
    return DecisionsApplied(decisions=len(new), exams=changed)


def decisions(connection: Connection) -> Iterator[Decision]:
    """Give every decision that was taken, the newest first."""
    for row in connection.execute(select(mapping_decisions).order_by(mapping_decisions.c.id.desc())):
        yield Decision(key=row.key, procedure=row.procedure, decided_at=row.decided_at, superseded=row.superseded)
