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
    adult = organ_dose(500.0, "tc-99m-dmsa", "kidneys", 40.0, "snmmi-tool")
    assert isinstance(adult, Estimate)
    assert adult.value == pytest.approx(500 * 0.18)
    assert adult.coefficient_set == "snmmi-tool"
    assert "https://" in adult.source
    assert adult.flags == ()
    child = organ_dose(100.0, "tc-99m-dmsa", "kidneys", 7.5, "snmmi-tool")
    assert isinstance(child, Estimate)
    assert child.value == pytest.approx(100 * (0.43 + 0.3) / 2)


@pytest.mark.parametrize(
    ("organ", "age", "name", "code"),
    [
        ("thymus", 40.0, "snmmi-tool", "no-coefficient"),
        ("kidneys", 40.0, "icrp-53", "no-coefficient"),
        ("kidneys", 0.2, "snmmi-tool", "age-outside-table"),
        ("kidneys", None, "snmmi-tool", "not-stated"),
    ],
)
def test_what_has_no_coefficient_is_refused_and_what_is_missing_said(
    organ: str, age: float | None, name: str, code: str
) -> None:
    found = organ_dose(500.0, "tc-99m-dmsa", organ, age, name)
    assert isinstance(found, NotEstimated)
    assert found.code == code
    if code == "no-coefficient":
        assert "kidneys (snmmi-tool)" in found.message


# Tissue weights of ICRP Publication 60; ovaries stand for the gonads, as in the doses of ICRP Publication 128.
WEIGHTS = {
    "ovaries": 0.20,
    "red-marrow": 0.12,
    "colon-wall": 0.12,
    "lungs": 0.12,
    "stomach-wall": 0.12,
    "bladder-wall": 0.05,
    "breast": 0.05,
    "liver": 0.05,
    "oesophagus": 0.05,
    "thyroid": 0.05,
    "remaining-organs": 0.05,
    "skin": 0.01,
    "bone-surface": 0.01,
}
WHOLE_TABLES = (
    "f-18-fdg",
    "tc-99m-maa",
    "tc-99m-mag3",
    "tc-99m-pertechnetate",
    "tc-99m-phosphonates",
    "tc-99m-sestamibi-exercise",
    "tc-99m-sestamibi-rest",
)


@pytest.mark.parametrize("agent", WHOLE_TABLES)
def test_the_organ_doses_of_icrp_128_add_up_to_its_effective_dose_at_every_age(agent: str) -> None:
    organs = {
        (row.organ, row.age_years): row.mgy_per_mbq
        for row in coefficients.organ_coefficients()
        if (row.set, row.agent) == ("icrp-128", agent)
    }
    checked = 0
    for whole in coefficients.nuclear_coefficients():
        if (whole.set, whole.agent) == ("icrp-128", agent):
            parts = [organs.get((organ, whole.age_years)) for organ in WEIGHTS]
            if None not in parts:
                total = sum(w * dose for w, dose in zip(WEIGHTS.values(), parts, strict=True) if dose is not None)
                assert total == pytest.approx(whole.msv_per_mbq, rel=0.1), (agent, whole.age_years)
                checked += 1
    assert checked >= 3


def test_cells_that_cannot_be_as_transcribed_are_left_out_and_never_extrapolated() -> None:
    for organ, age in (("colon-wall", 1.0), ("red-marrow", 5.0), ("salivary-glands", 1.0)):
        found = organ_dose(100.0, "tc-99m-sestamibi-rest", organ, age, "icrp-128")
        assert isinstance(found, NotEstimated)
        assert found.code == "age-outside-table"
    heart = organ_dose(100.0, "tc-99m-sestamibi-exercise", "heart-wall", 10.0, "icrp-128")
    assert isinstance(heart, Estimate)
    assert heart.value == pytest.approx(100 * (0.0094 + 0.021) / 2)


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
