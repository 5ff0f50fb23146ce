"""``doseatlas drl``: the sets of diagnostic reference levels one can compare with, and how to make one's own."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from doseatlas.cli import EXIT_REFUSED
from doseatlas.cli.context import all_drl_sets, reference_levels
from doseatlas.cli.output import Format, FormatOption, console, print_rows
from doseatlas.cli.selected import (
    DoseValuesOption,
    FacilityOption,
    GroupOption,
    MartOption,
    PlacesOption,
    ProcedureOption,
    ReplicatesOption,
    SeedOption,
    mart_folder,
    say_what_is_counted,
    selection,
    values_counted,
)
from doseatlas.cli.store import SinceOption, UntilOption

if TYPE_CHECKING:
    from doseatlas.analysis.drl import ComputedLevel, DrlRun
    from doseatlas.reference import DrlMethod

app = typer.Typer(no_args_is_help=True, help="Sets of diagnostic reference levels (DRLs).")


@app.command("list")
def list_(form: FormatOption = Format.table) -> None:
    """List the sets: who published them, when, and how much of them maps to standard procedures."""
    rows = [
        (one.id, one.authority, one.country, one.year, one.level, len(one.rows), sum(row.is_mapped for row in one.rows))
        for one in all_drl_sets()
    ]
    print_rows(("set", "authority", "country", "year", "level", "rows", "mapped"), rows, form)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A set of 'doseatlas drl list'.")], form: FormatOption = Format.table
) -> None:
    """List the rows of a set, with the document each comes from."""
    rows = [
        (row.exam, row.procedure, row.patient_group, row.quantity, row.value, row.stated, row.source)
        for row in reference_levels(name).rows
    ]
    print_rows(("exam as published", "procedure", "group", "quantity", "value", "as published", "source"), rows, form)


@app.command("check")
def check(file: Annotated[Path, typer.Argument(help="A CSV of your own.", show_default=False)]) -> None:
    """Check a set of your own, cell by cell, before you name it in the setting drl_files."""
    from doseatlas.reference import load_drl_csv

    found = load_drl_csv(file)
    mapped = sum(row.is_mapped for row in found.rows)
    typer.echo(f"{file}: set {found.id}, {len(found.rows)} rows, {mapped} of them map to standard procedures.")


MethodsFileOption = Annotated[
    Path | None, typer.Option("--methods-file", help="Methods of your own, a CSV like drl_methods.csv.", exists=True)
]


@app.command("methods")
def methods(methods_file: MethodsFileOption = None, form: FormatOption = Format.table) -> None:
    """List the methods by which levels can be computed, with the document each rule comes from."""
    rows = [
        (
            method.id,
            method.title,
            method.level,
            method.unit,
            " ".join(rule.procedures),
            " ".join(rule.patient_groups),
            f"p{rule.percentile:g}",
            rule.min_patients,
            rule.min_units,
            rule.verified,
            rule.source,
            rule.note,
        )
        for method in _methods(methods_file)
        for rule in method.rules
    ]
    columns = ("method", "title", "level", "unit", "procedures", "groups", "percentile", "min patients", "min units")
    print_rows((*columns, "verified", "source", "note"), rows, form)


@app.command("compute")
def compute(
    method: Annotated[str, typer.Option(help="By which rule; see 'doseatlas drl methods'.")] = "icrp-135-national",
    methods_file: MethodsFileOption = None,
    mart: MartOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the results.")] = None,
    previous: Annotated[str | None, typer.Option(help="The set in force, for methods that keep levels.")] = None,
    places: PlacesOption = None,
    facility: FacilityOption = None,
    procedure: ProcedureOption = None,
    patient_group: GroupOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    year: Annotated[int | None, typer.Option(help="That the set of levels bears; by default this year.")] = None,
    seed: SeedOption = 1,
    replicates: ReplicatesOption = 1000,
    dose_values: DoseValuesOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Compute local, national or regional levels from a registry, with intervals and what was left out.

    With --output, a folder gets run.json (all of it: the same command on the same data writes the same bytes),
    levels.csv for each area (a set for the setting drl_files) and units.parquet (the values of each facility).
    """
    from doseatlas import __version__
    from doseatlas.analysis import mart_table
    from doseatlas.analysis.areas import NOWHERE, load_places
    from doseatlas.analysis.drl import Draws, Request, compute_levels, data_version, save_computed
    from doseatlas.reference import drl_method

    known = _methods(methods_file)
    chosen = drl_method(method, known)
    request = Request(
        chosen,
        drl_method(chosen.based_on, known) if chosen.based_on else None,
        selection(facility, None, procedure, patient_group, since, until),
        load_places(places) if places else NOWHERE,
        reference_levels(previous) if previous else None,
        Draws(replicates, seed),
        dose_values=values_counted(dose_values),
    )
    with mart_folder(mart) as folder, console(stderr=True).status("computing") as status:
        found = compute_levels(
            folder,
            request,
            data=data_version(folder),
            code_version=__version__,
            progress=lambda area: status.update(f"computed {area}"),
        )
        say_what_is_counted(mart_table(folder), request.selection, request.dose_values)
    if output is not None:
        save_computed(found, output, year=year or dt.date.today().year)
    _print_run(found.run, form)
    if output is not None:
        console(stderr=True).print(f"Written to {output.resolve()}", soft_wrap=True)
    if not found.run.levels:
        raise typer.Exit(EXIT_REFUSED)


def _methods(file: Path | None) -> tuple[DrlMethod, ...]:
    from doseatlas.reference import drl_methods, load_drl_methods

    return load_drl_methods(file) if file else drl_methods()


def _print_run(run: DrlRun, form: Format) -> None:
    """Print the levels, and, for people, what they rest on."""
    rows = [
        (
            level.area,
            level.procedure,
            level.patient_group,
            level.quantity,
            level.phantom_cm,
            level.value,
            level.percentile_value,
            level.low,
            level.high,
            ", ".join(f"{guide.name} {guide.value:.4g}" for guide in level.guides) or None,
            level.units,
            level.patients,
            len(level.left_out),
            level.status,
            run.dose_values,
        )
        for level in run.levels
    ]
    columns = ("area", "procedure", "group", "quantity", "phantom", "level", "percentile", "low", "high", "guides")
    if form is Format.table:
        print_rows(("area", "exam", "level", "made of", "status"), [_for_people(level) for level in run.levels], form)
    else:
        print_rows((*columns, "units", "patients", "left out", "status", "dose_values"), rows, form)
    if not rows:
        console(stderr=True).print(
            "No levels: no exams of this selection count. 'doseatlas compare levels' says more."
            " Of a registry's summaries: 'doseatlas registry levels'.",
            soft_wrap=True,
        )
    if run.unverified:
        console(stderr=True).print(
            "The rules of this method were not verified against their documents, but recalled: "
            + "; ".join(run.unverified),
            soft_wrap=True,
        )
    if form is Format.table:
        exams = sum(count.exams for count in run.exams)
        counted = sum(count.counted for count in run.exams)
        console().print(
            f"{run.title} ({run.method}), data {run.data.digest[:12]} of {run.data.files} files, seed {run.seed}: "
            f"{counted} of {exams} exams counted; {len(run.curves)} curves.",
            soft_wrap=True,
        )


def _for_people(level: ComputedLevel) -> tuple[str, ...]:
    """Return a level in a few columns of several lines, which fit a terminal of 80 columns."""
    phantom = f" ({level.phantom_cm} cm)" if level.phantom_cm else ""
    value = "-" if level.value is None else f"{level.value:.4g}"
    interval = "" if level.low is None or level.high is None else f"\n{level.low:.4g} to {level.high:.4g}"
    guides = "".join(f"\n{guide.name} {guide.value:.4g}" for guide in level.guides)
    made_of = f"{level.units} units\n{level.patients} patients\n{len(level.left_out)} left out"
    exam = f"{level.procedure}\n{level.patient_group}\n{level.quantity}{phantom}"
    return level.area, exam, f"{value}{interval}{guides}", made_of, level.status


@app.command("standing")
def standing(
    folder: Annotated[Path, typer.Argument(help="What 'drl compute --output' wrote.", exists=True)],
    facility: Annotated[str, typer.Argument(help="The facility, as the registry names it.", show_default=False)],
    minimum: Annotated[int, typer.Option(min=1, help="Patients that a unit needs to be compared.")] = 20,
    form: FormatOption = Format.table,
) -> None:
    """Say where a facility stands among the others of its country: its place, and the quartiles of all."""
    from doseatlas.analysis.drl import peer_standing

    found = peer_standing(folder, facility, min_patients=minimum)
    columns = ("area", "unit", "procedure", "patient_group", "quantity", "phantom_cm", "n", "value", "place", "peers")
    more = ("p25", "median", "p75")
    print_rows((*columns, *more), ([getattr(one, name) for name in (*columns, *more)] for one in found), form)
    if not found:
        console(stderr=True).print(f"No units of {facility!r} with {minimum} patients and more are in {folder}.")
