"""Effective dose from DLP: by region, age and phantom, the phantoms never mixed up, averages and guesses flagged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.dosimetry import Dlp, DosimetryError, Estimate, NotEstimated, ct_effective_dose, phantom_ratio
from doseatlas.reference import coefficients

CHEST, HEAD, ABDOMEN, PELVIS, NECK = (frozenset({one}) for one in ("chest", "head", "abdomen", "pelvis", "neck"))
RATIO = phantom_ratio(240)


def dose(dlp: float, phantom: int | None, regions: frozenset[str], age: float | None, **more: object) -> Estimate:
    found = ct_effective_dose([Dlp(dlp, phantom)], regions, age, **more)  # type: ignore[arg-type]
    assert isinstance(found, Estimate), found
    return found


def why(dlp: float, phantom: int | None, regions: frozenset[str], age: float | None, **more: object) -> str:
    found = ct_effective_dose([Dlp(dlp, phantom)], regions, age, **more)  # type: ignore[arg-type]
    assert isinstance(found, NotEstimated), found
    return found.code


def codes(found: Estimate) -> list[str]:
    return [flag.code for flag in found.flags]


def test_the_coefficient_of_a_published_study_follows(corpus: Path) -> None:
    checks = json.loads((corpus.parent / "facts" / "arithmetic_checks.json").read_text(encoding="utf-8"))["checks"]
    check = next(one for one in checks if one["id"] == "chongqing_k")
    msv, dlp = (float(number) for number in check["expr"].split("/"))
    assert dose(dlp, 32, CHEST, 50).value == pytest.approx(msv, abs=0.0001 * dlp)


@pytest.mark.parametrize(
    ("regions", "phantom", "age", "expected"),
    [
        (CHEST, 32, 60, 0.014),
        (HEAD, 16, 60, 0.0021),
        (ABDOMEN | PELVIS, 32, 60, 0.015),
        (ABDOMEN, 32, 60, 0.015),
        (PELVIS, 32, 60, 0.015),
        (CHEST | ABDOMEN | PELVIS, 32, 60, 0.015),
        (NECK, 16, 60, 0.0059),
        (ABDOMEN | PELVIS, 16, 0, 0.049),
        (ABDOMEN | PELVIS, 16, 1, 0.030),
        (ABDOMEN | PELVIS, 16, 5, 0.020),
        (ABDOMEN | PELVIS, 16, 10, 0.015),
        (HEAD, 16, 1, 0.0067),
        (HEAD, 16, 3, (0.0067 + 0.0040) / 2),
    ],
)
def test_a_region_at_an_age_has_its_coefficient(
    regions: frozenset[str], phantom: int, age: float, expected: float
) -> None:
    found = dose(1000, phantom, regions, age)
    assert found.value == pytest.approx(1000 * expected)
    assert found.coefficient_set == "aapm-96"
    assert not found.flags
    assert "AAPM Report 96" in found.source


def test_a_dlp_on_the_other_phantom_is_converted_and_flagged_never_taken_as_it_is() -> None:
    right, other = dose(100, 16, ABDOMEN, 5), dose(100, 32, ABDOMEN, 5)
    assert other.value == pytest.approx(RATIO * right.value)
    assert codes(other) == ["phantom-converted"]
    assert other.relative_standard_uncertainty > right.relative_standard_uncertainty
    adult = dose(100, 16, CHEST, 50)
    assert adult.value == pytest.approx(1.4 / RATIO)
    assert codes(adult) == ["phantom-converted"]


def test_a_child_s_body_scan_without_a_phantom_has_no_dose_and_an_adult_s_is_flagged() -> None:
    assert why(100, None, CHEST, 5) == "phantom-not-stated"
    assert why(100, None, NECK, 50) == "phantom-not-stated"
    assert codes(dose(100, None, CHEST, 50)) == ["phantom-assumed"]
    assert codes(dose(100, None, HEAD, 5)) == ["phantom-assumed"]


def test_an_exam_over_two_regions_without_a_coefficient_of_its_own_is_averaged_and_flagged() -> None:
    found = dose(1000, 32, CHEST | ABDOMEN, 50)
    assert found.value == pytest.approx(14.5)
    assert codes(found) == ["regions-averaged"]
    neck_and_chest = dose(1000, 32, NECK | CHEST, 50)
    assert neck_and_chest.value == pytest.approx((14 + 5.9 * RATIO) / 2)
    assert codes(neck_and_chest) == ["regions-averaged", "phantom-converted"]
    assert neck_and_chest.relative_standard_uncertainty >= found.relative_standard_uncertainty


def test_events_are_split_by_their_regions_and_phases_add_up() -> None:
    parts = [Dlp(500, 16, HEAD), Dlp(300, 32, CHEST), Dlp(300, 32, CHEST)]
    found = ct_effective_dose(parts, HEAD | CHEST, 50)
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx(500 * 0.0021 + 600 * 0.014)
    assert not found.flags


def test_no_coefficient_of_ct_is_recalled_and_each_set_names_its_tissue_weights() -> None:
    assert {row.verified for row in coefficients.ct_coefficients()} == {"seen"}
    found = dose(100, 32, CHEST, 50, coefficient_set="deak-2010")
    assert codes(found) == []
    assert "ICRP 103" in found.method


def test_the_coefficients_of_children_by_icrp_103_are_for_the_16_cm_phantom() -> None:
    child = dose(100, 16, CHEST, 10, coefficient_set="lee-2012")
    assert codes(child) == []
    assert child.value == pytest.approx(100 * 0.0168)
    on_32 = dose(100, 32, CHEST, 15, coefficient_set="lee-2012")
    assert codes(on_32) == ["phantom-converted"]
    # A body of 15 years is a little smaller than an adult's: on one phantom its dose per DLP is not the smaller one.
    assert on_32.value > dose(100, 32, CHEST, 18, coefficient_set="lee-2012").value == pytest.approx(100 * 0.021)


@pytest.mark.parametrize(
    ("dlp", "phantom", "regions", "age", "more", "code"),
    [
        (100, 32, CHEST, None, {}, "not-stated"),
        (100, 32, CHEST, -1, {}, "not-physical"),
        (100, 32, CHEST, 400, {}, "not-physical"),
        (-5, 32, CHEST, 50, {}, "not-physical"),
        (float("inf"), 32, CHEST, 50, {}, "not-physical"),
        (100, 10, CHEST, 50, {}, "not-physical"),
        (100, 32, frozenset(), 50, {}, "region-not-known"),
        (100, 32, frozenset({"leg"}), 50, {}, "region-not-known"),
        (100, 32, CHEST, 5, {"coefficient_set": "deak-2010"}, "age-outside-table"),
        (100, 16, NECK, 50, {"coefficient_set": "lee-2012"}, "no-coefficient"),
    ],
)
def test_what_cannot_be_computed_says_why(
    dlp: float, phantom: int, regions: frozenset[str], age: float | None, more: dict[str, object], code: str
) -> None:
    assert why(dlp, phantom, regions, age, **more) == code


def test_an_exam_without_dlp_has_no_dose_and_an_unknown_set_is_an_error() -> None:
    found = ct_effective_dose([], CHEST, 50)
    assert isinstance(found, NotEstimated)
    with pytest.raises(DosimetryError, match=r"no coefficient set 'icrp-200'.*aapm-96"):
        ct_effective_dose([Dlp(1, 32)], CHEST, 50, coefficient_set="icrp-200")


@given(st.floats(0, 17.9), st.floats(0.01, 5))
def test_for_one_output_a_younger_child_never_gets_less(age: float, older: float) -> None:
    younger_dose, older_dose = dose(100, 16, ABDOMEN, age), dose(100, 16, ABDOMEN, age + older)
    assert younger_dose.value >= older_dose.value * (1 - 1e-9)


def test_the_display_s_uncertainty_is_part_of_the_dose_s() -> None:
    found = dose(100, 32, CHEST, 50, dlp_relative_uncertainty=0.15)
    assert found.relative_standard_uncertainty == pytest.approx((0.2**2 + 0.15**2) ** 0.5)
