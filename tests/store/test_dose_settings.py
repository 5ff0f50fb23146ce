"""A changed setting changes the exams that it touches, at the next use of the mart, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from doseatlas.analysis import mart_table
from doseatlas.dosimetry import needs_skin_map
from doseatlas.settings import Settings
from doseatlas.store import Store, import_paths
from doseatlas.store.dose_settings import follow_settings

SKIN = ("peak_skin_dose_mgy", "peak_skin_dose_missing")


@pytest.fixture
def filled(settings: Settings, objects: Path) -> Settings:
    """Settings of a store whose exams were derived with the setting as it is by default."""
    with Store.from_settings(settings) as store:
        import_paths(store, [objects])
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
        exams = store.exams_by_id(sorted(_rows(store)))
        assert after == {key for key, exam in exams.items() if needs_skin_map(exam, 0.0001)}
        assert before < after
        assert follow_settings(store) == 0
    with Store.from_settings(filled) as store:
        store.refresh_mart()
        assert _with_map(store) == before


def test_a_rebuild_follows_it_and_leaves_nothing_to_be_followed(filled: Settings) -> None:
    lower = msgspec.structs.replace(filled, skin_dose_from_gy=0.0001)
    with Store.from_settings(lower) as store:
        store.rebuild()
        assert follow_settings(store) == 0
