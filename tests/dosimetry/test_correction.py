"""A display that several beams make up: each beam by its own factor, weighted by its share, errors going together."""

from __future__ import annotations

import datetime as dt
import math
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doseatlas.dosimetry import CalibrationError, Certificate, CorrectedValue, NotEstimated, QualityFactor, correct
from doseatlas.dosimetry.correction import Beam, correct_beams

KAP = "kap_gy_cm2"
LOW = QualityFactor(quality="RQR 3", kvp=50.0, factor=0.9, expanded_relative_uncertainty=0.04)
HIGH = QualityFactor(quality="RQR 9", kvp=120.0, factor=1.1, expanded_relative_uncertainty=0.08)


def certificate(*factors: QualityFactor, quantity: str = KAP) -> Certificate:
    return Certificate(
        id="C",
        device="d",
        instrument="kap-meter",
        quantity=quantity,
        laboratory="L",
        issued_on=dt.date(2024, 1, 1),
        valid_from=dt.date(2024, 1, 1),
        valid_until=dt.date(2025, 1, 1),
        factors=factors,
    )


def corrected(beams: list[Beam], *, by: Certificate | None = None, complete: bool = True) -> CorrectedValue:
    found = correct_beams(KAP, 10.0, by or certificate(LOW, HIGH), beams, complete=complete)
    assert isinstance(found, CorrectedValue)
    return found


def codes(found: CorrectedValue) -> list[str]:
    return [flag.code for flag in found.flags]


def test_each_beam_has_its_own_factor_by_its_share() -> None:
    found = corrected([Beam(3.0, 50.0), Beam(1.0, 120.0)])
    assert found.value == pytest.approx(10 * (0.75 * 0.9 + 0.25 * 1.1))
    # The errors of one laboratory go together: absolute uncertainties add up, and not in squares.
    absolute = 0.75 * 0.9 * 0.02 + 0.25 * 1.1 * 0.04
    assert found.relative_standard_uncertainty == pytest.approx(absolute / (0.75 * 0.9 + 0.25 * 1.1))
    assert "2 beams by their shares" in found.method
    assert codes(found) == ["traceability-not-stated"]


def test_the_mean_of_factors_is_not_the_factor_at_the_mean_voltage() -> None:
    middle = QualityFactor(quality="RQR 5", kvp=70.0, factor=1.1, expanded_relative_uncertainty=0.04)
    bent = certificate(LOW, middle, HIGH)
    apart = corrected([Beam(1.0, 50.0), Beam(1.0, 120.0)], by=bent)
    at_the_mean = correct(KAP, 10.0, bent, kvp=85.0)
    assert isinstance(at_the_mean, CorrectedValue)
    assert apart.value == pytest.approx(10.0)
    assert at_the_mean.value == pytest.approx(11.0)


def test_one_beam_is_what_correct_gives_whatever_its_share() -> None:
    for share in (0.0, 1.0, 1e300, math.nan):
        assert corrected([Beam(share, 80.0)] * 3) == correct(KAP, 10.0, certificate(LOW, HIGH), kvp=80.0)


def test_shares_that_are_not_stated_or_not_complete_are_assumed_and_said() -> None:
    equal = corrected([Beam(0.0, 50.0), Beam(0.0, 120.0)])
    assert equal.value == pytest.approx(10.0)
    assert "beam-shares-assumed" in codes(equal)
    assert "beam-shares-assumed" in codes(corrected([Beam(1.0, 50.0), Beam(2.0, 120.0)], complete=False))
    assert "beam-shares-assumed" not in codes(corrected([Beam(1.0, 80.0)], complete=False))
    assert corrected([]) == correct(KAP, 10.0, certificate(LOW, HIGH))


def test_a_part_on_a_phantom_that_is_not_calibrated_stays_as_displayed_with_the_display_s_tolerance() -> None:
    on: dict[Literal[16, 32], QualityFactor] = {
        cm: QualityFactor(quality="q", kvp=120.0, factor=1.2, expanded_relative_uncertainty=0.04, phantom_cm=cm)
        for cm in (16, 32)
    }
    body = certificate(on[32], quantity="dlp_mgy_cm")
    mixed = correct_beams("dlp_mgy_cm", 10.0, body, [Beam(1.0, 120.0, None, 32), Beam(1.0, 120.0, None, 16)])
    assert isinstance(mixed, CorrectedValue)
    assert mixed.value == pytest.approx(10 * (1.2 + 1.0) / 2)
    assert mixed.relative_standard_uncertainty == pytest.approx((1.2 * 0.02 + 0.2 / math.sqrt(3)) / 2.2)
    assert "phantom-not-calibrated" in codes(mixed)
    other = correct_beams("dlp_mgy_cm", 10.0, body, [Beam(1.0, 120.0, None, 16)])
    assert isinstance(other, CorrectedValue)
    assert (other.value, other.certificate) == (10.0, None)


def test_what_cannot_be_corrected_says_why() -> None:
    assert isinstance(correct_beams(KAP, math.nan, None, []), NotEstimated)
    assert isinstance(correct_beams(KAP, None, certificate(LOW), []), NotEstimated)
    with pytest.raises(CalibrationError, match="no displayed quantity"):
        correct_beams("effective_dose_msv", 1.0, None, [])


BEAMS = st.builds(
    Beam,
    st.one_of(st.floats(0, 1e6), st.floats()),
    st.one_of(st.none(), st.floats(20, 200), st.floats()),
    st.one_of(st.none(), st.floats(0.5, 12), st.floats()),
    st.sampled_from([None, 16, 32]),
)
FACTORS = st.builds(
    QualityFactor,
    quality=st.just("q"),
    factor=st.floats(0.2, 5.0),
    expanded_relative_uncertainty=st.floats(0.001, 0.5),
    kvp=st.one_of(st.none(), st.floats(40, 150)),
    hvl_mm_al=st.one_of(st.none(), st.floats(1, 10)),
)


@given(st.lists(FACTORS, min_size=1, max_size=5), st.lists(BEAMS, max_size=6), st.floats(0, 1e6))
@settings(max_examples=300, deadline=None)
def test_the_corrected_value_over_the_stated_one_is_within_the_factors_of_the_certificate(
    factors: list[QualityFactor], beams: list[Beam], displayed: float
) -> None:
    found = correct_beams(KAP, displayed, certificate(*factors), beams)
    assert isinstance(found, CorrectedValue)
    assert found.displayed == displayed
    low, high = min(one.factor for one in factors), max(one.factor for one in factors)
    assert low * displayed * (1 - 1e-9) <= found.value <= high * displayed * (1 + 1e-9)
    smallest = min(one.expanded_relative_uncertainty / one.coverage_factor for one in factors)
    assert smallest * (1 - 1e-9) <= found.relative_standard_uncertainty < math.inf
