from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from doseatlas.analysis import (
    AboveLevel,
    CountOf,
    ExamsStandOut,
    Selection,
    Standing,
    data_quality,
    facility_report,
    mart_table,
    typical_values,
)

Mart = Callable[[Any], Path]
NOW = dt.datetime(2026, 2, 1, 12, 0, tzinfo=dt.UTC)


def report(path: Path, selection: Selection = Selection(), **options: Any) -> Any:  # noqa: B008 (immutable)
    return facility_report(path, selection=selection, now=NOW, version="1.0", **{"drl_set": None, **options})


def test_data_quality_counts_what_is_missing_and_names_it(mart: Mart) -> None:
    rows: list[dict[str, Any]] = [
        {"weight_kg": 70.0},
        {"plausible": False, "flags": ["dlp-implausible", "age-implausible"]},
        {"flags": ["age-implausible"], "patient_group": None},
        {"procedure": None, "procedure_text": "XYZ"},
        {"procedure": None, "procedure_text": "XYZ"},
        {"procedure": None, "procedure_text": None},
    ]
    found = data_quality(mart_table(mart(rows)), Selection(), refused={"truncated": 1, "not-dicom": 4}, ignored=9)
    assert (found.exams, found.plausible, found.mapped, found.grouped, found.with_weight) == (6, 5, 3, 5, 1)
    assert found.counted == 1
    assert found.unmapped_names == (CountOf(value="XYZ", count=2), CountOf(value="(no name stated)", count=1))
    assert found.flags == (CountOf(value="age-implausible", count=2), CountOf(value="dlp-implausible", count=1))
    assert found.refused == (CountOf(value="not-dicom", count=4), CountOf(value="truncated", count=1))
    assert found.ignored == 9


def test_the_report_of_an_empty_mart_is_empty(tmp_path: Path) -> None:
    found = report(tmp_path)
    assert found.exam_count == 0
    assert found.typical_values == ()
    assert found.outliers == ()
    assert found.facility == "no exams"
    assert found.quality.exams == 0


def test_the_report_holds_what_each_analysis_gives(mart: Mart, levels: Callable[..., Any]) -> None:
    rows = [
        {"dlp_mgy_cm": 400.0 + i, "device": f"Maker Model {i % 2}", "study_date": dt.date(2026, 1, 1 + i)}
        for i in range(30)
    ] + [{"dlp_mgy_cm": 4000.0, "device": "Maker Model 0"}]
    path = mart(rows)
    drl_set = levels(dlp_mgy_cm=(300.0, 16))
    found = report(path, drl_set=drl_set, refused={"truncated": 1})
    table = mart_table(path)
    assert found.title == "Patient dose report: General Hospital"
    assert (found.exam_count, found.device_count, found.drl_set) == (31, 2, "a-set")
    assert (found.first_date, found.last_date) == (dt.date(2026, 1, 1), dt.date(2026, 1, 30))
    assert found.typical_values == typical_values(table, Selection(), drl_set=drl_set)
    assert found.device_values == typical_values(table, Selection(), by="device", drl_set=drl_set)
    assert sum(found.distributions[0].counts) == 31
    assert [(value.month, value.n) for value in found.trends] == [("2026-01", 31)]
    assert (found.drl_name, found.drl_authority, found.drl_level) == ("Utopia 2025", "An authority", "a level")
    assert found.standing == Standing(above=1)
    assert [type(finding) for finding in found.findings] == [AboveLevel, ExamsStandOut]
    assert [(device.device, device.exams) for device in found.devices] == [("Maker Model 0", 16), ("Maker Model 1", 15)]
    assert found.outlier_count == sum(reason.count for reason in found.outlier_reasons) == 1
    assert found.outliers[0].value == 4000.0
    assert found.generated_at == NOW
    assert found.sources[0] == "a document"
    assert len(set(found.sources)) == len(found.sources)


def test_a_selection_that_means_nothing_gives_an_empty_report(mart: Mart) -> None:
    found = report(mart([{"dlp_mgy_cm": 1.0}]), Selection(facility="Elsewhere"))
    assert (found.facility, found.exam_count, found.typical_values) == ("Elsewhere", 0, ())


def test_several_facilities_are_counted_in_the_title(mart: Mart) -> None:
    found = report(mart([{"facility": "A"}, {"facility": "B"}]))
    assert found.facility == "2 facilities"
    assert report(mart([{}]), title="Ours").title == "Ours"


def test_the_words_of_the_room_load_no_query_engine() -> None:
    code = (
        "import sys, doseatlas.analysis as a; a.Selection, a.FacilityReport\n"
        "print(sorted({'ibis', 'duckdb', 'pyarrow', 'numpy'} & set(sys.modules)))\n"
        "import importlib; importlib.import_module('doseatlas.analysis.facility')\n"
        "assert all(callable(getattr(a, name)) for name in a.__all__ if name[0].islower())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
