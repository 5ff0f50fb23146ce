"""What can go wrong around the store: each time a sentence that helps, nothing lost, no traceback."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text
from tests.store.postgresql import Postgresql

from doseatlas.model import SettingsError, StoreError, StoreTooNew
from doseatlas.settings import Settings
from doseatlas.store import Outcome, Store, import_paths, importing

Listed = Callable[[Store], list[str]]
DOSEATLAS = str(Path(sys.executable).with_name("doseatlas"))


def test_a_store_of_a_newer_version_is_left_alone(settings: Settings) -> None:
    with Store.from_settings(settings) as store, store.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreTooNew, match=r"newer version of DoseAtlas.*nothing was changed"):
        Store.from_settings(settings)


def test_tables_of_another_program_are_left_alone(settings: Settings) -> None:
    with Store.from_settings(settings) as store, store.database.writing() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(StoreError, match="another program"):
        Store.from_settings(settings)


def test_a_file_that_is_no_database_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "doseatlas.sqlite").write_bytes(b"no database at all " * 100)
    with pytest.raises(StoreError, match="damaged or is not a store"):
        Store.from_settings(Settings(data_dir=str(tmp_path)))


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/dose", "sqlite://", "sqlite:///:memory:"])
def test_what_is_no_store_is_a_wrong_setting(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="'store'"):
        Store.from_settings(Settings(data_dir=str(tmp_path), store=url))


def test_a_server_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), store="postgresql://dose:secret@127.0.0.1:1/dose")
    assert Store.exists(settings)
    with pytest.raises(StoreError, match="does not answer") as caught:
        Store.from_settings(settings)
    assert "127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.postgresql
@pytest.mark.parametrize("moment", ["write", "accept"])
def test_a_server_that_is_restarted_in_mid_import_loses_nothing_and_the_next_import_goes_on(
    postgresql: Postgresql,
    objects: Path,
    tmp_path: Path,
    listed: Listed,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    monkeypatch.setattr(importing, "BATCH_OBJECTS", 15)
    settings = Settings(data_dir=str(tmp_path / "data"), jobs=1, store=postgresql.new_database())
    told: list[str] = []

    def committed(outcomes: Sequence[Outcome]) -> None:
        told.extend(outcome.path for outcome in outcomes)

    with Store.from_settings(settings) as store:
        undisturbed = getattr(store.archive, moment)

        def restarting(pack: object) -> None:
            undisturbed(pack)
            if told:
                monkeypatch.setattr(store.archive, moment, undisturbed)
                postgresql.stop()
                postgresql.start()

        monkeypatch.setattr(store.archive, moment, restarting)
        # In mid-transaction the import ends; between two it goes on by itself.
        with pytest.raises(StoreError, match="store") if moment == "write" else nullcontext():
            import_paths(store, [objects], committed=committed)
        kept = {exam.path for exam in store.exams()}
        import_paths(store, [objects])
        assert len(told) >= 15
        assert kept <= {exam.path for exam in store.exams()}
        assert store.archive.is_settled()
        after = listed(store)
    with Store.from_settings(Settings(data_dir=str(tmp_path / "undisturbed"), jobs=1)) as store:
        import_paths(store, [objects])
        assert listed(store) == after


def test_a_wrong_password_is_said(settings: Settings) -> None:
    if not settings.store:
        pytest.skip("SQLite has no passwords")
    login, host = settings.store.rsplit("@", 1)
    wrong = msgspec.structs.replace(settings, store=f"{login}x@{host}")
    with pytest.raises(StoreError, match="does not accept user or password"):
        Store.from_settings(wrong)


def test_a_store_exists_after_it_was_opened_once(settings: Settings) -> None:
    assert not Store.exists(settings)
    Store.from_settings(settings).close()
    assert Store.exists(settings)


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=str(tmp_path / "file")):
        Store.from_settings(Settings(data_dir=str(tmp_path / "file")))


def test_a_full_disk_loses_nothing_and_the_next_import_goes_on(objects: Path, tmp_path: Path, listed: Listed) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.getuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", disk], check=False).returncode
    ):
        pytest.skip("mounting a small disk needs root")
    try:
        done = _import(objects, disk / "data")
        assert done.returncode == 3, done.stdout
        assert "Traceback" not in done.stderr
        assert "full" in done.stderr or "No space left" in done.stderr
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        with Store.from_settings(Settings(data_dir=str(disk / "data"), jobs=1)) as store:
            import_paths(store, [objects])
            after = listed(store)
            assert store.archive.is_settled()
    finally:
        subprocess.run(["umount", disk], check=True)
    with Store.from_settings(Settings(data_dir=str(tmp_path / "undisturbed"), jobs=1)) as store:
        import_paths(store, [objects])
        assert listed(store) == after


def test_a_file_that_may_not_grow_is_an_error_with_a_sentence(objects: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    Store.from_settings(Settings(data_dir=str(data))).close()
    size = (data / "doseatlas.sqlite").stat().st_size + 4096
    done = _import(objects, data, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    assert done.returncode == 3, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    with Store.from_settings(Settings(data_dir=str(data))) as store:
        assert store.counts().objects == len(list(store.exams())) == 0


def test_a_store_that_may_only_be_read_says_so_and_stays_as_it_is(objects: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Store.from_settings(Settings(data_dir=str(data), jobs=1)) as store:
        import_paths(store, [next(objects.rglob("*.dcm"))])
    before = (data / "doseatlas.sqlite").read_bytes()
    paths = (data, *data.rglob("*"))
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    done = _import(objects, data, bound=True)
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert done.returncode == 3, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    assert str(data) in done.stderr
    assert (data / "doseatlas.sqlite").read_bytes() == before


def test_objects_that_may_not_be_read_are_refused(objects: Path, tmp_path: Path) -> None:
    folder = tmp_path / "objects"
    folder.mkdir()
    for number, file in enumerate(sorted(objects.rglob("*.dcm"))[:3]):
        shutil.copy(file, folder / f"{number}.dcm")
        (folder / f"{number}.dcm").chmod(0o644)
    (folder / "1.dcm").chmod(0)
    data = tmp_path / "data"
    done = _import(folder, data, bound=True)
    assert done.returncode == 1, done.stderr
    with Store.from_settings(Settings(data_dir=str(data))) as store:
        (refused,) = store.refused()
        assert (refused.path, refused.code) == (str(folder / "1.dcm"), "permission-denied")
        assert store.counts().objects == 2


def _import(
    objects: Path, data: Path, *, before: Callable[[], None] | None = None, bound: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run an import; ``bound``: by permissions, which do not hold for root unless it gives up a capability."""
    rights = "-dac_override,-dac_read_search"
    as_others = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"] if bound and os.getuid() == 0 else []
    return subprocess.run(
        [*as_others, DOSEATLAS, "import", str(objects)],
        env={**os.environ, "DOSEATLAS_DATA_DIR": str(data), "DOSEATLAS_JOBS": "1"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=before,
    )
