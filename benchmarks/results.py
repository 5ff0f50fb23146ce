"""Where do figures go? Into ``benchmarks/results.md``: a table of `make bench`, and below it one of `make soak`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

from benchmarks.measure import Row, machine

FILE = Path(__file__).parent / "results.md"
_SOAK = "\n## Soak\n"


def tell(row: Row) -> None:
    """Print a figure."""
    print(f"{row.figure:>24}  {row.what}  ({row.bar}: {_verdict(row)})\n{'':26}{row.detail}", flush=True)


def write_bench(rows: Iterable[Row]) -> None:
    """Write what `make bench` measured; what the last soak measured stays."""
    head = (
        "# Measured speed and memory\n\n"
        f"`make bench`, {_today()}. Machine: {machine()}. Medians; ratios are of things measured side by side in one "
        "run. All data are simulated (`doseatlas simulate`).\n\n"
    )
    FILE.write_text(head + _table(rows) + "".join(_parts()[1:]), encoding="utf-8")


def write_soak(rows: Iterable[Row]) -> None:
    """Write what `make soak` measured below what the last `make bench` did."""
    head = f"{_SOAK}\n`make soak`, {_today()}. Machine: {machine()}.\n\n"
    FILE.write_text(_parts()[0] + head + _table(rows), encoding="utf-8")


def _parts() -> list[str]:
    before, mark, soak = (FILE.read_text(encoding="utf-8") if FILE.exists() else "").partition(_SOAK)
    return [before, mark + soak]


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
