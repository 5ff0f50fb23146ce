"""``doseatlas demo``: the main job from nothing to a report, on made-up objects or on the user's own.

A demo never touches the store of the settings: it has one of its own beside its report, and each set of paths has its
own, so that a made-up hospital never ends up among real patients.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from pathlib import Path
from typing import Annotated

import typer

from doseatlas.cli import analyse
from doseatlas.cli.simulate import Scope, simulate

START, END = dt.datetime(2024, 10, 1), dt.datetime(2025, 9, 30)


def demo(
    data: Annotated[
        list[Path] | None, typer.Argument(help="Your own dose objects; none: a made-up hospital.", show_default=False)
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of objects and report.")] = Path("demo-output"),
    exams: Annotated[int, typer.Option(min=1, help="Exams of the made-up hospital.")] = 3000,
) -> None:
    """Show the main job: dose objects in, the facility's dose report out, in a store of its own."""
    place = output / (_name_of(data) if data else f"made-up-{exams}")
    os.environ["DOSEATLAS_DATA_DIR"] = str(place / "data")
    os.environ["DOSEATLAS_STORE"] = ""
    paths = data or [_made_up_objects(place, exams)]
    analyse.report(paths, output=place / "report")


def _name_of(paths: list[Path]) -> str:
    """Name the store of a set of paths: after the first one, and told apart from others of that name."""
    places = "\n".join(str(path.resolve()) for path in paths)
    return f"{paths[0].resolve().name or 'root'}-{hashlib.sha256(os.fsencode(places)).hexdigest()[:8]}"


def _made_up_objects(place: Path, exams: int) -> Path:
    """Write the made-up hospital where it is not there yet; an interrupted one is written anew."""
    objects = place / "objects"
    if not objects.exists():
        unfinished = place / "objects-unfinished"
        simulate(unfinished, Scope.facility, exams=exams, seed=1, start=START, end=END, faults=True)
        unfinished.rename(objects)
    return objects
