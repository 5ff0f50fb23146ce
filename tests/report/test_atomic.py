from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from doseatlas.report.atomic import written_whole


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    with written_whole(tmp_path / "report.html") as file:
        file.write(b"whole")
        assert not (tmp_path / "report.html").exists()
    assert (tmp_path / "report.html").read_bytes() == b"whole"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_failure_leaves_what_was_there_and_no_half_file(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_bytes(b"before")
    with pytest.raises(OSError, match="disk full") as caught:
        _fail_half_way(tmp_path / "report.html")
    assert caught.value.filename == str(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def _fail_half_way(path: Path) -> None:
    with written_whole(path) as file:
        file.write(b"half")
        raise OSError(28, "disk full")


def test_a_folder_that_is_missing_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, written_whole(tmp_path / "nowhere" / "report.html"):
        pass
    assert caught.value.filename == str(tmp_path / "nowhere" / "report.html")


def test_others_may_read_the_file_as_far_as_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with written_whole(tmp_path / "report.html") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "report.html").stat().st_mode) == 0o640
