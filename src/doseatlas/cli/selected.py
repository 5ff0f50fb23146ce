"""Which exams does a command of analysis look at? The options that such commands share, and the table they give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from doseatlas.cli.context import open_store
from doseatlas.cli.output import Format, print_rows
from doseatlas.model import StoreError

if TYPE_CHECKING:
    import datetime as dt

    import ibis

    from doseatlas.analysis import Selection
    from doseatlas.analysis.compare import Peers, UnitKind, UnitLogs
    from doseatlas.reference import PatientGroup, Procedure

MartOption = Annotated[
    Path | None,
    typer.Option("--mart", help="A mart or registry (a folder with 'exams'); by default your store's.", exists=True),
]
FacilityOption = Annotated[str | None, typer.Option(help="Only this facility.")]
DeviceOption = Annotated[str | None, typer.Option(help="Only this device.")]
ProcedureOption = Annotated[str | None, typer.Option(help="Only this standard procedure (its id).")]
GroupOption = Annotated[str | None, typer.Option(help="Only this patient group (its id).")]
PlacesOption = Annotated[
    Path | None, typer.Option(help="CSV that says where facilities lie: facility, country, region.", exists=True)
]
SeedOption = Annotated[int, typer.Option(min=0, help="Of the draws for intervals; the same seed, the same figures.")]
ReplicatesOption = Annotated[int, typer.Option(min=100, max=100_000, help="Draws for intervals.")]


@contextmanager
def mart_folder(mart: Path | None) -> Iterator[Path]:
    """Give the folder of the mart asked for, else of the store, brought up to date.

    Raises:
        StoreError: the folder is no mart.

    """
    if mart is None:
        with open_store() as store:
            store.refresh_mart()
            yield store.mart_dir
    elif not (mart / "exams").is_dir():
        raise StoreError(f"{mart} is no mart: it has no folder 'exams'. Name the folder above it.")
    else:
        yield mart


@contextmanager
def exams_of(mart: Path | None) -> Iterator[ibis.Table]:
    """Give the exams of the mart asked for, else of the store."""
    from doseatlas.analysis import mart_table

    with mart_folder(mart) as folder:
        yield mart_table(folder)


def units_of(mart: Path | None, wanted: Selection, by: UnitKind) -> dict[Peers, UnitLogs]:
    """Return the facilities, devices or protocols of the exams selected, peers by peers."""
    from doseatlas.analysis.compare import unit_logs
    from doseatlas.analysis.mart import chosen, countable

    with exams_of(mart) as table:
        return unit_logs(countable(chosen(table, wanted)), by)


def selection(
    facility: str | None,
    device: str | None,
    procedure: str | None,
    patient_group: str | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
) -> Selection:
    """Return the selection of a command's options; a procedure or group that is not known is wrong usage."""
    from doseatlas.analysis import Selection
    from doseatlas.reference import patient_groups, procedures

    return Selection(
        facility=facility,
        device=device,
        procedure=procedure and known(procedure, procedures()),
        patient_group=patient_group and known(patient_group, patient_groups()),
        since=since and since.date(),
        until=until and until.date(),
    )


def known(asked: str, rows: Sequence[PatientGroup] | Sequence[Procedure]) -> str:
    """Return the id asked for.

    Raises:
        BadParameter: no row of the reference table has it.

    """
    ids = [row.id for row in rows]
    if asked not in ids:
        alike = ", ".join(get_close_matches(asked, ids)) or "see 'doseatlas mapping procedures'"
        raise typer.BadParameter(f"{asked!r} is not known: {alike}.")
    return asked


def print_records(records: Iterable[Any], columns: Sequence[str], form: Format) -> None:
    """Print the named fields of records."""
    print_rows(columns, ([getattr(record, name) for name in columns] for record in records), form)
