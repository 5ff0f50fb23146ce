"""Small registries whose levels are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from doseatlas.analysis.drl import Computed, Draws, Request, compute_levels, data_version
from doseatlas.reference import drl_method
from doseatlas.store.mart_schema import EXAM_COLUMNS

TYPES = {
    "string": pa.string(),
    "int32": pa.int32(),
    "float64": pa.float64(),
    "date": pa.date32(),
    "bool": pa.bool_(),
    "list<string>": pa.list_(pa.string()),
}
SCHEMA = pa.schema([(column.name, TYPES[column.type]) for column in EXAM_COLUMNS])
Rows = Sequence[Mapping[str, Any]]


@pytest.fixture
def registry(tmp_path: Path) -> Callable[[Mapping[str, Rows]], Path]:
    """Write a registry: exams by country ("": without a folder of countries)."""

    def write(by_country: Mapping[str, Rows]) -> Path:
        root = tmp_path / f"registry-{len(list(tmp_path.iterdir()))}"
        for country, rows in by_country.items():
            folder = root / "exams" / (f"country={country}" if country else "")
            for number, facility in enumerate(sorted({row["facility"] for row in rows})):
                part = [{"plausible": True, **row} for row in rows if row["facility"] == facility]
                (folder / f"facility={number}").mkdir(parents=True)
                pq.write_table(pa.Table.from_pylist(part, SCHEMA), folder / f"facility={number}" / "2025-01.parquet")
        return root

    return write


@pytest.fixture
def computed() -> Callable[..., Computed]:
    """Compute the levels of a registry by a method's name."""

    def run(root: Path, name: str, **more: Any) -> Computed:
        method = drl_method(name)
        based_on = drl_method(method.based_on) if method.based_on else None
        request = Request(method, based_on, draws=Draws(200, 1), **more)
        return compute_levels(root, request, data=data_version(root), code_version="test")

    return run
