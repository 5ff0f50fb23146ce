"""A running ``doseatlas context listen``, and the MLLP client of another maker as its peer."""

from __future__ import annotations

import datetime as dt
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
import typer
from hl7.client import MLLPClient
from hypothesis import given
from hypothesis import strategies as st
from tests.context.test_message import ORDER, message, obx
from typer.testing import CliRunner

from doseatlas.audit import AuditTrail
from doseatlas.context import MessagesReadAgain, Rejected, check, read_again, read_message, refused_messages
from doseatlas.context.again import refuse
from doseatlas.context.mllp import Frames, NotMllp, framed
from doseatlas.model import SettingsError
from doseatlas.settings import ContextSettings, Settings
from doseatlas.store import Store, add_context, import_paths

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
    assert "the weight has a unit that is not known" in str(wrong["ERR.F8.R1"])
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
        (ContextSettings(certificate="/nowhere.pem", private_key="/nowhere.key"), "cannot be read"),
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


def unnamed(weight: str, exam: str) -> str:
    """A weight for an exam whose accession number stands where it is not looked for."""
    order = ("OBR|1|PL1|" + exam + "|CTTHX^CT Thorax^L", obx("29463-7^W^LN", weight, "kg"))
    return message("PID|1||||Doe^Jane", *order)


def test_refused_messages_are_kept_with_their_reason_and_read_again_after_a_fix(
    tmp_path: Path, data: str, listener: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    from doseatlas.cli.app import app

    monkeypatch.setenv("DOSEATLAS_SETTINGS", str(tmp_path / "doseatlas.toml"))
    one = listener()
    assert str(one.send(unnamed("81", "A0"))["MSA.F1.R1"]) == "AE"
    assert str(one.send(unnamed("81", "A1").replace("|kg|", "|stone|"))["MSA.F1.R1"]) == "AE"
    assert one.stop() == 0
    assert weights(data) == [None, None, 70]
    listed = [json.loads(line) for line in _run(app, "refused", "--format", "jsonl").splitlines()]
    assert [(row["code"], Path(row["path"]).suffix) for row in listed] == [("hl7", ".hl7")] * 2
    assert "names neither an exam" in listed[0]["reason"]
    assert "has a unit that is not known" in listed[1]["reason"]
    assert b"Doe^Jane" in Path(listed[0]["path"]).read_bytes()
    assert Path(listed[0]["path"]).parent.stat().st_mode & 0o077 == 0
    assert not any("Doe" in json.dumps(row) or "81" in row["reason"] for row in listed)

    with (tmp_path / "doseatlas.toml").open("a") as file:
        file.write('accession_fields = ["OBR-3"]\n')
    assert len(_run(app, "refused", "--again", "--format", "jsonl").splitlines()) == 1
    assert weights(data) == [81, None, 70]
    assert "hl7-" in _run(app, "context", "list")


def test_a_message_that_is_read_again_does_not_go_before_a_newer_one(data: str) -> None:
    settings = Settings(data_dir=data)
    came = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
    with pytest.raises(Rejected) as refused:
        read_message(unnamed("60", "A0").encode(), settings.context, came.date())
    refuse(settings, unnamed("60", "A0").encode(), refused.value, "192.0.2.7", came)
    mended = Settings(data_dir=data, context=ContextSettings(accession_fields=("OBR-3",)))
    with Store.from_settings(settings) as store:
        newer = read_message(unnamed("80", "A0").encode(), mended.context, came.date())
        add_context(store, newer.statements, "hl7", "hl7-today")
    assert read_again(mended) == MessagesReadAgain(taken=1, refused=0)
    assert weights(data) == [80, None, 70]
    assert refused_messages(mended) == []


def test_the_quarantine_of_messages_has_a_limit(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), context=ContextSettings(quarantine_mebibytes=1))
    why = Rejected("AR", 100, "MSH", "It is none.")
    for minute in range(5):
        refuse(settings, bytes(400_000), why, "192.0.2.7", dt.datetime(2024, 3, 5, 10, minute, tzinfo=dt.UTC))
    assert [one.received_at[11:16] for one in refused_messages(settings)] == ["10:03", "10:04"]


def test_what_was_taken_and_undone_is_in_the_audit_trail(
    tmp_path: Path, data: str, listener: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    from doseatlas.cli.app import app

    monkeypatch.setenv("DOSEATLAS_SETTINGS", str(tmp_path / "doseatlas.toml"))
    one = listener()
    one.send(WEIGHED)
    one.send(WEIGHED)  # there already
    assert one.stop() == 0
    (tmp_path / "weights.csv").write_text("accession_number,weight_kg\nA1,64\n")
    _run(app, "context", "import", str(tmp_path / "weights.csv"))
    batches = [json.loads(line)["batch"] for line in _run(app, "context", "list", "--format", "jsonl").splitlines()]
    (batch,) = [one for one in batches if one.startswith("csv-")]
    assert "1 values change; 1 statements undone" in _run(app, "context", "undo", batch)
    records = [record.message for record in AuditTrail.from_settings(Settings(data_dir=data)).records()]
    assert ["Context of exams taken" in one for one in records] == [True, True, False]
    assert "context-undone" in records[2]
    assert '"127.0.0.1"' in records[0]
    assert not any("A0" in one or "A1" in one or "Doe" in one for one in records)


def _run(app: typer.Typer, *arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout
