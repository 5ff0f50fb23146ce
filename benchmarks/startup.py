"""How long does a user wait for ``doseatlas --help``?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Row, median_seconds

BAR_SECONDS = 0.3


def measure() -> list[Row]:
    """Measure the whole process."""
    command = [str(Path(sys.executable).with_name("doseatlas")), "--help"]
    bare = [sys.executable, "-c", "pass"]

    def run(what: list[str]) -> float:
        return median_seconds(lambda: subprocess.run(what, check=True, stdout=subprocess.DEVNULL), runs=11)

    ours, python = run(command), run(bare)
    return [
        Row(
            "doseatlas --help",
            f"{ours:.2f} s",
            f"under {BAR_SECONDS} s",
            ours < BAR_SECONDS,
            f"{ours / python:.0f} times an empty Python process ({python * 1e3:.0f} ms)",
        )
    ]
