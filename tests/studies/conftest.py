"""Made-up sites of a study: exams whose median is exactly what a test says, as marts and as filled workbooks."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from doseatlas.store.mart import SCHEMA
from doseatlas.studies import Study, template_text
from doseatlas.studies.schema import Participant

NOW = dt.datetime(2026, 2, 1, 12, 0, tzinfo=dt.UTC)
GSD = 1.5  # of patients at one site

Rows = Iterable[Mapping[str, Any]]


@pytest.fixture
def doses() -> Callable[[float, int], list[float]]:
    """Draw ``n`` log-normal doses whose median is exactly the one asked for."""
    rng = np.random.default_rng(4)

    def draw(median: float, n: int) -> list[float]:
        sample = np.exp(rng.normal(0, np.log(GSD), n))
        return [float(value) for value in sample * median / np.median(sample)]

    return draw


@pytest.fixture
def template() -> Callable[..., Study]:
    """Return a shipped template with participants: (id, country) each."""

    def make(name: str, participants: Iterable[tuple[str, str]]) -> Study:
        study = msgspec.toml.decode(template_text(name).encode(), type=Study)
        who = tuple(Participant(id=one, country=country) for one, country in participants)
        return msgspec.structs.replace(study, participants=who)

    return make


@pytest.fixture
def mart(tmp_path: Path) -> Callable[[Rows], Path]:
    """Write exams as a mart's folder; each row is a plausible adult's CT of the chest unless it says otherwise."""
    numbers = itertools.count()

    def write(rows: Rows) -> Path:
        folder = tmp_path / f"mart-{next(numbers)}"
        (folder / "exams" / "a").mkdir(parents=True)
        usual = {
            "month": "2025-03",
            "kind": "ct",
            "procedure": "ct-chest",
            "patient_group": "adult",
            "plausible": True,
            "phantom_cm": 32,
            "flags": [],
        }
        table = pa.Table.from_pylist([{**usual, "exam_id": str(i), **row} for i, row in enumerate(rows)], SCHEMA)
        pq.write_table(table, folder / "exams" / "a" / "part.parquet")
        return folder

    return write


@pytest.fixture
def fill() -> Callable[..., Path]:
    """Fill a workbook: answers by the text that the question begins with, exams as rows in the columns' order."""

    def write(path: Path, answers: Mapping[str, str], exams: Iterable[Iterable[Any]] = ()) -> Path:
        book = openpyxl.load_workbook(path)
        for line in book["site"].iter_rows(min_row=2):
            for begin, answer in answers.items():
                if str(line[0].value).startswith(begin):
                    line[2].value = answer
        for number, row in enumerate(exams, start=3):
            for column, value in enumerate(row, start=1):
                book["exams"].cell(number, column, value)
        book.save(path)
        book.close()
        return path

    return write
