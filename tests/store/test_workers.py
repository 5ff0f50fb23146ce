"""Worker processes: in order, in bounded memory, and a death among them is told."""

from __future__ import annotations

from pathlib import Path

import msgspec
import psutil
import pytest

from doseatlas.model import StoreError
from doseatlas.settings import Settings
from doseatlas.store import Store, import_paths, importing, workers
from doseatlas.store.prepare import Prepared


def test_a_worker_that_dies_is_told_and_what_was_committed_stays(
    tmp_path: Path, objects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BATCH_OBJECTS", 5)
    reported = 0

    def kill(done: int, total: int | None) -> None:
        nonlocal reported
        if reported == 0:
            for child in psutil.Process().children():
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()
        reported = done

    with Store.from_settings(Settings(data_dir=str(tmp_path), jobs=2)) as store:
        with pytest.raises(StoreError, match="A worker process ended before its time"):
            import_paths(store, [objects], progress=kill)
        assert reported > 0
        assert store.counts().objects > 0
        import_paths(store, [objects])
        assert store.archive.is_settled()


def test_a_worker_hands_back_what_it_has_no_room_for(
    tmp_path: Path, objects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "HEAVY_BYTES", 10_000)
    told = []
    with Store.from_settings(Settings(data_dir=str(tmp_path), jobs=1)) as store:
        summary = import_paths(store, [objects], progress=lambda done, total: told.append(done))
    assert summary.objects == told[-1] == len(list(objects.rglob("*.dcm")))
    assert len(told) > 3


def test_results_are_cut_where_they_become_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    light = Prepared("a", b"1", "known")
    done = workers.encoded(light for _ in range(5))
    assert (done.tasks, done.results()) == (5, [light] * 5)
    assert msgspec.msgpack.decode(done.encoded)
