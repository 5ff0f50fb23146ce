"""``doseatlas variation``: how much dose varies, where that arises, what goes with it, and which habits cost dose."""

from __future__ import annotations

from typing import Annotated

import typer

from doseatlas.cli.compare import PEERS, By, ByOption
from doseatlas.cli.output import Format, FormatOption, print_rows
from doseatlas.cli.selected import (
    FacilityOption,
    GroupOption,
    MartOption,
    PlacesOption,
    ProcedureOption,
    ReplicatesOption,
    SeedOption,
    exams_of,
    print_records,
    selection,
    units_of,
)
from doseatlas.cli.store import SinceOption, UntilOption

app = typer.Typer(no_args_is_help=True, help="Variation of dose for the same exam.")

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
    form: FormatOption = Format.table,
) -> None:
    """Say how many times the lowest typical value the highest is, with the ratio of the quartiles beside it."""
    from doseatlas.analysis.drl import Draws
    from doseatlas.analysis.variation import fold_variations

    units = units_of(mart, selection(None, None, procedure, patient_group, since, until), by.value)
    found = fold_variations(units, Draws(replicates, seed), minimum_n=minimum)
    columns = ("units", "exams", "lowest", "lowest_unit", "highest", "highest_unit", "fold", "fold_low", "fold_high")
    quartiles = ("quartile_ratio", "quartile_ratio_low", "quartile_ratio_high", "not_counted")
    print_records(found, (*PEERS, *columns, *quartiles), form)


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
    form: FormatOption = Format.table,
) -> None:
    """Share the variance of dose among country, facility, device, protocol, patient size and the rest."""
    from doseatlas.analysis.areas import NOWHERE, load_places
    from doseatlas.analysis.drl import Draws
    from doseatlas.analysis.variation import decompose

    wanted = selection(facility, None, procedure, patient_group, since, until)
    where = load_places(places) if places else NOWHERE
    with exams_of(mart) as table:
        found = decompose(table, wanted, _quantity(quantity), places=where, draws=Draws(replicates, seed))
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
    print_rows((*PEERS, *columns), rows, form)


@app.command("drivers")
def drivers(
    quantity: QuantityOption = "dlp_mgy_cm",
    mart: MartOption = None,
    procedure: ProcedureOption = None,
    patient_group: GroupOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    seed: SeedOption = 1,
    replicates: ReplicatesOption = 500,
    form: FormatOption = Format.table,
) -> None:
    """Say which habits of devices go with high doses: scan length, phases, tube voltage, protocol, maker, ..."""
    from doseatlas.analysis.drl import Draws
    from doseatlas.analysis.variation import drivers

    wanted = selection(None, None, procedure, patient_group, since, until)
    with exams_of(mart) as table:
        found = drivers(table, wanted, _quantity(quantity), draws=Draws(replicates, seed))  # type: ignore[arg-type]
    print_records(found, (*PEERS, "name", "kind", "units", "explained", "low", "high", "direction"), form)


@app.command("practice")
def practice(
    mart: MartOption = None,
    facility: FacilityOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    form: FormatOption = Format.table,
) -> None:
    """List adult protocols used on children, more phases than suffice elsewhere, and reduced dose not used.

    What suffices elsewhere is judged by all facilities of the mart, also where one is asked for.
    """
    from doseatlas.analysis.variation import adult_protocols_on_children, multiphase_scans, reduced_dose_use

    wanted = selection(None, None, None, None, since, until)
    with exams_of(mart) as table:
        children = adult_protocols_on_children(table, wanted)
        phases = multiphase_scans(table, wanted)
        reduced = reduced_dose_use(table, wanted)
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
    print_rows(("habit", "facility", "procedure", "group", "exams", "share", "dose ratio"), shown, form)


def _quantity(name: str) -> str:
    from doseatlas.analysis import quantities

    names = [one.name for one in quantities()]
    if name not in names:
        raise typer.BadParameter(f"{name!r} is no dose quantity; known: {', '.join(names)}.")
    return name
