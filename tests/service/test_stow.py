"""Objects taken over the web: dicomweb-client and Orthanc as senders, and requests that are wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from starlette.requests import Request
from starlette.types import Message
from tests.service.peers import TOKEN, Orthanc, Server, split, wait_for

from doseatlas.network import Sender
from doseatlas.service.commitment import Commitments
from doseatlas.service.listener import Listener
from doseatlas.service.metrics import Metrics
from doseatlas.service.mpps import Mpps
from doseatlas.service.spool import Spool
from doseatlas.service.stow import StowRequest
from doseatlas.settings import ServiceSettings

DICOM = {"Content-Type": "application/dicom"}


def multipart(*bodies: bytes, boundary: str = "bound") -> bytes:
    parts = [f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + body + b"\r\n" for body in bodies]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


def typed(boundary: str = "bound", inner: str = "application/dicom") -> dict[str, str]:
    return {"Content-Type": f'multipart/related; type="{inner}"; boundary={boundary}'}


def instances(answer: httpx.Response, tag: str) -> list[str]:
    return [item["00081155"]["Value"][0] for item in answer.json().get(tag, {}).get("Value", [])]


def reasons(answer: httpx.Response) -> list[int]:
    return [item["00081197"]["Value"][0] for item in answer.json()["00081198"]["Value"]]


def test_dicomweb_client_stores_reports(serve: Callable[..., Server], reports: list[Path]) -> None:
    server = serve()
    client = DICOMwebClient(server.url(""))
    answer = client.store_instances([pydicom.dcmread(path) for path in reports[:5]])
    stored = [str(item.ReferencedSOPInstanceUID) for item in answer.ReferencedSOPSequence]
    assert sorted(stored) == sorted(split(path)[1] for path in reports[:5])
    server.drained()
    assert len(server.exams()) == 5


def test_orthanc_stores_with_its_token_for_its_facility(
    serve: Callable[..., Server], orthanc: Callable[..., Orthanc], reports: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    server = serve(f'[[service.tokens]]\nfile = "{tmp_path}/token"\nname = "archive"\nfacility = "East Hospital"\n')
    archive = orthanc(server)
    archive.post("/dicom-web/servers/doseatlas/stow", {"Resources": [archive.upload(path) for path in reports[:3]]})
    server.drained()
    assert len(server.exams()) == 3
    assert server.metric("doseatlas_received_objects_total", caller="archive", via="dicomweb") == 3
    for wrong in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic " + TOKEN}):
        answer = httpx.post(server.url("/studies"), content=reports[0].read_bytes(), headers={**DICOM, **wrong})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_single_object_is_taken_without_multipart(server: Server, reports: list[Path]) -> None:
    answer = httpx.post(server.url("/studies"), content=reports[0].read_bytes(), headers=DICOM)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert instances(answer, "00081199") == [split(reports[0])[1]]


def test_what_is_stored_and_what_is_not_are_told_apart(server: Server, reports: list[Path]) -> None:
    magnetic = pydicom.dcmread(reports[0])
    magnetic.SOPClassUID = magnetic.file_meta.MediaStorageSOPClassUID = pydicom.uid.UID("1.2.840.10008.5.1.4.1.1.4")
    buffer = pydicom.filebase.DicomBytesIO()
    pydicom.dcmwrite(buffer, magnetic)
    body = multipart(reports[1].read_bytes(), b"not DICOM", buffer.getvalue())
    answer = httpx.post(server.url("/studies"), content=body, headers=typed())
    assert answer.status_code == 202
    assert instances(answer, "00081199") == [split(reports[1])[1]]
    assert reasons(answer) == [0xC000, 0x0122]


def test_objects_of_another_study_than_the_path_names_are_not_stored(server: Server, reports: list[Path]) -> None:
    study = str(pydicom.dcmread(reports[0]).StudyInstanceUID)
    body = multipart(reports[0].read_bytes(), reports[1].read_bytes())
    answer = httpx.post(server.url(f"/studies/{study}"), content=body, headers=typed())
    assert answer.status_code == 202
    assert instances(answer, "00081199") == [split(reports[0])[1]]
    assert reasons(answer) == [0xA900]
    alone = httpx.post(server.url("/studies/1.2.3"), content=reports[0].read_bytes(), headers=DICOM)
    assert alone.status_code == 409


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"", {}, 415),
        (multipart(b"x"), typed(inner="application/dicom+json"), 415),
        (multipart(b"x"), {"Content-Type": "multipart/related"}, 400),
        (multipart(b"x"), typed(boundary="other"), 400),
        (multipart(), typed(), 400),
        (multipart(b"x")[:-10], typed(), 400),
        (multipart(b"not DICOM"), typed(), 409),
        (b"", DICOM, 409),
    ],
)
def test_a_request_that_is_wrong_is_told_so(server: Server, body: bytes, headers: dict[str, str], status: int) -> None:
    answer = httpx.post(server.url("/studies"), content=body, headers=headers)
    assert answer.status_code == status
    assert answer.json()


def test_what_came_before_a_body_was_cut_is_stored_and_the_rest_is_told_as_failed(
    server: Server, reports: list[Path]
) -> None:
    body = multipart(reports[2].read_bytes(), reports[3].read_bytes())[:-100]
    answer = httpx.post(server.url("/studies"), content=body, headers=typed())
    assert answer.status_code == 202
    assert instances(answer, "00081199") == [split(reports[2])[1]]
    assert reasons(answer) == [0xC000]


def test_a_path_with_an_invalid_study_uid_is_refused(server: Server, reports: list[Path]) -> None:
    answer = httpx.post(server.url("/studies/abc"), content=reports[0].read_bytes(), headers=DICOM)
    assert answer.status_code == 400


def test_a_body_that_stops_coming_is_cut_off_and_nothing_of_it_stays(server: Server, reports: list[Path]) -> None:
    data = reports[0].read_bytes()
    head = (
        f"POST /studies HTTP/1.1\r\nHost: x\r\nContent-Type: application/dicom\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as peer:
        peer.sendall(f"{head}\r\n".encode() + data[:-5])
        assert b" 408 " in peer.recv(1000)
    assert not list((server.data / "spool" / "tmp").iterdir())


def test_an_object_beyond_the_limit_is_refused_as_it_comes(serve: Callable[..., Server], reports: list[Path]) -> None:
    server = serve("max_object_mebibytes = 1")
    large = reports[0].read_bytes() + b"\xe0\x7f\x10\x00OW\0\0" + (2_000_000).to_bytes(4, "little") + bytes(2_000_000)
    answer = httpx.post(server.url("/studies"), content=multipart(large, reports[1].read_bytes()), headers=typed())
    assert answer.status_code == 202
    assert reasons(answer) == [0xC000]
    assert not list((server.data / "spool" / "tmp").iterdir())


def test_a_full_disk_is_told_as_such(serve: Callable[..., Server], reports: list[Path]) -> None:
    server = serve(f"min_free_mebibytes = {2**40}")
    answer = httpx.post(server.url("/studies"), content=reports[0].read_bytes(), headers=DICOM)
    assert answer.status_code == 507
    assert json.loads(answer.content)["00081198"]["Value"][0]["00081197"]["Value"] == [0xA700]
    assert httpx.get(server.url("/ready")).status_code == 503


def ends(peer: socket.socket) -> bool:
    """Whether the service has ended a connection; waits for what it sends or does."""
    try:
        while peer.recv(4096):
            pass
    except ConnectionError:
        pass
    return True


def test_silent_connections_keep_nobody_from_storing_and_watching(
    serve: Callable[..., Server], reports: list[Path]
) -> None:
    server = serve()
    silent = [socket.create_connection(("127.0.0.1", server.http_port), timeout=30) for _ in range(300)]
    try:
        assert server.get("/health") == "ok\n"
        answer = httpx.post(server.url("/studies"), content=reports[0].read_bytes(), headers=DICOM)
        assert answer.status_code == 200
        assert ends(silent[0])
    finally:
        for peer in silent:
            peer.close()


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"GET /health HTTP/1.1\r\nX-Long: ",
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /hea",
        b"POST /studies HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n",
        b"POST /studies HTTP/1.1\r\nHost: x\r\nContent-Type: application/dicom\r\nContent-Length: 100000\r\n\r\n",
    ],
)
def test_a_peer_that_sends_a_byte_now_and_then_over_http_is_cut_off(server: Server, begin: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as peer:
        peer.sendall(begin)

        def drip() -> None:
            with contextlib.suppress(OSError):
                for _ in range(300):
                    peer.sendall(b"a")
                    over.wait(0.1)

        over = threading.Event()
        dripping = threading.Thread(target=drip)
        dripping.start()
        assert ends(peer)
        assert dripping.is_alive()
        over.set()
        dripping.join()


def test_a_peer_that_does_not_read_its_answers_is_cut_off(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as peer:
        peer.setblocking(False)
        more = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 100

        def refused() -> bool:
            try:
                peer.send(more)
            except BlockingIOError:
                return False
            except ConnectionError:
                return True
            return False

        wait_for("the connection to be ended", refused)


def test_storing_waits_while_the_import_is_behind(tmp_path: Path, reports: list[Path]) -> None:
    async def store(behind_seconds: float) -> float:
        spool, metrics = Spool(tmp_path), Metrics()
        commitments = Commitments(spool.folder, ae_title="X", kept=lambda _: set(), metrics=metrics)
        listener = Listener(
            ServiceSettings(),
            spool,
            metrics,
            commitments=commitments,
            mpps=Mpps(spool),
            on_received=lambda: None,
            on_refused=lambda *_: None,
        )
        listener.pace(behind_seconds)
        body = multipart(*(path.read_bytes() for path in reports[:3]))

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        headers = [(b"content-type", typed()["Content-Type"].encode())]
        request = Request({"type": "http", "method": "POST", "path": "/studies", "headers": headers}, receive)
        began = listener.now()
        answer = await StowRequest(listener, Sender(via="dicomweb", caller="vna", address="::1"), None).take(request)
        assert answer.status_code == 200
        spool.close()
        return listener.now() - began

    assert asyncio.run(store(1000)) >= 3 * 0.5  # half a second for each of the three objects
