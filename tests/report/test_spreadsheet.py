from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from doseatlas.analysis import FacilityReport
from doseatlas.report import words, write_xlsx
from doseatlas.report.tables import tables

FORMULAS = [
    "=1+1",
    "+1",
    "-1+2",
    "@SUM(A1)",
    '=HYPERLINK("http://example.org")',
    "https://example.org",
    "00123",
    "{=1}",
]


@pytest.fixture(scope="module")
def workbook(report: FacilityReport, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("xlsx") / "report.xlsx"
    write_xlsx(report, path)
    return openpyxl.load_workbook(path)


def test_each_table_is_a_sheet_with_a_frozen_header_and_a_filter(report: FacilityReport, workbook: Any) -> None:
    assert workbook.sheetnames == [table.title for table in tables(report)]
    for sheet in workbook:
        assert sheet.freeze_panes == "A2"
        assert sheet.auto_filter.ref == sheet.dimensions


def test_figures_are_numbers_and_dates_are_dates(report: FacilityReport, workbook: Any) -> None:
    header, *rows = workbook["Typical values"].iter_rows(values_only=True)
    assert len(rows) == len(report.typical_values)
    for row, value in zip(rows, report.typical_values, strict=True):
        cells = dict(zip(header, row, strict=True))
        assert cells["Exams"] == value.n
        assert cells["Median (in the row's unit)"] == pytest.approx(value.median)
        assert cells["Unit of the doses"] == words.unit(value.quantity)
    header, *rows = workbook["Exams that stand out"].iter_rows(values_only=True)
    assert all(isinstance(row[header.index("Date of study")], dt.datetime) for row in rows)


def test_a_figure_is_shown_as_on_the_page_and_kept_in_full(workbook: Any) -> None:
    sheet = workbook["Typical values"]
    column = [cell.value for cell in sheet[1]].index("Median (in the row's unit)") + 1
    for (cell,) in sheet.iter_rows(min_row=2, min_col=column, max_col=column):
        decimals = len(cell.number_format.partition(".")[2])
        assert f"{cell.value:.{decimals}f}" == words.dose(cell.value).replace("\u202f", "")


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_stays_a_text(said: Callable[..., FacilityReport], text: str, tmp_path: Path) -> None:
    write_xlsx(said(lambda _: text), tmp_path / "report.xlsx")
    seen = 0
    for sheet in openpyxl.load_workbook(tmp_path / "report.xlsx"):
        for row in sheet.iter_rows():
            for cell in row:
                assert cell.data_type != "f"
                assert cell.hyperlink is None
                seen += cell.value == text
    assert seen > 20
    with zipfile.ZipFile(tmp_path / "report.xlsx") as archive:
        assert not [name for name in archive.namelist() if "externalLink" in name]
        assert b"<f>" not in archive.read("xl/worksheets/sheet2.xml")


def test_an_empty_report_has_the_same_sheets(empty: Callable[..., FacilityReport], tmp_path: Path) -> None:
    write_xlsx(empty(), tmp_path / "report.xlsx")
    workbook = openpyxl.load_workbook(tmp_path / "report.xlsx")
    assert workbook["Typical values"].max_row == 1
    assert "What to do next" in [cell.value for cell in workbook["Summary"]["A"]]


def test_a_folder_that_is_missing_leaves_nothing(report: FacilityReport, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_xlsx(report, tmp_path / "nowhere" / "report.xlsx")
    assert list(tmp_path.iterdir()) == []
