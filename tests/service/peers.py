"""A real ``doseatlas serve`` in a folder of its own, and a peer that can misbehave."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from doseatlas.service import dimse, pdu

DOSEATLAS = str(Path(sys.executable).with_name("doseatlas"))
PATIENCE_SECONDS = 40
EXPLICIT = "1.2.840.10008.1.2.1"
TOKEN = "0123456789abcdef-token"
VERIFICATION = "1.2.840.10008.1.1"


def wait_for(what: str, done: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until a condition holds, for a bounded time; returns what it gave."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = done()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for: {what}")


def free_port() -> int:
    """A port of loopback that nobody listens to."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Server:
    """A running ``doseatlas serve``."""

    def __init__(self, home: Path, service: str = "", top: str = "", data: Path | None = None) -> None:
        self.home = home
        self.data = data or home / "data"
        self.dicom_port, self.http_port = free_port(), free_port()
        self._environment = {**os.environ, "HOME": str(home)}
        self._environment.pop("DOSEATLAS_DATA_DIR", None)
        ports = f"dicom_port = {self.dicom_port}\nhttp_port = {self.http_port}\n"
        text = f'data_dir = "{self.data}"\njobs = 1\n{top}\n[service]\n{ports}{service}\n'
        (home / "doseatlas.toml").write_text(text)
        self.start()

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.events: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [DOSEATLAS, "serve"], cwd=self.home, env=self._environment, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_for("the service to start", lambda: self.event("started") or self.process.poll() is not None)
        assert self.process.poll() is None, self.events

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.events.append(json.loads(line) if line.startswith("{") else {"event": line})

    def event(self, name: str) -> dict[str, Any] | None:
        """The first event of a name, if it was logged."""
        return next((event for event in self.events if event["event"] == name), None)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE_SECONDS + 20)
        self._reader.join(10)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return status

    def waiting(self) -> list[Path]:
        """The objects in the spool."""
        return list((self.data / "spool" / "new").glob("*/*.dcm"))

    def drained(self) -> None:
        """Wait until the spool is empty."""
        wait_for("the spool to be imported", lambda: not self.waiting())

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http_port}{path}"

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url(path), timeout=10) as answer:
            return str(answer.read().decode())

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over the series that bear the labels."""
        total = 0.0
        for line in self.get("/metrics").splitlines():
            if line.startswith((f"{name} ", f"{name}{{")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another doseatlas command on the same data."""
        return subprocess.run(
            [DOSEATLAS, *arguments],
            cwd=self.home,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def exams(self) -> list[dict[str, Any]]:
        done = self.run("exams", "--format", "jsonl")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


def split(path: Path) -> tuple[str, str, str, bytes]:
    """SOP class, SOP instance, transfer syntax and data set of a DICOM file."""
    data = path.read_bytes()
    length = struct.unpack_from("<I", data, 140)[0]
    meta = data[144 : 144 + length]
    uids = []
    for number in (b"\x02\0\x02\0UI", b"\x02\0\x03\0UI", b"\x02\0\x10\0UI"):
        at = meta.index(number)
        size = struct.unpack_from("<H", meta, at + 6)[0]
        uids.append(meta[at + 8 : at + 8 + size].decode().rstrip("\0"))
    return uids[0], uids[1], uids[2], data[144 + length :]


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


class Peer:
    """A sender that speaks the upper layer byte by byte, so that it can also speak it wrongly."""

    def __init__(self, port: int, *, calling: str = "PEER", tls: ssl.SSLContext | None = None) -> None:
        self.calling = calling
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.contexts: dict[tuple[str, str], int] = {}

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def request(self, *contexts: tuple[str, str], called: str = "DOSEATLAS", version: int = 1) -> bytes:
        """An A-ASSOCIATE-RQ."""
        titles = called.encode().ljust(16) + self.calling.encode().ljust(16)
        body = struct.pack(">HH", version, 0) + titles + bytes(32) + _item(0x10, pdu.APPLICATION_CONTEXT)
        for number, (abstract, syntax) in enumerate(contexts):
            self.contexts[abstract, syntax] = 2 * number + 1
            inner = _item(0x30, abstract.encode()) + _item(0x40, syntax.encode())
            body += _item(0x20, struct.pack(">BxBx", 2 * number + 1, 0) + inner)
        body += _item(0x50, _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.3"))
        return pdu.HEADER.pack(pdu.ASSOCIATE_RQ, len(body)) + body

    def associate(self, *contexts: tuple[str, str], **more: Any) -> tuple[int, bytes]:
        """Ask for an association; returns the type and body of the answer."""
        self.socket.sendall(self.request(*contexts, **more))
        return self.receive()

    def receive(self) -> tuple[int, bytes]:
        """The next PDU; type 0 when the connection has ended."""
        try:
            header = self._exactly(6)
        except ConnectionError:
            return 0, b""
        if len(header) < 6:
            return 0, b""
        kind, length = pdu.HEADER.unpack(header)
        return kind, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count and (piece := self.socket.recv(count - len(data))):
            data += piece
        return data

    def store_message(self, path: Path, message_id: int = 1) -> bytes:
        """The PDUs of a C-STORE of a file."""
        sop_class, instance, syntax, data = split(path)
        command: dimse.Command = {
            dimse.AFFECTED_CLASS: sop_class,
            dimse.FIELD: dimse.C_STORE_RQ,
            dimse.MESSAGE_ID: message_id,
            dimse.DATA_SET_TYPE: 1,
            dimse.AFFECTED_INSTANCE: instance,
        }
        return pdu.encode_message(self.contexts[sop_class, syntax], dimse.encode_command(command), data, 16384)

    def store(self, path: Path, message_id: int = 1) -> int | None:
        """Store a file; returns the status, or ``None`` when the connection has ended first."""
        self.socket.sendall(self.store_message(path, message_id))
        return self.status()

    def status(self) -> int | None:
        """The status of the next response."""
        kind, body = self.receive()
        if kind != pdu.P_DATA:
            return None
        (fragment,) = pdu.fragments(memoryview(body))
        return int(dimse.decode_command(bytes(fragment.data))[dimse.STATUS])


def contexts_of(paths: list[Path]) -> list[tuple[str, str]]:
    """The presentation contexts that files need."""
    return sorted({(part[0], part[2]) for part in map(split, paths)})


def accepted_contexts(body: bytes) -> dict[int, tuple[int, str]]:
    """Result and transfer syntax of each presentation context of an A-ASSOCIATE-AC."""
    return {
        int(match[1][0]): (int(match[2][0]), match[3].decode())
        for match in re.finditer(rb"\x21\0..(.)\0(.)\0\x40\0..([0-9.]*)", body, re.DOTALL)
    }


class Orthanc:
    """A real archive, which knows a service as the peer ``doseatlas``."""

    def __init__(self, home: Path, server: Server, *, dicom_port: int | None = None) -> None:
        self.http_port = free_port()
        plugin = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
        settings = {
            "Name": "archive",
            "StorageDirectory": str(home / "db"),
            "IndexDirectory": str(home / "db"),
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAet": "ORTHANC",
            "DicomPort": dicom_port or free_port(),
            "DicomModalities": {
                "doseatlas": {
                    "AET": "DOSEATLAS",
                    "Host": "127.0.0.1",
                    "Port": server.dicom_port,
                    "AllowStorageCommitment": True,
                }
            },
            "DicomWeb": {
                "Enable": True,
                "Servers": {"doseatlas": {"Url": server.url("/"), "HttpHeaders": {"Authorization": "Bearer " + TOKEN}}},
            },
            "Plugins": [plugin] if Path(plugin).exists() else [],
        }
        (home / "orthanc.json").write_text(json.dumps(settings))
        self._log = (home / "log").open("wb")
        self.process = subprocess.Popen(
            ["/usr/sbin/Orthanc", str(home / "orthanc.json")], stdout=self._log, stderr=self._log
        )
        wait_for("Orthanc to start", self._answers)

    def _answers(self) -> bool:
        try:
            self.request("GET", "/system")
        except OSError:
            return False
        return True

    def request(self, method: str, path: str, data: bytes | None = None) -> Any:
        """Call its REST interface."""
        url = f"http://127.0.0.1:{self.http_port}{path}"
        request = urllib.request.Request(url, data=data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def post(self, path: str, body: object) -> Any:
        """Post JSON."""
        return self.request("POST", path, json.dumps(body).encode())

    def upload(self, path: Path) -> str:
        """Put a file in; returns the archive's own name for it."""
        return str(self.request("POST", "/instances", path.read_bytes())["ID"])

    def stop(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(30)
        self._log.close()
