"""What fails around the service: each time a proper status, nothing lost or doubled, and recovery without hands."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.service.peers import Peer, Server, contexts_of, split, wait_for
from tests.service.test_importer import events_of
from tests.store.postgresql import Postgresql

from doseatlas.network import Sender
from doseatlas.service import dimse
from doseatlas.service.spool import Spool, received_at, spooled
from doseatlas.settings import Settings
from doseatlas.store import Store

FAILED = "import failed, will be tried again"


class SmallDisk:
    """A file system of 8 MB of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        if os.geteuid() != 0 or self._mount("-t", "tmpfs", "-o", "size=8m", "tmpfs"):
            pytest.skip("mounting a small disk needs root")

    def _mount(self, *arguments: str) -> int:
        command = ["mount", *arguments, str(self.folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode

    def make(self, how: str) -> None:
        """Make it ``ro`` or ``rw``."""
        assert self._mount("-o", f"remount,{how}") == 0

    def fill(self) -> None:
        """Leave no room."""
        with contextlib.suppress(OSError), (self.folder / "filler").open("wb") as filler:
            while True:
                filler.write(bytes(4096))
                filler.flush()

    def clear(self) -> None:
        """Make room again."""
        (self.folder / "filler").unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "small")
    yield disk
    subprocess.run(["umount", "-l", str(disk.folder)], check=True)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Postgresql]:
    server = Postgresql()
    yield server
    server.remove()


def send(server: Server, paths: list[Path]) -> list[int | None]:
    with Peer(server.dicom_port) as peer:
        peer.associate(*contexts_of(paths))
        return [peer.store(path) for path in paths]


def stored(server: Server) -> list[str]:
    return sorted(exam["sop_instance_uid"] for exam in server.exams())


def instances(paths: list[Path]) -> list[str]:
    return sorted(split(path)[1] for path in paths)


def kept_through(server: Server, paths: list[Path], reason: str) -> None:
    """Send while the store is out of order: all is acknowledged and kept, and the service says why it is not ready."""
    assert send(server, paths) == [dimse.SUCCESS] * len(paths)
    event = wait_for("the failure to be said", lambda: server.event(FAILED))
    assert reason in event["reason"]
    assert httpx.get(server.url("/ready")).status_code == 503
    assert httpx.get(server.url("/health")).status_code == 200
    assert {path.stem.split("-", 2)[2] for path in server.waiting()} >= set(instances(paths))


def test_a_database_server_that_is_restarted_while_objects_come_costs_nothing(
    serve: Callable[..., Server], postgresql: Postgresql, reports: list[Path]
) -> None:
    server = serve(top=f'store = "{postgresql.new_database()}"')
    assert send(server, reports[:40]) == [dimse.SUCCESS] * 40
    wait_for("the import to begin", lambda: server.metric("doseatlas_imported_objects_total") > 0)
    assert send(server, reports[40:60]) == [dimse.SUCCESS] * 20
    postgresql.stop()
    try:
        kept_through(server, reports[60:], "server of the store")
    finally:
        postgresql.start()
    server.drained()
    wait_for("readiness", lambda: httpx.get(server.url("/ready")).status_code == 200)
    assert send(server, reports) == [dimse.SUCCESS] * len(reports)
    server.drained()
    assert stored(server) == instances(reports)


def test_objects_wait_while_the_store_may_only_be_read(
    serve: Callable[..., Server], small_disk: SmallDisk, reports: list[Path]
) -> None:
    settings = f'store = "sqlite:///{small_disk.folder}/dose.sqlite"'
    server = serve(top=settings)
    send(server, reports[:1])
    server.drained()
    server.stop()
    small_disk.make("ro")
    server.start()
    kept_through(server, reports[1:5], str(small_disk.folder))
    small_disk.make("rw")
    server.drained()
    assert stored(server) == instances(reports[:5])


@pytest.mark.nightly
def test_objects_wait_while_the_disk_of_the_store_is_full(
    serve: Callable[..., Server], small_disk: SmallDisk, reports: list[Path]
) -> None:
    server = serve(top=f'store = "sqlite:///{small_disk.folder}/dose.sqlite"')
    send(server, reports[:1])
    server.drained()
    small_disk.fill()
    kept_through(server, reports[1:60], "full")
    small_disk.clear()
    server.drained()
    assert stored(server) == instances(reports[:60])


@pytest.mark.parametrize("moves", [[-86_400, -86_400], [86_400, -86_400], [0, 0]])
def test_a_clock_that_is_moved_loses_and_doubles_nothing(tmp_path: Path, reports: list[Path], moves: list[int]) -> None:
    spool = Spool(tmp_path, now_ns=clock(moves).__next__)
    sender = Sender(via="dicom", caller="CT1", address="192.0.2.7")
    for path in [*reports[:3], reports[0]]:
        incoming = spool.incoming(sender, split(path)[1], 10**9)
        incoming.write(path.read_bytes())
        spool.commit(incoming, lambda error: None)
    spool.close()
    ((_, _, files),) = spooled(spool.new)
    assert len(files) == 4
    assert [file.received_at for file in files] == [received_at(file.path) for file in files]
    settings = Settings(data_dir=str(tmp_path), jobs=1)
    events = events_of(settings)
    assert {event.failure for event in events} == {None}
    assert all(event.behind_seconds >= 0 for event in events)
    with Store.from_settings(settings) as store:
        assert sorted(exam.sop_instance_uid or "" for exam in store.exams()) == instances(reports[:3])


def clock(moves: list[int]) -> Iterator[int]:
    """Give a time that stands still, but for moves by so many seconds."""
    now = time.time_ns()
    for move in moves:
        yield now
        now += move * 10**9
    while True:
        yield now
