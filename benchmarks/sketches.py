"""How fast does a registry add up what facilities send as sketches? 100,000 of them, from bytes to released figures.

Each sketch is checked, read and put together as a release does it; they are of 100 exams each, in 240 cells (40
procedures, 6 groups), and every cell gets the percentiles of its facilities' medians and of its pooled exams.
"""

from __future__ import annotations

import datetime as dt
import resource
import time

import numpy as np

from benchmarks.measure import Row, seconds
from doseatlas.exchange import Agreement, Release, facility_cell, make_sketch, read_sketch, release_cells
from doseatlas.reference import procedures

SKETCHES, EXAMS, CELLS = 100_000, 100, 240
BAR_S = 10.0
GROUPS = ("adult", *(f"child-weight-{band}" for band in ("lt5", "5-15", "15-30", "30-50", "50-80")))


def measure() -> list[Row]:
    """Measure merging, and the peak of the memory of this process."""
    rng = np.random.default_rng(1)
    sent = [make_sketch(400 * np.exp(rng.normal(0, 0.5, EXAMS))) for _ in range(SKETCHES)]
    names = [one.id for one in procedures() if one.kind == "ct"][: CELLS // len(GROUPS)]
    cells = [(procedure, group, "dlp_mgy_cm", 32) for procedure in names for group in GROUPS]
    agreement = Agreement(schema=1, id="bench", name="bench")
    made = Release(
        registry="bench",
        number=1,
        since="2025-01",
        until="2025-01",
        made_at=dt.datetime(2025, 2, 1, tzinfo=dt.UTC),
        version="bench",
        minimum_exams=5,
        minimum_facilities=3,
    )

    def merge() -> None:
        found = (
            facility_cell(
                f"facility {number // len(cells)}",
                f"country {number % 60}",
                cells[number % len(cells)],
                [("2025-01", EXAMS, read_sketch(content, EXAMS))],
            )
            for number, content in enumerate(sent)
        )
        released, _ = release_cells(found, agreement, [], made)
        assert all(cell.suppressed is None for cell in released)

    cpu = time.process_time()
    took = seconds(merge)
    cpu = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Row(
            "merging 100,000 facility sketches",
            f"{took:.1f} s",
            f"under {BAR_S:.0f} s",
            took < BAR_S,
            f"{SKETCHES:,} KLL sketches of {EXAMS} exams into {len(cells)} cells, checked and released;"
            f" {1e6 * took / SKETCHES:.0f} us each; {cpu:.1f} s of one processor; peak {peak:.0f} MiB",
        )
    ]
