"""A running ``doseatlas context listen``, and the MLLP client of another maker as its peer."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import hl7
import pytest
import trustme
from hl7.client import MLLPClient
from hypothesis import given
from hypothesis import strategies as st
from tests.context.test_message import ORDER, message, obx

from doseatlas.context import check
from doseatlas.context.mllp import Frames, NotMllp, framed
from doseatlas.model import SettingsError
from doseatlas.settings import ContextSettings, Settings
from doseatlas.store import Store, import_paths

WEIGHED = message(*ORDER, obx("29463-7^W^LN", "81", "kg")).replace("ACC1", "A0")


class Listener:
    """A running listener."""

    def __init__(self, home: Path, data: str, more: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        (home / "doseatlas.toml").write_text(f'data_dir = "{data}"\n[context]\nport = {self.port}\n{more}')
        command = [str(Path(sys.executable).with_name("doseatlas")), "context", "listen"]
        self.process = subprocess.Popen(
            command, cwd=home, env={**os.environ, "HOME": str(home)}, stderr=subprocess.PIPE
        )
        self.events: list[dict[str, Any]] = []
        assert self.process.stderr is not None
        self.events.append(json.loads(self.process.stderr.readline()))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.events += [json.loads(line) for line in self.process.stderr]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status

    def send(self, text: str) -> hl7.Message:
        with MLLPClient("127.0.0.1", self.port) as client:
            return hl7.parse(client.send_message(text).strip(b"\x0b\x1c\r"))


@pytest.fixture
def data(tmp_path: Path, reports: list[Path]) -> str:
    folder = str(tmp_path / "data")
    with Store.from_settings(Settings(data_dir=folder, jobs=1)) as store:
        import_paths(store, reports)
    return folder


@pytest.fixture
def listener(tmp_path: Path, data: str) -> Iterator[Callable[..., Listener]]:
    started: list[Listener] = []

    def start(more: str = "") -> Listener:
        started.append(Listener(tmp_path, data, more))
        return started[-1]

    yield start
    for one in started:
        assert one.stop() == 0


def weights(data: str) -> list[float | None]:
    with Store.from_settings(Settings(data_dir=data)) as store:
        return [exam.patient.weight_kg for exam in store.exams()]


def test_messages_are_answered_and_fill_exams(data: str, listener: Callable[..., Listener]) -> None:
    one = listener()
    answer = one.send(WEIGHED)
    assert (str(answer.segment("MSA")), str(answer["MSH.F9.R1.C2"])) == ("MSA|AA|MSG1", "O01")
    assert str(answer["MSH.F5.R1"]) == "RIS"
    assert weights(data) == [81, None, 70]

    wrong = one.send(WEIGHED.replace("|81|kg|", "|81|stone|"))
    assert str(wrong["MSA.F1.R1"]) == "AE"
    assert str(wrong["ERR.F3.R1.C1"]) == "102"
    assert "'stone', which is not known" in str(wrong["ERR.F8.R1"])
    older = one.send(WEIGHED.replace("|2.5.1|", "|2.3.1|").replace("|81|kg|", "|81||"))
    assert "the weight has no unit" in str(older["MSA.F3.R1"])
    assert str(one.send(message(kind="SIU^S12"))["MSA.F1.R1"]) == "AR"
    assert weights(data) == [81, None, 70]

    one.stop()
    logged = json.dumps(one.events)
    assert "message refused" in logged
    assert "Doe" not in logged
    assert "A0" not in logged


def test_garbage_half_messages_and_endless_ones_harm_nobody(data: str, listener: Callable[..., Listener]) -> None:
    one = listener()
    half = socket.create_connection(("127.0.0.1", one.port))
    half.sendall(framed(WEIGHED.encode())[:-9])
    with socket.create_connection(("127.0.0.1", one.port), timeout=10) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert peer.recv(100) == b""
    with socket.create_connection(("127.0.0.1", one.port), timeout=10) as peer:
        peer.settimeout(10)
        with suppress(OSError):  # the connection is closed before all of it is sent
            peer.sendall(b"\x0b" + b"x" * 2**24)
        with suppress(ConnectionError):
            assert peer.recv(100) == b""
    assert str(one.send(WEIGHED)["MSA.F1.R1"]) == "AA"
    half.close()
    assert weights(data) == [81, None, 70]


def test_a_store_that_fails_answers_nothing_so_that_the_sender_keeps_the_message(
    data: str, listener: Callable[..., Listener]
) -> None:
    one = listener()
    with closing(sqlite3.connect(Path(data) / "doseatlas.sqlite")) as database:
        database.execute("DROP TABLE context_keys")
    with socket.create_connection(("127.0.0.1", one.port), timeout=10) as peer:
        peer.sendall(framed(WEIGHED.encode()))
        assert peer.recv(4096) == b""
    one.stop()
    assert any(event["event"] == "the store does not take messages" for event in one.events)


def test_tls_with_mutual_certificates(tmp_path: Path, data: str, listener: Callable[..., Listener]) -> None:
    ca = trustme.CA()
    ours = ca.issue_cert("localhost")
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    names = (("certificate", "cert"), ("private_key", "key"), ("trusted_certificates", "ca"))
    one = listener("".join(f'{name} = "{tmp_path}/{file}.pem"\n' for name, file in names))
    assert one.events[0]["tls"] is True

    def ask(client: ssl.SSLContext) -> bytes:
        with (
            socket.create_connection(("127.0.0.1", one.port), timeout=10) as raw,
            client.wrap_socket(raw, server_hostname="localhost") as peer,
        ):
            peer.sendall(framed(WEIGHED.encode()))
            return peer.recv(4096)

    stranger = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with suppress(OSError):  # the alert, or the connection's end, whichever is seen first
        assert ask(stranger) == b""
    known = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    ca.issue_cert("ris").configure_cert(known)
    assert b"MSA|AA|MSG1" in ask(known)
    assert weights(data) == [81, None, 70]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (ContextSettings(port=0), "port is 0"),
        (ContextSettings(host="0.0.0.0"), "names no addresses"),
        (ContextSettings(host="ris"), "write an address"),
        (ContextSettings(addresses=("10.1.2",)), "addresses"),
        (ContextSettings(accession_fields=("accession",)), "accession_fields"),
        (ContextSettings(certificate="/nowhere.pem", private_key="/nowhere.key"), "cannot be used"),
        (ContextSettings(trusted_certificates="ca.pem"), "no certificate and private_key"),
        (ContextSettings(patient_days=-1), "patient_days"),
    ],
)
def test_settings_that_cannot_work_are_named(settings: ContextSettings, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        check(settings)


@given(st.lists(st.binary(min_size=1, max_size=60).filter(lambda one: b"\x1c" not in one), max_size=5), st.data())
def test_messages_come_out_however_they_are_cut(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(framed(one) for one in messages)
    frames, found, at = Frames(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, 40))
        found += frames.feed(stream[at : at + size])
        at += size
    assert found == messages
    assert not frames.waits


def test_a_message_without_bound_is_not_held() -> None:
    frames = Frames(max_bytes=100)
    with pytest.raises(NotMllp, match="more than 100 bytes"):
        frames.feed(b"\x0b" + b"x" * 103)
