"""The tree of commands, and nothing else."""

from __future__ import annotations

from typing import Annotated

import typer

from doseatlas.cli import (
    alerts,
    analyse,
    audit,
    backup,
    calibration,
    compare,
    demo,
    demo_world,
    doctor,
    dose,
    drl,
    fetch,
    findings,
    mapping,
    population,
    read,
    registry,
    ris,
    serve,
    simulate,
    store,
    study,
    variation,
)

app = typer.Typer(
    name="doseatlas",
    help="Radiation dose of patients in medical imaging: read exactly, compared with reference levels, followed up.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: loading Rich to draw boxes would double the time of --help
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="Exit status: 0 all well; 1 something was refused; 2 wrong usage or settings; 3 could not be done; "
    "130 interrupted.",
)

app.command("demo")(demo.demo)
app.command("demo-world")(demo_world.demo_world)
app.command("report")(analyse.report)
app.command("import")(store.import_)
app.command("read")(read.read)
app.command("exams")(store.exams)
app.command("refused")(store.refused)
app.add_typer(mapping.app, name="mapping")
app.add_typer(drl.app, name="drl")
app.add_typer(compare.app, name="compare")
app.add_typer(findings.app, name="findings")
app.add_typer(variation.app, name="variation")
app.command("population")(population.population)
app.add_typer(dose.app, name="dose")
app.add_typer(calibration.app, name="calibration")
app.add_typer(study.app, name="study")
app.add_typer(registry.app, name="registry")
app.command("rebuild")(store.rebuild)
app.add_typer(alerts.app, name="alerts")
app.add_typer(audit.app, name="audit")
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("serve")(serve.serve)
app.command("fetch")(fetch.fetch)
app.add_typer(ris.app, name="context")
app.command("simulate")(simulate.simulate)
app.command("doctor")(doctor.doctor)


def _version(asked: bool) -> None:
    if asked:
        from doseatlas import __version__

        typer.echo(f"doseatlas {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options that stand before a command."""
