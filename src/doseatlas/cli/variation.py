"""``doseatlas variation``: how much dose varies, where that arises, what goes with it, and which habits cost dose."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from doseatlas.cli.compare import PEERS, By, ByOption
from doseatlas.cli.output import Format, FormatOption
from doseatlas.cli.selected import (
    DoseValuesOption,
    FacilityOption,
    GroupOption,
    MartOption,
    PlacesOption,
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

app = typer.Typer(no_args_is_help=True, help="Variation of dose for the same exam.")

DeviceYearsOption = Annotated[
    Path | None,
    typer.Option("--device-years", help="CSV that says how old devices are: facility, device, year.", exists=True),
]
QuantityOption = Annotated[str, typer.Option(help="Dose quantity, such as dlp_mgy_cm or kap_gy_cm2.")]


@app.command("fold")
def fold(
    mart: MartOption = None,
    by: ByOption = By.facility,
    minimum: Annotated[int | None, typer.Option(min=1, help="Exams a unit needs; by default as ICRP 135.")] = None,
    procedure: ProcedureOption = None,
    patient_group: GroupOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    seed: SeedOption = 1,
    replicates: ReplicatesOption = 1000,
    dose_values: DoseValuesOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Say how many times the lowest typical value the highest is, with the ratio of the quartiles beside it."""
    from doseatlas.analysis.drl import Draws
    from doseatlas.analysis.variation import fold_variations

    counted = values_counted(dose_values)
    units = units_of(mart, selection(None, None, procedure, patient_group, since, until), by.value, counted)
    found = fold_variations(units, Draws(replicates, seed), minimum_n=minimum)
    columns = ("units", "exams", "lowest", "lowest_unit", "highest", "highest_unit", "fold", "fold_low", "fold_high")
    quartiles = ("quartile_ratio", "quartile_ratio_low", "quartile_ratio_high", "not_counted")
    print_records(found, (*PEERS, *columns, *quartiles), form, counted)


@app.command("components")
def components(
    quantity: QuantityOption = "dlp_mgy_cm",
    mart: MartOption = None,
    places: PlacesOption = None,
    facility: FacilityOption = None,
    procedure: ProcedureOption = None,
    patient_group: GroupOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    seed: SeedOption = 1,
    replicates: ReplicatesOption = 200,
    dose_values: DoseValuesOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Share the variance of dose among country, facility, device, protocol, patient size and the rest."""
    from doseatlas.analysis.areas import NOWHERE, load_places
    from doseatlas.analysis.corrected import counted_as
    from doseatlas.analysis.drl import Draws
    from doseatlas.analysis.variation import decompose

    wanted = selection(facility, None, procedure, patient_group, since, until)
    where = load_places(places) if places else NOWHERE
    counted = values_counted(dose_values)
    with exams_of(mart) as table:
        exams = counted_as(table, counted)
        found = decompose(exams, wanted, _quantity(quantity), places=where, draws=Draws(replicates, seed))
        say_what_is_counted(table, wanted, counted)
    rows = [
        (
            *(getattr(one, name) for name in PEERS),
            part.name,
            part.classes,
            part.share,
            part.low,
            part.high,
            part.typical_factor,
            one.exams,
            one.size_exponent if part.name == "patient size" else None,
        )
        for one in found
        for part in one.components
    ]
    columns = ("component", "classes", "share", "low", "high", "typical factor", "exams", "size exponent")
    print_counted((*PEERS, *columns), rows, form, counted)


@app.command("drivers")
def drivers(
    quantity: QuantityOption = "dlp_mgy_cm",
    mart: MartOption = None,
    device_years: DeviceYearsOption = None,
    procedure: ProcedureOption = None,
    patient_group: GroupOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    seed: SeedOption = 1,
    replicates: ReplicatesOption = 500,
    dose_values: DoseValuesOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Say which habits of devices go with high doses: scan length, phases, tube voltage, protocol, maker, age, ..."""
    from doseatlas.analysis.corrected import counted_as
    from doseatlas.analysis.drl import Draws
    from doseatlas.analysis.variation import drivers, load_device_years

    wanted = selection(None, None, procedure, patient_group, since, until)
    years = load_device_years(device_years) if device_years else None
    counted = values_counted(dose_values)
    with exams_of(mart) as table:
        found = drivers(
            counted_as(table, counted),
            wanted,
            _quantity(quantity),  # type: ignore[arg-type]
            device_years=years,
            draws=Draws(replicates, seed),
        )
        say_what_is_counted(table, wanted, counted)
    print_records(found, (*PEERS, "name", "kind", "units", "explained", "low", "high", "direction"), form, counted)


@app.command("practice")
def practice(
    mart: MartOption = None,
    facility: FacilityOption = None,
    procedure: ProcedureOption = None,
    patient_group: GroupOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    dose_values: DoseValuesOption = None,
    form: FormatOption = Format.table,
) -> None:
    """List adult protocols used on children, more phases than suffice elsewhere, and reduced dose not used.

    What suffices elsewhere is judged by all facilities of the mart, also where one is asked for.
    """
    from doseatlas.analysis.corrected import counted_as
    from doseatlas.analysis.variation import adult_protocols_on_children, multiphase_scans, reduced_dose_use

    wanted = selection(None, None, procedure, patient_group, since, until)
    counted = values_counted(dose_values)
    with exams_of(mart) as table:
        exams = counted_as(table, counted)
        children = adult_protocols_on_children(exams, wanted)
        phases = multiphase_scans(exams, wanted)
        reduced = reduced_dose_use(exams, wanted)
        say_what_is_counted(table, wanted, counted)
    rows: list[tuple[object, ...]] = [
        ("adult protocol on children", c.facility, c.procedure, c.patient_group, c.children, c.share, c.dose_ratio)
        for c in children
    ]
    rows += [
        (f"more than {p.sufficient} phases", p.facility, p.procedure, p.patient_group, p.exams, p.share, p.dose_ratio)
        for p in phases
    ]
    rows += [
        ("reduced dose not used", r.facility, r.procedure, "adult", r.exams, 1 - r.share, None)
        for r in reduced
        if r.share < 1
    ]
    shown = [row for row in rows if facility in (None, row[1])]
    print_counted(("habit", "facility", "procedure", "group", "exams", "share", "dose ratio"), shown, form, counted)


def _quantity(name: str) -> str:
    from doseatlas.analysis import quantities

    names = [one.name for one in quantities()]
    if name not in names:
        raise typer.BadParameter(f"{name!r} is no dose quantity; known: {', '.join(names)}.")
    return name
