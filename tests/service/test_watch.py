"""Watched folders: a file is imported when it has stood still, then moved to done or refused."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
from tests.service.peers import Peer, Server, contexts_of, split, wait_for

from doseatlas.service.again import ReadAgain, read_again
from doseatlas.service.at_hand import DEATHS, AtHand
from doseatlas.service.importer import Importer, Order
from doseatlas.service.watch import STILL_SECONDS, WatchedFolder
from doseatlas.settings import FolderSettings, ServiceSettings, Settings, load_settings
from doseatlas.store import Store


def test_files_are_imported_and_moved_with_a_reason_where_refused(
    serve: Callable[..., Server], reports: list[Path], tmp_path: Path
) -> None:
    drop = tmp_path / "drop"
    (drop / "sub").mkdir(parents=True)
    shutil.copy(reports[0], drop / "one.dcm")
    shutil.copy(reports[1], drop / "sub" / "two.dcm")
    (drop / "bad.dcm").write_bytes(b"this is not DICOM")
    (drop / "unfinished.part").write_bytes(b"x")
    with zipfile.ZipFile(drop / "several.zip", "w") as archive:
        archive.write(reports[2], "good.dcm")
        archive.writestr("bad.dcm", b"neither is this")
    server = serve(f'[[service.folders]]\npath = "{drop}"\nfacility = "West Hospital"\n')
    wait_for("the files to be moved", lambda: not list(drop.glob("*.dcm")) and not (drop / "several.zip").exists())
    wait_for("the last file to be moved", lambda: (drop / "done" / "sub" / "two.dcm").exists())
    assert (drop / "done" / "one.dcm").exists()
    assert (drop / "refused" / "bad.dcm").exists()
    assert "not-dicom" in (drop / "refused" / "bad.dcm.reason.txt").read_text()
    assert "several.zip/bad.dcm" in (drop / "refused" / "several.zip.reason.txt").read_text()
    assert (drop / "unfinished.part").exists()
    assert {exam["sop_instance_uid"] for exam in server.exams()} == {split(path)[1] for path in reports[:3]}


def test_a_folder_that_goes_away_holds_up_nothing_and_is_taken_up_again(
    serve: Callable[..., Server], reports: list[Path], tmp_path: Path
) -> None:
    drop, away = tmp_path / "drop", tmp_path / "away"
    drop.mkdir()
    server = serve(f'[[service.folders]]\npath = "{drop}"\n')
    drop.rename(away)
    wait_for("the folder to be missed", lambda: [one for one in server.events if one.get("away")])
    with Peer(server.dicom_port) as peer:
        peer.associate(*contexts_of(reports[:1]))
        peer.store(reports[0])
    wait_for("the object to be imported", lambda: server.event("imported"))
    assert httpx.get(server.url("/ready")).status_code == 200
    shutil.copy(reports[1], away / "one.dcm")
    away.rename(drop)
    wait_for("the folder to be taken up", lambda: (drop / "done" / "one.dcm").exists())
    assert [one["back"] for one in server.events if one.get("back")] == [str(drop)]
    assert len([one for one in server.events if one.get("away")]) == 1
    assert len(server.exams()) == 2


def test_what_was_refused_is_listed_where_it_is_and_read_again_after_a_fix(
    serve: Callable[..., Server], reports: list[Path], tmp_path: Path
) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    (drop / "bad.dcm").write_bytes(b"this is not DICOM")
    (drop / "worse.dcm").write_bytes(b"nor is this")
    Path(os.fsdecode(bytes(drop) + b"/odd\xff.dcm")).write_bytes(b"nor this")
    server = serve(f'[[service.folders]]\npath = "{drop}"\nfacility = "West Hospital"\n')
    wait_for("the files to be moved", lambda: len(list((drop / "refused").glob("*.txt"))) == 3)
    assert server.stop() == 0
    settings = load_settings({"DOSEATLAS_SETTINGS": str(server.home / "doseatlas.toml")}).settings
    with Store.from_settings(settings) as store:
        assert {Path(one.path).parent for one in store.refused()} == {drop / "refused"}
    shutil.copy(reports[0], drop / "refused" / "bad.dcm")  # stands for a reader that has learned to read it
    assert read_again(settings) == ReadAgain(released=1, refused=2)
    assert (drop / "done" / "bad.dcm").exists()
    assert len(list((drop / "refused").iterdir())) == 4
    assert len(server.exams()) == 1


def test_a_file_that_kills_the_importer_is_put_away(tmp_path: Path, reports: list[Path]) -> None:
    drop, spool = tmp_path / "drop", tmp_path / "data" / "spool"
    drop.mkdir()
    spool.mkdir(parents=True)
    shutil.copy(reports[0], drop / "deadly.dcm")
    folders = (FolderSettings(path=str(drop)),)
    settings = Settings(data_dir=str(tmp_path / "data"), jobs=1, service=ServiceSettings(folders=folders))
    for _ in range(DEATHS):
        AtHand(spool, cautious=True).take([drop / "deadly.dcm"])
    Importer(Order(settings=settings, cautious=True), lambda _: None).close()
    assert "importer-died" in (drop / "refused" / "deadly.dcm.reason.txt").read_text()


def test_a_file_that_still_grows_is_left_alone(tmp_path: Path) -> None:
    watched = WatchedFolder(tmp_path, None)
    file = tmp_path / "growing.dcm"
    file.write_bytes(b"a")
    assert watched.ready(0.0, 10) == []
    assert watched.ready(STILL_SECONDS - 0.1, 10) == []
    file.write_bytes(b"ab")
    assert watched.ready(STILL_SECONDS + 0.1, 10) == []
    os.utime(file, ns=(1, 1))
    assert watched.ready(2 * STILL_SECONDS, 10) == []
    assert watched.ready(3 * STILL_SECONDS, 10) == [file]


def test_a_name_that_is_taken_already_is_kept_beside_the_older_file(tmp_path: Path) -> None:
    watched = WatchedFolder(tmp_path, None)
    for text in ("first", "second", "third"):
        (tmp_path / "same.dcm").write_text(text)
        watched.move_away(tmp_path / "same.dcm", [])
    assert {path.name: path.read_text() for path in (tmp_path / "done").iterdir()} == {
        "same.dcm": "first",
        "same-2.dcm": "second",
        "same-3.dcm": "third",
    }


def test_what_was_dealt_with_is_not_looked_at_again(tmp_path: Path) -> None:
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "old.dcm").write_text("old")
    watched = WatchedFolder(tmp_path, None)
    assert watched.ready(0.0, 10) == []
    assert watched.ready(100.0, 10) == []
