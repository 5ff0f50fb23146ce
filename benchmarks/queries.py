"""How fast are the questions of a facility's dose report on a mart of a million exams?

The mart is simulated (`mart_arrow`: a country of six facilities over two years) and written in files by facility and
month, as the store writes it. The report fetches the doses that count once and puts its questions to them; each step
is timed by itself, to the finished records.
"""

from __future__ import annotations

import itertools
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, seconds
from doseatlas.analysis import Selection, data_quality, mart_table
from doseatlas.analysis.dose_values import countable_doses
from doseatlas.analysis.histogram import distributions_of_doses
from doseatlas.analysis.mart import chosen, countable
from doseatlas.analysis.outlier import outliers_of_doses
from doseatlas.analysis.reference_levels import ReferenceLevels
from doseatlas.analysis.trend import trends_of_doses
from doseatlas.analysis.typical import typical_of_doses
from doseatlas.dicom.simulate import mart_arrow
from doseatlas.reference import DEFAULT_DRL_SET, drl_set
from doseatlas.store.derive import DERIVATION

EXAMS = 1_000_000
BAR_SECONDS = 1.0
RUNS = 5
ALL = Selection()


def measure(work: Path) -> list[Row]:
    """Time every question as the report asks it; the sum of one column of the same files is the yardstick."""
    mart = simulated_mart(work)
    levels = ReferenceLevels(drl_set(DEFAULT_DRL_SET))
    yardstick = _median(lambda: mart_table(mart).dlp_mgy_cm.sum().to_pyarrow())
    table = mart_table(mart)
    backend = table.get_backend()

    numbers = itertools.count()

    def load() -> Any:
        return backend.create_table(f"doses_{next(numbers)}", countable_doses(table, ALL), temp=True)

    loading = _median(load)
    doses = load()
    typical = typical_of_doses(doses, by=None, levels=levels)
    exams = countable(chosen(table, ALL))
    questions: dict[str, Callable[[], object]] = {
        "typical values": lambda: typical_of_doses(doses, by=None, levels=levels),
        "typical values by device": lambda: typical_of_doses(doses, by="device", levels=levels),
        "distributions": lambda: distributions_of_doses(doses, typical),
        "trends by month": lambda: trends_of_doses(doses),
        "outliers with reasons": lambda: outliers_of_doses(doses, exams, typical),
        "data quality": lambda: data_quality(table, ALL),
    }
    times = {"doses that count, fetched once": loading, **{name: _median(ask) for name, ask in questions.items()}}
    return [
        Row(
            f"{name}: {EXAMS:,} exams",
            f"{elapsed:.2f} s",
            f"under {BAR_SECONDS:.0f} s",
            elapsed < BAR_SECONDS,
            f"{elapsed / yardstick:.1f} times the sum of one column of the same files ({yardstick:.2f} s)",
        )
        for name, elapsed in times.items()
    ]


def simulated_mart(work: Path) -> Path:
    """Return the folder of the mart, writing it where it is not there yet."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    mart = work / f"mart-{EXAMS}-of-derivation-{DERIVATION}"
    if mart.exists():
        return mart
    print(f"simulating a mart of {EXAMS:,} exams ...", flush=True)
    unfinished = work / f"mart-{EXAMS}-unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    exams = mart_arrow("country", exams=EXAMS, seed=3)
    for number, facility in enumerate(pc.unique(exams["facility"]).to_pylist()):
        of_facility = exams.filter(pc.equal(exams["facility"], facility))
        for month in pc.unique(of_facility["month"]).to_pylist():
            folder = unfinished / "exams" / f"facility={number}" / f"month={month}"
            folder.mkdir(parents=True)
            part = of_facility.filter(pc.equal(of_facility["month"], month))
            pq.write_table(part, folder / "exams.parquet", compression="zstd")
    unfinished.rename(mart)
    return mart


def _median(action: Callable[[], object]) -> float:
    action()
    return statistics.median(seconds(action) for _ in range(RUNS))
