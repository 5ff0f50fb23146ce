"""The output of a tube: what a measurement may state, and the output of beams between and beyond those measured."""

from __future__ import annotations

import datetime as dt
from math import hypot, log, sqrt
from statistics import stdev
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.dosimetry import (
    CalibrationError,
    Certificate,
    Chamber,
    NotEstimated,
    OutputPoint,
    QualityFactor,
    TubeOutput,
    certificate_book,
    output_for,
    output_in_words,
    temperature_pressure_factor,
)
from doseatlas.dosimetry.tube_output import OutputAt
from doseatlas.model import Filter

NONE = (Filter(type="No Filter"),)
COPPER = (Filter(material="Copper or Copper compound", thickness_min_mm=0.2, thickness_max_mm=0.2),)
OUTPUT = TubeOutput(
    distance_mm=1000.0,
    points=(
        OutputPoint(kvp=60.0, output_mgy_per_mas=0.030, expanded_relative_uncertainty=0.05, hvl_mm_al=2.4),
        OutputPoint(kvp=80.0, output_mgy_per_mas=0.055, expanded_relative_uncertainty=0.05, hvl_mm_al=3.2),
        OutputPoint(kvp=120.0, output_mgy_per_mas=0.120, expanded_relative_uncertainty=0.05, hvl_mm_al=4.7),
        OutputPoint(kvp=80.0, output_mgy_per_mas=0.020, expanded_relative_uncertainty=0.05, added_cu_mm=0.2),
    ),
)
CHAMBER = Chamber(calibration_coefficient_mgy=0.043, temperature_c=23.0, pressure_kpa=98.7)
READ = OutputPoint(kvp=80.0, readings=(25.3, 25.5, 25.4), tube_loading_mas=20.0, expanded_relative_uncertainty=0.04)
CERTIFICATE = Certificate(
    id="QA-1",
    device="room 1",
    instrument="tube-output",
    quantity="tube_output_mgy_per_mas",
    laboratory="Medical physics",
    issued_on=dt.date(2024, 1, 10),
    valid_from=dt.date(2024, 1, 10),
    valid_until=dt.date(2025, 1, 10),
    tube_output=OUTPUT,
)
TODAY = dt.date(2024, 6, 1)


def found(kvp: float | None, filters: tuple[Filter, ...] = NONE, output: TubeOutput = OUTPUT) -> OutputAt:
    answer = output_for(output, kvp, filters, "x")
    assert isinstance(answer, OutputAt), answer
    return answer


def codes(answer: OutputAt) -> list[str]:
    return [flag.code for flag in answer.flags]


def with_points(*points: OutputPoint, **fields: Any) -> TubeOutput:
    return msgspec.structs.replace(OUTPUT, points=points, **fields)


def test_at_a_voltage_measured_the_output_and_its_uncertainty_are_those_measured() -> None:
    answer = found(80.0)
    assert answer == OutputAt(0.055, 0.025, 3.2, ())
    assert found(80.0, COPPER).output_mgy_per_mas == 0.020


@given(st.floats(60, 120))
def test_between_voltages_the_output_follows_a_power_law_and_is_a_little_less_sure(kvp: float) -> None:
    answer = found(kvp)
    low, high, y_low, y_high = (60, 80, 0.030, 0.055) if kvp <= 80 else (80, 120, 0.055, 0.120)
    exponent = log(y_high / y_low) / log(high / low)
    assert answer.output_mgy_per_mas == pytest.approx(y_low * (kvp / low) ** exponent)
    assert 0.025 <= answer.relative_standard_uncertainty < 0.04
    assert answer.flags == ()


@given(st.floats(55, 130), st.floats(1.6, 2.6))
def test_of_a_tube_whose_output_is_a_power_of_the_voltage_every_output_is_found(kvp: float, exponent: float) -> None:
    points = [
        OutputPoint(kvp=kv, output_mgy_per_mas=0.05 * (kv / 80) ** exponent, expanded_relative_uncertainty=0.05)
        for kv in (60.0, 90.0, 120.0)
    ]
    assert found(kvp, output=with_points(*points)).output_mgy_per_mas == pytest.approx(0.05 * (kvp / 80) ** exponent)


def test_a_little_beyond_the_voltages_it_is_flagged_and_less_sure_and_farther_away_there_is_none() -> None:
    answer = found(130.0)
    assert codes(answer) == ["output-extrapolated"]
    assert answer.relative_standard_uncertainty == pytest.approx(hypot(0.025, log(130 / 120) / sqrt(3)))
    assert answer.output_mgy_per_mas > 0.120
    assert found(55.0).output_mgy_per_mas < 0.030
    for kvp in (45.0, 150.0):
        none = output_for(OUTPUT, kvp, NONE, "x")
        assert isinstance(none, NotEstimated)
        assert none.code == "output-not-measured"


def test_of_one_voltage_only_the_others_near_it_are_flagged() -> None:
    one = with_points(OUTPUT.points[1])
    assert codes(found(81.0, output=one)) == []
    answer = found(88.0, output=one)
    assert codes(answer) == ["output-extrapolated"]
    assert answer.output_mgy_per_mas == pytest.approx(0.055 * 1.1**2)
    assert answer.relative_standard_uncertainty > 0.05
    assert isinstance(output_for(one, 100.0, NONE, "x"), NotEstimated)


def test_the_half_value_layer_is_that_measured_and_none_where_a_voltage_lacks_it() -> None:
    assert found(70.0).hvl_mm_al == pytest.approx(2.8)
    assert found(125.0).hvl_mm_al == 4.7
    assert found(80.0, COPPER).hvl_mm_al is None


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ((), "does not state its filter, and the output was measured with several"),
        ((Filter(material="Copper or Copper compound"),), "without its thickness"),
        ((Filter(material="Copper or Copper compound", thickness_min_mm=0.1),), "0.1 mm Cu added; the output was"),
        ((Filter(material="Tin or Tin compound", thickness_min_mm=0.1),), "filter of Tin"),
    ],
)
def test_a_filter_with_which_no_output_was_measured_gives_none(filters: tuple[Filter, ...], said: str) -> None:
    none = output_for(OUTPUT, 80.0, filters, "x")
    assert isinstance(none, NotEstimated)
    assert said in none.message


def test_an_exposure_without_a_filter_stated_takes_the_only_one_measured_flagged() -> None:
    assert codes(found(80.0, (), with_points(*OUTPUT.points[:3]))) == ["filter-not-stated"]
    for kvp in (None, 0.0, float("nan")):
        assert isinstance(output_for(OUTPUT, kvp, NONE, "x"), NotEstimated)


def test_readings_give_the_kerma_of_trs_457_with_their_spread() -> None:
    answer = found(80.0, output=with_points(READ, chamber=CHAMBER))
    pressure = temperature_pressure_factor(23.0, 98.7)
    assert answer.output_mgy_per_mas == pytest.approx(25.4 * 0.043 * pressure / 20)
    repeated = stdev(READ.readings) / 25.4 / sqrt(3)
    assert answer.relative_standard_uncertainty == pytest.approx(hypot(0.02, repeated))
    harder = msgspec.structs.replace(READ, quality_factor=1.02)
    more = found(80.0, output=with_points(harder, chamber=CHAMBER)).output_mgy_per_mas
    assert more == pytest.approx(1.02 * answer.output_mgy_per_mas)


def test_the_words_of_an_output_name_beam_and_distance() -> None:
    assert output_in_words(with_points(*OUTPUT.points[2:])) == (
        "0.12 (120 kV), 0.02 (80 kV, 0 mm Al and 0.2 mm Cu added) mGy/mAs at 1000 mm"
    )


def point(**fields: Any) -> OutputPoint:
    return msgspec.structs.replace(OUTPUT.points[1], **fields)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (with_points(), "0 points"),
        (with_points(point(), distance_mm=100.0), "is it in cm"),
        (with_points(point(output_mgy_per_mas=55.0)), "another unit"),
        (with_points(point(output_mgy_per_mas=float("nan"))), "another unit"),
        (with_points(point(kvp=8.0)), "tube voltage"),
        (with_points(point(hvl_mm_al=90.0)), "half-value layer"),
        (with_points(point(added_cu_mm=-1.0)), "copper"),
        (with_points(point(expanded_relative_uncertainty=0.0)), "cannot be"),
        (with_points(point(coverage_factor=0.0)), "cannot be"),
        (with_points(point(coverage_factor=float("inf"))), "cannot be"),
        (with_points(point(), point()), "grows with the voltage"),
        (with_points(point(), point(kvp=90.0, output_mgy_per_mas=0.03)), "grows with the voltage"),
        (with_points(point(output_mgy_per_mas=None)), "either as"),
        (with_points(point(readings=(1.0,))), "either as"),
        (with_points(READ), "needs the chamber"),
        (with_points(msgspec.structs.replace(READ, tube_loading_mas=None), chamber=CHAMBER), "needs the chamber"),
        (with_points(msgspec.structs.replace(READ, readings=(25.0, -1.0)), chamber=CHAMBER), "above 0"),
        (with_points(msgspec.structs.replace(READ, readings=(25.0, 50.0)), chamber=CHAMBER), "not of one beam"),
        (with_points(READ, chamber=msgspec.structs.replace(CHAMBER, pressure_kpa=987.0)), "hPa"),
        (with_points(READ, chamber=msgspec.structs.replace(CHAMBER, calibration_coefficient_mgy=43.0)), "another unit"),
    ],
)
def test_an_output_that_cannot_be_is_refused_with_the_certificate_and_the_reason(output: TubeOutput, said: str) -> None:
    with pytest.raises(CalibrationError, match="Certificate QA-1: ") as refused:
        certificate_book([msgspec.structs.replace(CERTIFICATE, tube_output=output)], TODAY)
    assert said in str(refused.value)


def test_output_and_factors_are_not_mixed() -> None:
    factor = QualityFactor(quality="any", factor=1.0, expanded_relative_uncertainty=0.05)
    for wrong in (
        {"factors": (factor,)},
        {"tube_output": None},
        {"instrument": "kap-meter"},
        {"quantity": "kap_gy_cm2"},
    ):
        with pytest.raises(CalibrationError, match="go together"):
            certificate_book([msgspec.structs.replace(CERTIFICATE, **wrong)], TODAY)
    assert certificate_book([CERTIFICATE], TODAY).in_force == (CERTIFICATE,)
