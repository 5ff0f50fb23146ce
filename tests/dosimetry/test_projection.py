"""Effective dose and air kerma of projections: analytic cases, mixed up units, and what cannot be."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.dosimetry import (
    Estimate,
    NotEstimated,
    entrance_surface,
    incident_from_kap,
    incident_from_output,
    incident_from_reference,
    kap_unit_flag,
    projection_effective_dose,
)
from doseatlas.dosimetry.backscatter import backscatter_of_field
from doseatlas.dosimetry.projection import backscatter_factor
from doseatlas.reference import coefficients


def value(found: Estimate | NotEstimated) -> Estimate:
    assert isinstance(found, Estimate), found
    return found


def test_effective_dose_is_kap_times_the_examination_s_coefficient_and_says_whether_it_was_read() -> None:
    read = value(projection_effective_dose(2.0, "xa-coronary-angiography", 60.0, kap_relative_uncertainty=0.1))
    assert read.value == pytest.approx(2.0 * 0.30)
    assert read.relative_standard_uncertainty == pytest.approx(sqrt(0.2**2 + 0.1**2))
    assert read.flags == ()
    assert read.coefficient_set == "brambilla-2017"
    assert "https://" in read.source
    recalled = value(projection_effective_dose(2.0, "dx-chest", 60.0))
    assert recalled.value == pytest.approx(2.0 * coefficients.kap_coefficients()["chest-pa"].msv_per_gy_cm2)
    assert [flag.code for flag in recalled.flags] == ["coefficient-not-verified"]


@pytest.mark.parametrize(
    ("kap", "procedure", "age", "code"),
    [
        (None, "dx-chest", 60.0, "not-stated"),
        (-1.0, "dx-chest", 60.0, "not-physical"),
        (1.0, "dx-chest", None, "not-stated"),
        (1.0, "dx-chest", 5.0, "age-outside-table"),
        (1.0, "dx-hand", 60.0, "no-coefficient"),
        (1.0, None, 60.0, "no-coefficient"),
    ],
)
def test_without_a_coefficient_there_is_no_effective_dose(
    kap: float | None, procedure: str | None, age: float | None, code: str
) -> None:
    found = projection_effective_dose(kap, procedure, age)
    assert isinstance(found, NotEstimated)
    assert found.code == code


def test_incident_air_kerma_by_three_roads_is_the_same() -> None:
    # Output 0.05 mGy/mAs at 1 m, 100 mAs, skin at 0.8 m, field 20 cm by 20 cm at the skin.
    by_output = value(incident_from_output(0.05, 100.0, 1000.0, 800.0))
    assert by_output.value == pytest.approx(5.0 / 0.64)
    surer, less_sure = (
        incident_from_output(0.05, 100.0, 1000.0, 800.0, output_relative_uncertainty=u) for u in (0, 0.1)
    )
    assert value(less_sure).standard_uncertainty > value(surer).standard_uncertainty
    by_kap = value(incident_from_kap(5.0 / 0.64 * 400 / 1000, 400.0))
    assert by_kap.value == pytest.approx(by_output.value)
    by_reference = value(incident_from_reference(5.0 / 0.36, 600.0, 800.0))
    assert by_reference.value == pytest.approx(by_output.value)
    assert by_kap.standard_uncertainty > 0


@given(st.floats(200, 2000), st.floats(200, 2000), st.floats(0.01, 1e4))
def test_the_kerma_falls_with_the_square_of_the_distance(a: float, b: float, kerma: float) -> None:
    there = value(incident_from_reference(kerma, a, b)).value
    assert value(incident_from_reference(there, b, a)).value == pytest.approx(kerma)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (incident_from_reference(None, 600.0, 800.0), "not-stated"),
        (incident_from_reference(1.0, 0.0, 800.0), "not-physical"),
        (incident_from_reference(1.0, 60.0, 80.0), "not-physical"),
        (incident_from_reference(1.0, 600.0, None), "not-stated"),
        (incident_from_kap(1.0, 0.0), "not-physical"),
        (incident_from_kap(1.0, 40_000.0), "not-physical"),
        (incident_from_kap(float("nan"), 100.0), "not-physical"),
        (incident_from_output(0.05, -1.0, 1000.0, 800.0), "not-physical"),
        (incident_from_output(None, 1.0, 1000.0, 800.0), "not-stated"),
    ],
)
def test_a_distance_or_field_that_cannot_be_gives_no_kerma(found: Estimate | NotEstimated, code: str) -> None:
    assert isinstance(found, NotEstimated)
    assert found.code == code
    surface = entrance_surface(found, 80.0, 3.0, 20.0)
    assert isinstance(surface, NotEstimated)
    assert surface.quantity == "entrance_surface_air_kerma_mgy"


def test_entrance_surface_air_kerma_holds_the_backscatter_once() -> None:
    incident = value(incident_from_kap(1.0, 100.0))
    surface = value(entrance_surface(incident, 80.0, 3.0, 20.0))
    assert surface.value / incident.value == pytest.approx(backscatter_of_field(80.0, 3.0, 20.0))
    assert surface.relative_standard_uncertainty == pytest.approx(sqrt(0.1**2 + 0.03**2))
    assert surface.flags == ()
    again = entrance_surface(surface, 80.0, 3.0, 20.0)
    assert isinstance(again, NotEstimated)
    assert "twice" in again.message


@given(st.one_of(st.none(), st.floats(50, 140)), st.one_of(st.none(), st.floats(5, 35)))
def test_a_beam_or_field_that_is_not_known_has_a_backscatter_whose_limits_hold_the_known_one(
    kvp: float | None, side: float | None
) -> None:
    factor, relative, flags = backscatter_factor(kvp, None if kvp is None else 3.0, side)
    known, least, none = backscatter_factor(80.0, 3.0, 20.0)
    assert none == ()
    if kvp is not None and side is not None:
        assert factor == pytest.approx(backscatter_of_field(kvp, 3.0, side))
        assert relative == pytest.approx(least)
        assert flags == ()
    else:
        assert [flag.code for flag in flags] == ["backscatter-assumed"]
        assert relative > least
    if kvp is None and side is None:
        assert abs(known / factor - 1) < sqrt(3) * relative


def test_a_beam_or_field_beyond_the_polynomial_is_flagged() -> None:
    for beam in ((45.0, 1.8, 20.0), (80.0, 1.0, 20.0), (80.0, 3.0, 43.0)):
        _, _, flags = backscatter_factor(*beam)
        assert [flag.code for flag in flags] == ["extrapolated"]


def test_a_kap_in_another_unit_is_suspected_from_the_field_it_means() -> None:
    assert kap_unit_flag(20.0, 200.0) is None  # 100 cm2
    flag = kap_unit_flag(2000.0, 200.0)  # cGy.cm2 read as Gy.cm2
    assert flag is not None
    assert "100" in flag.message
    assert kap_unit_flag(0.0002, 200.0) is not None
    assert kap_unit_flag(None, 200.0) is None
    assert kap_unit_flag(20.0, 0.0) is None
