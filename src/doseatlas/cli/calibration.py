"""``doseatlas calibration``: the certificates of devices, by which stated values are corrected."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from doseatlas.cli.audit import record_action
from doseatlas.cli.context import open_store
from doseatlas.cli.output import Format, FormatOption, print_rows

if TYPE_CHECKING:
    from doseatlas.dosimetry import Certificate
    from doseatlas.store import CertificatesChanged

app = typer.Typer(
    no_args_is_help=True, help="Calibration certificates of devices, which correct what they display, and tube outputs."
)

COLUMNS = (
    "certificate",
    "device",
    "quantity",
    "from",
    "until",
    "factors or output",
    "laboratory",
    "traceable to",
    "state",
)


@app.command("add")
def add(
    files: Annotated[list[Path], typer.Argument(help="Certificates as TOML files (docs/dosimetry.md), one each.")],
) -> None:
    """Take certificates, all or none, and derive the exams again that they touch.

    A corrected certificate names the one that it supersedes; that one stays as history.
    """
    from doseatlas.store import add_certificates, read_certificate

    read = [read_certificate(file) for file in files]
    with open_store() as store:
        changed = add_certificates(store, read, dt.date.today())
        store.refresh_mart()
    record_action("calibration-added", ", ".join(one.id for one in read), exams=changed.exams)
    _tell(changed)


@app.command("list")
def list_(
    form: FormatOption = Format.table,
    history: Annotated[bool, typer.Option("--history", help="Also those superseded or removed.")] = False,
) -> None:
    """List the certificates in force."""
    from doseatlas.store import kept_certificates

    with open_store() as store:
        kept = kept_certificates(store)
    rows = [
        (
            one.certificate.id,
            one.certificate.device,
            one.certificate.quantity,
            one.certificate.valid_from,
            one.certificate.valid_until,
            _stated(one.certificate),
            one.certificate.laboratory,
            " <- ".join(step.laboratory for step in one.certificate.traceability) or None,
            one.state,
        )
        for one in kept
        if history or one.state == "in force"
    ]
    print_rows(COLUMNS, rows, form)


@app.command("due")
def due(
    days: Annotated[int, typer.Option(min=0, help="Due within so many days.")] = 60,
    form: FormatOption = Format.table,
) -> None:
    """List the devices whose last certificate has ended or ends soon."""
    from doseatlas.store import kept_certificates

    with open_store() as store:
        kept = [one.certificate for one in kept_certificates(store) if one.state == "in force"]
    last = {(one.device, one.quantity): one for one in sorted(kept, key=lambda one: one.valid_until)}
    today = dt.date.today()
    rows = [
        (one.device, one.quantity, one.id, one.valid_until, (one.valid_until - today).days)
        for one in sorted(last.values(), key=lambda one: (one.valid_until, one.device))
        if (one.valid_until - today).days <= days
    ]
    print_rows(("device", "quantity", "last certificate", "next due", "days left"), rows, form)


@app.command("remove")
def remove(certificate: Annotated[str, typer.Argument(help="Id of the certificate.")]) -> None:
    """Take a certificate out of force; it stays as history, and the exams that it touched are derived again."""
    from doseatlas.store import remove_certificate

    with open_store() as store:
        changed = remove_certificate(store, certificate)
        store.refresh_mart()
    record_action("calibration-removed", certificate, exams=changed.exams)
    _tell(changed)


def _stated(one: Certificate) -> str:
    """Return what a certificate states: factors by quality, or the output of a tube by beam."""
    from doseatlas.dosimetry import output_in_words

    if one.tube_output is not None:
        return output_in_words(one.tube_output)
    return ", ".join(f"{factor.factor:g} ({factor.quality})" for factor in one.factors)


def _tell(changed: CertificatesChanged) -> None:
    typer.echo(f"Exams derived again: {changed.exams}.")
    if not changed.exams and changed.devices:
        typer.echo(
            f"The store has no exam of {', '.join(changed.devices)} in that period. Devices are named as in the "
            "report: manufacturer, model, and station name or serial number."
        )
