"""A population's dose: frequency times mean effective dose, in UNSCEAR's parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ibis
import numpy as np
import pytest

from doseatlas.analysis import Selection, mart_table
from doseatlas.analysis.drl import Draws
from doseatlas.analysis.population import Frequency, load_frequencies, population_dose
from doseatlas.model import TableError

HEADER = "procedure,modality,annual_number,number_uncertainty_percent,effective_dose_msv,dose_uncertainty_percent"
SHEET = (
    Frequency("ct-head", "CT", 40_000, 0.1, 2.0, 0.2, ""),
    Frequency("ct-chest", "CT", 20_000, 0.1, 6.0, 0.2, ""),
    Frequency("dx-chest", "radiography", 300_000, 0.1, 0.02, 0.2, ""),
    Frequency("dx-hand", "radiography", 90_000, 0.1, None, 0.0, ""),
)


def exams(mart: Callable[..., Path]) -> ibis.Table:
    rows = [{"sex": "F", "age_years": 70.0}] * 30 + [{"sex": "M", "age_years": 3.0}] * 10
    rows += [{"procedure": "ct-chest", "sex": "M", "age_years": None}] * 10
    return mart_table(mart(rows))


def test_collective_dose_and_dose_per_head_are_sums_of_products(mart: Callable[..., Path]) -> None:
    found = population_dose(exams(mart), Selection(), SHEET, population=1_000_000)
    assert found.collective_man_sv == pytest.approx(80 + 120 + 6)
    assert found.per_head_msv == pytest.approx(0.206)
    assert found.per_thousand == pytest.approx(360)
    assert found.without_dose == ("dx-hand",)
    assert {one.name: round(one.collective_man_sv, 6) for one in found.modalities} == {"CT": 200, "radiography": 6}
    assert found.uncounted_number == 90_000
    ages = {one.name: one.collective_man_sv for one in found.ages}
    assert ages == pytest.approx({"1-<5 y": 20, "60-<80 y": 60, "age unknown": 126})
    sexes = {one.name: one.collective_man_sv for one in found.sexes}
    assert sexes == pytest.approx({"F": 60, "M": 140, "sex unknown": 6})
    assert all(one.at_wider_mean == 1 for one in (*found.ages, *found.sexes))
    for parts in (found.procedures, found.modalities, found.ages, found.sexes, found.ages_and_sexes):
        assert sum(one.collective_man_sv for one in parts) == pytest.approx(206)
        assert sum(one.share for one in parts) == pytest.approx(1)


def test_the_interval_is_that_of_the_uncertainties(mart: Callable[..., Path]) -> None:
    (sheet,) = SHEET[:1]
    found = population_dose(exams(mart), Selection(), [sheet], population=1_000_000, draws=Draws(20_000, 1))
    # A product of two log-normal factors of 10 % and 20 %.
    spread = np.sqrt(np.log1p(0.1**2) + np.log1p(0.2**2))
    assert found.collective_low == pytest.approx(80 * np.exp(-1.96 * spread - spread**2 / 2), rel=0.02)
    assert found.collective_high == pytest.approx(80 * np.exp(1.96 * spread - spread**2 / 2), rel=0.02)


def test_the_registrys_own_effective_doses_come_before_the_sheets(mart: Callable[..., Path]) -> None:
    table = exams(mart)
    table = table.mutate(effective_dose_msv=(table.procedure == "ct-head").ifelse(1.5, None).cast("float64"))
    found = {one.name: one for one in population_dose(table, Selection(), SHEET, population=1_000_000).procedures}
    assert found["ct-head"].collective_man_sv == pytest.approx(60)
    assert found["ct-chest"].collective_man_sv == pytest.approx(120)
    assert (found["ct-head"].dose_from, found["ct-chest"].dose_from) == ("registry", "sheet")


def child_and_adults(mart: Callable[..., Path], children: int, *, dosed: int | None = None) -> ibis.Table:
    """Exams of 40 adults at 2 mSv (women) and 3 mSv (men), and boys at 8 mSv, of whom ``dosed`` have a dose."""
    rows: list[dict[str, object]] = []
    for sex, dose in (("F", 2.0), ("M", 3.0)):
        rows += [{"sex": sex, "age_years": 50.0, "effective_dose_msv": dose + 0.1 * (i % 3 - 1)} for i in range(21)]
    for i in range(children):
        dose_of_child = 8.0 if dosed is None or i < dosed else None
        rows.append({"sex": "M", "age_years": 3.0, "effective_dose_msv": dose_of_child})
    return mart_table(mart([{**row, "effective_dose_set": "a-set"} for row in rows]))


@pytest.mark.parametrize("children", [4, 60])
def test_the_mean_of_an_age_or_sex_is_that_of_its_own_exams(mart: Callable[..., Path], children: int) -> None:
    table = child_and_adults(mart, children)
    sheet = [Frequency("ct-head", "CT", 42_000 + 1000 * children, 0.0, None, 0.0, "")]
    found = population_dose(table, Selection(), sheet, population=1_000_000)
    means = {one.name: one.mean_dose_msv for one in (*found.ages, *found.ages_and_sexes)}
    assert means == pytest.approx({"1-<5 y": 8, "40-<60 y": 2.5, "1-<5 y, M": 8, "40-<60 y, F": 2, "40-<60 y, M": 3})
    men = (21 * 3 + children * 8) / (21 + children)
    assert {one.name: one.mean_dose_msv for one in found.sexes} == pytest.approx({"F": 2, "M": men})
    # The same as the mart's own mean, and a dose of every exam a year: 1,000 for each of the mart.
    assert found.collective_man_sv == pytest.approx(42 + 63 + 8 * children)
    assert all(one.at_wider_mean == 0 for one in (*found.ages, *found.sexes))
    child = found.ages[0]
    assert child.registry_exams == children
    assert child.mean_dose_low is not None
    assert child.mean_dose_high is not None
    assert child.mean_dose_low <= 8 <= child.mean_dose_high
    assert (child.mean_dose_low < child.mean_dose_high) == (children < 10)  # so few have the spread of all exams
    assert found.coefficient_sets == (("a-set", 42 + children),)


def test_ages_of_which_too_few_exams_state_a_dose_are_given_the_procedures_mean_and_say_so(
    mart: Callable[..., Path],
) -> None:
    table = child_and_adults(mart, 60, dosed=9)
    sheet = [Frequency("ct-head", "CT", 102_000, 0.0, None, 0.0, "")]
    found = population_dose(table, Selection(), sheet, population=1_000_000)
    mean = (42 + 63 + 72) / 51
    child, adult = found.ages
    assert (child.name, child.at_wider_mean, child.registry_exams) == ("1-<5 y", 1, 9)
    assert child.mean_dose_msv == pytest.approx(mean)
    assert (adult.name, adult.at_wider_mean, adult.registry_exams) == ("40-<60 y", 0, 42)
    assert adult.mean_dose_msv == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("band", "name"),
    [
        ("0-0.25", "0-<1 y"),
        ("5-6", "5-<10 y"),
        ("18-20", "15-<20 y"),
        ("20-30", "20-<40 y"),
        ("80+", "80 y and more"),
        ("18-30", "age unknown"),  # it lies in two
        ("0-80", "age unknown"),
        ("any", "age unknown"),
        (None, "age unknown"),
    ],
)
def test_a_registrys_age_band_counts_where_it_lies_in_one_of_this_form(
    mart: Callable[..., Path], band: str | None, name: str
) -> None:
    table = mart_table(mart([{"sex": "F", "age_years": None}] * 10))
    table = table.mutate(age_band=ibis.literal(band, type="string"))
    found = population_dose(table, Selection(), SHEET[:1], population=1000)
    assert [one.name for one in found.ages] == [name]


def test_a_dose_that_is_no_number_is_not_summed(mart: Callable[..., Path]) -> None:
    rows = [{"sex": "F", "age_years": 50.0, "effective_dose_msv": dose} for dose in [2.0] * 10 + [float("nan")]]
    found = population_dose(mart_table(mart(rows)), Selection(), SHEET[:1], population=1_000_000)
    assert found.collective_man_sv == pytest.approx(80)


def test_a_sheet_is_read_as_written(tmp_path: Path) -> None:
    (tmp_path / "sheet.csv").write_text(f"{HEADER}\nct-head,CT,40000,10,2,20\ndx-hand,radiography,90000,,,\n")
    head, hand = load_frequencies(tmp_path / "sheet.csv")
    assert head == SHEET[0]
    assert hand == Frequency("dx-hand", "radiography", 90_000, 0.0, None, 0.0, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("procedure,modality\nct-head,CT\n", "missing columns annual_number"),
        (f"{HEADER}\nct-head,CT,many,,,\n", "line 2, column annual_number: 'many'"),
        (f"{HEADER}\nct-head,CT,-5,,,\n", "line 2, column annual_number: '-5'"),
        (f"{HEADER}\nct-head,CT,5,,nan,\n", "line 2, column effective_dose_msv: 'nan'"),
        (f"{HEADER}\nct-head,,5,,,\n", "line 2, column modality: must not be empty"),
        (f"{HEADER}\nct-head,CT,5,,,\nct-head,CT,5,,,\n", "line 3, column procedure: 'ct-head' stands twice"),
        (f"{HEADER}\nct-head,CT\n", "line 2: the number of cells"),
        (f"{HEADER}\n", "no rows"),
    ],
)
def test_a_wrong_sheet_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "sheet.csv").write_text(text)
    with pytest.raises(TableError, match=message):
        load_frequencies(tmp_path / "sheet.csv")


def test_no_dose_at_all_is_said(mart: Callable[..., Path]) -> None:
    with pytest.raises(TableError, match="No procedure has a mean effective dose"):
        population_dose(exams(mart), Selection(), SHEET[3:], population=1000)
