"""Fair timing: two ways in turn, in one run, medians and ratios; and the peak memory of a whole process tree."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil


class Row(NamedTuple):
    """One measured figure beside its bar. ``met`` is ``None`` where there is no bar."""

    what: str
    figure: str
    bar: str
    met: bool | None
    detail: str


def seconds(action: Callable[[], object]) -> float:
    """Time one call."""
    gc.collect()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def median_seconds(action: Callable[[], object], runs: int = 5) -> float:
    """Return the median time of a call after one warm-up."""
    action()
    return statistics.median(seconds(action) for _ in range(runs))


def side_by_side(ours: Callable[[], object], theirs: Callable[[], object], runs: int = 5) -> tuple[float, float]:
    """Return the median times of two ways of doing a thing, run in turn so that both see the same machine."""
    ours()
    theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(runs)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


class Run(NamedTuple):
    """A finished process: wall time, and the peak of the memory that it and its children held together."""

    seconds: float
    peak_mebibytes: float
    output: str


def run(command: Sequence[str], env: dict[str, str] | None = None) -> Run:
    """Run a command to its end, watching the resident memory of its whole tree.

    Raises:
        RuntimeError: the command failed.

    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        tree = psutil.Process(process.pid)
        while not done.wait(0.05):
            try:
                peak = max(peak, sum(_resident(p) for p in [tree, *tree.children(recursive=True)]))
            except psutil.NoSuchProcess:
                continue

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    output, _ = process.communicate()
    elapsed = time.perf_counter() - start
    done.set()
    watcher.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}:\n{output}")
    return Run(elapsed, peak / 2**20, output)


def _resident(process: psutil.Process) -> int:
    """Return the resident memory of one process; pages shared between processes are counted for each (pessimistic)."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def machine() -> str:
    """Describe the machine in one line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )
