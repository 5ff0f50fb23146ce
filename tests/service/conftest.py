"""Running services, and real objects to send to them."""

from __future__ import annotations

import datetime as dt
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.service.peers import Orthanc, Server

from doseatlas import read
from doseatlas.dicom.simulate import plan, write_objects


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start services with settings of their own; they are stopped at the end."""
    started: list[Server] = []

    def start(service: str = "", **more: Any) -> Server:
        home = tmp_path / f"service-{len(started)}"
        home.mkdir()
        started.append(Server(home, service, **more))
        return started[-1]

    yield start
    for one in started:
        one.stop(signal.SIGKILL if one.process.poll() is None else signal.SIGTERM)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One service for all tests that do not need settings of their own."""
    one = Server(tmp_path_factory.mktemp("service"), 'ae_title = "DOSEATLAS"\nstall_seconds = 2\n')
    yield one
    assert one.stop() == 0


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Simulated CT reports, one object an examination."""
    folder = tmp_path_factory.mktemp("reports")
    start, end = dt.date(2024, 1, 1), dt.date(2024, 12, 31)
    world = plan("facility", exams=90, seed=11, start=start, end=end, faults=False, device_classes=("ct",))
    write_objects(world, folder)
    one_each = {exam.study_instance_uid: Path(exam.path or "") for exam in read(folder) if exam.source == "dose-report"}
    return sorted(one_each.values())


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Callable[..., Orthanc]]:
    """Start archives that know a service as the peer ``doseatlas``; stopped at the end."""
    if not Path("/usr/sbin/Orthanc").exists():
        pytest.skip("needs Orthanc (apt-get install orthanc orthanc-dicomweb)")
    started: list[Orthanc] = []

    def start(server: Server, **settings: Any) -> Orthanc:
        home = tmp_path / f"orthanc-{len(started)}"
        home.mkdir()
        started.append(Orthanc(home, server, **settings))
        return started[-1]

    yield start
    for one in started:
        one.stop()
