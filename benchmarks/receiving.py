"""How fast are dose reports received, durably, and how soon are they in the database? With dcmtk's senders and peer.

The peer is dcmtk's ``storescp``, one process an association, writing the same objects to the same disk without making
them durable and without reading them. A second peer is pynetdicom, on which the service does not stand
(``docs/decisions/010-own-upper-layer.md``): it makes them durable and reads nothing. All are sent to by eight
``storescu`` at once, in turn in one run, with Nagle's algorithm off, without which a peer waits 40 ms for each object.
Senders, receiver and import share the processors.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.measure import Row

OBJECTS = 4_000
SENDERS = 8
RUNS = 3
BAR_RATIO = 0.5
BAR_SECONDS = 5
BAR_MEBIBYTES = 600
_ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}


def measure(folder: Path, work: Path) -> list[Row]:
    """Send the reports of a folder to all receivers."""
    parts = _parts(folder, work / "receiving")
    theirs, pynetdicoms, ours = [], [], []
    for _ in range(RUNS):
        theirs.append(_to_storescp(parts, work / "received"))
        pynetdicoms.append(_to_pynetdicom(parts, work / "received"))
        ours.append(_to_doseatlas(parts, work / "service"))
    ratio = statistics.median(a.seconds / b.seconds for a, b in zip(theirs, ours, strict=True))
    less = statistics.median(a.processor_seconds / b.processor_seconds for a, b in zip(ours, pynetdicoms, strict=True))
    rates = [OBJECTS / statistics.median(run.seconds for run in runs) for runs in (ours, theirs, pynetdicoms)]
    costs = [statistics.median(run.processor_seconds for run in runs) / OBJECTS for runs in (ours, pynetdicoms)]
    lags, peaks = [run.lag_seconds for run in ours], [run.peak_mebibytes for run in ours]
    return [
        Row(
            f"receiving {OBJECTS:,} CT reports over {SENDERS} associations",
            f"{ratio:.2f} times storescp",
            f"at least {BAR_RATIO} times",
            ratio >= BAR_RATIO,
            f"{rates[0]:.0f} a second, durable and being imported, against {rates[1]:.0f} a second that dcmtk's "
            f"storescp wrote; median of {RUNS} pairs",
        ),
        Row(
            "processor time of the receiving process for an object",
            f"{less:.2f} times pynetdicom",
            "none",
            None,
            f"{costs[0] * 1000:.2f} ms against {costs[1] * 1000:.2f} ms of a receiver made with pynetdicom, which "
            f"wrote {rates[2]:.0f} a second, durable and not being imported",
        ),
        Row(
            "from the last acknowledgement until all are in the database",
            f"{statistics.median(lags):.1f} s",
            f"under {BAR_SECONDS} s",
            statistics.median(lags) < BAR_SECONDS,
            f"worst of {RUNS}: {max(lags):.1f} s",
        ),
        Row(
            "peak memory while receiving",
            f"{max(peaks):.0f} MiB",
            f"under {BAR_MEBIBYTES} MiB",
            max(peaks) < BAR_MEBIBYTES,
            "all processes of the service together",
        ),
    ]


def _parts(folder: Path, work: Path) -> list[Path]:
    """Share the reports out among the senders, as links."""
    shutil.rmtree(work, ignore_errors=True)
    files = sorted(folder.rglob("*.dcm"))[:OBJECTS]
    parts = [work / str(number) for number in range(SENDERS)]
    for number, part in enumerate(parts):
        part.mkdir(parents=True)
        for file in files[number::SENDERS]:
            os.link(file, part / file.name)
    return parts


def _send(parts: list[Path], port: int) -> float:
    start = time.perf_counter()
    command = ["storescu", "--no-halt", "--scan-directories", "127.0.0.1", str(port)]
    senders = [subprocess.Popen([*command, str(part)], env=_ENVIRONMENT) for part in parts]
    statuses = [sender.wait() for sender in senders]
    if any(statuses):
        raise RuntimeError("storescu failed")
    return time.perf_counter() - start


class _Run(NamedTuple):
    """All reports sent once. ``processor_seconds``: of the process that receives, without its children."""

    seconds: float
    processor_seconds: float
    lag_seconds: float = 0.0
    peak_mebibytes: float = 0.0


def _to_storescp(parts: list[Path], received: Path) -> _Run:
    port = _free_port()
    return _to_folder(["storescp", "--fork", "-od", str(received), str(port)], port, parts, received)


def _to_pynetdicom(parts: list[Path], received: Path) -> _Run:
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.pynetdicom_scp", str(received), str(port)]
    return _to_folder(command, port, parts, received)


def _to_folder(command: list[str], port: int, parts: list[Path], received: Path) -> _Run:
    """Send to a receiver that writes files."""
    shutil.rmtree(received, ignore_errors=True)
    received.mkdir()
    with _running(command, port) as process:
        before = _processor_seconds(process)
        run = _Run(_send(parts, port), _processor_seconds(process) - before)
    if len(os.listdir(received)) != OBJECTS:  # noqa: PTH208
        raise RuntimeError(f"{command[0]} did not write all objects")
    shutil.rmtree(received)
    return run


def _to_doseatlas(parts: list[Path], home: Path) -> _Run:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    port = _free_port()
    settings = f'data_dir = "{home}/data"\n[service]\ndicom_port = {port}\nhttp_port = 0\n'
    (home / "doseatlas.toml").write_text(settings)
    command = [str(Path(sys.executable).with_name("doseatlas")), "serve"]
    with _running(command, port, cwd=home) as process:
        before = _processor_seconds(process)
        seconds = _send(parts, port)
        processor_seconds = _processor_seconds(process) - before
        acknowledged = time.perf_counter()
        while _stored(home / "data" / "doseatlas.sqlite") < OBJECTS:
            if time.perf_counter() - acknowledged > 120:
                raise RuntimeError("not all objects reached the database")
            time.sleep(0.1)
        lag = time.perf_counter() - acknowledged
        tree = [process, *process.children(recursive=True)]
        peak = sum(int(_status(one, "VmHWM")) for one in tree) / 1024
    shutil.rmtree(home)
    return _Run(seconds, processor_seconds, lag, peak)


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _stored(database: Path) -> int:
    if not database.exists():
        return 0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute("select count(*) from objects").fetchone()[0])
        except sqlite3.OperationalError:  # the tables are being made
            return 0


def _status(process: psutil.Process, name: str) -> str:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


@contextmanager
def _running(command: list[str], port: int, cwd: Path | None = None) -> Iterator[psutil.Process]:
    process = psutil.Popen(command, cwd=cwd, env=_ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        time.sleep(2)  # until the importing process is up, as it is in a service that runs for weeks
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
