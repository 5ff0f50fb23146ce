"""``doseatlas compare``: units beside reference levels, leagues, funnels, changes of dose, before and after."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from doseatlas.cli.context import reference_levels
from doseatlas.cli.output import Format, FormatOption, console
from doseatlas.cli.selected import (
    DeviceOption,
    DoseValuesOption,
    FacilityOption,
    GroupOption,
    MartOption,
    ProcedureOption,
    ReplicatesOption,
    SeedOption,
    exams_of,
    print_counted,
    print_records,
    say_what_is_counted,
    selection,
    units_of,
    values_counted,
)
from doseatlas.cli.store import SinceOption, UntilOption
from doseatlas.model import DoseAtlasError

if TYPE_CHECKING:
    from doseatlas.analysis import DoseValues, Selection
    from doseatlas.analysis.compare import UnitKind
    from doseatlas.report import PageSubject

app = typer.Typer(no_args_is_help=True, help="Facilities, devices and protocols beside levels and each other.")


class By(StrEnum):
    """What is compared."""

    facility = "facility"
    device = "device"
    protocol = "protocol"


class Charted(StrEnum):
    """What is charted."""

    device = "device"
    protocol = "protocol"


class Period(StrEnum):
    """How long a period is."""

    month = "month"
    quarter = "quarter"
    year = "year"


ByOption = Annotated[By, typer.Option(help="What is compared.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Draw pictures too, as one HTML file that opens offline.")
]
PEERS = ("procedure", "patient_group", "quantity", "phantom_cm")


@app.command("levels")
def levels(
    mart: MartOption = None,
    by: ByOption = By.facility,
    period: Annotated[Period | None, typer.Option(help="Period by period; by default all at once.")] = None,
    drl_set: Annotated[str | None, typer.Option(help="Compare with this set; see 'doseatlas drl list'.")] = None,
    facility: FacilityOption = None,
    device: DeviceOption = None,
    procedure: ProcedureOption = None,
    patient_group: GroupOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    dose_values: DoseValuesOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Say for each unit whether it is within the level, above, consistently above, or has too few exams to say."""
    from doseatlas.analysis.compare import compare

    chosen = selection(facility, device, procedure, patient_group, since, until)
    counted = values_counted(dose_values)
    with exams_of(mart) as table:
        found = compare(
            table,
            chosen,
            by=by.value,
            period=period.value if period else None,
            drl_set=reference_levels(drl_set),
            dose_values=counted,
        )
        say_what_is_counted(table, chosen, counted)
    columns = ("n", "median", "low", "high", "calibration_uncertainty", "ratio", "probability_above", "verdict", "note")
    print_records(found, ("unit", *PEERS, "period", *columns), form, counted)


@app.command("league")
def league(
    mart: MartOption = None,
    by: ByOption = By.facility,
    procedure: ProcedureOption = None,
    patient_group: GroupOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    seed: SeedOption = 1,
    replicates: ReplicatesOption = 1000,
    dose_values: DoseValuesOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Order units by their typical dose, with the places that chance leaves open."""
    from doseatlas.analysis.compare import league
    from doseatlas.analysis.drl import Draws

    counted = values_counted(dose_values)
    units = units_of(mart, selection(None, None, procedure, patient_group, since, until), by.value, counted)
    rows = [
        (*peers[:3], peers.phantom_cm or None, row.place, row.place_low, row.place_high, row.unit, row.n, row.median)
        for peers, logs in units.items()
        for row in league(logs, Draws(replicates, seed))
    ]
    print_counted((*PEERS, "place", "from", "to", "unit", "n", "median"), rows, form, counted)


@app.command("funnel")
def funnel(
    mart: MartOption = None,
    by: ByOption = By.facility,
    procedure: ProcedureOption = None,
    patient_group: GroupOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Units without a signal too.")] = False,
    dose_values: DoseValuesOption = None,
    output: OutputOption = None,
    form: FormatOption = Format.table,
) -> None:
    """List the units whose typical dose is further from the others' than their sample and the usual spread explain."""
    from doseatlas.analysis.compare import funnels

    check_output(output)
    wanted = selection(None, None, procedure, patient_group, since, until)
    counted = values_counted(dose_values)
    found = funnels(units_of(mart, wanted, by.value, counted))
    rows = [
        (*(getattr(one, name) for name in PEERS), point.unit, point.n, point.median, one.centre, point.z, point.signal)
        for one in found
        for point in one.points
        if everything or point.signal != "none"
    ]
    print_counted((*PEERS, "unit", "n", "median", "centre", "z", "signal"), rows, form, counted)
    if output is not None:
        from doseatlas.report import write_funnels_html

        write_funnels_html(found, output, page_subject(by.value, wanted, counted))
        say_where(output)


@app.command("changes")
def changes(
    mart: MartOption = None,
    by: Annotated[Charted, typer.Option(help="What is charted.")] = Charted.device,
    facility: FacilityOption = None,
    device: DeviceOption = None,
    procedure: ProcedureOption = None,
    patient_group: GroupOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    dose_values: DoseValuesOption = None,
    output: OutputOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Find the week in which the dose of a device or protocol changed, and by how much (EWMA and CUSUM charts).

    A change of one protocol is found by --by protocol: among a device's other exams it is diluted.
    """
    from doseatlas.analysis.compare import control_charts
    from doseatlas.analysis.corrected import counted_as

    check_output(output)
    wanted = selection(facility, device, procedure, patient_group, since, until)
    counted = values_counted(dose_values)
    with exams_of(mart) as table:
        found = control_charts(counted_as(table, counted), wanted, by=by.value)
        say_what_is_counted(table, wanted, counted)
    rows = [
        (
            chart.unit,
            chart.quantity,
            chart.first_signal,
            *(
                (
                    change.week,
                    change.week_low,
                    change.week_high,
                    change.factor,
                    change.low,
                    change.high,
                    change.p_value,
                )
                if change
                else (None,) * 7
            ),
        )
        for chart in found
        if chart.first_signal is not None or chart.change is not None
        for change in [chart.change]
    ]
    weeks = ("changed in week of", "earliest", "latest")
    columns = ("unit", "quantity", "first signal", *weeks, "factor", "low", "high", "p value")
    print_counted(columns, rows, form, counted)
    if output is not None:
        from doseatlas.report import write_changes_html

        write_changes_html(found, output, page_subject(by.value, wanted, counted))
        say_where(output)


@app.command("before-after")
def before_after(
    change: Annotated[dt.datetime, typer.Argument(formats=["%Y-%m-%d"], help="First day of the time after.")],
    mart: MartOption = None,
    by: ByOption = By.facility,
    facility: FacilityOption = None,
    device: DeviceOption = None,
    procedure: ProcedureOption = None,
    patient_group: GroupOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    dose_values: DoseValuesOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Set the typical values before and after a day against each other, with an interval of their ratio."""
    from doseatlas.analysis.compare import before_after

    wanted = selection(facility, device, procedure, patient_group, since, until)
    counted = values_counted(dose_values)
    with exams_of(mart) as table:
        found = before_after(table, wanted, change.date(), by=by.value, dose_values=counted)
        say_what_is_counted(table, wanted, counted)
    columns = ("n_before", "median_before", "n_after", "median_after", "ratio", "low", "high", "verdict")
    print_records(found, ("unit", *PEERS, *columns), form, counted)


def check_output(output: Path | None) -> None:
    """Refuse, before anything is computed, a page that cannot be written where it is asked for.

    Raises:
        DoseAtlasError: the output is a folder, or its folder is missing.

    """
    if output is not None and output.is_dir():
        raise DoseAtlasError(f"{output} is a folder. Give the name of the HTML file, such as {output / 'page.html'}.")
    if output is not None and not output.parent.is_dir():
        raise DoseAtlasError(f"The folder {output.parent} of {output.name} is missing. Make it, or name another.")


def page_subject(by: UnitKind, wanted: Selection, counted: DoseValues) -> PageSubject:
    """Return what a page says it is about."""
    from doseatlas import __version__
    from doseatlas.report import PageSubject

    return PageSubject(by, wanted, counted, __version__, dt.datetime.now().astimezone())


def say_where(output: Path) -> None:
    """Say where the page is, on the error stream, as the list is on the other."""
    console(stderr=True).print(f"Pictures: {output.resolve()}", soft_wrap=True, markup=False)
