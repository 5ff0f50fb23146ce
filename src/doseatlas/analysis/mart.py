"""Which exams are there, and which of them are meant and may be counted? The mart as an Ibis table.

The mart is read where it lies: Parquet files that DuckDB scans, without a copy and without the network.
Why Ibis over Parquet: ``docs/decisions/007-ibis-over-parquet.md``.
"""

from __future__ import annotations

import glob
import math
import os
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from doseatlas.analysis.results import Selection
from doseatlas.analysis.tables import quantities, stated_quantities
from doseatlas.model import StoreError
from doseatlas.store.mart_schema import EXAM_COLUMNS

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

IBIS_TYPES = {
    "string": "string",
    "int32": "int32",
    "float64": "float64",
    "date": "date",
    "bool": "boolean",
    "list<string>": "array<string>",
}
_SQL_TYPES = {
    "string": "VARCHAR",
    "int32": "INTEGER",
    "float64": "DOUBLE",
    "date": "DATE",
    "bool": "BOOLEAN",
    "list<string>": "VARCHAR[]",
}


def mart_table(mart_dir: str | os.PathLike[str], *, memory_limit: str = "1GB") -> ibis.Table:
    """Return the exams of a mart as an Ibis table, one row an exam; columns: ``store.mart_schema.EXAM_COLUMNS``.

    An empty or absent mart gives an empty table with the same columns; a column that an older mart lacks is null.
    Each call opens an :class:`ExamFiles`.

    Raises:
        StoreError: a file of the mart is damaged.

    """
    exams = Path(mart_dir) / "exams"
    files = ExamFiles(exams, memory_limit=memory_limit)
    files.look_at(exams)
    return files.exams


class ExamFiles:
    """The exams of one folder of a mart after another, such as one country's, as the same table.

    The engine is an in-memory DuckDB of its own, which may use ``memory_limit`` (more is spilled to the folder for
    temporary files) and ``threads`` (by default one a processor), reads nothing but files below ``root`` and loads no
    extensions. A question that is kept (:meth:`kept`) is compiled once and answered for each folder.
    """

    exams: ibis.Table
    empty: frozenset[str] = frozenset(column.name for column in EXAM_COLUMNS)
    """The columns in which the folder's files hold no value, as their statistics say."""

    def __init__(self, root: Path, *, memory_limit: str = "1GB", threads: int | None = None) -> None:
        """Open the engine. It looks at no folder yet: the table is empty."""
        import ibis

        self._engine = ibis.duckdb.connect(
            memory_limit=memory_limit,
            temp_directory=os.fspath(Path(tempfile.gettempdir()) / f"doseatlas-{os.getpid()}"),
            autoinstall_known_extensions="false",
            autoload_known_extensions="false",
            python_enable_replacements="false",
            **({} if threads is None else {"threads": threads}),
        )
        # A mart has a file a facility and month, and each question would read the ends of all of them three times.
        self._engine.raw_sql("SET parquet_metadata_cache = true")
        # DuckDB checks the pattern as written and each file it finds.
        folder = os.fspath(root.resolve())
        allowed = ", ".join(_sql_text(path) for path in (folder, glob.escape(folder)))
        self._engine.raw_sql(f"SET allowed_directories = [{allowed}]")
        self._engine.raw_sql("SET enable_external_access = false")
        self._engine.raw_sql("SET lock_configuration = true")
        self._show("(SELECT 1)", (), "WHERE false")
        self.exams = self._engine.table("exams")

    def look_at(self, folder: Path) -> None:
        """Let the table ``exams`` be that of the Parquet files below a folder below the root.

        Raises:
            StoreError: a file is damaged.

        """
        import duckdb

        exams_dir = folder.resolve()
        if next(exams_dir.rglob("*.parquet"), None) is None:
            self.empty = type(self).empty
            self._show("(SELECT 1)", (), "WHERE false")
            return
        pattern = _sql_text(f"{glob.escape(os.fspath(exams_dir))}/**/*.parquet")
        try:
            # Lists are stored as paths "name, list, element". A file may be without statistics.
            columns = self._engine.con.execute(
                "SELECT split_part(path_in_schema, ',', 1), bool_and(coalesce(stats_null_count = num_values, false))"
                f" FROM parquet_metadata({pattern}) GROUP BY 1"
            ).fetchall()
            # Facility and month are columns of the files too; the folders' names are only layout.
            files = f"read_parquet({pattern}, union_by_name = true, hive_partitioning = false)"
            self._show(files, {name for name, _ in columns})
        except duckdb.Error as error:
            raise StoreError(
                f"the mart in {exams_dir} cannot be read; write it again with 'doseatlas rebuild' ({error})"
            ) from error
        self.empty = type(self).empty - {name for name, is_empty in columns if not is_empty}

    def kept(self, name: str, question: ibis.Table) -> Callable[[], pa.Table]:
        """Keep a question about ``exams``; what is returned asks it of the folder looked at, and compiles nothing."""
        self._engine.create_view(name, question)
        return lambda: self._engine.con.execute(f"SELECT * FROM {_sql_name(name)}").to_arrow_table()

    def _show(self, source: str, present: Collection[str], condition: str = "") -> None:
        """Make the view ``exams``, with the same columns and types whatever the files have."""
        columns = ", ".join(
            f"CAST({_sql_name(column.name) if column.name in present else 'NULL'} AS {_SQL_TYPES[column.type]})"
            f" AS {_sql_name(column.name)}"
            for column in EXAM_COLUMNS
        )
        self._engine.con.execute(f"CREATE OR REPLACE VIEW exams AS SELECT {columns} FROM {source} {condition}")


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _sql_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


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
    """Return the exams that statistics count: with plausible doses, of a known procedure and patient group.

    A derived dose that is no finite number is not known: null. The exam counts all the same for what it states.
    """
    return with_finite_derived(
        exams.filter(has_plausible_doses(exams), exams.procedure.notnull(), exams.patient_group.notnull())
    )


def with_finite_derived(exams: ibis.Table) -> ibis.Table:
    """Return exams whose derived doses are null where they are no finite number."""
    derived = [exams[one.name] for one in quantities() if one.derived and one.name in exams.columns]
    return exams.mutate(**{dose.get_name(): _is_finite([dose]).ifelse(dose, None) for dose in derived})


def has_plausible_doses(exams: ibis.Table) -> ibis.BooleanColumn:
    """Return whether each exam's doses may be counted: plausible, as the mart says, and all stated ones finite."""
    stated = [exams[quantity.name] for quantity in stated_quantities() if quantity.name in exams.columns]
    return exams.plausible.fill_null(False) & _is_finite(stated)


def _is_finite(doses: Sequence[ibis.Column]) -> ibis.BooleanColumn:
    """Return whether none of some doses is NaN or infinite, as a mart from elsewhere may hold them.

    Engines take NaN for the greatest number, so one comparison finds both. What is compared is no column of the files:
    of these DuckDB believes the statistics, which do not know NaN.
    """
    import ibis

    return ibis.greatest(ibis.literal(0.0), *doses) < math.inf
