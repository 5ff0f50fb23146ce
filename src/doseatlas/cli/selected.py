"""Which exams does a command of analysis look at? The options that such commands share, and the table they give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from doseatlas.cli.context import open_store
from doseatlas.cli.output import Format, console, print_rows
from doseatlas.model import StoreError
from doseatlas.settings import load_settings

if TYPE_CHECKING:
    import datetime as dt

    import ibis

    from doseatlas.analysis import DoseValues, Selection
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


class Values(StrEnum):
    """Which dose values are counted."""

    stated = "stated"
    corrected = "corrected"


DoseValuesOption = Annotated[
    Values | None,
    typer.Option(
        "--dose-values", help="Count values as stated, or corrected by certificates (default: the setting dose_values)."
    ),
]
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


def values_counted(asked: Values | None) -> DoseValues:
    """Return whether stated or corrected values are counted: as asked, else as the settings say."""
    return asked.value if asked else load_settings().settings.dose_values


def say_what_is_counted(table: ibis.Table, wanted: Selection, counted: DoseValues) -> None:
    """Say on the error stream which values a list counts and, where they are corrected, what that rests on."""
    from doseatlas.analysis.corrected import calibrated

    if counted == "stated":
        said = "Doses counted: as the devices state them."
    else:
        found = calibrated(table, wanted)
        said = (
            f"Doses counted: corrected. By certificates: {found.by_certificate} exams; as displayed, with the display's"
            f" tolerance: {found.as_displayed}; as stated, with no uncertainty known: {found.not_said}."
        )
    console(stderr=True).print(said, soft_wrap=True)


def units_of(mart: Path | None, wanted: Selection, by: UnitKind, counted: DoseValues) -> dict[Peers, UnitLogs]:
    """Return the facilities, devices or protocols of the exams selected, peers by peers; say what is counted."""
    from doseatlas.analysis.compare import unit_logs
    from doseatlas.analysis.corrected import counted_as
    from doseatlas.analysis.mart import chosen, countable

    with exams_of(mart) as table:
        say_what_is_counted(table, wanted, counted)
        return unit_logs(countable(chosen(counted_as(table, counted), wanted)), by, counted)


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


def print_counted(columns: Sequence[str], rows: Iterable[Sequence[Any]], form: Format, counted: DoseValues) -> None:
    """Print rows, each with the dose values that it counts."""
    print_rows((*columns, "dose_values"), ((*row, counted) for row in rows), form)


def print_records(records: Iterable[Any], columns: Sequence[str], form: Format, counted: DoseValues) -> None:
    """Print the named fields of records, and the dose values that they count."""
    print_counted(columns, ([getattr(record, name) for name in columns] for record in records), form, counted)
