"""``doseatlas compare``: units beside reference levels, leagues, funnels, changes of dose, before and after."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated

import typer

from doseatlas.cli.context import reference_levels
from doseatlas.cli.output import Format, FormatOption, print_rows
from doseatlas.cli.selected import (
    DeviceOption,
    FacilityOption,
    GroupOption,
    MartOption,
    ProcedureOption,
    ReplicatesOption,
    SeedOption,
    exams_of,
    print_records,
    selection,
    units_of,
)
from doseatlas.cli.store import SinceOption, UntilOption

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
    form: FormatOption = Format.table,
) -> None:
    """Say for each unit whether it is within the level, above, consistently above, or has too few exams to say."""
    from doseatlas.analysis.compare import compare

    chosen = selection(facility, device, procedure, patient_group, since, until)
    with exams_of(mart) as table:
        found = compare(
            table, chosen, by=by.value, period=period.value if period else None, drl_set=reference_levels(drl_set)
        )
    columns = ("n", "median", "low", "high", "ratio", "probability_above", "verdict", "note")
    print_records(found, ("unit", *PEERS, "period", *columns), form)


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
    form: FormatOption = Format.table,
) -> None:
    """Order units by their typical dose, with the places that chance leaves open."""
    from doseatlas.analysis.compare import league
    from doseatlas.analysis.drl import Draws

    units = units_of(mart, selection(None, None, procedure, patient_group, since, until), by.value)
    rows = [
        (*peers[:3], peers.phantom_cm or None, row.place, row.place_low, row.place_high, row.unit, row.n, row.median)
        for peers, logs in units.items()
        for row in league(logs, Draws(replicates, seed))
    ]
    print_rows((*PEERS, "place", "from", "to", "unit", "n", "median"), rows, form)


@app.command("funnel")
def funnel(
    mart: MartOption = None,
    by: ByOption = By.facility,
    procedure: ProcedureOption = None,
    patient_group: GroupOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Units without a signal too.")] = False,
    form: FormatOption = Format.table,
) -> None:
    """List the units whose typical dose is further from the others' than their sample and the usual spread explain."""
    from doseatlas.analysis.compare import funnels

    found = funnels(units_of(mart, selection(None, None, procedure, patient_group, since, until), by.value))
    rows = [
        (*(getattr(one, name) for name in PEERS), point.unit, point.n, point.median, one.centre, point.z, point.signal)
        for one in found
        for point in one.points
        if everything or point.signal != "none"
    ]
    print_rows((*PEERS, "unit", "n", "median", "centre", "z", "signal"), rows, form)


@app.command("changes")
def changes(
    mart: MartOption = None,
    by: Annotated[Charted, typer.Option(help="What is charted.")] = Charted.device,
    facility: FacilityOption = None,
    device: DeviceOption = None,
    procedure: ProcedureOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Find the week in which the dose of a device or protocol changed, and by how much (EWMA and CUSUM charts)."""
    from doseatlas.analysis.compare import control_charts

    wanted = selection(facility, device, procedure, None, since, until)
    with exams_of(mart) as table:
        found = control_charts(table, wanted, by=by.value)
    rows = [
        (
            chart.unit,
            chart.quantity,
            chart.first_signal,
            *((change.week, change.factor, change.low, change.high, change.p_value) if change else (None,) * 5),
        )
        for chart in found
        if chart.first_signal is not None or chart.change is not None
        for change in [chart.change]
    ]
    columns = ("unit", "quantity", "first signal", "changed in week of", "factor", "low", "high", "p value")
    print_rows(columns, rows, form)


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
    form: FormatOption = Format.table,
) -> None:
    """Set the typical values before and after a day against each other, with an interval of their ratio."""
    from doseatlas.analysis.compare import before_after

    wanted = selection(facility, device, procedure, patient_group, since, until)
    with exams_of(mart) as table:
        found = before_after(table, wanted, change.date(), by=by.value)
    columns = ("n_before", "median_before", "n_after", "median_after", "ratio", "low", "high", "verdict")
    print_records(found, ("unit", *PEERS, *columns), form)
