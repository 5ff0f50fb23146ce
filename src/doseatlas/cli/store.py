"""Commands that put objects into the store and list what it holds: ``import``, ``exams``, ``refused``, ``rebuild``."""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from doseatlas.cli import EXIT_REFUSED
from doseatlas.cli.alerts import look_and_tell
from doseatlas.cli.audit import record_action
from doseatlas.cli.context import open_store
from doseatlas.cli.output import Format, FormatOption, PathsArgument, console, print_rows, progress_bar
from doseatlas.cli.read import dose
from doseatlas.settings import load_settings

if TYPE_CHECKING:
    from doseatlas.store import ImportSummary, Store

SHOWN_REASONS = 12


class Progress(Protocol):
    """What a long task tells: how many are done, out of how many (``None`` while still counting)."""

    def __call__(self, done: int, total: int | None) -> None:
        """Tell how far the task is."""


@contextmanager
def shown_progress(what: str, unit: str) -> Iterator[Progress]:
    """Show a long task's progress, with rate and time left, on the error stream."""
    started = time.monotonic()
    with progress_bar(unit) as bar:
        task = bar.add_task(what, total=None, rate="")

        def tell(done: int, total: int | None) -> None:
            rate = done / max(time.monotonic() - started, 1e-3)
            bar.update(task, completed=done, total=total, rate=f"{rate:.0f}/s")

        yield tell


def import_(paths: PathsArgument, form: FormatOption = Format.table) -> None:
    """Read dose objects into the store. The same object twice changes nothing; interrupt it and run it again.

    Exit status 1 if an object was refused.
    """
    with open_store() as store:
        summary = import_into(store, paths)
        alerts = look_and_tell(store)
    record_action("import", f"{len(paths)} paths", imported=summary.imported, refused=summary.refused)
    print_summary(summary, form)
    if form is Format.table and alerts:
        console().print(alerts)
    if summary.refused:
        raise typer.Exit(EXIT_REFUSED)


def import_into(store: Store, paths: list[Path]) -> ImportSummary:
    """Import with progress on the error stream, and bring the mart up to date."""
    from doseatlas.store import import_paths

    with shown_progress("importing", "objects") as tell:
        summary = import_paths(store, paths, progress=tell)
    store.refresh_mart()
    return summary


def print_summary(summary: ImportSummary, form: Format) -> None:
    """Print what an import did: counts first, then the reasons for refusal."""
    counts = [
        ("imported", summary.imported, "new dose objects, now in the store"),
        ("already there", summary.already_there, "the same object or the same dose, counted once"),
        ("ignored", summary.ignored, "no dose in them"),
        ("refused", summary.refused, "listed by 'doseatlas refused'" if summary.refused else ""),
    ]
    print_rows(("objects", "count", "meaning"), counts, form)
    if summary.reasons and form is Format.table:
        print_rows(("refused because", "count"), list(summary.reasons.items())[:SHOWN_REASONS], form)
    if form is Format.table:
        console().print(f"{summary.seconds:.1f} s, {summary.rate:.0f} objects a second")


KindOption = Annotated[str | None, typer.Option(help="Only ct, projection, mammography, nuclear or estimate.")]
SinceOption = Annotated[
    dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day of study.", show_default=False)
]
UntilOption = Annotated[
    dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day of study.", show_default=False)
]

EXAM_COLUMNS = ("study date", "kind", "device", "procedure", "age", "events", "dose", "notes")


def exams(
    form: FormatOption = Format.table,
    kind: KindOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
) -> None:
    """List the merged exams of the store; --format jsonl gives the reading contract."""
    import msgspec

    with open_store() as store:
        found = store.exams(kind=kind, since=since and since.date(), until=until and until.date())
        if form is Format.jsonl:
            encode = msgspec.json.Encoder().encode
            for exam in found:
                sys.stdout.write(encode(exam).decode() + "\n")
            return
        rows = (
            (
                exam.study_date,
                exam.kind,
                " ".join(part for part in (exam.device.manufacturer, exam.device.model) if part),
                exam.procedure,
                exam.patient.age_years,
                len(exam.events),
                dose(exam),
                ", ".join(sorted({note.code for note in exam.notes})),
            )
            for exam in found
        )
        print_rows(EXAM_COLUMNS, rows, form)


def refused(
    form: FormatOption = Format.table,
    again: Annotated[
        bool, typer.Option("--again", help="First read what 'serve' and 'context listen' refused again, after a fix.")
    ] = False,
) -> None:
    """List the objects, and the messages of the RIS, that were refused, with the reason for each."""
    from doseatlas import context
    from doseatlas.store import Store

    settings = load_settings().settings
    if again:
        from doseatlas.service import read_again

        with shown_progress("reading again", "objects") as tell:
            read_again(settings, tell)
        context.read_again(settings)
    rows = []
    if Store.exists(settings):
        with open_store() as store:
            rows = [(row.path, row.code, row.message, row.last_seen) for row in store.refused()]
    rows += [(one.path, "hl7", one.reason, one.received_at) for one in context.refused_messages(settings)]
    print_rows(("path", "code", "reason", "last seen"), rows, form)


def rebuild(form: FormatOption = Format.table) -> None:
    """Derive every exam again from the archive, after a rule or a table has changed. The old data stay until done."""
    from doseatlas.store import Store

    with Store.from_settings(load_settings().settings) as store:
        with shown_progress("rebuilding", "objects") as tell:
            summary = store.rebuild(progress=tell)
        store.refresh_mart()
    record_action("rebuild", "store", exams=summary.exams, refused=summary.refused)
    rows = [
        ("read again", summary.read_again, "objects, from the archive"),
        ("kept", summary.kept, "objects without an original: derived from what was read of them before"),
        ("damaged", summary.damaged, "originals that the archive does not give back; restore it from a backup"),
        ("ignored", summary.ignored, "no dose in them by the rules of today"),
        ("refused", summary.refused, "listed by 'doseatlas refused'" if summary.refused else ""),
        ("exams", summary.exams, "in the store"),
    ]
    print_rows(("rebuilt", "count", "meaning"), rows, form)
    if form is Format.table:
        console().print(f"{summary.seconds:.1f} s")
