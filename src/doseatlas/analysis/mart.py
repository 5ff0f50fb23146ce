"""Which exams are there, and which of them are meant and may be counted? The mart as an Ibis table.

The mart is read where it lies: Parquet files that DuckDB scans, without a copy and without the network.
Why Ibis over Parquet: ``docs/decisions/007-ibis-over-parquet.md``.
"""

from __future__ import annotations

import glob
import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from doseatlas.analysis.results import Selection
from doseatlas.analysis.tables import quantities
from doseatlas.model import StoreError
from doseatlas.store.mart_schema import EXAM_COLUMNS

if TYPE_CHECKING:
    import ibis

IBIS_TYPES = {
    "string": "string",
    "int32": "int32",
    "float64": "float64",
    "date": "date",
    "bool": "boolean",
    "list<string>": "array<string>",
}


def mart_table(mart_dir: str | os.PathLike[str], *, memory_limit: str = "1GB") -> ibis.Table:
    """Return the exams of a mart as an Ibis table, one row an exam; columns: ``store.mart_schema.EXAM_COLUMNS``.

    An empty or absent mart gives an empty table with the same columns; a column that an older mart lacks is null.
    Each call opens its own in-memory DuckDB, which may use ``memory_limit`` (more is spilled to the folder for
    temporary files), reads nothing but files below ``mart_dir`` and loads no extensions.

    Raises:
        StoreError: a file of the mart is damaged.

    """
    return exam_files_table(Path(mart_dir) / "exams", memory_limit=memory_limit)


def exam_files_table(folder: Path, *, memory_limit: str = "1GB", threads: int | None = None) -> ibis.Table:
    """Return the exams of the Parquet files below a folder of a mart, such as one country's; else as the above.

    ``threads`` is how many the engine uses; by default one a processor.
    """
    import duckdb
    import ibis

    exams_dir = folder.resolve()
    backend = ibis.duckdb.connect(
        memory_limit=memory_limit,
        temp_directory=os.fspath(Path(tempfile.gettempdir()) / f"doseatlas-{os.getpid()}"),
        autoinstall_known_extensions="false",
        autoload_known_extensions="false",
        python_enable_replacements="false",
        **({} if threads is None else {"threads": threads}),
    )
    if next(exams_dir.rglob("*.parquet"), None) is None:
        schema = ibis.schema({column.name: IBIS_TYPES[column.type] for column in EXAM_COLUMNS})
        return backend.create_table("exams", schema=schema, temp=True)
    # A mart has a file a facility and month, and each question would read the ends of all of them three times.
    backend.raw_sql("SET parquet_metadata_cache = true")
    pattern = glob.escape(os.fspath(exams_dir))
    try:
        # Facility and month are columns of the files too; the folders' names are only layout.
        stored = backend.read_parquet(
            f"{pattern}/**/*.parquet", table_name="exams", union_by_name=True, hive_partitioning=False
        )
    except duckdb.Error as error:
        raise StoreError(
            f"the mart in {exams_dir} cannot be read; write it again with 'doseatlas rebuild' ({error})"
        ) from error
    # DuckDB checks the pattern as written and each file it finds.
    allowed = ", ".join("'" + folder.replace("'", "''") + "'" for folder in (os.fspath(exams_dir), pattern))
    backend.raw_sql(f"SET allowed_directories = [{allowed}]")
    backend.raw_sql("SET enable_external_access = false")
    backend.raw_sql("SET lock_configuration = true")
    return stored.select(
        **{
            column.name: (stored[column.name] if column.name in stored.columns else ibis.null()).cast(
                IBIS_TYPES[column.type]
            )
            for column in EXAM_COLUMNS
        }
    )


def chosen(exams: ibis.Table, selection: Selection) -> ibis.Table:
    """Return the exams that a selection means. Exams without a date are left out where a period is asked for."""
    for column in ("facility", "device", "procedure", "patient_group"):
        wanted = getattr(selection, column)
        if wanted is not None:
            exams = exams.filter(exams[column] == wanted)
    if selection.since is not None:
        exams = exams.filter(exams.study_date >= selection.since)
    if selection.until is not None:
        exams = exams.filter(exams.study_date <= selection.until)
    return exams


def countable(exams: ibis.Table) -> ibis.Table:
    """Return the exams that statistics count: with plausible doses, of a known procedure and patient group."""
    return exams.filter(has_plausible_doses(exams), exams.procedure.notnull(), exams.patient_group.notnull())


def has_plausible_doses(exams: ibis.Table) -> ibis.BooleanColumn:
    """Return whether each exam's doses may be counted: plausible, as the mart says, and all of them finite numbers.

    A mart from elsewhere may hold NaN or infinity. Engines take NaN for the greatest number, so one comparison finds
    both. What is compared is no column of the files: of these DuckDB believes the statistics, which do not know NaN.
    """
    import ibis

    doses = [exams[quantity.name] for quantity in quantities() if quantity.name in exams.columns]
    greatest = ibis.greatest(ibis.literal(0.0), *doses)
    return exams.plausible.fill_null(False) & (greatest < math.inf)
