"""``doseatlas population``: a population's dose from medical imaging, in UNSCEAR's form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from doseatlas.cli.output import Format, FormatOption, console, print_rows
from doseatlas.cli.selected import MartOption, SeedOption, exams_of, selection
from doseatlas.cli.store import SinceOption, UntilOption


def population(
    frequencies: Annotated[
        Path, typer.Argument(help="CSV of how often each procedure is done in a year.", exists=True, show_default=False)
    ],
    people: Annotated[int, typer.Option("--population", min=1, help="How many people.", show_default=False)],
    mart: MartOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    seed: SeedOption = 1,
    form: FormatOption = Format.table,
) -> None:
    """Multiply annual frequencies by mean effective doses: collective dose and dose per head, by procedure, modality,
    age and sex, with intervals.
    """
    from doseatlas.analysis.drl import Draws
    from doseatlas.analysis.population import load_frequencies, population_dose

    sheet = load_frequencies(frequencies)
    wanted = selection(None, None, None, None, since, until)
    with exams_of(mart) as table:
        found = population_dose(table, wanted, sheet, population=people, draws=Draws(5000, seed))
    rows: list[tuple[object, ...]] = [
        (
            "all",
            "all",
            found.annual_number,
            found.per_thousand,
            None,
            found.collective_man_sv,
            found.collective_low,
            found.collective_high,
            found.per_head_msv,
            1.0,
            None,
        )
    ]
    parts = (
        ("modality", found.modalities),
        ("procedure", found.procedures),
        ("age", found.ages),
        ("sex", found.sexes),
    )
    rows += [
        (
            what,
            one.name,
            one.annual_number,
            one.per_thousand,
            one.mean_dose_msv,
            one.collective_man_sv,
            one.collective_low,
            one.collective_high,
            one.per_head_msv,
            one.share,
            one.dose_from,
        )
        for what, shares in parts
        for one in shares
    ]
    columns = ("part", "name", "exams a year", "per 1000 people", "mean dose mSv", "collective man Sv", "low", "high")
    print_rows((*columns, "per head mSv", "share", "dose from"), rows, form)
    if found.without_dose:
        console(stderr=True).print(f"Without a mean effective dose, not counted: {', '.join(found.without_dose)}")
