"""C-ECHO and C-STORE, as real peers and as hostile ones meet them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.service.peers import (
    EXPLICIT,
    VERIFICATION,
    Orthanc,
    Peer,
    Server,
    accepted_contexts,
    contexts_of,
    split,
    wait_for,
)

from doseatlas.network import sop_classes
from doseatlas.service import dimse, pdu

pytestmark = pytest.mark.skipif(not Path("/usr/bin/storescu").exists(), reason="needs dcmtk")
RUN = {**os.environ, "TCP_NODELAY": "1"}
DOSE_SR = "1.2.840.10008.5.1.4.1.1.88.67"


def dcmtk(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=RUN)


def test_echoscu_is_answered(server: Server) -> None:
    done = dcmtk("echoscu", "-v", "127.0.0.1", str(server.dicom_port))
    assert done.returncode == 0
    assert "Received Echo Response (Success)" in done.stdout + done.stderr


def test_what_storescu_and_dcmsend_send_is_in_the_store_once(serve: Callable[..., Server], reports: list[Path]) -> None:
    server = serve()
    files = [str(path) for path in reports[:20]]
    sent = dcmtk("storescu", "--no-halt", "127.0.0.1", str(server.dicom_port), *files)
    assert sent.returncode == 0, sent.stderr
    again = dcmtk("dcmsend", "127.0.0.1", str(server.dicom_port), *files)
    assert again.returncode == 0, again.stderr
    server.drained()
    assert {exam["sop_instance_uid"] for exam in server.exams()} == {split(path)[1] for path in reports[:20]}
    assert server.metric("doseatlas_received_objects_total", via="dicom") == 40
    wait_for("the counts", lambda: server.metric("doseatlas_imported_objects_total") == 40)
    assert server.metric("doseatlas_imported_objects_total", result="imported") == 20
    assert server.metric("doseatlas_imported_objects_total", result="already-there") == 20


def test_orthanc_stores_what_it_holds(
    serve: Callable[..., Server], orthanc: Callable[..., Orthanc], reports: list[Path]
) -> None:
    server = serve()
    archive = orthanc(server)
    ids = [archive.upload(path) for path in reports[:5]]
    archive.post("/modalities/doseatlas/store", ids)
    server.drained()
    assert len(server.exams()) == 5


def test_classes_that_hold_no_dose_are_refused_at_association(server: Server) -> None:
    mr = "1.2.840.10008.5.1.4.1.1.4"
    jpeg = "1.2.840.10008.1.2.4.50"
    with Peer(server.dicom_port) as peer:
        kind, body = peer.associate((mr, EXPLICIT), (DOSE_SR, EXPLICIT), (DOSE_SR, jpeg))
    assert kind == pdu.ASSOCIATE_AC
    assert accepted_contexts(body) == {1: (3, ""), 3: (0, EXPLICIT), 5: (4, "")}


def test_an_object_of_another_class_than_its_context_is_not_stored(server: Server, reports: list[Path]) -> None:
    report = next(path for path in reports if split(path)[0] == DOSE_SR)
    ct = "1.2.840.10008.5.1.4.1.1.2"
    with Peer(server.dicom_port) as peer:
        peer.associate((ct, EXPLICIT))
        peer.contexts[DOSE_SR, split(report)[2]] = 1
        assert peer.store(report) == dimse.CLASS_NOT_SUPPORTED


def test_a_message_without_a_data_set_and_an_unknown_operation_are_answered_with_failures(server: Server) -> None:
    with Peer(server.dicom_port) as peer:
        peer.associate((DOSE_SR, EXPLICIT))
        for operation, uid, expected in (
            (dimse.C_STORE_RQ, "1.2.3", dimse.CANNOT_UNDERSTAND),
            (dimse.C_STORE_RQ, "no uid", dimse.INVALID_INSTANCE),
            (0x0020, "1.2.3", dimse.UNRECOGNIZED_OPERATION),
            (dimse.C_ECHO_RQ, "1.2.3", dimse.SUCCESS),
        ):
            command: dimse.Command = {
                dimse.AFFECTED_CLASS: DOSE_SR,
                dimse.FIELD: operation,
                dimse.MESSAGE_ID: 7,
                dimse.DATA_SET_TYPE: dimse.NO_DATA_SET,
                dimse.AFFECTED_INSTANCE: uid,
            }
            peer.socket.sendall(pdu.encode_message(1, dimse.encode_command(command), b"", 16384))
            assert peer.status() == expected


def test_messages_sent_without_waiting_are_all_answered_in_order(server: Server, reports: list[Path]) -> None:
    some = reports[20:30]
    with Peer(server.dicom_port) as peer:
        peer.associate(*contexts_of(some))
        peer.socket.sendall(b"".join(peer.store_message(path, n) for n, path in enumerate(some)))
        assert [peer.status() for _ in some] == [dimse.SUCCESS] * len(some)


def test_an_object_that_arrives_in_tiny_pieces_is_whole(server: Server, reports: list[Path]) -> None:
    report = min(reports, key=lambda path: path.stat().st_size)
    with Peer(server.dicom_port) as peer:
        peer.associate(*contexts_of([report]))
        message = peer.store_message(report)
        for start in range(0, len(message), 997):
            peer.socket.sendall(message[start : start + 997])
        assert peer.status() == dimse.SUCCESS


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(range(256)) * 40,
        pdu.HEADER.pack(pdu.ASSOCIATE_RQ, 0xFFFFFFFF),
        pdu.HEADER.pack(pdu.ASSOCIATE_RQ, 10) + bytes(10),
        pdu.HEADER.pack(pdu.ASSOCIATE_RQ, 80) + bytes(80),
        pdu.HEADER.pack(pdu.P_DATA, 0),
        pdu.RELEASE_REPLY,
    ],
)
def test_garbage_instead_of_a_request_is_answered_with_an_abort(server: Server, garbage: bytes) -> None:
    with Peer(server.dicom_port) as peer:
        peer.socket.sendall(garbage)
        assert peer.receive()[0] == pdu.ABORT


@pytest.mark.parametrize(
    "garbage",
    [
        pdu.HEADER.pack(pdu.P_DATA, 0),
        pdu.HEADER.pack(pdu.P_DATA, 0xFFFFFFF0),
        pdu.HEADER.pack(pdu.P_DATA, 6) + bytes.fromhex("000000ff0103"),
        pdu.HEADER.pack(pdu.P_DATA, 6) + bytes.fromhex("000000026303"),
        pdu.HEADER.pack(pdu.P_DATA, 6) + bytes.fromhex("000000020102"),
        pdu.encode_message(1, b"\x01\0\0\0\xff\xff\xff\xff", b"", 16384),
        pdu.encode_message(1, b"no command", b"", 16384),
        pdu.encode_message(1, bytes(20_000), b"", 16384),
        pdu.HEADER.pack(9, 4) + bytes(4),
    ],
)
def test_garbage_on_an_open_association_is_answered_with_an_abort(server: Server, garbage: bytes) -> None:
    with Peer(server.dicom_port) as peer:
        assert peer.associate((VERIFICATION, EXPLICIT))[0] == pdu.ASSOCIATE_AC
        peer.socket.sendall(garbage)
        assert peer.receive()[0] == pdu.ABORT
    assert dcmtk("echoscu", "127.0.0.1", str(server.dicom_port)).returncode == 0


def test_a_peer_that_stops_in_mid_object_is_cut_off_and_leaves_nothing(server: Server, reports: list[Path]) -> None:
    received = server.metric("doseatlas_received_objects_total")
    with Peer(server.dicom_port) as peer:
        peer.associate(*contexts_of(reports[:1]))
        peer.socket.sendall(peer.store_message(reports[0])[:-10])
        assert peer.receive()[0] == pdu.ABORT
    with Peer(server.dicom_port) as peer:
        peer.associate(*contexts_of(reports[:1]))
        peer.socket.sendall(peer.store_message(reports[0])[:-10])
    wait_for("the connections to end", lambda: server.metric("doseatlas_connections") == 0)
    assert not list((server.data / "spool" / "tmp").iterdir())
    assert server.metric("doseatlas_received_objects_total") == received
    assert server.metric("doseatlas_aborted_associations_total", reason="stalled") >= 1


def test_a_peer_that_sends_a_byte_now_and_then_is_cut_off(server: Server) -> None:
    with Peer(server.dicom_port) as peer:
        request = peer.request((VERIFICATION, EXPLICIT))
        began = time.monotonic()
        ended = False
        for byte in request:
            try:
                peer.socket.sendall(bytes((byte,)))
                peer.socket.settimeout(0.5)
                ended = peer.socket.recv(1) in (b"\x07", b"")
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True
            if ended or time.monotonic() - began > 20:
                break
        assert ended


def test_two_hundred_associations_at_once_are_served_or_rejected(serve: Callable[..., Server]) -> None:
    server = serve("max_associations = 150")
    peers = [Peer(server.dicom_port) for _ in range(200)]
    try:
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda peer: peer.associate((VERIFICATION, EXPLICIT))[0], peers))
        assert answers.count(pdu.ASSOCIATE_AC) == 150
        assert answers.count(pdu.ASSOCIATE_RJ) == 50
    finally:
        for peer in peers:
            peer.socket.close()
    wait_for("the associations to end", lambda: server.metric("doseatlas_associations") == 0)
    assert dcmtk("echoscu", "127.0.0.1", str(server.dicom_port)).returncode == 0


def test_only_known_callers_are_let_in_each_for_its_facility(serve: Callable[..., Server], reports: list[Path]) -> None:
    server = serve(
        '[[service.callers]]\nae_title = "CT1"\naddresses = ["127.0.0.0/8"]\nfacility = "North Hospital"\n'
        '[[service.callers]]\nae_title = "CT2"\naddresses = ["192.0.2.1"]\n'
        '[[service.callers]]\nae_title = "CT3"\nfacility = "South Hospital"\nmax_associations = 1\n'
    )
    for title in ("CT2", "STRANGER"):
        with Peer(server.dicom_port, calling=title) as peer:
            assert peer.associate(*contexts_of(reports)) == (pdu.ASSOCIATE_RJ, bytes((0, 1, 1, 3)))
    with Peer(server.dicom_port, calling="CT1") as peer:
        peer.associate(*contexts_of(reports))
        assert peer.store(reports[0]) == dimse.SUCCESS
    with Peer(server.dicom_port, calling="CT3") as peer, Peer(server.dicom_port, calling="CT3") as second:
        peer.associate(*contexts_of(reports))
        assert second.associate(*contexts_of(reports)) == (pdu.ASSOCIATE_RJ, bytes((0, 2, 3, 2)))
        assert peer.store(reports[1]) == dimse.SUCCESS
    server.drained()
    done = server.run("report", "--facility", "North Hospital", "--output", "north")
    assert done.returncode == 0, done.stderr
    page = (server.home / "north" / "report.html").read_text()
    assert "North Hospital" in page


def test_another_protocol_version_and_application_are_rejected(server: Server) -> None:
    with Peer(server.dicom_port) as peer:
        assert peer.associate((VERIFICATION, EXPLICIT), version=2) == (pdu.ASSOCIATE_RJ, bytes((0, 1, 2, 2)))
    with Peer(server.dicom_port) as peer:
        request = peer.request((VERIFICATION, EXPLICIT)).replace(pdu.APPLICATION_CONTEXT, b"1.2.840.10008.3.1.1.9")
        peer.socket.sendall(request)
        assert peer.receive() == (pdu.ASSOCIATE_RJ, bytes((0, 1, 1, 2)))


def test_every_class_of_the_table_is_accepted(server: Server) -> None:
    uids = [uid for uid, known in sop_classes().items() if known.service == "storage"]
    with Peer(server.dicom_port) as peer:
        _, body = peer.associate(*((uid, EXPLICIT) for uid in uids))
    assert [result for result, _ in accepted_contexts(body).values()] == [0] * len(uids)
