"""``doseatlas mapping``: which procedure names mean which standard procedure, as this site confirms it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from doseatlas.cli.audit import record_action
from doseatlas.cli.context import open_store
from doseatlas.cli.output import Format, FormatOption, print_rows

app = typer.Typer(no_args_is_help=True, help="Procedure names of this site and the standard procedures they mean.")

FileArgument = Annotated[Path, typer.Argument(help="A CSV file.", show_default=False)]


@app.command("list")
def list_(form: FormatOption = Format.table) -> None:
    """List the names that are not mapped, most frequent first, each with ranked suggestions."""
    with open_store() as store:
        rows = [
            (
                name.text,
                name.kind,
                name.count,
                "; ".join(f"{suggestion.procedure} ({suggestion.score:.0f})" for suggestion in name.suggestions),
            )
            for name in store.unmapped()
        ]
    print_rows(("name", "kind", "exams", "suggestions"), rows, form)
    if not rows and form is Format.table:
        typer.echo("Every name is mapped.")


@app.command("export")
def export(file: FileArgument) -> None:
    """Write the unmapped names to a CSV: fill its column 'procedure' and give it back with 'mapping apply'."""
    with open_store() as store:
        count = store.export_unmapped(file)
    typer.echo(f"{count} names written to {file}: fill the column 'procedure', then 'doseatlas mapping apply {file}'.")


@app.command("apply")
def apply(file: FileArgument) -> None:
    """Take decisions from a CSV with the columns 'key' and 'procedure'. A wrong row is named and nothing is changed."""
    with open_store() as store:
        changed = store.apply_decisions(file)
        store.refresh_mart()
    record_action("mapping-applied", file.name, decisions=changed.decisions, exams=changed.exams)
    typer.echo(f"{changed.decisions} decisions taken, {changed.exams} exams mapped again.")


@app.command("history")
def history(form: FormatOption = Format.table) -> None:
    """List every decision that was taken, newest first."""
    with open_store() as store:
        rows = [(row.decided_at, row.key, row.procedure, row.superseded) for row in store.decisions()]
    print_rows(("decided at", "key", "procedure", "superseded"), rows, form)


@app.command("procedures")
def procedures(form: FormatOption = Format.table) -> None:
    """List the standard procedures."""
    from doseatlas.reference import procedures as standard_procedures

    print_rows(
        ("id", "name", "kind", "region"),
        [(one.id, one.name, one.kind, one.region) for one in standard_procedures()],
        form,
    )
