"""``doseatlas findings``: what was found, who sees to it, its cause, what was done, and whether the dose moved."""

from __future__ import annotations

import datetime as dt
import getpass
import secrets
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from doseatlas.cli.compare import By
from doseatlas.cli.context import open_store
from doseatlas.cli.output import Format, FormatOption, console, print_rows
from doseatlas.cli.selected import DoseValuesOption, MartOption, exams_of, print_records, values_counted

if TYPE_CHECKING:
    from doseatlas.analysis import DoseValues
    from doseatlas.analysis.compare import BeforeAfter, TrackedFinding
    from doseatlas.analysis.compare.loop import Event

app = typer.Typer(no_args_is_help=True, help="Findings: opened, assigned, given a cause and an action, closed.")

FindingArgument = Annotated[str, typer.Argument(help="A finding of 'doseatlas findings list'.", show_default=False)]
TextArgument = Annotated[str, typer.Argument(help="In words.", show_default=False)]
WhoOption = Annotated[str | None, typer.Option("--by", help="Who says so; by default the user's name.")]


class Outcome(StrEnum):
    """What came of a finding."""

    moved = "dose moved"
    not_moved = "dose did not move"
    justified = "justified"
    none = "no finding after all"


@app.command("list")
def list_(form: FormatOption = Format.table) -> None:
    """List the findings, the oldest first."""
    from doseatlas.analysis.compare import findings
    from doseatlas.store.findings import FindingEvents

    with open_store() as store:
        found = findings(FindingEvents(store.database))
    _print(found, form)


@app.command("terms")
def terms(form: FormatOption = Format.table) -> None:
    """List the roles a finding can be assigned to and the components of optimisation its cause can lie in."""
    from doseatlas.analysis.compare import components, roles

    rows: list[tuple[str | None, ...]] = [("role", one.role, one.name, None, one.source) for one in roles()]
    rows += [("component", one.component, one.name, one.question, one.source) for one in components()]
    print_rows(("kind", "id", "name", "question", "source"), rows, form)


@app.command("open")
def open_(
    seen: TextArgument,
    unit: Annotated[str, typer.Option(help="The facility, device or protocol, as 'compare levels' names it.")],
    procedure: Annotated[str, typer.Option(help="Standard procedure (its id).")],
    quantity: Annotated[str, typer.Option(help="Dose quantity, such as dlp_mgy_cm.")],
    kind: Annotated[By, typer.Option(help="What the unit is.")] = By.facility,
    patient_group: Annotated[str, typer.Option(help="Patient group (its id).")] = "adult",
    phantom_cm: Annotated[int | None, typer.Option(help="CTDI phantom, 16 or 32, of CTDIvol, DLP and SSDE.")] = None,
    mart: MartOption = None,
    by: WhoOption = None,
) -> None:
    """Open a finding and print its id. What it is about must be there, so that it can be followed up."""
    from doseatlas.analysis import quantities
    from doseatlas.analysis.compare import Opened, Subject, subject_problem
    from doseatlas.cli.selected import known
    from doseatlas.reference import patient_groups, procedures

    names = [one.name for one in quantities()]
    if quantity not in names:
        raise typer.BadParameter(f"{quantity!r} is no dose quantity; known: {', '.join(names)}.")
    subject = Subject(
        kind=kind.value,
        unit=unit,
        procedure=known(procedure, procedures()),
        patient_group=known(patient_group, patient_groups()),
        quantity=quantity,
        phantom_cm=phantom_cm,
    )
    with exams_of(mart) as table:
        problem = subject_problem(table, subject)
    if problem:
        raise typer.BadParameter(f"{problem}.")
    typer.echo(_record(secrets.token_hex(4), lambda at, who: Opened(at=at, by=who, subject=subject, seen=seen), by).id)


@app.command("assign")
def assign(
    finding: FindingArgument,
    role: Annotated[str, typer.Argument(help="A role of 'doseatlas findings terms'.", show_default=False)],
    person: Annotated[str | None, typer.Option(help="Who of that role.")] = None,
    by: WhoOption = None,
) -> None:
    """Assign a finding to a role."""
    from doseatlas.analysis.compare import Assigned

    _print([_record(finding, lambda at, who: Assigned(at=at, by=who, role=role, person=person), by)], Format.table)


@app.command("cause")
def cause(
    finding: FindingArgument,
    component: Annotated[str, typer.Argument(help="A component of 'doseatlas findings terms'.", show_default=False)],
    text: TextArgument,
    by: WhoOption = None,
) -> None:
    """Say in which component of optimisation the cause lies."""
    from doseatlas.analysis.compare import CauseGiven

    _print(
        [_record(finding, lambda at, who: CauseGiven(at=at, by=who, component=component, text=text), by)], Format.table
    )


@app.command("action")
def action(
    finding: FindingArgument,
    text: TextArgument,
    since: Annotated[dt.datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="In force from this day on.")],
    by: WhoOption = None,
) -> None:
    """Say what was done, and from when on it is in force."""
    from doseatlas.analysis.compare import ActionTaken

    _print(
        [_record(finding, lambda at, who: ActionTaken(at=at, by=who, text=text, in_force_from=since.date()), by)],
        Format.table,
    )


@app.command("close")
def close(
    finding: FindingArgument,
    outcome: Annotated[Outcome, typer.Argument(help="What came of it.", show_default=False)],
    text: TextArgument,
    mart: MartOption = None,
    dose_values: DoseValuesOption = None,
    by: WhoOption = None,
) -> None:
    """Close a finding; what the doses say of it is kept with the outcome, whether it agrees or not."""
    from doseatlas.analysis.compare import Closed

    found, moved = _followed(finding, mart, values_counted(dose_values))
    seen = _seen(found, moved)

    def event(at: dt.datetime, who: str) -> Event:
        return Closed(at=at, by=who, outcome=outcome.value, text=text, seen=seen)

    _print([_record(finding, event, by)], Format.table)
    agrees = moved is not None and (moved.verdict in ("lower", "higher")) == (outcome is Outcome.moved)
    if outcome in (Outcome.moved, Outcome.not_moved) and not agrees:
        console(stderr=True).print(f"The doses do not bear this out: {seen}.", soft_wrap=True)


@app.command("reopen")
def reopen(finding: FindingArgument, text: TextArgument, by: WhoOption = None) -> None:
    """Take a closed finding up again."""
    from doseatlas.analysis.compare import Reopened

    _print([_record(finding, lambda at, who: Reopened(at=at, by=who, text=text), by)], Format.table)


@app.command("show")
def show(
    finding: FindingArgument,
    mart: MartOption = None,
    dose_values: DoseValuesOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Show a finding's history, and whether the dose has moved since its last action."""
    import msgspec

    counted = values_counted(dose_values)
    found, moved = _followed(finding, mart, counted)
    rows = []
    for event in found.events:
        said = msgspec.to_builtins(event)
        details = {name: value for name, value in said.items() if name not in ("type", "at", "by", "subject")}
        rows.append((event.at, event.by, said["type"], "; ".join(str(value) for value in details.values() if value)))
    print_rows(("at", "by", "what", "details"), rows, form)
    if moved is None:
        console(stderr=True).print(f"{_seen(found, moved).capitalize()}.", soft_wrap=True)
    else:
        columns = ("n_before", "median_before", "n_after", "median_after", "ratio", "low", "high", "verdict")
        print_records([moved], columns, form, counted)


def _followed(finding: str, mart: Path | None, counted: DoseValues) -> tuple[TrackedFinding, BeforeAfter | None]:
    """Return a finding, and the typical value before and after its last action where there is one to compare."""
    from doseatlas.analysis.compare import finding as find
    from doseatlas.analysis.compare import follow_up
    from doseatlas.store.findings import FindingEvents

    with open_store() as store:
        found = find(FindingEvents(store.database), finding)
    with exams_of(mart) as table:
        return found, follow_up(table, found, dose_values=counted)


def _seen(found: TrackedFinding, moved: BeforeAfter | None) -> str:
    """Return what the doses say of a finding, or why they say nothing."""
    from doseatlas.analysis.compare import verdict_in_words

    if moved is not None:
        return verdict_in_words(moved)
    if found.action_from is None:
        return "no comparison: no action is in force"
    return f"no comparison: before or from {found.action_from} on there are no such exams"


def _record(finding: str, make: Callable[[dt.datetime, str], Event], by: str | None) -> TrackedFinding:
    """Add an event to a finding, now and by this user."""
    from doseatlas.analysis.compare import record
    from doseatlas.store.findings import FindingEvents

    event = make(dt.datetime.now(dt.UTC), by or getpass.getuser())
    with open_store() as store:
        return record(FindingEvents(store.database), finding, event)


def _print(found: list[TrackedFinding], form: Format) -> None:
    rows = [
        (
            one.id,
            one.status,
            one.subject.unit,
            one.subject.procedure,
            one.subject.patient_group,
            one.subject.quantity,
            one.role,
            one.person,
            one.component,
            one.action_from,
            one.outcome,
        )
        for one in found
    ]
    columns = ("finding", "status", "unit", "procedure", "group", "quantity", "role", "person", "component")
    print_rows((*columns, "action from", "outcome"), rows, form)
