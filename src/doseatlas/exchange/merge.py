"""What do all submissions of a registry add up to? Exams and sketches alike, as values with weights by facility.

Sender after sender is read, so memory holds one facility's exams at a time, and of the others at most 1,000 values a
cell.
"""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from doseatlas.analysis import Selection, stated_quantities
from doseatlas.analysis.dose_values import PEERS, countable_doses, dose_values
from doseatlas.analysis.mart import IBIS_TYPES
from doseatlas.exchange.records import ExchangeError
from doseatlas.exchange.registry import current_files, load_agreement
from doseatlas.exchange.sketch import Weighted, make_sketch, quantile, read_sketch, thinned, together
from doseatlas.exchange.tables import arrow_schema
from doseatlas.store.files import make_folder, write_whole
from doseatlas.store.mart_schema import EXAM_COLUMNS

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

Cell = tuple[str, str, str, int]
"""Procedure, patient group, quantity and CTDI phantom (0: not stated, several, or no CT)."""


BANDS = ("age_band", "weight_band")
"""What a registry's exams have beside the columns of the mart."""


class Merged(NamedTuple):
    """How many submissions of exams were merged, and who gave summaries only for some months, which cannot be."""

    submissions: int
    summaries_only: tuple[str, ...]


class MonthPart(NamedTuple):
    """What a facility gave for one cell in one month: number of exams, and a digest of their values."""

    month: str
    n: int
    digest: int


class FacilityCell(NamedTuple):
    """What a facility gave for one cell: exams, their median, at most 1,000 of their values, and its months."""

    facility: str
    country: str
    cell: Cell
    n: int
    median: float
    sample: Weighted
    parts: tuple[MonthPart, ...]


def facility_cells(registry: Path, since: str, until: str) -> Iterator[FacilityCell]:
    """Yield every facility's cells of the months from ``since`` to ``until``, sender after sender.

    Raises:
        ExchangeError: a file of the registry is damaged.

    """
    agreement = load_agreement(registry)
    for sender in agreement.senders:
        values: dict[tuple[str, Cell], list[tuple[str, int, Weighted]]] = {}
        for kind, file, months in current_files(registry, sender.id):
            meant = [month for month in months if since <= month <= until]
            if meant:
                rows = _exam_values(file, meant) if kind == "exams" else _sketch_values(file, meant)
                for facility, cell, month, n, sample in rows:
                    values.setdefault((facility, cell), []).append((month, n, sample))
        for (facility, cell), parts in sorted(values.items(), key=lambda item: item[0]):
            yield facility_cell(facility, sender.country, cell, parts)


def facility_cell(facility: str, country: str, cell: Cell, parts: list[tuple[str, int, Weighted]]) -> FacilityCell:
    """Return what a facility's months add up to; ``parts`` are month, number of exams and values."""
    parts = sorted(parts, key=lambda part: part[0])
    sample = together([values for _, _, values in parts])
    return FacilityCell(
        facility,
        country,
        cell,
        sum(n for _, n, _ in parts),
        quantile(sample, 0.5),
        thinned(sample),
        tuple(MonthPart(month, n, _digest(values)) for month, n, values in parts),
    )


def _digest(sample: Weighted) -> int:
    content = hashlib.blake2b(sample.values.tobytes() + sample.weights.tobytes(), digest_size=7).digest()
    return int.from_bytes(content, "big")


Values = Iterator[tuple[str, Cell, str, int, Weighted]]


def _read(file: Path, months: list[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(file, filters=[("month", "in", months)])
    except (pa.ArrowException, OSError) as error:
        raise ExchangeError(f"{file}: damaged or gone ({error}). Have its sender submit again.") from error


def _sketch_values(file: Path, months: list[str]) -> Values:
    for row in _read(file, months).to_pylist():
        cell = (row["procedure"], row["patient_group"], row["quantity"], row["phantom_cm"])
        yield row["facility"], cell, row["month"], row["n"], read_sketch(row["sketch"], row["n"])


def _exam_values(file: Path, months: list[str]) -> Values:
    import ibis
    import numpy as np
    import pyarrow.compute as pc

    table = _read(file, months)
    for facility in table["facility"].unique().to_pylist():
        values = values_by_month(_as_mart(ibis.memtable(table.filter(pc.equal(table["facility"], facility)))))
        lists = values["values"].combine_chunks()
        flat, offsets = lists.values.to_numpy(), lists.offsets.to_numpy()
        for i, row in enumerate(values.drop_columns(["values"]).to_pylist()):
            ordered = flat[offsets[i] : offsets[i + 1]]
            cell = (row["procedure"], row["patient_group"], row["quantity"], row["phantom_cm"])
            yield facility, cell, row["month"], row["n"], Weighted(ordered, np.ones(len(ordered)))


def values_by_month(exams: ibis.Table) -> pa.Table:
    """Return one row a cell and month of one facility's exams: ``n`` and the sorted ``values``."""
    values = dose_values(countable_doses(exams, Selection()))
    values = values.filter(values.quantity.isin([quantity.name for quantity in stated_quantities()]))
    grouped = values.group_by([*PEERS, "month"]).agg(n=values.count(), values=values.value.collect().sort())
    return grouped.order_by([*PEERS, "month"]).to_pyarrow()


def _as_mart(sent: ibis.Table, also: tuple[str, ...] = ()) -> ibis.Table:
    """Return a submission's exams with all columns of the mart, null where not sent, and others of its own."""
    import ibis

    return sent.select(
        **{
            column.name: (sent[column.name] if column.name in sent.columns else ibis.null()).cast(
                IBIS_TYPES[column.type]
            )
            for column in EXAM_COLUMNS
        },
        **{name: sent[name] for name in also},
    )


def all_summaries(registry: Path, since: str, until: str) -> pa.Table:
    """Return what a registry holds as summaries by facility and month, exams made into sketches.

    This is what a nation hands to the world's registry, after :func:`doseatlas.exchange.export.nation_rows`.
    """
    import pyarrow as pa

    schema = arrow_schema("summaries")
    names = schema.names
    rows = []
    for sender in load_agreement(registry).senders:
        for kind, file, months in current_files(registry, sender.id):
            meant = [month for month in months if since <= month <= until]
            if not meant:
                continue
            if kind == "summaries":
                rows.append(_read(file, meant).select(names))
                continue
            found = [
                {
                    **dict(zip(("procedure", "patient_group", "quantity", "phantom_cm"), cell, strict=True)),
                    "facility": facility,
                    "month": month,
                    "n": n,
                    "sketch": make_sketch(sample.values),
                }
                for facility, cell, month, n, sample in _exam_values(file, meant)
            ]
            rows.append(pa.Table.from_pylist(found, schema))
    return pa.concat_tables([part.cast(schema) for part in rows]) if rows else schema.empty_table()


def write_merged(registry: Path, folder: Path) -> Merged:
    """Write the exams that a registry holds as one mart, for ``doseatlas drl compute`` and other analyses.

    Facilities lie below ``exams/country=NAME``. Senders that gave only summaries are not in it. The folder is there
    whole or not at all.

    Raises:
        ExchangeError: the registry holds no exams; the folder exists, where exams that were withdrawn since could stay;
            or a file is damaged.
        OSError: it cannot be written.

    """
    import ibis

    if folder.exists():
        raise ExchangeError(f"{folder} exists; name a new folder, so that no exam withdrawn since stays in it.")
    held = [
        (sender, kind, file, months)
        for sender in load_agreement(registry).senders
        for kind, file, months in current_files(registry, sender.id)
    ]
    summaries = [sender.id for sender, kind, _, _ in held if kind == "summaries"]
    if len(summaries) == len(held):
        what = f"only summaries, of {len(set(summaries))} senders" if summaries else "nothing"
        raise ExchangeError(
            f"{registry} holds {what}; only exams (registry export --kind exams) can be merged. For levels by a named"
            " method from summaries: doseatlas registry levels."
        )
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for sender, kind, file, months in held:
        if kind == "exams":
            place = unfinished / "exams" / f"country={quote(sender.country, safe='')}" / sender.id
            make_folder(place)
            exams = _as_mart(ibis.memtable(_read(file, list(months))), also=BANDS).to_pyarrow()
            _write_part(place / f"{months[0]}.parquet", exams)
    unfinished.rename(folder)
    return Merged(len(held) - len(summaries), tuple(sorted(set(summaries))))


def is_merged(folder: Path) -> bool:
    """Return whether a mart is one that :func:`write_merged` wrote: its exams have bands of age."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = next(iter(sorted((folder / "exams").glob("country=*/*/*.parquet"))), None)
    try:
        return first is not None and set(BANDS) <= set(pq.read_schema(first).names)
    except (pa.ArrowException, OSError) as error:
        raise ExchangeError(f"{first}: damaged ({error}). Merge the registry again.") from error


def merged_exams(folder: Path) -> ibis.Table:
    """Return the exams of a merged registry as :func:`doseatlas.analysis.mart_table` does, and the bands beside them.

    Raises:
        ExchangeError: a file is damaged.

    """
    import duckdb
    import ibis

    engine = ibis.duckdb.connect(
        memory_limit="1GB", autoinstall_known_extensions="false", autoload_known_extensions="false"
    )
    files = f"{glob.escape(os.fspath(folder.resolve()))}/exams/**/*.parquet"
    try:
        return _as_mart(engine.read_parquet(files, union_by_name=True, hive_partitioning=False), also=BANDS)
    except duckdb.Error as error:
        raise ExchangeError(f"{folder}: damaged ({error}). Merge the registry again.") from error


def _write_part(file: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    write_whole(file, lambda unfinished: pq.write_table(table, unfinished, compression="zstd"))
