from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def doseatlas(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from doseatlas.cli import main; main()", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def report(corpus: Path) -> Path:
    return corpus / "rdsr" / "RF-RDSR-Siemens_Artis-24events.dcm"


def test_the_map_is_written_from_one_report_without_a_store(report: Path, tmp_path: Path) -> None:
    page = tmp_path / "skin.html"
    done = doseatlas("dose", "skin", str(report), "--output", str(page), "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["events"] == 24
    assert answer["reference_air_kerma_mgy"] == pytest.approx(14.01)
    assert answer["cells"] >= 10_000
    assert page.read_text().startswith("<!doctype html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["skin.html"]


def test_a_report_that_relates_nothing_is_refused_in_one_sentence(corpus: Path, tmp_path: Path) -> None:
    page = tmp_path / "skin.html"
    done = doseatlas("dose", "skin", str(corpus / "rdsr" / "RF-RDSR-Philips_Azurion.dcm"), "-o", str(page))
    assert done.returncode == 3
    assert "--patient-at-isocentre" in done.stderr
    assert "Traceback" not in done.stderr
    assert not page.exists()


def test_reports_of_two_patients_are_not_added_up(report: Path) -> None:
    done = doseatlas("dose", "skin", str(report), str(report.with_name("RF-RDSR-Siemens_Artis-21events.dcm")))
    assert done.returncode == 3
    assert "different patients" in done.stderr


@pytest.mark.parametrize("words", [("--phantom", "cube"), ("--orientation", "upside-down"), ("--kerma-factor", "1.1")])
def test_wrong_usage_is_said(report: Path, words: tuple[str, str]) -> None:
    assert doseatlas("dose", "skin", str(report), *words).returncode == 2
