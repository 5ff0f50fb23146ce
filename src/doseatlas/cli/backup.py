"""``doseatlas backup`` and ``doseatlas restore``: a copy of a store in use, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from doseatlas.cli.audit import record_action
from doseatlas.cli.store import shown_progress
from doseatlas.settings import load_settings


def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder to back up into.", show_default=False)],
) -> None:
    """Copy the store into a new folder; the service may go on meanwhile. See docs/backup.md.

    The folder holds patients' names (what waits in the spool or lies in quarantine) and, under keys-keep-apart, the
    keys: keep those elsewhere.
    """
    from doseatlas import __version__
    from doseatlas.backup import backup as back_up

    with shown_progress("backing up", "packs") as tell:
        made = back_up(load_settings().settings, folder, __version__, tell)
    record_action("backup", str(folder.absolute()), exams=made.exams, objects=made.objects)
    typer.echo(f"{folder}: {made.exams} exams from {made.objects} objects, {made.total_bytes / 2**20:.0f} MiB.")
    typer.echo(f"Keep {folder / 'keys-keep-apart'} apart from the rest.")


def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that 'doseatlas backup' made.", show_default=False)],
    keys: Annotated[
        Path | None, typer.Option(help="Where its keys are, if they were kept apart.", show_default=False)
    ] = None,
) -> None:
    """Bring a backup back into the settings' data folder, which must be empty, and check every file of it."""
    from doseatlas.backup import restore as bring_back

    with shown_progress("restoring", "files") as tell:
        made = bring_back(load_settings().settings, folder, keys, tell)
    record_action("restore", str(folder.absolute()), exams=made.exams, objects=made.objects)
    typer.echo(f"{made.exams} exams from {made.objects} objects, as of {made.made_at}. Every file is as it was.")
