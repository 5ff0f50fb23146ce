"""Watched folders: a file is imported when it has stood still, then moved to done or refused."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.service.peers import Server, split, wait_for

from doseatlas.service.watch import STILL_SECONDS, WatchedFolder


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
