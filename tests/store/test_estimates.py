"""Reports of estimated patient dose: kept beside the exams, part of those they were made from, never an exam more."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import msgspec
import pyarrow.parquet
import pytest

from doseatlas.dicom.simulate import SimulatedExam, encode_estimate, encode_exam, estimate_report, exams, plan
from doseatlas.model import Exam
from doseatlas.settings import Settings
from doseatlas.store import Store, held, import_paths

DAY = dt.date(2024, 3, 5)


@pytest.fixture(scope="module")
def simulated() -> SimulatedExam:
    world = plan("world", exams=400, seed=3, start=DAY, end=DAY, faults=False, device_classes=("ct",))
    return next(one for one in exams(world) if len(one.reports) == 2)


@pytest.fixture
def files(simulated: SimulatedExam, tmp_path: Path) -> list[Path]:
    """Two dose reports of one exam, and the estimates that were made from them."""
    found = []
    for number, data in enumerate([*encode_exam(simulated), encode_estimate(simulated)]):
        found.append(tmp_path / f"{number}.dcm")
        found[-1].write_bytes(data)
    return found


def _kept(store: Store) -> dict[str, Exam]:
    return {exam.kind: msgspec.structs.replace(exam, path=None) for exam in store.exams()}


def _rows(store: Store) -> list[dict[str, object]]:
    store.refresh_mart()
    tables = [pyarrow.parquet.read_table(file, partitioning=None) for file in store.mart_dir.rglob("*.parquet")]
    return [row for table in tables for row in table.to_pylist()]


def test_the_exam_has_the_estimates_and_the_mart_the_stated_effective_dose(
    store: Store, files: list[Path], simulated: SimulatedExam
) -> None:
    import_paths(store, files)
    kept, truth = _kept(store), estimate_report(simulated)
    assert set(kept) == {"ct", "estimate"}
    assert kept["ct"].estimates == kept["estimate"].estimates == truth.estimates
    assert "estimates-attached" in {note.code for note in kept["ct"].notes}
    (row,) = _rows(store)
    assert row["kind"] == "ct"
    assert row["stated_effective_dose_msv"] == truth.estimates[-1].effective_dose_msv
    assert "Monte" in str(row["stated_effective_dose_method"])
    assert store.counts().exams == 1
    assert store.unmapped() == []


def test_the_order_of_the_objects_does_not_matter(
    settings: Settings, files: list[Path], tmp_path: Path, simulated: SimulatedExam
) -> None:
    found = []
    for number, order in enumerate(permutations(files)):
        one = msgspec.structs.replace(Settings(), data_dir=str(tmp_path / f"order{number}"), jobs=1)
        with Store.from_settings(one) as store:
            for file in order:
                import_paths(store, [file])
            found.append((_kept(store), _rows(store)))
    assert all(one == found[0] for one in found)


def test_a_rebuild_gives_the_same(store: Store, files: list[Path]) -> None:
    import_paths(store, [files[2], *files[:2]])
    before = _kept(store)
    store.rebuild()
    assert _kept(store) == before
    assert len(_rows(store)) == 1


def test_estimates_do_not_stand_in_for_the_report_of_the_device(store: Store, files: list[Path]) -> None:
    import_paths(store, [files[2]])
    (exam,) = store.exams()
    study = exam.study_instance_uid or ""
    assert not held(store, [study])[study].has_report
    import_paths(store, [files[0]])
    assert held(store, [study])[study].has_report


def test_estimates_of_a_report_that_is_not_here_belong_to_no_exam(store: Store, files: list[Path]) -> None:
    import_paths(store, [files[2]])
    assert set(_kept(store)) == {"estimate"}
    assert _rows(store) == []


def test_a_report_of_the_study_that_was_not_used_has_no_estimates(
    store: Store, simulated: SimulatedExam, tmp_path: Path
) -> None:
    other = msgspec.structs.replace(simulated.exam, sop_instance_uid="1.2.3.4")
    for name, data in (("a", encode_exam(replace(simulated, reports=(other,)))[0]), ("b", encode_estimate(simulated))):
        (tmp_path / f"{name}.dcm").write_bytes(data)
        import_paths(store, [tmp_path / f"{name}.dcm"])
    kept = _kept(store)
    assert kept["estimate"].estimates
    assert kept["ct"].estimates == ()
