"""How long do the national reference levels of a world take, against the sum of one column of the same files?

The registry is that of :mod:`registry_data`: 3,000 facilities, 60 countries, 40 procedures, 6 patient groups. Levels
are exact, with bootstrap intervals and the facilities left out, country by country; each figure is of a process of its
own, in turn with the yardstick, so that peak memory is known and both see the same machine.
``python -m benchmarks registry-100`` and ``registry-500`` measure 100 and 500 million exams.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

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
    sums, levels, peaks = [], [], []
    with tempfile.TemporaryDirectory(dir=work) as folder:
        for _ in range(runs):
            sums.append(_child("sum", registry, Path(folder))[0])
            seconds, peak = _child("levels", registry, Path(folder))
            levels.append(seconds)
            peaks.append(peak)
        page = _child("page", registry, Path(folder))[0]
    yardstick, elapsed = statistics.median(sums), statistics.median(levels)
    million = exams / 1e6
    return [
        Row(
            f"national levels of {million:g} million exams",
            f"{elapsed / yardstick:.1f} times the sum of a column",
            f"at most {BAR_RATIO} times at 100 million",
            elapsed / yardstick <= BAR_RATIO if exams == 100_000_000 else None,
            f"{elapsed:.1f} s, {elapsed / million * 1000:.0f} ms a million exams; the sum {yardstick:.2f} s",
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


def _child(what: str, registry: Path, folder: Path) -> tuple[float, float]:
    """Return the seconds that a question took in a process of its own, and the process's peak memory in MiB."""
    done = run([sys.executable, "-m", "benchmarks.registry", what, str(registry), str(folder)])
    return float(json.loads(done.output.splitlines()[-1])["seconds"]), done.peak_mebibytes


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
    start = time.perf_counter()
    question(Path(registry), Path(folder))
    print(json.dumps({"seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main(*sys.argv[1:])
