"""A changed setting changes the exams that it touches, at the next use of the mart, and no others."""

from __future__ import annotations

import datetime as dt
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doseatlas.analysis import mart_table
from doseatlas.dicom.simulate import encode_exam, exams, plan
from doseatlas.dosimetry import needs_skin_map
from doseatlas.settings import Settings
from doseatlas.store import Store, import_paths
from doseatlas.store.dose_settings import follow_settings

DAY = dt.date(2024, 3, 5)
SKIN = ("peak_skin_dose_mgy", "peak_skin_dose_missing")


@pytest.fixture(scope="session")
def children(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports of nuclear medicine of a few children whose weight is stated."""
    folder = tmp_path_factory.mktemp("children")
    world = plan("facility", exams=2000, seed=4, start=DAY, end=DAY, faults=False, device_classes=("nuclear",))
    young = (
        one
        for one in exams(world)
        if (one.exam.patient.age_years or 99) < 17 and one.exam.patient.weight_kg is not None
    )
    for simulated in islice(young, 4):
        (folder / f"{simulated.index}.dcm").write_bytes(encode_exam(simulated)[0])
    return folder


@pytest.fixture
def filled(settings: Settings, objects: Path, children: Path) -> Settings:
    """Settings of a store whose exams were derived with the settings as they are by default."""
    with Store.from_settings(settings) as store:
        import_paths(store, [objects, children])
        store.refresh_mart()
    return settings


def _rows(store: Store) -> dict[str, dict[str, Any]]:
    return {row["exam_id"]: row for row in mart_table(store.mart_dir).to_pyarrow().to_pylist()}


def _with_map(store: Store) -> set[str]:
    return {key for key, row in _rows(store).items() if any(row[name] is not None for name in SKIN)}


def test_a_lower_and_again_the_former_limit_is_followed_when_the_mart_is_next_used(filled: Settings) -> None:
    lower = msgspec.structs.replace(filled, skin_dose_from_gy=0.0001)
    with Store.from_settings(lower) as store:
        before = _with_map(store)
        store.refresh_mart()
        after = _with_map(store)
        known = store.exams_by_id(sorted(_rows(store)))
        assert after == {key for key, exam in known.items() if needs_skin_map(exam, 0.0001)}
        assert before < after
        assert follow_settings(store) == 0
    with Store.from_settings(filled) as store:
        store.refresh_mart()
        assert _with_map(store) == before


@pytest.mark.parametrize(
    ("setting", "kind", "column"),
    [("ct_coefficients", "ct", "effective_dose_set"), ("activity_guideline", "nuclear", "activity_guideline")],
)
def test_another_coefficient_set_or_guideline_derives_its_kind_of_exams_anew_and_back(
    filled: Settings, setting: str, kind: str, column: str
) -> None:
    other = {"ct_coefficients": "deak-2010", "activity_guideline": "north-america-2024"}[setting]
    with Store.from_settings(msgspec.structs.replace(filled, **{setting: other})) as store:
        before = _rows(store)
        store.refresh_mart()
        after = _rows(store)
    for key, row in after.items():
        if row["kind"] == kind:
            assert row[column] in (other, None)
        else:
            assert row == before[key]
    assert other in {row[column] for row in after.values()}
    with Store.from_settings(filled) as store:
        store.refresh_mart()
        assert _rows(store) == before
        assert follow_settings(store) == 0


def test_the_row_of_one_exam_and_of_a_patient_follow_too(filled: Settings) -> None:
    other = msgspec.structs.replace(filled, ct_coefficients="deak-2010")
    with Store.from_settings(other) as store:
        key = next(key for key, row in _rows(store).items() if row["effective_dose_set"] == "aapm-96")
        row = store.mart_row(key)
        assert row is not None
        assert row.get("effective_dose_set") in ("deak-2010", None)
        assert follow_settings(store) == 0


def test_a_range_of_activity_has_both_ends_and_no_single_value(filled: Settings) -> None:
    american = msgspec.structs.replace(filled, activity_guideline="north-america-2024")
    with Store.from_settings(american) as store:
        store.refresh_mart()
        found = [row for row in _rows(store).values() if row["activity_guideline"]]
    assert found
    for row in found:
        low, high = row["recommended_activity_low_mbq"], row["recommended_activity_high_mbq"]
        given = row["administered_activity_corrected_mbq"]
        assert low <= high
        assert row["recommended_activity_mbq"] == (low if low == high else None)
        assert row["activity_ratio"] == pytest.approx(given / min(max(given, low), high))


def test_a_rebuild_follows_it_and_leaves_nothing_to_be_followed(filled: Settings) -> None:
    lower = msgspec.structs.replace(filled, skin_dose_from_gy=0.0001)
    with Store.from_settings(lower) as store:
        store.rebuild()
        assert follow_settings(store) == 0
