"""``doseatlas simulate``: real dose objects of a made-up facility, country or world."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Scope(StrEnum):
    """How large the made-up world is."""

    facility = "facility"
    country = "country"
    world = "world"


def simulate(
    folder: Annotated[Path, typer.Argument(help="Where the objects are written.", show_default=False)],
    scope: Annotated[Scope, typer.Option(help="A facility, a country or a world.")] = Scope.facility,
    exams: Annotated[int, typer.Option(min=1, help="How many examinations.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed writes the same bytes.")] = 1,
    start: Annotated[dt.datetime, typer.Option(formats=["%Y-%m-%d"], help="First day of study.")] = dt.datetime(
        2025, 1, 1
    ),
    end: Annotated[dt.datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day of study.")] = dt.datetime(
        2025, 12, 31
    ),
    faults: Annotated[bool, typer.Option(help="With the faults that real data have.")] = True,
    with_estimates: Annotated[
        bool, typer.Option("--with-estimates", help="With a report of estimated patient dose beside each exam's own.")
    ] = False,
) -> None:
    """Write valid DICOM dose objects for a made-up world; nothing in them is a real patient, device or hospital."""
    if end < start:
        raise typer.BadParameter(f"--end {end:%Y-%m-%d} is before --start {start:%Y-%m-%d}.")
    from doseatlas.cli.output import progress_bar
    from doseatlas.dicom.simulate import plan, write_objects

    world = plan(scope.value, exams=exams, seed=seed, start=start.date(), end=end.date(), faults=faults)
    with progress_bar("objects") as bar:
        task = bar.add_task("simulating", total=exams, rate="")
        written = write_objects(
            world, folder, with_estimates=with_estimates, progress=lambda done: bar.update(task, completed=done)
        )
    typer.echo(f"{written.count} objects ({written.bytes / 2**20:.1f} MiB) written to {folder}")
