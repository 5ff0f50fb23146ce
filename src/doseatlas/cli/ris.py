"""``doseatlas context``: what the RIS or a sheet knows of an exam, where its dose objects lack it."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from doseatlas.cli.audit import record_action
from doseatlas.cli.context import open_store
from doseatlas.cli.output import Format, FormatOption, console, print_rows
from doseatlas.settings import load_settings

if TYPE_CHECKING:
    from doseatlas.store import ContextSummary

app = typer.Typer(help="Take height, weight, procedure and indication from the RIS or a CSV.", no_args_is_help=True)

SheetArgument = Annotated[
    Path,
    typer.Argument(
        help="CSV with accession_number or study_instance_uid, and height_cm, weight_kg (or another unit), procedure, "
        "indication.",
        show_default=False,
    ),
]
SOURCE: Final = "csv"


@app.command("listen")
def listen(
    check: Annotated[bool, typer.Option("--check", help="Only check the settings: exit status 0 or 2.")] = False,
) -> None:
    """Take HL7 version 2 messages over MLLP until told to stop; see docs/context.md and [context] in the settings."""
    from doseatlas import context

    settings = load_settings().settings
    if check:
        context.check(settings.context)
        typer.echo("The settings of [context] are in order.")
        return
    context.listen(settings)


@app.command("preview")
def preview(file: SheetArgument, form: FormatOption = Format.table) -> None:
    """Show what a CSV would change; nothing is changed."""
    from doseatlas.context import read_sheet
    from doseatlas.store import preview_context

    with open_store() as store:
        summary = preview_context(store, read_sheet(file), SOURCE, "preview")
    _print(summary, form, "would be taken")


@app.command("import")
def import_(file: SheetArgument, form: FormatOption = Format.table) -> None:
    """Take the rows of a CSV, all or none. 'doseatlas context undo' takes them back."""
    from doseatlas.context import read_sheet
    from doseatlas.store import add_context

    batch = f"csv-{secrets.token_hex(4)}"
    with open_store() as store:
        summary = add_context(store, read_sheet(file), SOURCE, batch)
        store.refresh_mart()
    if summary.new:
        record_action("context-taken", batch, statements=summary.new, values_changed=len(summary.changes))
    _print(summary, form, f"taken as batch {batch}" if summary.new else "taken")


@app.command("list")
def list_(form: FormatOption = Format.table) -> None:
    """List the batches that were taken, the newest first."""
    from doseatlas.store import context_batches

    with open_store() as store:
        rows = [
            (one.batch, one.source, one.received_at, one.statements, "undone" if one.undone else "in force")
            for one in context_batches(store)
        ]
    print_rows(("batch", "source", "received", "statements", "state"), rows, form)


@app.command("undo")
def undo(
    batch: Annotated[str, typer.Argument(help="A batch of 'doseatlas context list'.", show_default=False)],
    form: FormatOption = Format.table,
) -> None:
    """Take a batch back: its exams are again what their objects, and other batches, say."""
    from doseatlas.store import undo_context

    with open_store() as store:
        summary = undo_context(store, batch)
        store.refresh_mart()
    record_action("context-undone", batch, statements=summary.withdrawn, values_changed=len(summary.changes))
    _print(summary, form, "undone")


def _print(summary: ContextSummary, form: Format, done: str) -> None:
    rows = [
        (one.study_date, one.kind, one.study_instance_uid, one.field, one.before, one.after) for one in summary.changes
    ]
    print_rows(("study date", "kind", "study", "field", "before", "after"), rows, form)
    if form is Format.table:
        if summary.withdrawn:
            console().print(f"{len(rows)} values change; {summary.withdrawn} statements {done}")
            return
        console().print(
            f"{len(rows)} values change; {summary.new} statements {done}, {summary.already_there} were there already, "
            f"{summary.without_exam} name an exam that is not in the store yet"
        )
