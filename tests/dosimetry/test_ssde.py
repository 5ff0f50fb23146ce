"""SSDE has the published check values; a size or phantom that is missing or wrong gives a reason instead of a dose."""

from __future__ import annotations

import json
from math import exp
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.dosimetry import (
    Estimate,
    NotEstimated,
    PatientSize,
    effective_diameter_mm,
    phantom_ratio,
    size_factor,
    size_from_height_and_weight,
    ssde,
)

SETS = {"TG204_32cm": ("body", 32), "TG204_16cm": ("body", 16), "TG293_head": ("head", 16)}


def size(diameter_mm: float, relative: float = 0.0) -> PatientSize:
    return PatientSize(
        diameter_mm=diameter_mm, relative_standard_uncertainty=relative, method="as stated", source="report"
    )


def test_the_published_check_values_are_met(corpus: Path) -> None:
    checks = json.loads((corpus.parent / "facts" / "ssde.json").read_text(encoding="utf-8"))["check_values"]
    assert len(checks) == 3
    for check in checks:
        region, phantom = SETS[check["set"]]
        assert size_factor(10 * check["D"], phantom, region) == pytest.approx(check["f"], abs=5e-5)  # type: ignore[arg-type]


def test_ssde_is_ctdi_times_the_factor_of_its_phantom() -> None:
    found = ssde(10.0, 32, "body", size(300))
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx(12.311, abs=5e-4)
    assert (found.quantity, found.coefficient_set) == ("ssde_derived_mgy", "aapm-204-32")
    assert "204" in found.source
    assert not found.flags


def test_the_same_output_reported_on_either_phantom_gives_the_same_ssde() -> None:
    on_32, on_16 = ssde(10.0, 32, "body", size(200)), ssde(10.0 * phantom_ratio(200), 16, "body", size(200))
    assert isinstance(on_32, Estimate)
    assert isinstance(on_16, Estimate)
    assert on_16.value == pytest.approx(on_32.value, rel=1e-12)
    assert 2.0 < phantom_ratio(160) < phantom_ratio(320) < 2.15


def test_mixing_up_the_phantoms_is_a_factor_of_two_and_so_an_unstated_phantom_gives_no_value() -> None:
    found = ssde(10.0, None, "body", size(250))
    assert isinstance(found, NotEstimated)
    assert found.code == "phantom-not-stated"


@pytest.mark.parametrize(
    ("ctdi", "phantom", "region", "diameter_mm", "code"),
    [
        (None, 32, "body", 250, "not-stated"),
        (-1.0, 32, "body", 250, "not-physical"),
        (float("nan"), 32, "body", 250, "not-physical"),
        (10.0, 32, "head", 180, "no-coefficient"),
        (10.0, 20, "body", 250, "no-coefficient"),
        (10.0, 32, "body", 25.0, "not-physical"),
        (10.0, 32, "body", 2500.0, "not-physical"),
        (10.0, 32, "body", None, "size-not-known"),
    ],
)
def test_what_cannot_be_computed_says_why(
    ctdi: float, phantom: int, region: str, diameter_mm: float, code: str
) -> None:
    found = ssde(ctdi, phantom, region, size(diameter_mm) if diameter_mm else None)  # type: ignore[arg-type]
    assert isinstance(found, NotEstimated)
    assert found.code == code


def test_a_size_outside_the_table_is_flagged() -> None:
    found = ssde(10.0, 32, "body", size(500))
    assert isinstance(found, Estimate)
    assert [flag.code for flag in found.flags] == ["extrapolated"]


def test_the_uncertainty_holds_dose_size_and_coefficient() -> None:
    bare, full = (
        ssde(10.0, 32, "body", size(300)),
        ssde(10.0, 32, "body", size(300, 0.08), ctdi_relative_uncertainty=0.1),
    )
    assert isinstance(bare, Estimate)
    assert isinstance(full, Estimate)
    assert bare.relative_standard_uncertainty == pytest.approx(0.10)
    # d ln f = -b D dD/D: 0.0367 per cm times 30 cm times 8 %
    assert full.relative_standard_uncertainty == pytest.approx((0.1**2 + 0.1**2 + (0.03671937 * 30 * 0.08) ** 2) ** 0.5)


@given(st.floats(80, 450), st.floats(1, 50))
def test_a_larger_patient_gets_less_from_the_same_output(diameter_mm: float, step_mm: float) -> None:
    small, large = size_factor(diameter_mm, 32, "body"), size_factor(diameter_mm + step_mm, 32, "body")
    assert small is not None
    assert large is not None
    assert large / small == pytest.approx(exp(-0.003671937 * step_mm))


def test_the_effective_diameter_is_that_of_the_circle_of_the_ellipse() -> None:
    assert effective_diameter_mm(200, 288) == pytest.approx(240)


def test_height_and_weight_give_a_flagged_size_and_nonsense_gives_none() -> None:
    # O'Neill 2018: 0.76 * 25 + 9.4 = 28.4 cm
    adult = size_from_height_and_weight(180.0, 81.0, 40.0)
    assert adult is not None
    assert adult.diameter_mm == pytest.approx(284)
    assert adult.relative_standard_uncertainty >= 0.05
    assert [flag.code for flag in adult.flags] == ["size-from-height-and-weight"]
    for wrong in (
        (None, 81.0, 40.0),
        (1.8, 81.0, 40.0),
        (180.0, 0.0, 40.0),
        (180.0, 81_000.0, 40.0),
        (180.0, 81.0, None),
    ):
        assert size_from_height_and_weight(*wrong) is None


def test_a_child_s_size_from_height_and_weight_is_near_what_was_measured() -> None:
    # 522 examinations of children, median 51 kg: mean effective diameter 243 and 234 mm (AJR 204 (2015) 167).
    child = size_from_height_and_weight(160.0, 51.0, 13.0)
    assert child is not None
    assert child.diameter_mm == pytest.approx(243, rel=0.06)
