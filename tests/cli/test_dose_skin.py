"""``doseatlas dose cumulative-skin`` and the report's skin section, as a user meets them."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pydicom
import pytest

from .conftest import Run


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three interventional exams of one patient."""
    import datetime as dt
    from io import BytesIO

    from doseatlas.dicom.simulate import encode_exam, exams, plan

    folder = tmp_path_factory.mktemp("visits")
    first, last = dt.date(2023, 1, 1), dt.date(2024, 12, 31)
    world = plan("facility", exams=300, seed=8, start=first, end=last, device_classes=("angiography",))
    found = [one for one in exams(world) if (one.exam.totals.reference_air_kerma_mgy or 0) > 1500 and one.exam.events]
    for number, one in enumerate(found[:3]):
        dataset = pydicom.dcmread(BytesIO(encode_exam(one)[-1]))
        dataset.PatientID, dataset.PatientName = "JANE-1", "Doe^Jane"
        dataset.PregnancyStatus = 3 if number == 0 else 4
        dataset.save_as(folder / f"{number}.dcm")
    return folder


def test_a_patients_exams_are_summed_with_the_part_of_each_and_a_page(run: Run, visits: Path, tmp_path: Path) -> None:
    assert run("import", str(visits)).returncode == 0
    assert run("report", "-o", "report").returncode == 0
    with (tmp_path / "report" / "csv" / "pregnant_patients.csv").open(encoding="utf-8", newline="") as file:
        (pregnant,) = csv.DictReader(file)
    assert pregnant["pregnancy_status"] == "definitely pregnant"
    whole = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    page = re.sub(r"base64,[\w+/=]+", "", whole)  # three letters may stand in a picture by chance
    assert "Exams of pregnant patients" in page
    assert "The dose to the embryo or foetus is not calculated" in page
    assert "JANE-1" not in page
    assert "Doe" not in page

    key = pregnant["exam_id"]
    done = run("dose", "cumulative-skin", key, "--output", "map.html", "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    *parts, answer = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(parts) == 3
    assert key in {one["exam_id"] for one in parts}
    assert [one["study_date"] for one in parts] == sorted(one["study_date"] for one in parts)
    assert sum(one["at_peak_mgy"] for one in parts) == pytest.approx(answer["peak_mgy"])
    html = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert "Which procedures it adds up" in html
    assert all(one["exam_id"] in html for one in parts)
    assert "JANE-1" not in html
    assert "Doe" not in re.sub(r"base64,[\w+/=]+", "", html)

    table = run("dose", "cumulative-skin", key, "--since", parts[1]["study_date"], "--format", "csv").stdout
    listed = [row for row in csv.DictReader(table.splitlines()) if row["date"]]
    assert [row["exam"] for row in listed] == [one["exam_id"] for one in parts[1:]]


def test_an_unknown_patient_or_a_wrong_word_is_said(run: Run, visits: Path) -> None:
    run("import", str(visits))
    unknown = run("dose", "cumulative-skin", "nobody")
    assert unknown.returncode == 3
    assert "holds no exam of a patient" in unknown.stderr
    assert run("dose", "cumulative-skin", "nobody", "--orientation", "upside-down").returncode == 2


def test_a_height_or_weight_of_0_is_refused_and_not_taken_for_none(run: Run, visits: Path) -> None:
    for option in ("--height", "--weight"):
        done = run("dose", "skin", str(visits / "0.dcm"), option, "0")
        assert done.returncode == 3
        assert "0" in done.stderr
