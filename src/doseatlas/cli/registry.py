"""``doseatlas registry``: hand doses to a registry without patients' data, and run one, national or of the world."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from doseatlas.cli import EXIT_REFUSED
from doseatlas.cli.audit import record_action
from doseatlas.cli.context import reference_levels
from doseatlas.cli.output import Format, FormatOption, print_rows
from doseatlas.cli.selected import ReplicatesOption, SeedOption

app = typer.Typer(no_args_is_help=True, help="Registries of facilities, nations and the world, without patients' data.")

RegistryArgument = Annotated[Path, typer.Argument(help="The registry's folder.", show_default=False)]
AgreementOption = Annotated[
    Path, typer.Option("--agreement", "-a", help="registry.toml as the registry gave it to you.", show_default=False)
]
KeyOption = Annotated[Path, typer.Option("--key", "-k", help="Your private key.", show_default=False)]
SenderOption = Annotated[str, typer.Option("--sender", "-s", help="Your id in the agreement.", show_default=False)]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="The submission to write.", show_default=False)]
SinceOption = Annotated[str, typer.Option(help="First month, YYYY-MM.", show_default=False)]
UntilOption = Annotated[str, typer.Option(help="Last month, YYYY-MM.", show_default=False)]

TEMPLATE = """\
# What this registry and its senders have agreed. Every sender gets a copy; nothing in it is secret.
schema = 1
id = "{id}"
name = "{id}"
kinds = ["exams", "summaries"]   # what is taken: exams without identity, or only counts and sketches
exact_ages = false               # true: ages and weights are sent as numbers, not only in bands
dose_values = "stated"           # or "corrected" by calibration certificates; decide before the first submission
minimum_exams = 5                # cells of fewer patients
minimum_facilities = 3           # or facilities (3 at least) are not released

# One block a sender; public_key is what 'doseatlas registry key' prints there.
# [[senders]]
# id = "hospital-1"
# country = "JP"
# public_key = "..."
# sends = "one"                  # "many" for a nation that sends for its facilities
"""


class Kind(StrEnum):
    """What is handed to a registry."""

    exams = "exams"
    summaries = "summaries"


@app.command("new")
def new(
    folder: RegistryArgument, name: Annotated[str, typer.Option("--id", help="The registry's id.")] = "registry"
) -> None:
    """Make a registry's folder with an agreement to fill in."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "registry.toml"
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(TEMPLATE.format(id=name))
    except FileExistsError:
        raise typer.BadParameter(f"{file} exists; it is never overwritten.") from None
    typer.echo(f"{file}: fill in the senders, and give each a copy.")


@app.command("key")
def key(file: Annotated[Path, typer.Argument(help="Where the private key is written.", show_default=False)]) -> None:
    """Make a signing key (Ed25519) and print its public part, for the registry's agreement."""
    from doseatlas.exchange import make_key

    public = make_key(file)
    typer.echo(f"Private key: {file}. Keep it; whoever has it can submit in your name.", err=True)
    typer.echo(public)


@app.command("export")
def export(
    agreement: AgreementOption,
    key: KeyOption,
    sender: SenderOption,
    output: OutputOption,
    since: SinceOption,
    until: UntilOption,
    kind: Annotated[Kind, typer.Option(help="Exams without identity, or only counts and sketches.")] = Kind.summaries,
    mart: Annotated[Path | None, typer.Option(help="A mart's folder; default: that of the settings' store.")] = None,
    facility: Annotated[str | None, typer.Option(help="The facility, where the mart holds several.")] = None,
    registry: Annotated[
        Path | None, typer.Option(help="For a nation: its registry, whose summaries are sent to the world's.")
    ] = None,
) -> None:
    """Write a signed submission: no identifiers, no date finer than a month, ages and weights in bands."""
    from doseatlas import __version__
    from doseatlas.exchange import export_facility, export_nation, load_agreement, load_key

    agreed, private, now = load_agreement(agreement), load_key(key), dt.datetime.now(dt.UTC)
    if registry is not None:
        made = export_nation(
            registry,
            output,
            sender=sender,
            agreement=agreed,
            key=private,
            since=since,
            until=until,
            now=now,
            version=__version__,
        )
    else:
        made = export_facility(
            mart or _own_mart(),
            output,
            sender=sender,
            agreement=agreed,
            key=private,
            kind=kind.value,
            since=since,
            until=until,
            now=now,
            version=__version__,
            facility=facility,
        )
    record_action("export", output.name, kind=made.kind, months=f"{made.months[0]} {made.months[-1]}", rows=made.rows)
    typer.echo(
        f"{output}: {made.kind} of {made.months[0]} to {made.months[-1]}, {made.rows} rows;"
        f" {made.left_out} exams not sent."
    )


def _own_mart() -> Path:
    """Bring the mart of the settings' store up to date and return its folder."""
    from doseatlas.cli.context import open_store

    with open_store() as store:
        store.refresh_mart()
        return Path(store.mart_dir)


@app.command("withdraw")
def withdraw(
    agreement: AgreementOption,
    key: KeyOption,
    sender: SenderOption,
    output: OutputOption,
    month: Annotated[list[str], typer.Option(help="A month to withdraw, YYYY-MM; may be repeated.")],
) -> None:
    """Write a signed withdrawal; submitted, it makes the registry delete what it holds of these months."""
    from doseatlas.exchange import export_withdrawal, load_agreement, load_key

    made = export_withdrawal(
        output,
        sender=sender,
        agreement=load_agreement(agreement),
        key=load_key(key),
        months=tuple(month),
        now=dt.datetime.now(dt.UTC),
    )
    typer.echo(f"{output}: withdrawal of {', '.join(made.months)}")


@app.command("check")
def check(
    submission: Annotated[Path, typer.Argument(help="A submission.", show_default=False)], agreement: AgreementOption
) -> None:
    """Check a submission as the registry will. Exit status 1 if the registry would refuse it."""
    from doseatlas.exchange import SubmissionRefused, load_agreement
    from doseatlas.exchange import check as checked

    try:
        manifest = checked(submission, load_agreement(agreement), dt.datetime.now(dt.UTC)).manifest
    except SubmissionRefused as error:
        _tell(submission, error)
        raise typer.Exit(EXIT_REFUSED) from None
    typer.echo(f"{submission}: sound; {manifest.kind} of {manifest.sender}, {len(manifest.months)} months.")


@app.command("submit")
def submit(
    registry: RegistryArgument,
    submissions: Annotated[list[Path], typer.Argument(help="Submissions or withdrawals.", show_default=False)],
    form: FormatOption = Format.table,
) -> None:
    """Take submissions into a registry; each lands whole or not at all. Exit status 1 if one was refused."""
    from doseatlas.exchange import SubmissionRefused
    from doseatlas.exchange import submit as take

    rows, refused = [], 0
    for path in submissions:
        try:
            done = take(registry, path, dt.datetime.now(dt.UTC))
            rows.append((path.name, done.sender, done.kind, len(done.months), done.rows, done.outcome))
        except SubmissionRefused as error:
            refused += 1
            _tell(path, error)
    if rows:
        print_rows(("submission", "sender", "kind", "months", "rows", "outcome"), rows, form)
    if refused:
        raise typer.Exit(EXIT_REFUSED)


@app.command("merge")
def merge(
    registry: RegistryArgument, output: Annotated[Path, typer.Option("--output", "-o", help="The mart.")]
) -> None:
    """Write the exams that a registry holds as one mart, for 'doseatlas drl compute' and other analyses."""
    from doseatlas.exchange import write_merged

    made = write_merged(registry, output)
    typer.echo(f"{output}: exams of {made.submissions} submissions.")
    if made.summaries_only:
        names = ", ".join(made.summaries_only)
        typer.echo(f"Not in it, as only summaries were sent for some or all months: {names}.", err=True)


@app.command("levels")
def levels(
    registry: RegistryArgument,
    since: SinceOption,
    until: UntilOption,
    method: Annotated[str, typer.Option(help="By which rule; see 'doseatlas drl methods'.")] = "icrp-135-national",
    methods_file: Annotated[
        Path | None,
        typer.Option("--methods-file", help="Methods of your own, a CSV like drl_methods.csv.", exists=True),
    ] = None,
    previous: Annotated[str | None, typer.Option(help="The set in force, for methods that keep levels.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the results.")] = None,
    year: Annotated[int | None, typer.Option(help="That the set of levels bears; by default that of --until.")] = None,
    seed: SeedOption = 1,
    replicates: ReplicatesOption = 1000,
    form: FormatOption = Format.table,
) -> None:
    """Compute levels by a named method from what a registry holds, exams or summaries; written as 'drl compute' does.

    run.json and units.parquet name facilities and stay in the registry; levels.csv is the set of levels.
    """
    from doseatlas import __version__
    from doseatlas.analysis.drl import Draws, save_computed
    from doseatlas.exchange import LevelsAsked, registry_levels
    from doseatlas.reference import drl_method, drl_methods, load_drl_methods

    chosen = drl_method(method, load_drl_methods(methods_file) if methods_file else drl_methods())
    in_force = reference_levels(previous) if previous else None
    asked = LevelsAsked(chosen, since, until, in_force, Draws(replicates, seed))
    found = registry_levels(registry, asked, code_version=__version__)
    of = ("area", "procedure", "patient_group", "quantity", "phantom_cm")
    figures = ("value", "low", "high", "units", "status")
    columns, rows = (*of, *figures), []
    for level in found.run.levels:
        what, values = [getattr(level, name) for name in of], [getattr(level, name) for name in figures]
        if form is Format.table:  # what a level is of goes below one another, to fit a terminal
            what = [what[0], "\n".join(str(one) for one in what[1:] if one is not None)]
        rows.append((*what, *values))
    print_rows(("area", "exam", *figures) if form is Format.table else columns, rows, form)
    if output is not None:
        save_computed(found, output, year=year or int(until[:4]))
        typer.echo(f"Written to {output.resolve()}", err=True)
    if found.run.unverified:
        sources = "; ".join(found.run.unverified)
        typer.echo(f"Rules recalled, not verified against their documents: {sources}", err=True)
    if any(rule.curve for rule in chosen.rules):
        typer.echo("Curves by weight need single patients: registry merge, then drl compute.", err=True)


@app.command("release")
def release(
    registry: RegistryArgument, since: SinceOption, until: UntilOption, form: FormatOption = Format.table
) -> None:
    """Make the next release: typical values over facilities; cells of too few are suppressed."""
    from doseatlas import __version__
    from doseatlas.exchange import make_release

    made = make_release(registry, since=since, until=until, now=dt.datetime.now(dt.UTC), version=__version__)
    shown = [cell for cell in made.cells if cell.suppressed is None]
    columns = ("procedure", "patient_group", "quantity", "phantom_cm", "facilities", "exams", "median", "p75")
    without = sum(cell.p75 is None for cell in shown)
    print_rows(columns, [tuple(getattr(cell, name) for name in columns) for cell in shown], form)
    typer.echo(
        f"Release {made.number}: {len(shown)} cells ({without} of too few facilities for quartiles),"
        f" {len(made.cells) - len(shown)} suppressed."
        f" To show: {registry / 'releases' / str(made.number) / 'public'}",
        err=True,
    )


def _tell(path: Path, error: Exception) -> None:
    typer.echo(f"refused: {path}: {error}", err=True)
    for finding in getattr(error, "findings", ()):
        typer.echo(f"  {finding}", err=True)
