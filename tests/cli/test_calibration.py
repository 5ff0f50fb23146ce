"""``doseatlas calibration`` and the dosimetry of single exams, as a user meets them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run

CERTIFICATE = """
id = "C-1"
device = "{device}"
instrument = "ct-display"
quantity = "dlp_mgy_cm"
laboratory = "National laboratory"
issued_on = 2025-01-01
valid_from = 2025-01-01
valid_until = 2026-01-01
[[factors]]
quality = "120 kV"
factor = 1.1
expanded_relative_uncertainty = 0.06
"""


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_certificate_is_added_listed_due_and_removed(run: Run, objects: Path, tmp_path: Path) -> None:
    run("import", str(objects))
    exam = next(one for one in _lines(run("exams", "--kind", "ct", "--format", "jsonl").stdout) if one.get("totals"))
    device = " ".join(exam["device"][part] for part in ("manufacturer", "model", "station_name"))
    (tmp_path / "c.toml").write_text(CERTIFICATE.format(device=device))
    added = run("calibration", "add", "c.toml")
    assert added.returncode == 0, added.stderr
    assert added.stdout.startswith("Exams derived again: ")
    assert not added.stdout.startswith("Exams derived again: 0")
    (listed,) = _lines(run("calibration", "list", "--format", "jsonl").stdout)
    assert (listed["certificate"], listed["device"], listed["state"]) == ("C-1", device, "in force")
    (due,) = _lines(run("calibration", "due", "--days", "100000", "--format", "jsonl").stdout)
    assert due["next due"] == "2026-01-01"
    again = run("calibration", "add", "c.toml")
    assert again.returncode == 3
    assert "there twice" in again.stderr
    assert run("calibration", "remove", "C-1").returncode == 0
    assert run("calibration", "list", "--format", "jsonl").stdout == ""
    (kept,) = _lines(run("calibration", "list", "--history", "--format", "jsonl").stdout)
    assert kept["state"] == "removed"
    assert run("calibration", "remove", "C-1").returncode == 3


def test_stated_and_corrected_values_stand_side_by_side_with_the_certificate(
    run: Run, objects: Path, tmp_path: Path
) -> None:
    from doseatlas.analysis import mart_table

    run("import", str(objects))
    rows = mart_table(tmp_path / "data" / "mart").to_pyarrow().to_pylist()
    row = next(row for row in rows if row["kind"] == "ct" and row["ctdi_vol_mgy"] and row["plausible"])
    year = row["study_date"].year
    text = CERTIFICATE.format(device=row["device"]).replace("2026", str(year + 1)).replace("2025", str(year))
    (tmp_path / "c.toml").write_text(text)
    assert run("calibration", "add", "c.toml").returncode == 0
    lines = _lines(run("dose", "exam", row["exam_id"], "--format", "jsonl").stdout)
    shown = {one["quantity"]: one for one in lines}
    assert len(shown) == len([one for one in lines if one["quantity"] != "flag"]) + ("flag" in shown)
    for name in ("dlp{}_mgy_cm", "ctdi_vol{}_mgy"):
        stated, corrected = shown[name.format("")], shown[name.format("_corrected")]
        assert stated["meaning or source"] == "as stated"
        assert float(corrected["value"]) == pytest.approx(1.1 * float(stated["value"]))
        assert "certificate C-1, National laboratory" in corrected["meaning or source"]
        uncertainty = float(shown[f"uncertainty of {name.format('_corrected')}"]["value"])
        assert 0.03 < uncertainty / float(corrected["value"]) < 0.1
    assert run("report", "--output", str(tmp_path / "report"), "--device", row["device"]).returncode == 0
    page = next((tmp_path / "report").rglob("*.html")).read_text(encoding="utf-8")
    assert "Displays and their calibration" in page
    assert re.search(r"Calibration certificates correct \d+ of the displayed values below, of 1 device", page)
    assert "C-1" in next((tmp_path / "report").rglob("displays.csv")).read_text(encoding="utf-8")


OUTPUT = """
id = "QA-1"
device = "Nobody"
instrument = "tube-output"
quantity = "tube_output_mgy_per_mas"
laboratory = "Medical physics"
issued_on = 2025-01-01
valid_from = 2025-01-01
valid_until = 2026-01-01
[tube_output]
distance_mm = 1000
[[tube_output.points]]
kvp = 80
output_mgy_per_mas = {output}
added_cu_mm = 0.1
expanded_relative_uncertainty = 0.05
"""


def test_the_output_of_a_tube_is_added_listed_and_due_as_certificates_are(run: Run, tmp_path: Path) -> None:
    (tmp_path / "o.toml").write_text(OUTPUT.format(output=35))
    refused = run("calibration", "add", "o.toml")
    assert refused.returncode == 3
    assert "Certificate QA-1: The output at 80 kV is 35 mGy/mAs" in refused.stderr
    (tmp_path / "o.toml").write_text(OUTPUT.format(output=0.035))
    assert run("calibration", "add", "o.toml").returncode == 0
    (listed,) = _lines(run("calibration", "list", "--format", "jsonl").stdout)
    assert listed["factors or output"] == "0.035 (80 kV, 0 mm Al and 0.1 mm Cu added) mGy/mAs at 1000 mm"
    (due,) = _lines(run("calibration", "due", "--days", "100000", "--format", "jsonl").stdout)
    assert (due["quantity"], due["next due"]) == ("tube_output_mgy_per_mas", "2026-01-01")


def test_a_certificate_of_a_device_that_the_store_does_not_know_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(CERTIFICATE.format(device="Nobody"))
    added = run("calibration", "add", "c.toml")
    assert added.returncode == 0
    assert "no exam of Nobody" in added.stdout
