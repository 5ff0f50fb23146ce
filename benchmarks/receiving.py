"""How fast are dose reports received, durably, and how soon are they in the database? With dcmtk's senders and peer.

The peer is dcmtk's ``storescp``, one process an association, writing the same objects to the same disk without making
them durable and without reading them. Both are sent to by eight ``storescu`` at once, in turn in one run, with Nagle's
algorithm off, without which the peer waits 40 ms for each object. Senders, receiver and import share the processors.
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
    """Send the reports of a folder to both receivers."""
    parts = _parts(folder, work / "receiving")
    theirs, ours, lags, peaks = [], [], [], []
    for _ in range(RUNS):
        theirs.append(_to_storescp(parts, work / "received"))
        seconds, lag, peak = _to_doseatlas(parts, work / "service")
        ours.append(seconds)
        lags.append(lag)
        peaks.append(peak)
    ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
    rates = [OBJECTS / statistics.median(times) for times in (ours, theirs)]
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


def _to_storescp(parts: list[Path], received: Path) -> float:
    shutil.rmtree(received, ignore_errors=True)
    received.mkdir()
    port = _free_port()
    with _running(["storescp", "--fork", "-od", str(received), str(port)], port):
        seconds = _send(parts, port)
    if len(os.listdir(received)) != OBJECTS:  # noqa: PTH208
        raise RuntimeError("storescp did not write all objects")
    shutil.rmtree(received)
    return seconds


def _to_doseatlas(parts: list[Path], home: Path) -> tuple[float, float, float]:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    port = _free_port()
    settings = f'data_dir = "{home}/data"\n[service]\ndicom_port = {port}\nhttp_port = 0\n'
    (home / "doseatlas.toml").write_text(settings)
    command = [str(Path(sys.executable).with_name("doseatlas")), "serve"]
    with _running(command, port, cwd=home) as process:
        seconds = _send(parts, port)
        acknowledged = time.perf_counter()
        while _stored(home / "data" / "doseatlas.sqlite") < OBJECTS:
            if time.perf_counter() - acknowledged > 120:
                raise RuntimeError("not all objects reached the database")
            time.sleep(0.1)
        lag = time.perf_counter() - acknowledged
        tree = [process, *process.children(recursive=True)]
        peak = sum(int(_status(one, "VmHWM")) for one in tree) / 1024
    shutil.rmtree(home)
    return seconds, lag, peak


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
