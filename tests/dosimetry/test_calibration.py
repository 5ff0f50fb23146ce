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
    found = correct("kap_gy_cm2", value, certificate, **more)  # type: ignore[arg-type]
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


def test_two_qualities_at_one_voltage_give_their_mean_in_whatever_order_and_less_surely() -> None:
    copper = QualityFactor(quality="70 kV Cu", kvp=70, factor=1.2, expanded_relative_uncertainty=0.05)
    plain = QualityFactor(quality="70 kV", kvp=70, factor=0.9, expanded_relative_uncertainty=0.05)
    other = QualityFactor(quality="100 kV", kvp=100, factor=1.0, expanded_relative_uncertainty=0.05)
    for order in ((copper, plain, other), (plain, copper, other)):
        found = corrected(100.0, changed(factors=order), kvp=70.0)
        assert found.value == pytest.approx(105.0)
        assert found.relative_standard_uncertainty == pytest.approx(sqrt(0.025**2 + (0.15 / 1.05) ** 2 / 3))
        assert "quality-not-stated" in [flag.code for flag in found.flags]


@pytest.mark.parametrize(
    ("kvp", "code"), [(119.0, None), (100.0, "quality-extrapolated"), (None, "quality-not-stated")]
)
def test_a_single_quality_is_less_sure_for_any_other_beam(kvp: float | None, code: str | None) -> None:
    one = QualityFactor(quality="RQT 9", kvp=120, factor=1.1, expanded_relative_uncertainty=0.05)
    found = correct("kap_gy_cm2", 10.0, changed(factors=(one,)), kvp=kvp)
    assert isinstance(found, CorrectedValue)
    assert found.value == pytest.approx(11.0)
    assert found.relative_standard_uncertainty == pytest.approx(0.025 if code is None else sqrt(0.025**2 + 0.05**2))
    assert [flag.code for flag in found.flags] == ([code] if code else [])


def test_a_factor_for_one_phantom_does_not_correct_values_on_the_other() -> None:
    body = QualityFactor(quality="120 kV", kvp=120, factor=1.3, expanded_relative_uncertainty=0.05, phantom_cm=32)
    certificate = changed(quantity="dlp_mgy_cm", instrument="ct-display", factors=(body,))
    on_body = correct("dlp_mgy_cm", 100.0, certificate, kvp=120.0, phantom_cm=32)
    on_head = correct("dlp_mgy_cm", 100.0, certificate, kvp=120.0, phantom_cm=16)
    assert isinstance(on_body, CorrectedValue)
    assert isinstance(on_head, CorrectedValue)
    assert on_body.value == pytest.approx(130.0)
    assert (on_head.value, on_head.certificate) == (100.0, None)
    assert on_head.relative_standard_uncertainty == pytest.approx(0.2 / sqrt(3))
    assert [flag.code for flag in on_head.flags] == ["phantom-not-calibrated"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"kvp": -70.0}, "tube voltage"),
        ({"kvp": float("nan")}, "tube voltage"),
        ({"hvl_mm_al": 400.0}, "half-value layer"),
    ],
)
def test_a_beam_that_cannot_be_is_refused(values: dict[str, float], reason: str) -> None:
    factor = msgspec.structs.replace(FACTORS[0], **values)
    with pytest.raises(CalibrationError, match=reason):
        certificate_book([changed(factors=(factor,))], TODAY)


def test_a_certificate_that_is_not_due_for_decades_is_refused() -> None:
    with pytest.raises(CalibrationError, match="more than 10 years"):
        certificate_book([changed(valid_until=dt.date(2225, 1, 1))], TODAY)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.integers(1, 9)), max_size=12),
    st.sampled_from("abcd"),
    st.integers(-1, 60),
)
def test_the_certificate_found_is_the_only_one_that_covers_the_day(
    periods: list[tuple[str, int, int]], device: str, day: int
) -> None:
    first, made = dt.date(2024, 1, 1), []
    ends: dict[str, int] = {}
    for name, start, days in sorted(periods):
        begin = max(start, ends.get(name, 0))
        ends[name] = begin + days
        made.append(
            changed(
                id=f"{name}{begin}",
                device=name,
                issued_on=first,
                valid_from=first + dt.timedelta(days=begin),
                valid_until=first + dt.timedelta(days=begin + days),
            )
        )
    at = first + dt.timedelta(days=day)
    book = certificate_book(made, TODAY)
    covering = [one for one in made if one.device == device and one.valid_from <= at < one.valid_until]
    assert certificate_on(book, device, "kap_gy_cm2", at) == (covering[0] if covering else None)
    assert certificate_on(book, device, "dlp_mgy_cm", at) is None
