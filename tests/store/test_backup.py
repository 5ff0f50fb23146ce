"""A backup of a store in use comes back as it was, every file of it checked, and never over anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import make_url

from doseatlas.audit import AuditTrail, user_event, verify
from doseatlas.backup import Manifest, backup, restore
from doseatlas.backup.manifest import KEYS, MANIFEST
from doseatlas.model import SettingsError, StoreError
from doseatlas.settings import Settings
from doseatlas.store import Store, import_paths

Listed = Callable[[Store], list[str]]
DOSEATLAS = str(Path(sys.executable).with_name("doseatlas"))


@pytest.fixture
def elsewhere(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """Settings of another, empty place for a store on the same kind of database."""
    other = msgspec.structs.replace(settings, data_dir=str(tmp_path / "elsewhere"))
    if not settings.store:
        return other
    if shutil.which("pg_dump") is None:
        pytest.skip("needs pg_dump (apt-get install postgresql-client)")
    import psycopg

    name = f"{make_url(settings.store).database}_restored"
    with psycopg.connect(settings.store.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return msgspec.structs.replace(other, store=settings.store.rpartition("/")[0] + f"/{name}")


def test_a_restored_store_lists_the_same_exams_and_goes_on(
    settings: Settings, elsewhere: Settings, objects: Path, listed: Listed, tmp_path: Path
) -> None:
    files = sorted(objects.rglob("*.dcm"))
    with Store.from_settings(settings) as store:
        import_paths(store, files[:40])
        before = listed(store)
    trail = AuditTrail.from_settings(settings)
    trail.append([user_event("import", "jane", "40 paths")])
    waiting = settings.data_path / "spool" / "new" / "sender" / "waiting.dcm"
    waiting.parent.mkdir(parents=True)
    waiting.write_bytes(b"an object that is not imported yet")
    made = backup(settings, tmp_path / "backup", "1.0")
    restore(elsewhere, tmp_path / "backup")
    with Store.from_settings(elsewhere) as store:
        assert listed(store) == before
        assert store.counts().objects == made.objects
        assert (elsewhere.data_path / "spool/new/sender/waiting.dcm").read_bytes() == waiting.read_bytes()
        assert store.rebuild().damaged == 0
        assert listed(store) == before
        assert store.refresh_mart() > 0
        import_paths(store, files)
        after = listed(store)
    with Store.from_settings(settings) as store:
        import_paths(store, files)
        assert listed(store) == after
    restored = AuditTrail.from_settings(elsewhere)
    assert verify(restored) == verify(trail)


def test_a_backup_taken_while_an_import_runs_restores_to_a_moment_of_it(
    settings: Settings, elsewhere: Settings, objects: Path, listed: Listed, tmp_path: Path
) -> None:
    files = sorted(objects.rglob("*.dcm"))
    batches = [files[start : start + 4] for start in range(0, len(files), 4)]
    begun, states = threading.Event(), [list[str]()]

    def keep_importing() -> None:
        with Store.from_settings(settings) as store:
            for batch in batches:
                import_paths(store, batch)
                states.append(listed(store))
                begun.set()

    importing = threading.Thread(target=keep_importing)
    importing.start()
    begun.wait(60)
    made = backup(settings, tmp_path / "backup", "1.0")
    was_running = importing.is_alive()
    importing.join()
    assert was_running, "the import was over too soon to tell anything"
    restore(elsewhere, tmp_path / "backup")
    with Store.from_settings(elsewhere) as store:
        assert listed(store) in states
        assert 0 < store.counts().exams <= made.exams
        assert store.rebuild().damaged == 0
        import_paths(store, files)
        assert listed(store) == states[-1]


# ---- what the folder holds, and what is in the way; on one database, as it is the same on both ----


@pytest.fixture
def own(tmp_path: Path, objects: Path) -> Settings:
    """Settings of a store with some exams."""
    made = Settings(data_dir=str(tmp_path / "own"), jobs=1)
    with Store.from_settings(made) as store:
        import_paths(store, sorted(objects.rglob("*.dcm"))[:8])
    return made


def other(own: Settings) -> Settings:
    """Settings of an empty place."""
    return msgspec.structs.replace(own, data_dir=f"{own.data_dir}-restored")


def test_the_keys_lie_apart_and_are_asked_for(own: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    backup(own, folder, "1.0")
    shutil.move(folder / KEYS, tmp_path / "safe")
    key = (own.data_path / "identity.key").read_bytes()
    assert not any(file.read_bytes() == key for file in folder.rglob("*") if file.is_file())
    with pytest.raises(StoreError, match="--keys"):
        restore(other(own), folder)
    restore(other(own), folder, tmp_path / "safe")
    assert (other(own).data_path / "identity.key").read_bytes() == key


def test_a_key_of_another_store_is_refused(own: Settings, tmp_path: Path) -> None:
    backup(own, tmp_path / "backup", "1.0")
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "identity.key").write_text("00" * 32)
    with pytest.raises(StoreError, match="manifest"):
        restore(other(own), tmp_path / "backup", tmp_path / "wrong")


@pytest.mark.parametrize("damage", ["changed", "cut", "missing"])
@pytest.mark.parametrize("what", ["store.sqlite", "*.pack"])
def test_a_damaged_backup_is_refused_and_named(own: Settings, tmp_path: Path, what: str, damage: str) -> None:
    folder = tmp_path / "backup"
    backup(own, folder, "1.0")
    file = next(folder.rglob(what))
    data = file.read_bytes()
    file.unlink()  # a pack is a link to the store's own
    if damage == "changed":
        file.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif damage == "cut":
        file.write_bytes(data[:-1])
    with pytest.raises(StoreError, match=file.name.replace(".", r"\.")):
        restore(other(own), folder)


def test_a_pack_that_is_damaged_in_the_store_is_found_by_the_backup(own: Settings, tmp_path: Path) -> None:
    pack = next((own.data_path / "archive").rglob("*.pack"))
    pack.write_bytes(pack.read_bytes()[:-1])
    with pytest.raises(StoreError, match="is damaged"):
        backup(own, tmp_path / "backup", "1.0")
    assert not list(tmp_path.glob("backup*"))


def test_nothing_is_written_over(own: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    backup(own, folder, "1.0")
    with pytest.raises(StoreError, match="exists"):
        backup(own, folder, "1.0")
    with pytest.raises(StoreError, match="not empty"):
        restore(own, folder)
    with pytest.raises(SettingsError, match="another kind"):
        restore(msgspec.structs.replace(other(own), store="postgresql://host/base"), folder)


def test_a_restore_that_was_interrupted_is_begun_anew(own: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    made = backup(own, folder, "1.0")

    def interrupt(done: int, total: int | None) -> None:
        if done == len(made.files) - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(other(own), folder, progress=interrupt)
    restore(other(own), folder)
    with Store.from_settings(other(own)) as store:
        assert store.counts().objects == made.objects


@pytest.mark.parametrize("path", ["../outside", "/etc/outside", "a/../../outside"])
def test_a_manifest_cannot_name_files_outside_of_the_backup(own: Settings, tmp_path: Path, path: str) -> None:
    folder = tmp_path / "backup"
    made = backup(own, folder, "1.0")
    forged = msgspec.structs.replace(made.files[0], path=path)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(made, files=(forged,))))
    with pytest.raises(StoreError, match="outside"):
        restore(other(own), folder)


def test_what_is_no_backup_is_refused(own: Settings, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no backup"):
        restore(other(own), tmp_path)
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(StoreError, match="cannot be read"):
        restore(other(own), tmp_path)
    with pytest.raises(StoreError, match="no store"):
        backup(other(own), tmp_path / "backup", "1.0")


def test_the_manifest_states_every_file(own: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    backup(own, folder, "1.0")
    made = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert there == {file.path for file in made.files} | {MANIFEST}


def test_the_commands_back_up_and_restore(own: Settings, tmp_path: Path) -> None:
    def run(*arguments: str, data: str) -> str:
        environment = {**os.environ, "DOSEATLAS_DATA_DIR": data, "HOME": str(tmp_path)}
        return subprocess.run(
            [DOSEATLAS, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    before = run("exams", "--format", "jsonl", data=own.data_dir)
    run("backup", "kept", data=own.data_dir)
    run("restore", "kept", data=other(own).data_dir)
    assert run("exams", "--format", "jsonl", data=other(own).data_dir) == before
    assert "Backup" in run("audit", "list", data=own.data_dir)
    assert "records are whole" in run("audit", "verify", data=own.data_dir)
