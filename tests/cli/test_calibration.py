"""``doseatlas calibration`` and the dosimetry of single exams, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def test_a_certificate_of_a_device_that_the_store_does_not_know_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(CERTIFICATE.format(device="Nobody"))
    added = run("calibration", "add", "c.toml")
    assert added.returncode == 0
    assert "no exam of Nobody" in added.stdout
