"""What breaks in mid-fetch: the process, or the disk. Nothing lost, nothing doubled, no part of a study counted."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import os
import random
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.fetch.conftest import ct_slice, made
from tests.service.peers import DOSEATLAS, Orthanc, wait_for

from doseatlas.fetch import FolderError, Query, fetch, incoming
from doseatlas.settings import ArchiveSettings, FetchSettings, Settings
from doseatlas.store import Store

DAY = dt.date(2024, 4, 2)
BROKEN_OFF, LARGE, PLAIN = (f"1.2.826.0.1.3680043.10.{n}" for n in (31, 32, 33))
SERIES, SLICES = 3, 20
KILOBYTES = 600


@pytest.fixture(scope="module")
def archive(pacs: Orthanc) -> Orthanc:
    """The archive with CT studies of a later day, which have no report."""
    dated = {"StudyDate": f"{DAY:%Y%m%d}"}
    for series in range(SERIES):
        for number in range(SLICES):
            more = {"SeriesInstanceUID": f"{BROKEN_OFF}.{series}", "StudyDescription": "broken off", **dated}
            upload(pacs, ct_slice(BROKEN_OFF, series * SLICES + number, **more, SliceLocation=str(number)))
    for number in range(40):
        pixels = {"StudyDescription": "large", "ImageComments": "x", "EncapsulatedDocument": bytes(KILOBYTES * 1024)}
        upload(pacs, ct_slice(LARGE, number, **pixels, **dated))
    for number in range(2):
        image = {"EntranceDoseInmGy": "1.5", "ImageAndFluoroscopyAreaDoseProduct": "2.0", "KVP": "70"}
        upload(pacs, made(PLAIN, 1, number, "1.2.840.10008.5.1.4.1.1.1.1", "DX", **dated | image))
    return pacs


def upload(pacs: Orthanc, content: bytes) -> None:
    pacs.request("POST", "/instances", content)


class Site(NamedTuple):
    """A store in a folder of its own, and the command that fetches into it."""

    home: Path
    settings: Settings

    def start(self, description: str) -> subprocess.Popen[str]:
        days = ["--since", str(DAY), "--until", str(DAY), "--description", description]
        environment = {**os.environ, "DOSEATLAS_SETTINGS": str(self.home / "doseatlas.toml")}
        command = [DOSEATLAS, "fetch", *days, "--format", "jsonl"]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def fetched(self, description: str) -> tuple[int, str]:
        """Fetch to the end; returns exit status and what was said."""
        with self.start(description) as process:
            out, err = process.communicate(timeout=120)
        return process.returncode, " ".join((out + err).split())

    def come(self, study: str) -> int:
        """How many objects of a study have come and wait."""
        folder = self.settings.data_path / "fetch" / "pacs" / study
        return len(list(folder.glob("*.dcm"))) if folder.is_dir() else 0

    def waiting(self) -> list[Path]:
        return list((self.settings.data_path / "fetch" / "pacs").iterdir())

    def held(self) -> dict[str, tuple[list[float | None], int]]:
        """The CTDIvol (mGy) of the events of each study, and how many objects it has; the database is sound."""
        with Store.from_settings(self.settings) as store:
            exams = {str(one.study_instance_uid): [e.ctdi_vol_mgy for e in one.events] for one in store.exams()}
            with store.database.reading() as connection:
                rows = connection.exec_driver_sql(
                    "SELECT count(*), count(DISTINCT sop_instance_uid) FROM objects"
                ).one()
        with sqlite3.connect(self.settings.data_path / "doseatlas.sqlite") as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        database.close()
        assert rows[0] == rows[1]
        return {study: (events, rows[0]) for study, events in exams.items()}


def site(home: Path, pacs: Orthanc, data: Path | None = None, per_minute: int = 0) -> Site:
    address = f"127.0.0.1:{pacs.dicom_port}"  # type: ignore[attr-defined]
    one = ArchiveSettings(name="pacs", ae_title="ORTHANC", address=address, whole_ct_series=True)
    using = Settings(
        data_dir=str(data or home / "data"),
        jobs=1,
        fetch=FetchSettings(archives=(one,), objects_per_minute=per_minute, timeout_seconds=20),
    )
    (home / "doseatlas.toml").write_text(
        f'data_dir = "{using.data_dir}"\njobs = 1\n[fetch]\nobjects_per_minute = {per_minute}\ntimeout_seconds = 20\n'
        f'[[fetch.archives]]\nname = "pacs"\nae_title = "ORTHANC"\naddress = "{address}"\nwhole_ct_series = true\n'
    )
    return Site(home, using)


def kill_when(running: Site, study: str, have_come: int) -> None:
    """Fetch, and kill the command as soon as so many objects of a study have come (or let it end if none wait)."""
    with running.start("broken off") as process:
        wait_for("objects to come", lambda: running.come(study) >= have_come or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)


def test_a_fetch_that_is_killed_in_mid_study_goes_on_and_no_part_of_a_study_is_counted(
    tmp_path: Path, archive: Orthanc
) -> None:
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    other = site(undisturbed, archive)
    assert other.fetched("broken off")[0] == 0
    running = site(tmp_path, archive, per_minute=SLICES * 30)  # after a series it waits for two seconds
    kill_when(running, BROKEN_OFF, SLICES)
    assert SLICES <= running.come(BROKEN_OFF) < SERIES * SLICES
    assert running.held() == {}
    status, said = running.fetched("broken off")
    assert (status, running.waiting()) == (0, [])
    assert f"{(SERIES - 1) * SLICES} objects taken, {SERIES * SLICES} new dose objects" in said
    assert running.held() == other.held()
    assert "0 objects taken, 0 new" in running.fetched("broken off")[1]


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.nightly)])
def test_wherever_it_is_killed_the_store_is_in_the_end_as_if_it_had_not_been(
    tmp_path: Path, archive: Orthanc, kills: int
) -> None:
    chance = random.Random(kills)
    running = site(tmp_path, archive)
    for _ in range(kills):
        kill_when(running, BROKEN_OFF, chance.randrange(1, SERIES * SLICES))
        found = running.held()
        assert not found or found[BROKEN_OFF][1] == SERIES * SLICES
    assert running.fetched("broken off")[0] == 0
    (study,) = running.held().values()
    assert study[1] == SERIES * SLICES
    assert running.waiting() == []


class SmallDisk(NamedTuple):
    """A file system of its own."""

    folder: Path

    def mount(self, *options: str) -> int:
        command = ["mount", *options, "tmpfs", str(self.folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "small")
    disk.folder.mkdir()
    if os.geteuid() != 0 or disk.mount("-t", "tmpfs", "-o", "size=14m"):
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "-l", str(disk.folder)], check=True)


def test_a_disk_that_fills_in_mid_study_is_named_and_the_next_run_goes_on(
    tmp_path: Path, archive: Orthanc, small_disk: SmallDisk
) -> None:
    running = site(tmp_path, archive, small_disk.folder / "data")
    status, said = running.fetched("large")
    assert (status, "No space left on device" in said, "the next run goes on" in said) == (3, True, True), said
    come = running.come(LARGE)
    assert 0 < come < 40
    assert small_disk.mount("-o", "remount,size=64m") == 0
    assert running.held() == {}
    status, said = running.fetched("large")
    assert (status, running.waiting()) == (0, []), said
    assert f"{40 - come} objects taken, 40 new dose objects" in said
    assert running.held()[LARGE][1] == 40


def test_a_disk_that_is_full_before_the_first_study_is_named(
    tmp_path: Path, archive: Orthanc, small_disk: SmallDisk
) -> None:
    running = site(tmp_path, archive, small_disk.folder / "data")
    assert running.fetched("none of these")[0] == 0
    with contextlib.suppress(OSError), (small_disk.folder / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    status, said = running.fetched("broken off")
    assert status == 3, said
    assert "should not happen" not in said
    (small_disk.folder / "filler").unlink()
    assert running.fetched("broken off")[0] == 0
    assert running.held()[BROKEN_OFF][1] == SERIES * SLICES


@pytest.mark.parametrize("fails_at", [0, 1])
@pytest.mark.parametrize("web", [False, True])
def test_a_write_that_fails_stops_the_run_and_leaves_nothing_half_done(
    tmp_path: Path, archive: Orthanc, monkeypatch: pytest.MonkeyPatch, web: bool, fails_at: int
) -> None:
    using = site(tmp_path, archive).settings
    if web:
        there = ArchiveSettings(name="pacs", url=f"http://127.0.0.1:{archive.http_port}/dicom-web")
        using = Settings(data_dir=using.data_dir, jobs=1, fetch=FetchSettings(archives=(there,), objects_per_minute=0))
    query = Query(since=DAY, until=DAY, modalities=("DX",))
    written: list[Path] = []
    write = Path.write_bytes

    def fail(file: Path, data: Any) -> int:
        if "fetch" in file.parts:
            written.append(file)
            if len(written) > fails_at:
                write(file, data[: len(data) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "write_bytes", fail)
        with pytest.raises(FolderError, match=r"No space left on device.*the next run goes on"):
            fetch(using, query)
    folder = using.data_path / "fetch" / "pacs" / PLAIN
    assert len(incoming.objects_in(folder)) == len(list(folder.iterdir())) == fails_at
    (summary,) = fetch(using, query)
    assert [(one.study_instance_uid, one.state) for one in summary.worked_on] == [(PLAIN, "complete")]
    assert (summary.objects, summary.imported) == (2 - fails_at, 2)


def test_of_images_that_do_not_all_come_none_is_counted(
    tmp_path: Path, archive: Orthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    from doseatlas.fetch.dimse import DicomArchive

    using = site(tmp_path, archive).settings
    query = Query(since=DAY, until=DAY, modalities=("DX",))
    retrieve = DicomArchive._retrieve

    def forget_one(one: DicomArchive, study: str, series: str, instances: list[str], folder: Path) -> list[Path]:
        return retrieve(one, study, series, sorted(instances)[:1], folder)

    with monkeypatch.context() as forgetful:
        forgetful.setattr(DicomArchive, "_retrieve", forget_one)
        (summary,) = fetch(using, query)
    assert [(one.state, one.lacks) for one in summary.worked_on] == [("failed", "1 of 2 objects did not come")]
    with Store.from_settings(using) as store:
        assert list(store.exams()) == []
    (summary,) = fetch(using, query)
    assert (summary.worked_on[0].state, summary.objects, summary.imported) == ("complete", 1, 2)
