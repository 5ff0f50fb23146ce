"""``make soak``: does the service hold for as long as it runs? Full rate, killed again and again, everything counted.

Eight senders send CT reports without a pause, each object a study of its own, and send again what was not
acknowledged. At moments drawn with a fixed seed the service, its importing process or both are killed (SIGKILL) and the
service is started again. At the end every acknowledged object must be in the store exactly once, and the store must
pass its check. ``SOAK_MINUTES`` says how long (10).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import sqlite3
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

import psutil
import pydicom
from pydicom.dataset import Dataset

from benchmarks import results
from benchmarks.__main__ import WORK, simulated
from benchmarks.measure import Row
from doseatlas.service import dimse, pdu

SENDERS = 8
TEMPLATES = 200
SEED = 3
KILL_EVERY_SECONDS = 15.0, 45.0
BAR_MEBIBYTES = 600
DRAIN_SECONDS = 600
_UNIQUE = 10  # digits at the end of a UID that make it another one
_PDU_BYTES = 65536
_SYNTAX = "1.2.840.10008.1.2.1"
_SOP_CLASS = "1.2.840.10008.5.1.4.1.1.88.67"


class Template:
    """A report whose UIDs can be made new."""

    def __init__(self, path: Path, report: Dataset) -> None:
        data = path.read_bytes()
        meta_bytes = struct.unpack_from("<I", data, 140)[0]
        self._instance = str(report.SOPInstanceUID)
        self._study = str(report.StudyInstanceUID)
        self._data = data[144 + meta_bytes :]

    def numbered(self, number: int) -> tuple[str, bytes]:
        """Return the SOP instance UID and the data set of an object that no other number gives."""
        instance, study = (_renamed(uid, number) for uid in (self._instance, self._study))
        data = self._data.replace(self._instance.encode(), instance.encode())
        return instance, data.replace(self._study.encode(), study.encode())


def _templates(folder: Path) -> Iterator[Template]:
    for path in sorted(folder.rglob("*.dcm")):
        report = pydicom.dcmread(path)
        if report.file_meta.TransferSyntaxUID == _SYNTAX and report.SOPClassUID == _SOP_CLASS:
            yield Template(path, report)


def _renamed(uid: str, number: int) -> str:
    return f"{uid[:-_UNIQUE]}{number:0{_UNIQUE}d}"


class Sender:
    """Sends over one association after another until it is told to stop."""

    def __init__(self, port: int, templates: list[Template], first: int) -> None:
        self.acknowledged: list[str] = []
        self.answered: Counter[int] = Counter()
        self.broken = 0
        self._port, self._templates, self._number = port, templates, first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the object that is under way."""
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=60) as peer:
                    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._associate(peer)
                    while not self._stop.is_set():
                        self._store(peer)
            except OSError:
                self.broken += 1
                self._stop.wait(0.2)

    def _associate(self, peer: socket.socket) -> None:
        context = struct.pack(">BxBx", 1, 0) + _item(0x30, _SOP_CLASS) + _item(0x40, _SYNTAX)
        user = _item(0x51, struct.pack(">I", _PDU_BYTES)) + _item(0x52, "1.2.3")
        titles = b"DOSEATLAS".ljust(16) + b"SOAK".ljust(16)
        body = struct.pack(">HH", 1, 0) + titles + bytes(32) + _item(0x10, pdu.APPLICATION_CONTEXT)
        body += _item(0x20, context) + _item(0x50, user)
        peer.sendall(pdu.HEADER.pack(pdu.ASSOCIATE_RQ, len(body)) + body)
        if _received(peer)[0] != pdu.ASSOCIATE_AC:
            raise ConnectionError("not let in")

    def _store(self, peer: socket.socket) -> None:
        template = self._templates[self._number % len(self._templates)]
        instance, data = template.numbered(self._number)
        command: dimse.Command = {
            dimse.AFFECTED_CLASS: _SOP_CLASS,
            dimse.FIELD: dimse.C_STORE_RQ,
            dimse.MESSAGE_ID: 1,
            dimse.DATA_SET_TYPE: 1,
            dimse.AFFECTED_INSTANCE: instance,
        }
        peer.sendall(pdu.encode_message(1, dimse.encode_command(command), data, _PDU_BYTES))
        _, body = _received(peer)
        (fragment,) = pdu.fragments(memoryview(body))
        status = int(dimse.decode_command(bytes(fragment.data))[dimse.STATUS])
        self.answered[status] += 1
        if status == dimse.SUCCESS:
            self.acknowledged.append(instance)
            self._number += SENDERS
        else:
            self._stop.wait(1)


def _item(kind: int, content: str | bytes) -> bytes:
    value = content if isinstance(content, bytes) else content.encode()
    return struct.pack(">BxH", kind, len(value)) + value


def _received(peer: socket.socket) -> tuple[int, bytes]:
    kind, length = pdu.HEADER.unpack(_exactly(peer, pdu.HEADER.size))
    return kind, _exactly(peer, length)


def _exactly(peer: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = peer.recv(count - len(data))
        if not piece:
            raise ConnectionError("ended")
        data += piece
    return data


class Service:
    """``doseatlas serve``, started again whenever it was killed."""

    def __init__(self, home: Path) -> None:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = int(one.getsockname()[1])
        self.data = home / "data"
        text = f'data_dir = "{self.data}"\n[service]\ndicom_port = {self.port}\nhttp_port = 0\n'
        (home / "doseatlas.toml").write_text(text)
        self._home = home
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("DOSEATLAS_")}
        self.kills: Counter[str] = Counter()
        self.start()

    def start(self) -> None:
        """Start it."""
        command = [str(Path(sys.executable).with_name("doseatlas")), "serve"]
        log = (self._home / "log").open("ab")
        with log:
            self.process = psutil.Popen(command, cwd=self._home, env=self._environment, stderr=log)

    def kill(self, which: str) -> None:
        """Kill the service, its importing process or both; a service that was killed is started again."""
        with suppress(psutil.NoSuchProcess):
            importers = self.process.children()
            if which in ("both", "importer"):
                for importer in importers:
                    importer.kill()
        if which in ("both", "service"):
            self.process.kill()
            self.process.wait()
            self.start()
        self.kills[which] += 1

    def mebibytes(self) -> float:
        """Return the resident memory of all its processes; pages they share are counted for each."""
        total = 0
        with suppress(psutil.NoSuchProcess):
            for one in [self.process, *self.process.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    total += one.memory_info().rss
        return total / 2**20

    def waiting(self) -> int:
        """Return how many objects are in the spool."""
        return sum(1 for _ in (self.data / "spool" / "new").glob("*/*.dcm"))

    def stop(self) -> int:
        """Stop it as systemd does."""
        self.process.send_signal(signal.SIGTERM)
        return int(self.process.wait(120))


def measure(folder: Path, home: Path, minutes: float) -> list[Row]:
    """Receive for so many minutes; count what is in the store."""
    templates = list(islice(_templates(folder), TEMPLATES))
    seeded = random.Random(SEED)
    service = Service(home)
    senders = [Sender(service.port, templates, number) for number in range(SENDERS)]
    began = time.monotonic()
    next_kill = seeded.uniform(*KILL_EVERY_SECONDS)
    samples: list[float] = []
    while (passed := time.monotonic() - began) < minutes * 60:
        time.sleep(1)
        samples.append(service.mebibytes())
        if passed > next_kill:
            service.kill(seeded.choice(("service", "importer", "both")))
            next_kill = passed + seeded.uniform(*KILL_EVERY_SECONDS)
    for sender in senders:
        sender.stop()
    seconds = time.monotonic() - began
    ended = time.monotonic()
    while service.waiting() and time.monotonic() - ended < DRAIN_SECONDS:
        time.sleep(0.2)
    drained = time.monotonic() - ended
    status = service.stop()
    acknowledged = [instance for sender in senders for instance in sender.acknowledged]
    row = _counted(service, acknowledged, status)
    answered = sum((sender.answered for sender in senders), Counter[int]())
    refused = answered.total() - answered[dimse.SUCCESS]
    return [
        row,
        Row(
            f"peak memory in {minutes:g} minutes at full rate",
            f"{max(samples):.0f} MiB",
            f"under {BAR_MEBIBYTES} MiB",
            max(samples) < BAR_MEBIBYTES,
            f"resident memory of all processes, {len(samples)} samples; in the last tenth "
            f"{max(samples[-max(1, len(samples) // 10) :]):.0f} MiB",
        ),
        Row(
            f"receiving for {minutes:g} minutes over {SENDERS} associations",
            f"{len(acknowledged) / seconds:.0f} a second",
            "none",
            None,
            f"{len(acknowledged):,} acknowledged, {refused} told to try again, {sum(s.broken for s in senders)} broken "
            f"connections; all in the database {drained:.1f} s after the last",
        ),
    ]


def _counted(service: Service, acknowledged: list[str], status: int) -> Row:
    with closing(sqlite3.connect(service.data / "doseatlas.sqlite")) as store:
        stored = Counter(uid for (uid,) in store.execute("select sop_instance_uid from objects"))
        exams = store.execute("select count(*) from exams").fetchone()[0]
        check = store.execute("pragma integrity_check").fetchone()[0]
    lost = sum(1 for instance in acknowledged if instance not in stored)
    doubled = stored.total() - len(stored) + abs(exams - len(stored))
    waiting, quarantined = service.waiting(), len(list((service.data / "quarantine").glob("*.dcm")))
    kills = ", ".join(f"{which} {count} times" for which, count in sorted(service.kills.items()))
    return Row(
        f"objects lost or doubled by {service.kills.total()} kills while receiving",
        f"{lost} lost, {doubled} doubled",
        "none",
        not (lost or doubled or waiting or quarantined) and check == "ok" and status == 0,
        f"{len(stored):,} objects and {exams:,} exams in the store, {waiting} waiting, {quarantined} in quarantine; "
        f"killed: {kills}; the database's check says {check}; seed {SEED}",
    )


def main() -> None:
    """Measure, print and write."""
    minutes = float(os.environ.get("SOAK_MINUTES", "10"))
    WORK.mkdir(exist_ok=True)
    rows = measure(simulated("ct-20000", 20_000, "ct"), WORK / "soak", minutes)
    for row in rows:
        results.tell(row)
    results.write(results.SOAK, rows, "make soak")
    print(f"written to {results.FILE.name}")
    shutil.rmtree(WORK / "soak")
    sys.exit(any(row.met is False for row in rows))


if __name__ == "__main__":
    main()
