"""Small marts, made by hand."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from doseatlas.store.mart_schema import EXAM_COLUMNS

ARROW_TYPES = {
    "string": pa.string(),
    "int32": pa.int32(),
    "float64": pa.float64(),
    "date": pa.date32(),
    "bool": pa.bool_(),
    "list<string>": pa.list_(pa.string()),
}
SCHEMA = pa.schema([(column.name, ARROW_TYPES[column.type]) for column in EXAM_COLUMNS])
CT_HEAD: dict[str, Any] = {
    "facility": "General Hospital",
    "month": "2026-01",
    "study_date": dt.date(2026, 1, 15),
    "kind": "ct",
    "modality": "CT",
    "device": "Maker Model 1",
    "procedure": "ct-head",
    "procedure_text": "CT HEAD",
    "patient_group": "adult",
    "plausible": True,
    "flags": [],
    "phantom_cm": 16,
}

Rows = Iterable[Mapping[str, Any]]


@pytest.fixture
def mart(tmp_path: Path) -> Callable[[Rows], Path]:
    """Write exams as a mart: each row is a CT of an adult's head unless it says otherwise."""
    numbers = itertools.count()

    def write(rows: Rows) -> Path:
        mart_dir = tmp_path / f"mart [{next(numbers)}]"
        complete = [{**CT_HEAD, "exam_id": f"{i:06d}", **row} for i, row in enumerate(rows)]
        by_part = itertools.groupby(
            sorted(complete, key=lambda row: (row["facility"], row["month"])),
            lambda row: (row["facility"], row["month"]),
        )
        for number, ((_, month), part) in enumerate(by_part):
            folder = mart_dir / "exams" / f"facility={number}" / f"month={month}"
            folder.mkdir(parents=True)
            pq.write_table(pa.Table.from_pylist(list(part), SCHEMA), folder / "part.parquet")
        return mart_dir

    return write


@pytest.fixture
def levels() -> Callable[..., Any]:
    """Make a DRL set for a CT of an adult's head: quantity=(value, phantom); ``again`` is a second DLP level."""
    from types import SimpleNamespace

    def make(again: float | None = None, **by_quantity: tuple[float, int | None]) -> Any:
        stated = [(quantity, value, phantom) for quantity, (value, phantom) in by_quantity.items()]
        stated += [("dlp_mgy_cm", again, 16)] if again else []
        rows = [
            SimpleNamespace(
                exam="Head",
                procedure="ct-head",
                patient_group="adult",
                quantity=quantity,
                value=value,
                phantom_cm=phantom,
                achievable=None,
                level="national DRL",
                source="a document",
            )
            for quantity, value, phantom in stated
        ]
        return SimpleNamespace(
            id="a-set", authority="An authority", country="Utopia", year=2025, level="a level", rows=tuple(rows)
        )

    return make
