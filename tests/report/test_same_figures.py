"""Page, spreadsheet, CSV and terminal show the same figures by the same words."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import openpyxl

from doseatlas.analysis import FacilityReport
from doseatlas.report import words, write_csv, write_html, write_xlsx

from .page_parts import Page

Row = tuple[str, ...]


def said(procedure: str, quantity: str, n: object, median: Any, ratio: Any, verdict: str) -> Row:
    return procedure, quantity, str(n), words.dose(median), words.ratio(ratio), verdict


def test_page_spreadsheet_and_csv_have_the_same_typical_values(report: FacilityReport, tmp_path: Path) -> None:
    write_html(report, tmp_path / "report.html")
    write_xlsx(report, tmp_path / "report.xlsx")
    write_csv(report, tmp_path / "csv")

    with (tmp_path / "csv" / "typical_values.csv").open(encoding="utf-8", newline="") as file:
        from_csv = Counter(
            said(
                row["procedure"],
                row["quantity"],
                row["n"],
                float(row["median"]),
                float(row["ratio"]) if row["ratio"] else None,
                row["verdict"],
            )
            for row in csv.DictReader(file)
        )
    header, *rows = openpyxl.load_workbook(tmp_path / "report.xlsx")["Typical values"].iter_rows(values_only=True)
    names = ["Procedure", "Quantity", "Exams", "Median (in the row's unit)", "Median ÷ DRL", "Verdict"]
    places = [header.index(name) for name in names]
    from_xlsx = Counter(said(*(row[place] for place in places)) for row in rows)

    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    procedure, from_page = "", Counter[Row]()
    groups = {words.group_name(value.patient_group) for value in report.typical_values}
    for row in page.rows("Typical values of all devices")[1:]:
        if len(row) == 1:
            continue
        if len(row) == 10:
            procedure = next(row[0].removesuffix(group) for group in groups if row[0].endswith(group))
        quantity, n, median, ratio, verdict = (row[-9:][place] for place in (0, 1, 2, 6, 8))
        ratio = ratio.split("times")[0] if "times" in ratio else ratio
        for value in report.typical_values:
            quantity = quantity.removesuffix(f" {words.unit(value.quantity)}")
        from_page[
            procedure,
            quantity,
            n.split(" of ")[0],
            median,
            _first_half(ratio),
            verdict.removesuffix(" note").split(" ", 1)[1],
        ] += 1

    assert from_csv == from_xlsx == from_page
    assert from_csv.total() == len(report.typical_values)


def _first_half(text: str) -> str:
    """Return the ratio of a cell that says it twice: as a figure, and as the title of its picture."""
    half = text.strip()[: len(text.strip()) // 2]
    return half if text.strip() == half * 2 else text
