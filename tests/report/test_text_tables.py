from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from doseatlas.analysis import FacilityReport
from doseatlas.report import text_tables, write_csv
from doseatlas.report.tables import Column, Table, tables

DOCUMENT = Path(__file__).parents[2] / "docs" / "report.md"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_table_is_a_file_with_every_row(report: FacilityReport, tmp_path: Path) -> None:
    write_csv(report, tmp_path / "csv")
    assert sorted(file.name for file in (tmp_path / "csv").iterdir()) == sorted(
        f"{table.name}.csv" for table in tables(report)
    )
    found = rows(tmp_path / "csv" / "typical_values.csv")
    assert len(found) == len(report.typical_values)
    for row, value in zip(found, report.typical_values, strict=True):
        assert float(row["median"]) == pytest.approx(value.median, rel=1e-11)
        assert int(row["n"]) == value.n
        assert (row["ratio"] == "") == (value.ratio is None)
        assert row["phantom_cm"] == ("" if value.phantom_cm is None else str(value.phantom_cm))
    assert len(rows(tmp_path / "csv" / "device_values.csv")) == len(report.device_values)
    assert len(rows(tmp_path / "csv" / "trends.csv")) == len(report.trends)


def test_every_file_and_column_is_documented(report: FacilityReport) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for table in tables(report):
        assert f"`{table.name}.csv`" in text
        for column in table.columns:
            assert f"`{column.name}`" in text, f"{table.name}.{column.name}"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-2", "@SUM(A1)", "  =1", "'quoted", "＝1"])
def test_a_text_that_a_spreadsheet_would_run_is_kept_from_it(text: str) -> None:
    table = Table("t", "T", (Column("a", "A"), Column("b", "B", "dose")), ((text, -2.5),))
    ((cell, figure),) = list(csv.reader(text_tables.csv_text(table).splitlines()[1:]))
    assert cell == f"'{text}"
    assert figure == "-2.5"


def test_no_cell_of_objects_that_state_formulas_begins_like_one(
    said: Callable[..., FacilityReport], tmp_path: Path
) -> None:
    write_csv(said(lambda _: "=cmd|' /C calc'!A0"), tmp_path)
    for file in tmp_path.glob("*.csv"):
        with file.open(encoding="utf-8", newline="") as opened:
            assert not [cell for row in csv.reader(opened) for cell in row if cell.startswith(("=", "+", "-", "@"))]


def test_a_file_that_cannot_be_written_leaves_all_others_as_they_were(
    report: FacilityReport, empty: Callable[..., FacilityReport], tmp_path: Path
) -> None:
    write_csv(empty(), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    (tmp_path / "sources.csv").unlink()
    (tmp_path / "sources.csv").mkdir()
    with pytest.raises(OSError, match=r"sources\.csv"):
        write_csv(report, tmp_path)
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    assert after == {name: content for name, content in before.items() if name != "sources.csv"}
