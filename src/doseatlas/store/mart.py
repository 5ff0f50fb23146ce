"""How does the mart follow the exams? Parquet files by facility and month; only months that changed are written anew.

A month's file is made from the exams' rows under another name and renamed, then the month is marked as written, in one
write transaction: a crash in between leaves the month to be written again, which gives the same file. The rows are
stored as JSON because Arrow reads that without a Python object for each value.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet
from sqlalchemy import Connection, delete, func, select, update

from doseatlas.store.database import Database, disk_errors
from doseatlas.store.files import make_folder, sync_folder, write_whole
from doseatlas.store.mart_schema import EXAM_COLUMNS, ColumnType
from doseatlas.store.record import Month
from doseatlas.store.schema import exams, mart_months

_ARROW: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "int32": pa.int32(),
    "float64": pa.float64(),
    "date": pa.date32(),
    "bool": pa.bool_(),
    "list<string>": pa.list_(pa.string()),
}
SCHEMA = pa.schema([(column.name, _ARROW[column.type]) for column in EXAM_COLUMNS])
# Arrow's JSON reader makes times of text, not dates; they are cast.
_AS_READ = pa.schema([pa.field(f.name, pa.timestamp("s") if f.type == pa.date32() else f.type) for f in SCHEMA])
_MONTHS_TOGETHER = 40  # written within one transaction
_ROWS_TOGETHER = 20_000  # a row group of a file; bounds memory
_OWNER_FILE = "store-id"


def refresh(database: Database, mart_dir: Path, store_id: str) -> int:
    """Write the months of the mart that changed, or whose file is not there; remove files of months without exams.

    Returns:
        How many files were written.

    Raises:
        StoreError: the mart cannot be written, or the store cannot be read.

    """
    folder = mart_dir / "exams"
    _take_over(mart_dir, store_id)
    written = 0
    while months := _dirty_months(database, folder):
        with database.writing() as connection, disk_errors("Writing the mart", mart_dir):
            for left_by_a_crash in folder.glob("*/*.unfinished"):
                left_by_a_crash.unlink()
            for month in months[:_MONTHS_TOGETHER]:
                written += _write_month(connection, folder, month)
    return written


def _take_over(mart_dir: Path, store_id: str) -> None:
    """Clear a mart that another store wrote into the same data folder: its files would pass for ours."""
    owner = mart_dir / _OWNER_FILE
    with disk_errors("Writing the mart", mart_dir):
        if owner.exists() and owner.read_text(encoding="utf-8", errors="replace") == store_id:
            return
        if (mart_dir / "exams").exists():
            shutil.rmtree(mart_dir / "exams")
        make_folder(mart_dir)
        write_whole(owner, store_id.encode())


def _dirty_months(database: Database, folder: Path) -> list[Month]:
    with database.reading() as connection:
        rows = connection.execute(select(mart_months).order_by(mart_months.c.facility, mart_months.c.month)).all()
    there = {path.relative_to(folder).as_posix() for path in folder.glob("*/*.parquet")}
    return [
        (facility, month)
        for facility, month, dirty in rows
        if dirty or month_file(facility, month).as_posix() not in there
    ]


def month_file(facility: str, month: str) -> Path:
    """Return where a month's file lies below ``exams``; a facility's name may hold anything, a folder's may not."""
    readable = re.sub(r"[^a-z0-9]+", "-", facility.lower()).strip("-")[:40]
    return Path(f"{readable}-{hashlib.sha256(facility.encode()).hexdigest()[:12]}") / f"{month}.parquet"


def _write_month(connection: Connection, folder: Path, month: Month) -> bool:
    """Write or remove a month's file and mark the month as written; returns whether there is a file."""
    file = folder / month_file(*month)
    here = (exams.c.facility == month[0]) & (exams.c.month == month[1]) & (exams.c.kind != "estimate")
    this = (mart_months.c.facility == month[0]) & (mart_months.c.month == month[1])
    if not connection.execute(select(func.count()).select_from(exams).where(here)).scalar():
        file.unlink(missing_ok=True)
        if file.parent.is_dir():
            sync_folder(file.parent)
        connection.execute(delete(mart_months).where(this))
        return False
    make_folder(file.parent)
    rows = connection.execute(
        select(exams.c.mart_row).where(here).order_by(exams.c.study_date, exams.c.exam_id),
        execution_options={"yield_per": _ROWS_TOGETHER},
    )
    parts = (list(part) for part in rows.scalars().partitions())
    write_whole(file, lambda unfinished: _write_parquet(unfinished, parts))
    connection.execute(update(mart_months).where(this).values(dirty=False))
    return True


def _write_parquet(file: Path, parts: Iterator[list[bytes]]) -> None:
    with pyarrow.parquet.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for rows in parts:
            writer.write_table(arrow_table(rows))


def arrow_table(rows: list[bytes]) -> pa.Table:
    """Return rows of the mart, each a JSON object without its nulls, as an Arrow table."""
    text = b"\n".join(rows)
    read = pyarrow.json.read_json(
        pa.BufferReader(text),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=_AS_READ, unexpected_field_behavior="ignore"),
    )
    return read.select(SCHEMA.names).cast(SCHEMA)
