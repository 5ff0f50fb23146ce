"""Recommended activities have the check values of the card; effective dose is by agent and age and names its set."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.dicom.simulate import exams, plan, to_exam
from doseatlas.dosimetry import (
    ActivityComparison,
    DosimetryError,
    Estimate,
    NotEstimated,
    card_activity_mbq,
    compare_activity,
    consensus_activity_mbq,
    nuclear_agent,
    nuclear_effective_dose,
)
from doseatlas.dosimetry.tables import nuclear_agents, nuclide_of
from doseatlas.reference import coefficients

CARD_NAMES = {"F-18 FDG, torso": "f-18-fdg-torso", "Tc-99m MAG3": "tc-99m-mag3", "Tc-99m DMSA": "tc-99m-dmsa"}
DAY = dt.date(2024, 3, 5)
FDG = nuclear_agent("Fluorodeoxyglucose F^18^", None, "nm-pet-fdg")


def test_the_check_values_of_the_dosage_card_are_met(corpus: Path) -> None:
    checks = json.loads((corpus.parent / "facts" / "eanm_formula.json").read_text(encoding="utf-8"))["check"]
    assert len(checks) == 3
    for check in checks:
        found = card_activity_mbq(CARD_NAMES[check["exam"]], check["weight_kg"])
        assert found == pytest.approx(check["expected_MBq"], abs=0.006)


def test_the_card_is_linear_between_its_weights_and_has_none_outside() -> None:
    at_20, at_21, at_22 = (card_activity_mbq("f-18-fdg-torso", weight) for weight in (20, 21, 22))
    assert at_21 == pytest.approx((at_20 + at_22) / 2)  # type: ignore[operator]
    for weight in (2.0, 90.0, 0.0, float("nan")):
        assert isinstance(card_activity_mbq("f-18-fdg-torso", weight), NotEstimated)
    with pytest.raises(DosimetryError, match="no 'f-19'"):
        card_activity_mbq("f-19", 20)


@given(st.floats(3, 68), st.floats(0.1, 10))
def test_a_heavier_child_is_never_given_less(weight: float, more: float) -> None:
    small = card_activity_mbq("tc-99m-dmsa", weight)
    large = card_activity_mbq("tc-99m-dmsa", min(68.0, weight + more))
    assert isinstance(small, float)
    assert isinstance(large, float)
    assert 18.5 <= small <= large


def test_the_consensus_keeps_its_bounds() -> None:
    assert consensus_activity_mbq("f-18-fdg-body", 20.0) == pytest.approx((59.2, 104.0))
    assert consensus_activity_mbq("f-18-fdg-body", 3.0) == pytest.approx((26.0, 26.0))
    assert consensus_activity_mbq("f-18-fdg-body", 200.0) == pytest.approx((370.0, 370.0))


def test_the_administered_activity_is_set_against_the_recommendation() -> None:
    found = compare_activity(188.8, 20.0, FDG)
    assert isinstance(found, ActivityComparison)
    assert found.recommended_low_mbq == pytest.approx(125.87, abs=0.01)
    assert found.ratio == pytest.approx(1.5, abs=0.001)
    assert [flag.code for flag in found.flags] == ["agent-assumption"]
    within = compare_activity(80.0, 20.0, FDG, "north-america-2024")
    assert isinstance(within, ActivityComparison)
    assert within.ratio == 1.0
    for activity, weight, agent in ((None, 20.0, FDG), (100.0, None, FDG), (100.0, 20.0, None)):
        assert isinstance(compare_activity(activity, weight, agent), NotEstimated)
    with pytest.raises(DosimetryError, match="no guideline"):
        compare_activity(80.0, 20.0, FDG, "wishes")


@pytest.mark.parametrize(
    ("age", "per_mbq"), [(40.0, 0.019), (15.0, 0.024), (10.0, 0.037), (5.0, 0.056), (1.0, 0.095), (7.5, 0.0465)]
)
def test_the_effective_dose_is_by_age_after_icrp_128(age: float, per_mbq: float) -> None:
    found = nuclear_effective_dose(200.0, FDG, age)
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx(200 * per_mbq)
    assert found.coefficient_set == "icrp-128"
    assert "ICRP Publication 128" in found.source


def test_another_set_gives_another_dose_and_both_say_which() -> None:
    found = nuclear_effective_dose(200.0, FDG, 40.0, coefficient_set="andersson-2014")
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx(200 * 0.0171)  # of the erratum; the paper has 0.0159
    assert "erratum" in found.source
    assert found.coefficient_set == "andersson-2014"
    with pytest.raises(DosimetryError, match="no coefficient set"):
        nuclear_effective_dose(200.0, FDG, 40.0, coefficient_set="icrp-53")


def test_a_recalled_coefficient_is_a_last_resort_and_flagged() -> None:
    water = nuclear_agent("Oxygen O^15^ water", None, None)
    firm = nuclear_effective_dose(100.0, water, 40.0)
    assert isinstance(firm, Estimate)
    assert firm.coefficient_set == "icrp-106"
    assert "coefficient-not-verified" not in [flag.code for flag in firm.flags]
    recalled = nuclear_effective_dose(100.0, water, 40.0, coefficient_set="icrp-128")
    assert isinstance(recalled, Estimate)
    assert "coefficient-not-verified" in [flag.code for flag in recalled.flags]


@pytest.mark.parametrize(
    ("name", "age", "coefficient_set", "per_mbq"),
    [
        ("Technetium Tc^99m^ mertiatide", 5.0, "icrp-128", 0.012),
        ("Technetium Tc^99m^ sestamibi", 1.0, "icrp-128", 0.053),
        ("Technetium Tc^99m^ aggregated albumin", 10.0, "icrp-128", 0.023),
        ("Iobenguane I^123^", 5.0, "icrp-128", 0.037),
        ("Technetium Tc^99m^ disofenin", 1.0, "icrp-128", 0.1),
        ("Oxygen O^15^ water", 40.0, "icrp-106", 0.0011),
    ],
)
def test_a_coefficient_that_was_read_comes_with_its_set_for_children_too(
    name: str, age: float, coefficient_set: str, per_mbq: float
) -> None:
    found = nuclear_effective_dose(100.0, nuclear_agent(name, None, None), age)
    assert isinstance(found, Estimate)
    assert found.coefficient_set == coefficient_set
    assert found.value == pytest.approx(100 * per_mbq)
    assert "coefficient-not-verified" not in [flag.code for flag in found.flags]


def test_an_infant_below_the_youngest_age_and_an_unknown_agent_have_no_dose() -> None:
    for activity, agent, age, code in (
        (100.0, FDG, 0.5, "age-outside-table"),
        (100.0, None, 40.0, "no-coefficient"),
        (-1.0, FDG, 40.0, "not-physical"),
        (100.0, FDG, None, "not-stated"),
    ):
        found = nuclear_effective_dose(activity, agent, age)
        assert isinstance(found, NotEstimated)
        assert found.code == code


@pytest.mark.parametrize(
    ("text", "nuclide"),
    [
        ("^18^Fluorine", "f-18"),
        ("Fluorodeoxyglucose F^18^", "f-18"),
        ("Technetium Tc^99m^ medronate", "tc-99m"),
        ("99mTc-MDP", "tc-99m"),
        ("Tc-99m", "tc-99m"),
        ("Ga-68 DOTATATE", "ga-68"),
        ("I-131", "i-131"),
        ("FDG -- fluorodeoxyglucose", None),
        ("", None),
    ],
)
def test_the_nuclide_is_read_from_its_many_spellings(text: str, nuclide: str | None) -> None:
    assert nuclide_of(text) == nuclide


@pytest.mark.parametrize(
    ("name", "nuclide", "procedure", "agent"),
    [
        ("FDG -- fluorodeoxyglucose", "^18^Fluorine", None, "f-18-fdg"),
        ("Macroaggregated albumin", "^99m^Technetium", "nm-lung-perfusion", "tc-99m-maa"),
        ("Iobenguane", "^123^Iodine", None, "i-123-mibg"),
        ("Iobenguane", "^131^Iodine", None, None),
        ("FDG -- fluorodeoxyglucose", None, None, None),
        (None, "^18^Fluorine", None, None),
    ],
)
def test_an_agent_is_known_by_name_and_nuclide_and_never_guessed_from_one(
    name: str | None, nuclide: str | None, procedure: str | None, agent: str | None
) -> None:
    found = nuclear_agent(name, nuclide, procedure)
    assert (found.agent if found else None) == agent


@pytest.mark.parametrize(
    ("name", "agent"),
    [
        ("Technetium Tc^99m^ aggregated albumin", "tc-99m-maa"),
        ("Albumine agrégée Tc^99m^", "tc-99m-maa"),
        ("Technetium Tc^99m^ sulfur colloid", "tc-99m-large-colloids"),
        ("Technetium Tc^99m^ sestamibi", "tc-99m-sestamibi-rest"),
        ("Tc-99m MIBI stress", "tc-99m-sestamibi-exercise"),
        ("Tc-99m tetrofosmin exercise", "tc-99m-tetrofosmin-exercise"),
    ],
)
def test_agents_are_recognised_by_the_names_that_dicom_gives_them(name: str, agent: str) -> None:
    found = nuclear_agent(name, None, None)
    assert found is not None
    assert found.agent == agent


def test_every_coefficient_is_of_an_agent_that_can_be_recognised_and_every_agent_but_a_few_has_one() -> None:
    with_coefficient = {row.agent for row in coefficients.nuclear_coefficients()}
    recognised = {row.agent for row in nuclear_agents()} - {None}
    assert with_coefficient == recognised


def test_every_agent_that_the_simulator_gives_has_an_effective_dose() -> None:
    world = plan("facility", exams=60, seed=2, start=DAY, end=DAY, faults=False, device_classes=("nuclear",))
    names = set()
    for one in exams(world):
        exam = to_exam(one)
        names.add(exam.totals.radiopharmaceutical)
        agent = nuclear_agent(exam.totals.radiopharmaceutical, exam.totals.radionuclide, None)
        assert isinstance(nuclear_effective_dose(100.0, agent, 40.0), Estimate), exam.totals.radiopharmaceutical
    assert len(names) > 3
