"""``doseatlas study``: coordinated studies, from a template to the report."""

from __future__ import annotations

import datetime as dt
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from doseatlas.cli import EXIT_REFUSED
from doseatlas.cli.output import Format, FormatOption, console, print_rows

if TYPE_CHECKING:
    from doseatlas.studies import Receipt, Study, StudyReport

app = typer.Typer(no_args_is_help=True, help="Coordinated studies: one file says what is asked and of whom.")

SHOWN = 3  # of the widest variations
StudyArgument = Annotated[Path, typer.Argument(help="The study file (TOML).", show_default=False)]
DataOption = Annotated[
    Path | None, typer.Option("--data", "-d", help="Folder of the collected data; default: beside the study file.")
]


@app.command("templates")
def templates(form: FormatOption = Format.table) -> None:
    """List the study templates that ship."""
    import msgspec

    from doseatlas.studies import Study, template_names, template_text

    studies = [(name, msgspec.toml.decode(template_text(name).encode(), type=Study)) for name in template_names()]
    print_rows(("template", "title", "after"), [(name, s.title, s.source) for name, s in studies], form)


@app.command("new")
def new(
    file: Annotated[Path, typer.Argument(help="The study file to write.", show_default=False)],
    template: Annotated[str, typer.Option(help="See 'doseatlas study templates'.")] = "paediatric-ct",
) -> None:
    """Write a study file from a template; an existing file is never overwritten."""
    from doseatlas.studies import template_text

    text = template_text(template)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise typer.BadParameter(f"{file} exists; name another file.") from None
    typer.echo(f"{file}: template {template}. Name the participants and the period, then: doseatlas study check {file}")


@app.command("check")
def check(study_file: StudyArgument) -> None:
    """Check a study file: unknown exams, contradictory rules, results that ask for what is not collected."""
    from doseatlas.report.words import plural

    study = _load(study_file)
    countries = len({one.country for one in study.participants})
    asked = (
        plural(len(study.exams), "exam", "exams"),
        plural(len(study.groups), "group", "groups"),
        plural(len(study.variables), "variable", "variables"),
        plural(len(study.questions), "question", "questions"),
    )
    participants = plural(len(study.participants), "participant", "participants")
    typer.echo(
        f"{study_file}: study {study.id} asks for {', '.join(asked)};"
        f" {participants} in {plural(countries, 'country', 'countries')}."
    )


@app.command("workbook")
def workbook(
    study_file: StudyArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The workbook, or the folder of workbooks.")],
    participant: Annotated[str | None, typer.Option(help="For one participant.")] = None,
    each: Annotated[bool, typer.Option("--each", help="One workbook a participant, into the folder.")] = False,
) -> None:
    """Make the survey workbook (XLSX) with drop-downs, units and limits of plausibility."""
    from doseatlas.studies import write_study_workbook

    study = _load(study_file)
    names = [one.id for one in study.participants]
    if participant is not None and participant not in names:
        raise typer.BadParameter(f"{participant!r} does not take part in study {study.id}.")
    if not each and output.suffix.lower() != ".xlsx":
        raise typer.BadParameter(f"{output} is no workbook's name: end it in .xlsx, or give --each to fill a folder.")
    if each and participant is not None:
        raise typer.BadParameter("Give --participant for one workbook, or --each for all, not both.")
    if not each:
        write_study_workbook(study, output, participant=participant)
        typer.echo(f"{output}: workbook of study {study.id}")
        return
    output.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_study_workbook(study, output / f"{study.id}-{name}.xlsx", participant=name)
    typer.echo(f"{output}: {len(names)} workbooks of study {study.id}")


@app.command("collect")
def collect(
    study_file: StudyArgument,
    sources: Annotated[
        list[Path], typer.Argument(help="Marts (folder or Parquet file) or filled workbooks.", show_default=False)
    ],
    participant: Annotated[str | None, typer.Option(help="Whose data; default: as the source says.")] = None,
    data: DataOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Take participants' data into the study; what is wrong is told cell by cell, and nothing of it is kept.

    Exit status 1 if a source was refused; the others are taken all the same.
    """
    from doseatlas.sheets import WorkbookRefused
    from doseatlas.studies import CollectRefused, StudyError
    from doseatlas.studies import collect as take

    study, folder, now = _load(study_file), _data_dir(study_file, data), dt.datetime.now().astimezone()
    taken: list[Receipt] = []
    refused = 0
    for source in sources:
        try:
            taken += take(study, source, folder, participant=participant, now=now)
        except (CollectRefused, WorkbookRefused, StudyError) as error:
            refused += 1
            typer.echo(f"refused: {error}", err=True)
            for problem in getattr(error, "problems", ()):
                typer.echo(f"  {problem}", err=True)
    rows = [(r.participant, r.country, r.facility, r.received, r.counted, _reasons(r), len(r.answers)) for r in taken]
    if rows:
        print_rows(("participant", "country", "facility", "exams", "count", "left out", "answers"), rows, form)
    if refused:
        raise typer.Exit(EXIT_REFUSED)


@app.command("report")
def report(
    study_file: StudyArgument,
    data: DataOption = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.")] = Path("study-report"),
) -> None:
    """Write the study's report: one HTML file that opens offline, and the same figures as JSON."""
    from doseatlas import __version__
    from doseatlas.studies import study_report

    study = _load(study_file)
    with console(stderr=True).status("computing"):
        computed = study_report(
            study, _data_dir(study_file, data), now=dt.datetime.now().astimezone(), version=__version__
        )
    write(computed, output)


def write(computed: StudyReport, output: Path) -> None:
    """Write every form of a study's report and say where it is."""
    from doseatlas.report.study import write_study_html, write_study_json
    from doseatlas.report.words import plural, quantity_name

    output.mkdir(parents=True, exist_ok=True)
    write_study_html(computed, output / "study.html")
    write_study_json(computed, output / "study.json")
    last = computed.flow[-1]
    sites = plural(last.sites, "site", "sites")
    typer.echo(f"{computed.title}: {sites} in {plural(last.countries, 'country', 'countries')} {last.label}.")
    widest = sorted((row for row in computed.variation if row.fold is not None), key=lambda row: -(row.fold or 0))
    for row in widest[:SHOWN]:
        quantity = quantity_name(row.quantity, row.phantom_cm)
        typer.echo(f"  {row.exam_name}, {row.group_name}, {quantity}: {row.fold:.3g}-fold between {row.of}")
    if not last.sites:
        typer.echo(f"  Why: {_why_none(computed)}")
    typer.echo(f"Report: {(output / 'study.html').resolve()}")


def _why_none(computed: StudyReport) -> str:
    """Return at which step a study lost its last site, and the reason that left out most there."""
    from doseatlas.report.words import plural

    for step, after in itertools.pairwise(computed.flow):
        if step.sites and not after.sites:
            most = max(step.left_out, key=lambda one: (one.sites, one.exams))
            return f"of {plural(step.sites, 'site', 'sites')} ({step.label}) none is left: {most.reason}."
    return "nobody was asked; name the participants in the study file."


def _load(study_file: Path) -> Study:
    from doseatlas.studies import load_study

    return load_study(study_file)


def _data_dir(study_file: Path, data: Path | None) -> Path:
    return data or study_file.with_name(f"{study_file.stem}-data")


def _reasons(receipt: Receipt) -> str:
    return "; ".join(f"{one.exams} {one.reason}" for one in receipt.left_out)
