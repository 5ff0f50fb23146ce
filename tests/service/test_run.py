"""The life of the service: killed, stopped, started again; nothing that was acknowledged is lost or doubled."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from tests.service.peers import Peer, Server, contexts_of, split, wait_for

from doseatlas.service import dimse


def send_until_it_breaks(port: int, paths: list[Path], acknowledged: set[str]) -> None:
    """Send objects over one association and note each that was answered with Success."""
    try:
        with Peer(port) as peer:
            peer.associate(*contexts_of(paths))
            for path in paths:
                if peer.store(path) != dimse.SUCCESS:
                    return
                acknowledged.add(split(path)[1])
    except OSError:
        return


def with_new_names(paths: list[Path], folder: Path, first: int) -> list[Path]:
    """Copies of reports with SOP instance and study UIDs that were not there before, of the same length."""
    made = []
    for number, path in enumerate(paths, first):
        data = path.read_bytes()
        for uid in (split(path)[1], str(pydicom.dcmread(path, specific_tags=["StudyInstanceUID"]).StudyInstanceUID)):
            data = data.replace(uid.encode(), uid[:-6].encode() + str(100_000 + number).encode())
        made.append(folder / f"{number}.dcm")
        made[-1].write_bytes(data)
    return made


@pytest.mark.parametrize(
    "kills", [pytest.param(3, id="a few"), pytest.param(100, id="a hundred", marks=pytest.mark.nightly)]
)
def test_killed_at_random_moments_every_acknowledged_object_is_there_exactly_once(
    serve: Callable[..., Server], reports: list[Path], tmp_path: Path, kills: int
) -> None:
    seeded = random.Random(7)
    server = serve()
    acknowledged: set[str] = set()
    sent: list[Path] = []
    for kill in range(kills):
        chosen = with_new_names(seeded.sample(reports, 40), tmp_path, kill * 40)
        sent += chosen
        senders = [
            threading.Thread(target=send_until_it_breaks, args=(server.dicom_port, chosen[n::4], acknowledged))
            for n in range(4)
        ]
        for sender in senders:
            sender.start()
        time.sleep(seeded.uniform(0.01, 0.6))
        server.stop(signal.SIGKILL)
        for sender in senders:
            sender.join(60)
        server.start()
    server.drained()
    with contextlib.closing(sqlite3.connect(server.data / "doseatlas.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    stored = [exam["sop_instance_uid"] for exam in server.exams()]
    assert len(acknowledged) > 2 * kills
    assert acknowledged <= set(stored)
    assert len(stored) == len(set(stored))
    send_until_it_breaks(server.dicom_port, sent, acknowledged)  # as senders do that were not answered
    server.drained()
    assert sorted(exam["sop_instance_uid"] for exam in server.exams()) == sorted(split(path)[1] for path in sent)
    assert server.stop() == 0


def test_an_order_to_stop_lets_a_running_transfer_finish(serve: Callable[..., Server], reports: list[Path]) -> None:
    server = serve()
    with Peer(server.dicom_port) as peer:
        peer.associate(*contexts_of(reports[:2]))
        message = peer.store_message(reports[0])
        peer.socket.sendall(message[:2000])
        wait_for("the piece to arrive", lambda: server.metric("doseatlas_associations") == 1)
        server.process.send_signal(signal.SIGTERM)
        wait_for("the order to be noticed", lambda: server.event("stopping"))
        with pytest.raises(OSError, match="refused"):
            Peer(server.dicom_port)
        peer.socket.sendall(message[2000:])
        assert peer.status() == dimse.SUCCESS
        assert peer.receive()[0] == 7
    assert server.stop() == 0
    assert server.event("stopped")
    assert [exam["sop_instance_uid"] for exam in server.exams()] + [
        path.stem.split("-", 2)[2] for path in server.waiting()
    ] == [split(reports[0])[1]]


def test_the_log_is_json_without_patient_data(serve: Callable[..., Server], reports: list[Path]) -> None:
    server = serve()
    with Peer(server.dicom_port) as peer:
        peer.associate(*contexts_of(reports[:3]))
        for path in reports[:3]:
            assert peer.store(path) == dimse.SUCCESS
    server.drained()
    server.stop()
    text = str(server.events)
    assert {"started", "imported", "stopping", "stopped"} <= {event["event"] for event in server.events}
    for path in reports[:3]:
        assert split(path)[1] not in text
    assert "Madeup" not in text


def test_health_readiness_and_metrics_are_told(serve: Callable[..., Server]) -> None:
    server = serve()
    assert server.get("/health") == "ok\n"
    wait_for("readiness", lambda: server.get("/ready") == "ready\n")
    assert server.metric("doseatlas_spool_objects") == 0
    assert server.metric("doseatlas_spool_free_bytes") > 0


def test_an_importer_that_dies_is_started_again(serve: Callable[..., Server], reports: list[Path]) -> None:
    server = serve()
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    (child,) = wait_for("the importer", lambda: children.read_text().split())
    os.kill(int(child), signal.SIGKILL)
    wait_for("its end to be noticed", lambda: server.event("the importing process ended"))
    send_until_it_breaks(server.dicom_port, reports[:1], set())
    server.drained()
    assert len(server.exams()) == 1
    assert server.metric("doseatlas_importer_restarts_total") == 1


def test_a_store_that_cannot_be_reached_delays_but_loses_nothing(
    serve: Callable[..., Server], reports: list[Path]
) -> None:
    server = serve(top='store = "sqlite:////proc/no/such/place/dose.sqlite"')
    acknowledged: set[str] = set()
    send_until_it_breaks(server.dicom_port, reports[:2], acknowledged)
    assert len(acknowledged) == 2
    event = wait_for("the failure to be said", lambda: server.event("import failed, will be tried again"))
    assert "/proc/no/such/place" in event["reason"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.get("/ready")
    assert refused.value.code == 503
    refused.value.close()
    assert len(server.waiting()) == 2
    server.stop()
    settings = server.home / "doseatlas.toml"
    settings.write_text(settings.read_text().replace("/proc/no/such/place", str(server.home)))
    server.start()
    server.drained()
    assert len(server.exams()) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_answered_with_out_of_resources_until_there_is_room(
    serve: Callable[..., Server], reports: list[Path], tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        server = serve("min_free_mebibytes = 1", data=small / "data")
        filler = small / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(small).free - 600_000))
        with Peer(server.dicom_port) as peer:
            peer.associate(*contexts_of(reports[:1]))
            assert peer.store(reports[0]) == dimse.OUT_OF_RESOURCES
            assert not server.waiting()
            filler.unlink()
            assert peer.store(reports[0]) == dimse.SUCCESS
        server.drained()
        server.stop()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_refused_objects_are_kept_listed_and_read_again_after_a_fix(
    serve: Callable[..., Server], reports: list[Path], tmp_path: Path
) -> None:
    server = serve(top="[limits]\nmax_items = 10")
    send_until_it_breaks(server.dicom_port, reports[:2], set())
    server.drained()
    quarantine = server.data / "quarantine"
    wait_for("the quarantine", lambda: len(list(quarantine.glob("*.dcm"))) == 2)
    listed = wait_for(
        "the list", lambda: str(quarantine) in (text := server.run("refused", "-f", "csv").stdout) and text
    )
    assert listed.count("too-many-items") == 2
    assert str(server.data / "spool") not in listed
    settings = server.home / "doseatlas.toml"
    settings.write_text(settings.read_text().replace("max_items = 10", "max_items = 500000"))
    again = server.run("refused", "--again", "-f", "csv")
    assert again.returncode == 0, again.stderr
    assert "too-many-items" not in again.stdout
    assert not list(quarantine.iterdir())
    assert len(server.exams()) == 2
