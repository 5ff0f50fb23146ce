"""``doseatlas audit``: what was received, asked, handed on and decided, by whom, and whether the record is whole."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from doseatlas.cli import EXIT_REFUSED
from doseatlas.cli.output import Format, FormatOption, print_rows
from doseatlas.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="The audit trail (DICOM PS3.15 A.5), in a sealed chain of records.")


@app.command("list")
def list_(
    form: FormatOption = Format.table,
    last: Annotated[int, typer.Option(help="Only so many of the newest records; 0: all.")] = 100,
) -> None:
    """List the records, the oldest first; --format jsonl gives the audit messages. This is written down too."""
    from collections import deque
    from xml.etree import ElementTree as ET

    from doseatlas.audit import AuditTrail

    records = deque(AuditTrail.from_settings(load_settings().settings).records(), maxlen=last or None)
    record_action("audit-log-used", "audit trail", records=len(records))
    if form is Format.jsonl:
        print_rows(("number", "at", "message"), ((one.number, one.at, one.message) for one in records), form)
        return
    rows = []
    for one in records:
        message = ET.fromstring(one.message)  # our own, sealed: not the text of a peer
        event = message.find("EventIdentification/EventTypeCode")
        if event is None:
            event = message.find("EventIdentification/EventID")
        users = [participant.get("UserID", "") for participant in message.findall("ActiveParticipant")]
        subjects = [
            subject.get("ParticipantObjectID", "") for subject in message.iter("ParticipantObjectIdentification")
        ]
        meaning = event.get("originalText", "") if event is not None else ""
        rows.append((one.number, one.at, meaning, users[0] if users else "", subjects[0] if subjects else ""))
    print_rows(("number", "at", "event", "by", "what"), rows, form)


@app.command("verify")
def verify(
    first: Annotated[
        int, typer.Option("--from", help="First record that must be there, where older files were moved away.", min=1)
    ] = 1,
) -> None:
    """Check that no record was changed, taken out or cut off, and name the first that is wrong (exit status 1).

    The last line names the last record and its seal. Noted elsewhere, they show whether the trail was set back as a
    whole.
    """
    from doseatlas.audit import AuditTrail
    from doseatlas.audit import verify as check

    found = check(AuditTrail.from_settings(load_settings().settings), first)
    if found.wrong is not None:
        typer.echo(found.wrong, err=True)
        typer.echo(f"{found.records} records before it are right.")
        raise typer.Exit(EXIT_REFUSED)
    typer.echo(f"{found.records} records are whole.")
    typer.echo(f"Last record {found.number}, seal {found.seal}")


def record_action(what: str, subject: str, failure: str | None = None, **details: object) -> None:
    """Write down in the audit trail what this user has done (a row of the table of events).

    Raises:
        StoreError: the trail cannot be written.

    """
    from doseatlas.audit import AuditTrail, user_event

    stated = {name: str(value) for name, value in details.items()}
    event = user_event(what, getpass.getuser(), subject, stated, failure)
    AuditTrail.from_settings(load_settings().settings).append([event])
