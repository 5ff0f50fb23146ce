"""``make bench``: measure everything, print the ratios first, write ``benchmarks/results.md``.

The data are simulated into ``benchmarks/work`` once and kept for the next run (``make clean`` removes them).
``python -m benchmarks reading startup`` measures only those and writes nothing; ``python -m benchmarks large`` measures
half a billion exams, for which it writes 5 GB into the work folder.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import dosimetry, importing, queries, reading, receiving, registry, results, sketches, skin, startup
from benchmarks.measure import Row
from doseatlas.dicom.simulate import DeviceClass, plan, write_objects

HERE = Path(__file__).parent
WORK = HERE / "work"
START, END = dt.date(2024, 1, 1), dt.date(2025, 12, 31)


def simulated(name: str, exams: int, device_class: DeviceClass) -> Path:
    """Return a folder of simulated reports of one class of device, writing it where it is not there yet."""
    folder = WORK / name
    if not folder.exists():
        print(f"simulating {exams:,} {device_class} exams ...", flush=True)
        world = plan("country", exams=exams, seed=2, start=START, end=END, faults=False, device_classes=(device_class,))
        with tempfile.TemporaryDirectory(dir=WORK) as unfinished:
            write_objects(world, Path(unfinished) / name, jobs=os.cpu_count() or 1)
            (Path(unfinished) / name).rename(folder)
    return folder


def _reading() -> list[Row]:
    ct = sorted(simulated("ct-20000", 20_000, "ct").rglob("*.dcm"))[:25]
    angiography = sorted(simulated("angiography-40", 40, "angiography").rglob("*.dcm"))
    return reading.measure(ct, angiography)


def _importing() -> list[Row]:
    folders = [simulated("ct-20000", 20_000, "ct"), simulated("ct-100000", 100_000, "ct")]
    return importing.measure(folders, WORK)


MEASURES: dict[str, Callable[[], list[Row]]] = {
    "reading": _reading,
    "importing": _importing,
    "queries": lambda: queries.measure(WORK),
    "registry": lambda: registry.measure(WORK, 10_000_000) + registry.measure(WORK, 100_000_000),
    "sketches": sketches.measure,
    "startup": startup.measure,
    "receiving": lambda: receiving.measure(simulated("ct-20000", 20_000, "ct"), WORK),
    "dosimetry": dosimetry.measure,
    "skin": skin.measure,
}
LARGE = "large"


def main(asked: list[str]) -> None:
    """Measure what is asked for, or everything but the large registry."""
    WORK.mkdir(exist_ok=True)
    if asked == [LARGE]:
        results.write(results.LARGE, _told(registry.measure(WORK, 500_000_000)), "python -m benchmarks large")
        return
    rows = [row for name in asked or MEASURES for row in _told(MEASURES[name]())]
    if not asked:
        results.write(results.BENCH, rows, "make bench")
        print(f"written to {HERE.name}/{results.FILE.name}")


def _told(rows: list[Row]) -> list[Row]:
    for row in rows:
        results.tell(row)
    return rows


if __name__ == "__main__":
    main(sys.argv[1:])
