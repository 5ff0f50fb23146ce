"""Organ doses rest on coefficients that were read, name their set and source, and are refused where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from doseatlas.dosimetry import Estimate, NotEstimated, organ_dose, organs_known
from doseatlas.dosimetry.tables import nuclear_agents
from doseatlas.model import TableError
from doseatlas.reference import coefficients

HEADER = "set,agent,organ,age_years,mgy_per_mbq,source,verified\n"


def test_the_dose_is_activity_times_coefficient_linear_between_ages() -> None:
    adult = organ_dose(500.0, "tc-99m-phosphonates", "bone-surface", 40.0, "icrp-80")
    assert isinstance(adult, Estimate)
    assert adult.value == pytest.approx(500 * 0.063)
    assert adult.coefficient_set == "icrp-80"
    assert "https://" in adult.source
    assert adult.flags == ()
    child = organ_dose(100.0, "tc-99m-phosphonates", "bone-surface", 7.5, "icrp-80")
    assert isinstance(child, Estimate)
    assert child.value == pytest.approx(100 * (0.22 + 0.13) / 2)


@pytest.mark.parametrize(
    ("organ", "age", "name", "code"),
    [
        ("thymus", 40.0, "icrp-80", "no-coefficient"),
        ("bone-surface", 40.0, "icrp-128", "no-coefficient"),
        ("bone-surface", 0.2, "icrp-80", "age-outside-table"),
        ("bone-surface", None, "icrp-80", "not-stated"),
    ],
)
def test_what_has_no_coefficient_is_refused_and_what_is_missing_said(
    organ: str, age: float | None, name: str, code: str
) -> None:
    found = organ_dose(500.0, "tc-99m-phosphonates", organ, age, name)
    assert isinstance(found, NotEstimated)
    assert found.code == code
    if code == "no-coefficient":
        assert "bone-surface (icrp-80)" in found.message


def test_every_row_was_read_names_where_and_is_of_an_agent_that_is_recognised() -> None:
    agents = {row.agent for row in nuclear_agents()}
    for row in coefficients.organ_coefficients():
        assert row.verified == "seen"
        assert "https://" in row.source
        assert row.agent in agents


def test_a_table_of_the_user_s_own_takes_the_place_of_that_shipped(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text(HEADER + "own,f-18-fdg,heart-wall,18,0.06,the department's physicist,memory\n", encoding="utf-8")
    table = coefficients.organ_coefficients(file)
    assert organs_known("f-18-fdg", table) == (("own", "heart-wall"),)
    found = organ_dose(300.0, "f-18-fdg", "heart-wall", 50.0, "own", table=table)
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx(18.0)
    assert [flag.code for flag in found.flags] == ["coefficient-not-verified"]


@pytest.mark.parametrize(
    "line",
    [
        "own,a,liver,18,0,source,seen",
        "own,a,liver,18,0.1,,seen",
        "own,a,liver,18,0.1,source,guessed",
        "own,a,liver,40,0.1,source,seen",
        "own,a,liver,18,0.1,source,seen\nown,a,liver,18,0.2,source,seen",
        "own,a,liver,18,nan,source,seen",
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "own.csv"
    file.write_text(HEADER + line + "\n", encoding="utf-8")
    with pytest.raises(TableError, match="line"):
        coefficients.organ_coefficients(file)
