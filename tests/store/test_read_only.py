"""A store in a folder that may not be written: what reads works, what writes says why it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from doseatlas.model import StoreError
from doseatlas.settings import Settings
from doseatlas.store import Store, import_paths


@contextmanager
def _unwritable(folder: Path) -> Iterator[None]:
    """Make a folder read-only for this process: by its mode, or, for root, by mounting it so."""
    if os.geteuid() != 0:
        places = [folder, *(one for one in folder.rglob("*"))]
        modes = {place: place.stat().st_mode for place in places}
        for place in places:
            place.chmod(0o555 if place.is_dir() else 0o444)
        try:
            yield
        finally:
            for place, mode in modes.items():
                place.chmod(mode)
        return
    made = [["mount", "--bind", str(folder), str(folder)], ["mount", "-o", "remount,ro,bind", str(folder)]]
    if subprocess.run(made[0], capture_output=True, check=False).returncode:
        pytest.skip("root may write everywhere, and may not mount here: run as another user")
    try:
        subprocess.run(made[1], capture_output=True, check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=True)


@pytest.fixture
def filled(objects: Path, tmp_path: Path) -> Settings:
    """Settings of an SQLite store with exams and an up-to-date mart, which nobody has open."""
    settings = Settings(data_dir=str(tmp_path / "data 100%"), jobs=1)
    with Store.from_settings(settings) as store:
        import_paths(store, [objects])
        store.refresh_mart()
    return settings


def _files(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_lists_and_the_mart_are_read_and_nothing_is_written(
    filled: Settings, listed: Callable[[Store], list[str]]
) -> None:
    with Store.from_settings(filled) as store:
        exams, counts, refused = listed(store), store.counts(), store.refused()
    before = _files(filled.data_path)
    with _unwritable(filled.data_path):
        assert Store.exists(filled)
        with Store.from_settings(filled) as store:
            assert store.database.read_only
            assert (listed(store), store.counts(), store.refused()) == (exams, counts, refused)
            assert store.refresh_mart() == 0
    assert _files(filled.data_path) == before


def test_listing_report_and_export_work_and_import_says_why_it_cannot(
    filled: Settings, objects: Path, tmp_path: Path
) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DOSEATLAS_DATA_DIR": filled.data_dir or "", "HOME": str(tmp_path)}
        command = [str(Path(sys.executable).with_name("doseatlas")), *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    listing = run("exams", "--format", "jsonl").stdout
    with _unwritable(filled.data_path):
        assert run("exams", "--format", "jsonl").stdout == listing
        report = run("report", "--output", str(tmp_path / "report"))
        assert (report.returncode, list((tmp_path / "report").glob("*.html")) != []) == (0, True), report.stderr
        exported = run("mapping", "export", str(tmp_path / "names.csv"))
        assert (exported.returncode, (tmp_path / "names.csv").exists()) == (0, True), exported.stderr
        refused = run("import", str(objects))
    assert refused.returncode == 3
    assert "can only be read here" in " ".join(refused.stderr.split())


def test_what_has_to_write_says_that_the_folder_may_not_be_written(filled: Settings, objects: Path) -> None:
    with _unwritable(filled.data_path), Store.from_settings(filled) as store:
        with pytest.raises(StoreError, match=r"can only be read here.*Nothing was changed"):
            store.rebuild()
        with pytest.raises(StoreError, match="can only be read here"):
            import_paths(store, [objects])


def test_a_store_that_another_program_is_writing_is_read_up_to_its_last_commit(
    filled: Settings, objects: Path, corrected: tuple[Path, Path], listed: Callable[[Store], list[str]]
) -> None:
    with Store.from_settings(filled) as writer:
        import_paths(writer, [corrected[0]])
        expected = listed(writer)
        with _unwritable(filled.data_path), Store.from_settings(filled) as store:
            assert listed(store) == expected


def test_a_store_that_was_never_made_is_not_made_in_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    settings = msgspec.structs.replace(Settings(), data_dir=str(tmp_path / "data"), jobs=1)
    with _unwritable(tmp_path / "data"), pytest.raises(StoreError):
        Store.from_settings(settings)
