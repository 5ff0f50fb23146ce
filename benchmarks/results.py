"""Where do figures go? Into ``benchmarks/results.md``: a table for each command that measures."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from pathlib import Path

from benchmarks.measure import Row, machine

FILE = Path(__file__).parent / "results.md"
BENCH, LARGE, SOAK = "# Measured speed and memory", "## Half a billion exams", "## Soak"


def tell(row: Row) -> None:
    """Print a figure."""
    print(f"{row.figure:>24}  {row.what}  ({row.bar}: {_verdict(row)})\n{'':26}{row.detail}", flush=True)


def write(heading: str, rows: Iterable[Row], command: str) -> None:
    """Write what a command measured below its heading; what stands below the others stays."""
    said = (
        f"{heading}\n\n`{command}`, {_today()}. Machine: {machine()}. Medians; ratios are of things measured side by "
        f"side in one run. All data are simulated (`doseatlas simulate`).\n\n{_table(rows)}"
    )
    sections = _sections() | {heading: said}
    FILE.write_text("\n".join(sections[one] for one in (BENCH, LARGE, SOAK) if one in sections), encoding="utf-8")


def _sections() -> dict[str, str]:
    """Return the sections of the file by their headings."""
    text = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    parts = re.split(r"^(?=#)", text, flags=re.MULTILINE)
    return {part.partition("\n")[0]: part.rstrip("\n") + "\n" for part in parts if part}


def _table(rows: Iterable[Row]) -> str:
    lines = [
        "| what | figure | bar | met | detail |",
        "| --- | --- | --- | --- | --- |",
        *(f"| {row.what} | **{row.figure}** | {row.bar} | {_verdict(row)} | {row.detail} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _verdict(row: Row) -> str:
    return "no bar" if row.met is None else "met" if row.met else "NOT MET"


def _today() -> str:
    return f"{dt.date.today():%Y-%m-%d}"
