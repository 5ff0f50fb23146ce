"""How long do the national reference levels of a world take, against the sum of one column of the same files?

The registry is that of :mod:`registry_data`: 3,000 facilities, 60 countries, 40 procedures, 6 patient groups. Levels
are exact, with bootstrap intervals and the facilities left out, country by country; each figure is of a process of its
own, in turn with the yardstick, so that peak memory is known and both see the same machine.
``python -m benchmarks large`` measures 500 million exams.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Row, run
from benchmarks.registry_data import simulated_registry

BAR_RATIO = 16
BAR_MEBIBYTES = 8 * 1024
BAR_PAGE_SECONDS = 0.3
RUNS = 3


def measure(work: Path, exams: int) -> list[Row]:
    """Measure levels, memory and a facility's page of a registry of ``exams`` exams."""
    registry = simulated_registry(work, exams)
    runs = RUNS if exams <= 100_000_000 else 1
    sums, levels, work_ratios, peaks = [], [], [], []
    with tempfile.TemporaryDirectory(dir=work) as folder:
        for _ in range(runs):
            summed = _child("sum", registry, Path(folder))
            computed = _child("levels", registry, Path(folder))
            sums.append(summed.seconds)
            levels.append(computed.seconds)
            work_ratios.append(computed.processor_seconds / summed.processor_seconds)
            peaks.append(computed.peak_mebibytes)
        page = _child("page", registry, Path(folder)).seconds
    yardstick, elapsed = statistics.median(sums), statistics.median(levels)
    million = exams / 1e6
    return [
        Row(
            f"national levels of {million:g} million exams",
            f"{elapsed / yardstick:.1f} times the sum of a column",
            f"at most {BAR_RATIO} times at 100 million",
            elapsed / yardstick <= BAR_RATIO if exams == 100_000_000 else None,
            f"{elapsed:.1f} s, {elapsed / million * 1000:.0f} ms a million exams; the sum {yardstick:.2f} s; "
            f"{statistics.median(work_ratios):.1f} times its processor time",
        ),
        Row(
            f"peak memory, national levels of {million:g} million exams",
            f"{max(peaks):.0f} MiB",
            f"under {BAR_MEBIBYTES} MiB",
            max(peaks) < BAR_MEBIBYTES,
            "one process, country by country",
        ),
        Row(
            f"a facility among its peers, of {million:g} million exams",
            f"{page:.2f} s",
            f"under {BAR_PAGE_SECONDS} s",
            page < BAR_PAGE_SECONDS,
            "from the unit values that the computation of levels keeps",
        ),
    ]


class Answered(NamedTuple):
    """What a question cost in a process of its own: wall time, time of all processors, peak memory."""

    seconds: float
    processor_seconds: float
    peak_mebibytes: float


def _child(what: str, registry: Path, folder: Path) -> Answered:
    """Ask one question in a process of its own."""
    done = run([sys.executable, "-m", "benchmarks.registry", what, str(registry), str(folder)])
    times = json.loads(done.output.splitlines()[-1])
    return Answered(times["seconds"], times["processor_seconds"], done.peak_mebibytes)


def _sum(registry: Path, folder: Path) -> None:
    import duckdb

    files = str(registry / "exams" / "**" / "*.parquet")
    duckdb.sql("SELECT sum(dlp_mgy_cm) FROM read_parquet($1, hive_partitioning = false)", params=[files]).fetchall()


def _levels(registry: Path, folder: Path) -> None:
    from doseatlas.analysis.drl import DataVersion, Request, compute_levels, save_computed
    from doseatlas.reference import drl_method

    # The digest of the files is the command's business; here only the levels are timed.
    version = DataVersion(digest="not asked", files=0, bytes=0)
    request = Request(drl_method("icrp-135-national"))
    save_computed(compute_levels(registry, request, data=version, code_version="bench"), folder, year=2025)


def _page(registry: Path, folder: Path) -> None:
    from doseatlas.analysis.drl import peer_standing

    found = peer_standing(folder, "facility 0042", min_patients=1)
    assert found, "the facility has no exams"


QUESTIONS: dict[str, Callable[[Path, Path], None]] = {"sum": _sum, "levels": _levels, "page": _page}


def main(what: str, registry: str, folder: str) -> None:
    """Answer one question twice and print how long it took the second time: the first reads files and modules."""
    question = QUESTIONS[what]
    if what != "levels":
        question(Path(registry), Path(folder))
    start, processor_start = time.perf_counter(), time.process_time()
    question(Path(registry), Path(folder))
    processor_seconds = time.process_time() - processor_start
    print(json.dumps({"seconds": time.perf_counter() - start, "processor_seconds": processor_seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
