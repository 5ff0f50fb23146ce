"""What ``import doseatlas`` offers, as a program uses it."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

import doseatlas
from doseatlas.dicom.simulate import plan, write_objects
from doseatlas.settings import Settings
from doseatlas.store import Store, import_paths
from doseatlas.store.mart_schema import EXAM_COLUMNS


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("objects")
    write_objects(plan("facility", exams=40, seed=6, start=dt.date(2024, 1, 1), end=dt.date(2024, 2, 1)), folder)
    return folder


@pytest.fixture
def atlas(objects: Path, tmp_path: Path) -> Iterator[doseatlas.Atlas]:
    with Store.from_settings(Settings(data_dir=str(tmp_path), jobs=1)) as store:
        import_paths(store, [objects])
    with doseatlas.open(data_dir=tmp_path) as opened:
        yield opened


def test_reading_needs_no_store_and_never_raises(objects: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.dcm").write_bytes(b"no object")
    (refused,) = doseatlas.read(tmp_path / "bad.dcm")
    assert refused.kind == "refused"
    assert refused.error is not None
    exams = doseatlas.read(objects)
    assert len(exams) == len(list(objects.rglob("*.dcm")))
    assert {exam.kind for exam in exams} <= {"ct", "projection", "mammography", "nuclear"}


@pytest.mark.filterwarnings("ignore:The 'future.infer_string' option is deprecated")  # pandas of itself
def test_the_exams_of_a_store_come_as_columns(atlas: doseatlas.Atlas) -> None:
    table = atlas.exams()
    assert list(table.columns) == [column.name for column in EXAM_COLUMNS]
    assert table.count().to_pyarrow().as_py() >= 40
    assert list(table.to_pandas()["exam_id"]) == list(table.to_polars()["exam_id"])


def test_typical_values_are_those_of_the_exams(atlas: doseatlas.Atlas) -> None:
    rows = atlas.typical_values().to_pyarrow().to_pylist()
    assert rows
    assert all(row["minimum"] <= row["p25"] <= row["median"] <= row["p75"] <= row["maximum"] for row in rows)
    assert (
        sum(row["n"] for row in rows if row["quantity"] == "dlp_mgy_cm") <= atlas.exams().count().to_pyarrow().as_py()
    )


def test_what_was_imported_since_is_in_the_next_answer(atlas: doseatlas.Atlas, tmp_path: Path, objects: Path) -> None:
    before = atlas.exams().count().to_pyarrow().as_py()
    report = pydicom.dcmread(next(objects.rglob("*.dcm")))
    report.StudyInstanceUID = report.SOPInstanceUID = "2.25.77"
    report.save_as(tmp_path / "new.dcm")
    with Store.from_settings(Settings(data_dir=str(tmp_path), jobs=1)) as store:
        import_paths(store, [tmp_path / "new.dcm"])
    assert atlas.exams().count().to_pyarrow().as_py() == before + 1


def test_a_store_that_cannot_be_opened_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(doseatlas.StoreError):
        doseatlas.open(data_dir=tmp_path / "file")
    with pytest.raises(doseatlas.SettingsError):
        doseatlas.open("nonsense", data_dir=tmp_path)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, doseatlas, doseatlas.store; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pydicom", "pyarrow", "duckdb", "ibis", "sqlalchemy", "alembic", "numpy", "pandas"} & set(loaded)
