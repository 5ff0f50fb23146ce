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
    ages = {one.name: one.collective_man_sv for one in found.ages}
    assert ages == pytest.approx({"1-<5 y": 20, "60-<80 y": 60, "unknown": 126})
    sexes = {one.name: one.collective_man_sv for one in found.sexes}
    assert sexes == pytest.approx({"F": 60, "M": 140, "unknown": 6})
    for parts in (found.procedures, found.modalities, found.ages, found.sexes):
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
