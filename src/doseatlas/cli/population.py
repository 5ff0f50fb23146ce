"""``doseatlas population``: a population's dose from medical imaging, in UNSCEAR's form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from doseatlas.cli.output import Format, FormatOption, console, print_rows
from doseatlas.cli.selected import MartOption, SeedOption, mart_folder, selection
from doseatlas.cli.store import SinceOption, UntilOption

if TYPE_CHECKING:
    from doseatlas.analysis.population import DoseShare, PopulationDose

COLUMNS = (
    "part",
    "name",
    "exams a year",
    "per 1000 people",
    "mean dose mSv",
    "mean low",
    "mean high",
    "collective man Sv",
    "low",
    "high",
    "per head mSv",
    "share",
    "dose from",
    "registry exams",
    "at wider mean",
)
IN_A_TABLE = {
    "part": "part",
    "name": "name",
    "exams a year": "exams",
    "mean dose mSv": "mSv",
    "collective man Sv": "man Sv",
    "low": "low",
    "high": "high",
    "at wider mean": "wider",
}
"""What fits a terminal, by the titles there; the other forms have all columns."""


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
    from doseatlas.analysis import mart_table
    from doseatlas.analysis.drl import Draws
    from doseatlas.analysis.population import load_frequencies, population_dose
    from doseatlas.exchange import is_merged, merged_exams

    sheet = load_frequencies(frequencies)
    wanted = selection(None, None, None, None, since, until)
    with mart_folder(mart) as folder:
        table = merged_exams(folder) if is_merged(folder) else mart_table(folder)
        found = population_dose(table, wanted, sheet, population=people, draws=Draws(5000, seed))
    shown = IN_A_TABLE if form is Format.table else {name: name for name in COLUMNS}
    places = [COLUMNS.index(name) for name in shown]
    print_rows(tuple(shown.values()), ([row[place] for place in places] for row in _rows(found)), form)
    if found.without_dose:
        console(stderr=True).print(
            f"Without a mean effective dose, not counted: {', '.join(found.without_dose)}"
            f" ({found.uncounted_number:.6g} exams a year).",
            soft_wrap=True,
        )
    if found.coefficient_sets:
        sets = ", ".join(f"{name} ({n} exams)" for name, n in found.coefficient_sets)
        console(stderr=True).print(f"Coefficients of the registry's effective doses: {sets}.", soft_wrap=True)


def _rows(found: PopulationDose) -> Iterator[tuple[object, ...]]:
    """Yield the total of the procedures that are counted, how many exams are not, and the parts."""
    yield (
        *("total", "counted procedures", found.annual_number, found.per_thousand, None, None, None),
        *(found.collective_man_sv, found.collective_low, found.collective_high, found.per_head_msv, 1.0),
        *(None, None, None),
    )
    if found.without_dose:
        per_thousand = 1000 * found.uncounted_number / found.population
        yield ("total", "not counted", found.uncounted_number, per_thousand, *[None] * 11)
    parts = (
        ("modality", found.modalities),
        ("procedure", found.procedures),
        ("age", found.ages),
        ("sex", found.sexes),
        ("age, sex", found.ages_and_sexes),
    )
    for what, shares in parts:
        for one in shares:
            yield (what, *_figures(one))


def _figures(one: DoseShare) -> tuple[object, ...]:
    return (
        one.name,
        one.annual_number,
        one.per_thousand,
        one.mean_dose_msv,
        one.mean_dose_low,
        one.mean_dose_high,
        one.collective_man_sv,
        one.collective_low,
        one.collective_high,
        one.per_head_msv,
        one.share,
        one.dose_from,
        one.registry_exams,
        one.at_wider_mean,
    )
