"""Certificates correct what they cover, contradictions are refused, history is kept; else the display limits stand."""

from __future__ import annotations

import datetime as dt
from math import sqrt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.dosimetry import (
    CalibrationError,
    Certificate,
    CorrectedValue,
    NotEstimated,
    QualityFactor,
    TraceabilityStep,
    affected,
    air_kerma,
    certificate_book,
    certificate_on,
    correct,
    temperature_pressure_factor,
)

TODAY = dt.date(2025, 6, 1)
CHAIN = (
    TraceabilityStep(laboratory="National standards laboratory", instrument="reference meter 7", certificate="P-1"),
)
FACTORS = (
    QualityFactor(quality="RQR 5", kvp=70, hvl_mm_al=2.58, factor=0.90, expanded_relative_uncertainty=0.06),
    QualityFactor(quality="RQR 8", kvp=100, hvl_mm_al=3.97, factor=0.96, expanded_relative_uncertainty=0.08),
)
CERTIFICATE = Certificate(
    id="C-1",
    device="room 1",
    instrument="kap-meter",
    quantity="kap_gy_cm2",
    laboratory="Hospital physics",
    issued_on=dt.date(2024, 1, 10),
    valid_from=dt.date(2024, 1, 1),
    valid_until=dt.date(2026, 1, 1),
    factors=FACTORS,
    traceability=CHAIN,
)


def changed(**values: object) -> Certificate:
    return msgspec.structs.replace(CERTIFICATE, **values)


def corrected(value: float, certificate: Certificate | None = CERTIFICATE, **more: float) -> CorrectedValue:
    found = correct("kap_gy_cm2", value, certificate, **more)
    assert isinstance(found, CorrectedValue)
    return found


def test_the_corrected_value_stands_beside_the_displayed_one() -> None:
    found = corrected(10.0, kvp=70)
    assert found.displayed == 10.0
    assert found.value == pytest.approx(9.0)
    assert found.relative_standard_uncertainty == pytest.approx(0.03)
    assert found.certificate == "C-1"
    assert "C-1" in found.source
    assert not found.flags


def test_the_factor_is_interpolated_in_half_value_layer_or_else_in_voltage() -> None:
    assert corrected(10.0, kvp=85).value == pytest.approx(9.3)
    assert corrected(10.0, kvp=85, hvl_mm_al=2.58).value == pytest.approx(9.0)


def test_a_beam_that_was_not_calibrated_is_flagged_and_less_sure() -> None:
    beyond = corrected(10.0, kvp=125)
    assert beyond.value == pytest.approx(9.6)
    assert [flag.code for flag in beyond.flags] == ["quality-extrapolated"]
    assert beyond.relative_standard_uncertainty > 0.04
    unknown = corrected(10.0)
    assert unknown.value == pytest.approx(9.3)
    assert [flag.code for flag in unknown.flags] == ["quality-not-stated"]
    assert unknown.relative_standard_uncertainty == pytest.approx(sqrt(0.04**2 + (0.03 / sqrt(3) / 0.93) ** 2))


def test_without_a_certificate_the_display_s_limits_of_35_percent_are_the_uncertainty() -> None:
    found = corrected(10.0, None)
    assert found.value == 10.0
    assert found.relative_standard_uncertainty == pytest.approx(0.35 / sqrt(3))
    assert "35 %" in found.method
    assert "60601" in found.source
    ct = correct("dlp_mgy_cm", 100.0, None)
    assert isinstance(ct, CorrectedValue)
    assert ct.relative_standard_uncertainty == pytest.approx(0.20 / sqrt(3))


def test_a_certificate_without_a_chain_is_used_and_flagged() -> None:
    assert [flag.code for flag in corrected(1.0, changed(traceability=()), kvp=70).flags] == ["traceability-not-stated"]


@pytest.mark.parametrize("value", [None, -1.0, float("nan"), float("inf")])
def test_a_display_that_cannot_be_is_not_corrected(value: float | None) -> None:
    assert isinstance(correct("kap_gy_cm2", value, CERTIFICATE), NotEstimated)


def test_the_certificate_of_the_device_and_the_day_is_found() -> None:
    following = changed(id="C-2", valid_from=dt.date(2026, 1, 1), valid_until=dt.date(2027, 1, 1))
    book = certificate_book([following, CERTIFICATE], dt.date(2026, 6, 1))
    for day, wanted in ((dt.date(2023, 12, 31), None), (dt.date(2024, 1, 1), "C-1"), (dt.date(2026, 1, 1), "C-2")):
        found = certificate_on(book, "room 1", "kap_gy_cm2", day)
        assert (found.id if found else None) == wanted
    assert certificate_on(book, "room 2", "kap_gy_cm2", dt.date(2024, 5, 1)) is None
    assert certificate_on(book, "room 1", "dlp_mgy_cm", dt.date(2024, 5, 1)) is None
    assert certificate_on(book, "room 1", "kap_gy_cm2", None) is None


@pytest.mark.parametrize(
    ("certificates", "reason"),
    [
        ([CERTIFICATE, changed(id="C-2", valid_from=dt.date(2025, 1, 1))], "both cover 2025-01-01"),
        ([CERTIFICATE, CERTIFICATE], "there twice"),
        ([changed(valid_from=dt.date(2026, 1, 1), valid_until=dt.date(2027, 1, 1))], "in the future"),
        ([changed(issued_on=dt.date(2025, 7, 1))], "in the future"),
        ([changed(valid_until=dt.date(2023, 1, 1))], "not after it begins"),
        ([changed(factors=())], "no factor"),
        ([changed(laboratory="")], "must be stated"),
        ([changed(quantity="ssde_mgy")], "is not calibrated"),
        ([changed(factors=(msgspec.structs.replace(FACTORS[0], factor=90.0),))], "another unit"),
        ([changed(factors=(msgspec.structs.replace(FACTORS[0], factor=float("nan")),))], "factor of nan"),
        ([changed(factors=(msgspec.structs.replace(FACTORS[0], expanded_relative_uncertainty=6.0),))], "cannot be"),
        ([changed(supersedes="C-0")], "not there"),
        ([CERTIFICATE, changed(id="C-2", device="room 2", supersedes="C-1")], "another device"),
    ],
)
def test_certificates_that_contradict_are_refused_with_the_reason(certificates: list[Certificate], reason: str) -> None:
    with pytest.raises(CalibrationError, match=reason):
        certificate_book(certificates, TODAY)


def test_a_corrected_certificate_recomputes_what_it_touches_and_the_former_stays_as_history() -> None:
    before = certificate_book([CERTIFICATE], TODAY)
    better = changed(id="C-1b", supersedes="C-1", issued_on=dt.date(2025, 3, 1), factors=FACTORS[:1])
    after = certificate_book([CERTIFICATE, better], TODAY)
    assert [one.id for one in after.in_force] == ["C-1b"]
    assert [one.id for one in after.superseded] == ["C-1"]
    spans = affected(before, after)
    assert [(span.device, span.quantity, span.from_day, span.until_day) for span in spans] == [
        ("room 1", "kap_gy_cm2", dt.date(2024, 1, 1), dt.date(2026, 1, 1))
    ]
    assert affected(after, after) == ()


def test_the_air_density_correction_is_one_at_reference_and_refuses_other_units() -> None:
    assert temperature_pressure_factor(20.0, 101.3) == pytest.approx(1.0)
    assert temperature_pressure_factor(25.0, 95.0) == pytest.approx(298.2 / 293.2 * 101.3 / 95.0)
    for temperature, pressure in ((293.0, 101.3), (20.0, 1013.0), (20.0, float("nan"))):
        with pytest.raises(CalibrationError):
            temperature_pressure_factor(temperature, pressure)
    assert air_kerma(2.0, 1.5, 0.98, 1.02) == pytest.approx(2.0 * 1.5 * 0.98 * 1.02)


@given(st.floats(40, 150), st.floats(0, 1e4))
def test_a_correction_stays_between_the_factors_of_the_certificate(kvp: float, value: float) -> None:
    found = corrected(value, kvp=kvp)
    assert 0.9 * value * (1 - 1e-12) <= found.value <= 0.96 * value * (1 + 1e-12)


def test_a_certificate_for_another_quantity_or_an_unknown_quantity_is_an_error() -> None:
    with pytest.raises(CalibrationError, match="not for dlp_mgy_cm"):
        correct("dlp_mgy_cm", 1.0, CERTIFICATE)
    with pytest.raises(CalibrationError, match="no displayed quantity"):
        correct("fluoro_time_s", 1.0, None)
