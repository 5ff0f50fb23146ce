"""``doseatlas alerts``: which exams somebody must know of, who has taken note, and how often each rule would fire."""

from __future__ import annotations

import datetime as dt
import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from doseatlas.cli import EXIT_REFUSED
from doseatlas.cli.audit import record_action
from doseatlas.cli.context import open_store
from doseatlas.cli.output import Format, FormatOption, print_rows
from doseatlas.settings import load_settings

if TYPE_CHECKING:
    from doseatlas.store import Store

app = typer.Typer(no_args_is_help=True, help="Alerts on exams, their recipients, and who has taken note.")

DayOption = Annotated[dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], show_default=False)]


@app.command("list")
def list_(
    form: FormatOption = Format.table,
    all_: Annotated[bool, typer.Option("--all", help="Those that were acknowledged too.")] = False,
) -> None:
    """List the alerts that nobody has taken note of, the newest first."""
    import msgspec

    from doseatlas.alerts import Alert
    from doseatlas.store.alerts import AlertTables

    with open_store() as store:
        tables = AlertTables(store.database)
        kept, deliveries = tables.all(), tables.deliveries()
    told: dict[str, list[str]] = {}
    for row in deliveries:
        told.setdefault(row.alert_id, []).append(_told(row.recipient, row.channel, row.sent_at, row.last_error))
    rows = []
    for one in kept:
        if one.acknowledged_at is not None and not all_:
            continue
        alert = msgspec.json.decode(one.alert, type=Alert)
        where = ", ".join(part for part in (alert.facility, alert.device) if part)
        exam = alert.procedure_name or alert.kind
        note = f"{one.acknowledged_by}: {one.comment}" if one.acknowledged_at else None
        columns = (
            one.raised_at,
            alert.study_date,
            alert.finding,
            exam,
            where,
            "; ".join(told.get(one.alert_id, ())) or None,
            note,
        )
        extra = (alert.rule, alert.value, alert.threshold, alert.exam_id, alert.study_instance_uid)
        rows.append((one.alert_id, *columns, *(extra if form is not Format.table else ())))
    names = ("alert", "raised at", "study date", "finding", "exam", "where", "told", "acknowledged")
    more = ("rule", "value", "threshold", "exam_id", "study_instance_uid")
    print_rows((*names, *(more if form is not Format.table else ())), rows, form)


def _told(recipient: str, channel: str, sent_at: str | None, last_error: str | None) -> str:
    if sent_at is not None:
        return f"{recipient} ({channel})"
    return f"{recipient} ({channel}) not yet" + (f": {last_error}" if last_error else "")


@app.command("ack")
def acknowledge(
    alert: Annotated[str, typer.Argument(help="An alert of 'doseatlas alerts list'.", show_default=False)],
    comment: Annotated[str, typer.Argument(help="What was done, in words.", show_default=False)],
    by: Annotated[str | None, typer.Option("--by", help="Who takes note; by default the user's name.")] = None,
) -> None:
    """Take note of an alert: it leaves the list, and messages of it that have not gone out are not sent any more."""
    from doseatlas.store.alerts import AlertTables

    if not comment.strip():
        raise typer.BadParameter("say in the comment what was done.")
    who = by or getpass.getuser()
    with open_store() as store:
        AlertTables(store.database).acknowledge(alert, by=who, comment=comment, at=dt.datetime.now(dt.UTC))
    record_action("alert-acknowledged", alert, by=who)
    typer.echo(f"Alert {alert} is acknowledged.")


@app.command("rules")
def rules(form: FormatOption = Format.table) -> None:
    """List the rules in force, with their thresholds and sources."""
    from doseatlas.alerts import rules_in_force

    rows = [
        (
            one.rule,
            one.title,
            one.procedure,
            one.patient_group,
            ", ".join(one.shown(value) for value in one.thresholds) or "off",
            ", ".join(one.roles),
            one.source,
        )
        for one in rules_in_force(load_settings().settings.alerts).rows
    ]
    print_rows(("rule", "title", "procedure", "group", "above", "roles", "source"), rows, form)


@app.command("rehearse")
def rehearse(
    form: FormatOption = Format.table,
    since: DayOption = None,
    until: DayOption = None,
    unfired: Annotated[bool, typer.Option("--unfired", help="Rules that would not have fired, too.")] = False,
) -> None:
    """Show how often each rule would have fired: for the exams of last month, or from --since to --until.

    Nothing is raised and nobody is told. 'known' counts exams that tell what the rule looks at.
    """
    from doseatlas.alerts import Watch

    first, last = _last_month(dt.date.today())
    first, last = (since.date() if since else first), (until.date() if until else last)
    if last < first:
        raise typer.BadParameter(f"--until {last} is before --since {first}.")
    with open_store() as store:
        found = Watch(load_settings().settings).rehearse(store, first, last)
    rows = [
        (row.rule, row.procedure, row.patient_group, row.shown, row.exams, row.known, row.fired, row.per_week)
        for row in found
        if row.fired or unfired
    ]
    columns = ("rule", "procedure", "group", "above", "exams", "known", "fired", "per week")
    print_rows(columns, rows, form, title=f"Exams from {first} to {last}")


@app.command("test")
def send_test(form: FormatOption = Format.table) -> None:
    """Send every recipient a message that says it is a test; exit status 1 if one was not taken."""
    from doseatlas.alerts import Watch, send_tests

    settings = load_settings().settings
    Watch(settings)  # checks rules and recipients
    done = send_tests(settings.alerts, dt.datetime.now(dt.UTC))
    print_rows(
        ("recipient", "by", "result"), [(one.recipient, one.channel, one.failure or "sent") for one in done], form
    )
    if not done and form is Format.table:
        typer.echo("The settings name no recipients: see docs/alerts.md.")
    if any(one.failure for one in done):
        raise typer.Exit(EXIT_REFUSED)


@app.command("send")
def send() -> None:
    """Send what waits to be sent, as 'serve' does by itself; exit status 1 if something was not taken."""
    from doseatlas.alerts import deliver_due

    with open_store() as store:
        done = deliver_due(store, load_settings().settings.alerts, lambda: dt.datetime.now(dt.UTC))
    typer.echo(f"{done.sent} sent, {len(done.failures)} not yet.")
    for failure in done.failures:
        typer.echo(failure, err=True)
    if done.failures:
        raise typer.Exit(EXIT_REFUSED)


def look_and_tell(store: Store) -> str | None:
    """Raise the alerts of what was imported and send them; returns a sentence on it, if there is anything to say."""
    from doseatlas.alerts import Watch, deliver_due

    settings = load_settings().settings
    raised = Watch(settings).look(store, dt.datetime.now(dt.UTC))
    done = deliver_due(store, settings.alerts, lambda: dt.datetime.now(dt.UTC))
    if not raised and not done.failures:
        return None
    waiting = f", {len(done.failures)} messages not yet" if done.failures else ""
    return f"{raised} alerts raised ('doseatlas alerts list'), {done.sent} messages sent{waiting}."


def _last_month(today: dt.date) -> tuple[dt.date, dt.date]:
    last = today.replace(day=1) - dt.timedelta(days=1)
    return last.replace(day=1), last
