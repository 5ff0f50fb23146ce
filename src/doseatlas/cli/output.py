"""How commands print lists: a table for people, JSON lines or CSV for programs; and what they take in common."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class Format(StrEnum):
    """Forms of a list on standard output."""

    table = "table"
    jsonl = "jsonl"
    csv = "csv"


FormatOption = Annotated[Format, typer.Option("--format", "-f", help="table for people; jsonl or csv for programs.")]
PathsArgument = Annotated[
    list[Path], typer.Argument(help="Files, folders, zip archives or DICOMDIRs.", show_default=False)
]


def console(stderr: bool = False) -> Console:
    """Return the terminal; without colour where it is a pipe."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]], form: Format, title: str | None = None) -> None:
    """Print rows in the form asked for; in JSON a value of ``None`` is left out, in a table and in CSV it is empty."""
    if form is Format.jsonl:
        import msgspec

        for row in rows:
            stated = {name: value for name, value in zip(columns, row, strict=True) if value is not None}
            sys.stdout.write(msgspec.json.encode(stated).decode() + "\n")
    elif form is Format.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(["" if value is None else value for value in row] for row in rows)
    else:
        _print_table(columns, rows, title)


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else escape(_text(value)) for value in row))
    console().print(table)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def progress_bar(unit: str) -> Progress:
    """Return a progress display on the error stream: count, rate, time left; silent where that is not a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    terminal = console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit}  {{task.fields[rate]}}"),
        TimeRemainingColumn(),
        console=terminal,
        disable=not terminal.is_terminal,
    )
