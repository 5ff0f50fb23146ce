"""``doseatlas report``: from dose objects, or from what the store holds, to the facility's dose report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from doseatlas.cli import EXIT_REFUSED
from doseatlas.cli.context import open_store, reference_levels
from doseatlas.cli.output import Format, console
from doseatlas.cli.selected import (
    DeviceOption,
    DoseValuesOption,
    FacilityOption,
    GroupOption,
    ProcedureOption,
    selection,
    values_counted,
)
from doseatlas.cli.store import SinceOption, UntilOption, import_into, print_summary

if TYPE_CHECKING:
    from doseatlas.analysis import DoseValues, FacilityReport, Selection
    from doseatlas.dosimetry.skin import SkinMap
    from doseatlas.reference import DrlSet
    from doseatlas.store import Store

MOST_MAPS = 5
MOST_PATIENT_MAPS = 3


def report(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Dose objects to import first: files, folders, zips, DICOMDIRs.", show_default=False),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the report.")] = Path("dose-report"),
    facility: FacilityOption = None,
    device: DeviceOption = None,
    procedure: ProcedureOption = None,
    patient_group: GroupOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    drl_set: Annotated[str | None, typer.Option(help="Compare with this set; see 'doseatlas drl list'.")] = None,
    dose_values: DoseValuesOption = None,
) -> None:
    """Write the dose report: one HTML file that opens offline, the same as XLSX and CSV, a summary here.

    Exit status 1 if an object given was refused; the report is written all the same.
    """
    levels = reference_levels(drl_set)
    counted = values_counted(dose_values)
    wanted = selection(facility, device, procedure, patient_group, since, until)
    refused = 0
    with open_store() as store:
        if paths:
            summary = import_into(store, paths)
            print_summary(summary, Format.table)
            refused = summary.refused
        computed = compute(store, wanted, levels, counted)
        computed, patient_maps = with_skin_patients(store, wanted, computed)
        maps = maps_of(store, computed)
    write(computed, output, maps, patient_maps)
    if refused:
        raise typer.Exit(EXIT_REFUSED)


def compute(store: Store, wanted: Selection, levels: DrlSet, dose_values: DoseValues) -> FacilityReport:
    """Compute the report from the store's mart."""
    import datetime as dt

    from doseatlas import __version__
    from doseatlas.analysis import facility_report

    with console(stderr=True).status("comparing"):
        store.refresh_mart()
        return facility_report(
            store.mart_dir,
            selection=wanted,
            drl_set=levels,
            dose_values=dose_values,
            refused=store.refused_counts(),
            ignored=store.counts().ignored,
            now=dt.datetime.now().astimezone(),
            version=__version__,
        )


def with_skin_patients(
    store: Store, wanted: Selection, computed: FacilityReport
) -> tuple[FacilityReport, dict[int, SkinMap]]:
    """Add the patients whose procedures add up to a trigger of skin dose, and return as many maps as a page bears."""
    from msgspec import structs

    from doseatlas.analysis import skin_patients

    with console(stderr=True).status("adding up skin doses"):
        found = skin_patients(store, wanted)
    maps = dict(list(found.maps.items())[:MOST_PATIENT_MAPS])
    return structs.replace(computed, skin_patients=found.patients), maps


def maps_of(store: Store, computed: FacilityReport) -> dict[str, SkinMap]:
    """Compute the maps of the exams with the largest skin doses, as many as a page bears."""
    from doseatlas.store import skin_maps

    mapped = [one.exam_id for one in computed.skin_doses if one.peak_skin_dose_mgy is not None][:MOST_MAPS]
    return skin_maps(store, mapped)


def write(
    computed: FacilityReport, output: Path, maps: Mapping[str, SkinMap], patient_maps: Mapping[int, SkinMap]
) -> None:
    """Write every form of the report and say where it is."""
    from doseatlas.report import print_summary as print_report
    from doseatlas.report import write_csv, write_html, write_xlsx

    output.mkdir(parents=True, exist_ok=True)
    with console(stderr=True).status("writing the report"):
        write_html(computed, output / "report.html", maps, patient_maps)
        write_xlsx(computed, output / "report.xlsx")
        write_csv(computed, output / "csv")
    terminal = console()
    print_report(computed, terminal)
    terminal.print(f"Report: {(output / 'report.html').resolve()}", soft_wrap=True)
