"""The air kerma at the skin of a radiograph: from what is stated, with and without backscatter, or why not."""

from __future__ import annotations

import datetime as dt
from math import sqrt
from typing import Any

import msgspec
import pytest

from doseatlas.dosimetry import (
    Certificate,
    CertificateBook,
    OutputPoint,
    TraceabilityStep,
    TubeOutput,
    exam_entrance,
)
from doseatlas.dosimetry.backscatter import backscatter_of_field
from doseatlas.dosimetry.exam_entrance import STATED
from doseatlas.model import Device, Event, Exam, Filter, Totals

EXPOSURE = Event(
    kap_gy_cm2=0.9,
    kvp=80.0,
    source_to_detector_mm=1150.0,
    source_to_entrance_mm=920.0,
    collimated_field_area_cm2=900.0,
    frames=1,
    filters=(Filter(material="Aluminum or Aluminum compound", thickness_min_mm=1.0, thickness_max_mm=1.0),),
)


def columns(*events: Event, plausible: bool = True, **totals: Any) -> dict[str, Any]:
    exam = Exam(kind="projection", device=Device(), events=events, totals=Totals(**totals))
    return exam_entrance(exam, device=None, certificates=CertificateBook(), plausible=plausible)


def changed(**fields: Any) -> Event:
    return msgspec.structs.replace(EXPOSURE, **fields)


def test_kap_over_the_field_at_the_skin_is_the_incident_air_kerma() -> None:
    row = columns(EXPOSURE)
    # The field of 900 cm2 at 115 cm is 576 cm2 at 92 cm.
    assert row["incident_air_kerma_mgy"] == pytest.approx(900.0 / 576.0)
    assert 1.2 < row["entrance_surface_air_kerma_mgy"] / row["incident_air_kerma_mgy"] < 1.6
    assert "KAP over the field" in row["entrance_kerma_method"]
    assert "not-verified" not in row["entrance_kerma_method"]
    assert row["incident_air_kerma_uncertainty_mgy"] > 0.2 * row["incident_air_kerma_mgy"]


def test_the_reference_air_kerma_goes_by_the_inverse_square_before_kap() -> None:
    row = columns(changed(reference_air_kerma_mgy=4.0, source_to_reference_point_mm=600.0))
    assert row["incident_air_kerma_mgy"] == pytest.approx(4.0 * (600 / 920) ** 2)


def test_a_stated_entrance_exposure_is_taken_as_it_is_and_the_largest_exposure_counts() -> None:
    row = columns(changed(entrance_exposure_mgy=0.4), changed(entrance_exposure_mgy=2.5, kap_gy_cm2=None))
    assert row["incident_air_kerma_mgy"] == 2.5
    assert row["entrance_kerma_method"].startswith(STATED)


@pytest.mark.parametrize("field", ["source_to_entrance_mm", "collimated_field_area_cm2", "kap_gy_cm2"])
def test_what_is_not_stated_is_not_assumed_and_said(field: str) -> None:
    row = columns(changed(**{field: None}))
    assert row["incident_air_kerma_mgy"] is None
    assert row["entrance_surface_air_kerma_mgy"] is None
    assert row["entrance_kerma_method"].startswith("not derived: ")


def test_a_distance_to_the_skin_beyond_the_detector_gives_no_field() -> None:
    assert columns(changed(source_to_entrance_mm=1300.0))["incident_air_kerma_mgy"] is None


def test_fluoroscopy_runs_other_kinds_and_implausible_exams_have_none() -> None:
    assert set(columns(EXPOSURE, fluoro_time_s=12.0).values()) == {None}
    assert set(columns(changed(frames=40)).values()) == {None}
    assert set(columns(EXPOSURE, plausible=False).values()) == {None}
    assert set(columns().values()) == {None}
    ct = Exam(kind="ct", events=(EXPOSURE,))
    found = exam_entrance(ct, device=None, certificates=CertificateBook(), plausible=True)
    assert set(found.values()) == {None}


def test_without_a_tube_voltage_the_backscatter_is_assumed_and_flagged() -> None:
    assert "backscatter-assumed" in columns(changed(kvp=None))["entrance_kerma_method"]


OUTPUT = Certificate(
    id="QA-1",
    device="room 1",
    instrument="tube-output",
    quantity="tube_output_mgy_per_mas",
    laboratory="Medical physics",
    issued_on=dt.date(2024, 1, 1),
    valid_from=dt.date(2024, 1, 1),
    valid_until=dt.date(2025, 1, 1),
    tube_output=TubeOutput(
        distance_mm=1000.0,
        points=(
            OutputPoint(kvp=70.0, output_mgy_per_mas=0.04, expanded_relative_uncertainty=0.05, hvl_mm_al=2.6),
            OutputPoint(kvp=90.0, output_mgy_per_mas=0.07, expanded_relative_uncertainty=0.05, hvl_mm_al=3.4),
        ),
    ),
    traceability=(TraceabilityStep(laboratory="SSDL", instrument="chamber", certificate="S-1"),),
)
UNMEASURED = msgspec.structs.replace(EXPOSURE, kap_gy_cm2=None, kvp=70.0, exposure_mas=9.6, filters=())


def by_output(*events: Event, day: str = "2024-05-02", output: Certificate = OUTPUT) -> dict[str, Any]:
    exam = Exam(kind="projection", study_date=day, events=events)
    return exam_entrance(exam, device="room 1", certificates=CertificateBook(in_force=(output,)), plausible=True)


def without(**fields: Any) -> Event:
    return msgspec.structs.replace(UNMEASURED, **fields)


def test_without_a_displayed_kerma_the_measured_output_of_the_tube_gives_it() -> None:
    row = by_output(UNMEASURED)
    assert row["incident_air_kerma_mgy"] == pytest.approx(0.04 * 9.6 * (1000 / 920) ** 2)
    assert row["incident_air_kerma_uncertainty_mgy"] / row["incident_air_kerma_mgy"] == pytest.approx(
        sqrt(0.025**2 + 0.10**2 + 0.04**2)
    )
    factor = backscatter_of_field(70.0, 2.6, 24.0)
    assert row["entrance_surface_air_kerma_mgy"] == pytest.approx(factor * row["incident_air_kerma_mgy"])
    method = row["entrance_kerma_method"]
    assert method.startswith("tube output of QA-1 by inverse square (The KAP is not stated), backscatter")
    assert method.endswith("; filter-not-stated")


def test_what_is_displayed_goes_before_the_output_of_the_tube() -> None:
    assert "KAP over the field" in by_output(without(kap_gy_cm2=0.5))["entrance_kerma_method"]
    assert by_output(without(entrance_exposure_mgy=0.3))["entrance_kerma_method"].startswith(STATED)


def test_tube_current_times_time_stands_for_mas_that_are_not_stated() -> None:
    product = without(exposure_mas=None, tube_current_ma=200.0, exposure_time_ms=48.0)
    assert by_output(product)["incident_air_kerma_mgy"] == by_output(UNMEASURED)["incident_air_kerma_mgy"]


def test_whole_mas_are_less_sure_the_fewer_they_are_unless_current_times_time_round_to_them() -> None:
    def relative(**fields: Any) -> float:
        row = by_output(without(**fields))
        return float(row["incident_air_kerma_uncertainty_mgy"] / row["incident_air_kerma_mgy"])

    assert relative(exposure_mas=1.0) > relative(exposure_mas=10.0) > relative()
    finer = without(exposure_mas=2.0, tube_current_ma=200.0, exposure_time_ms=12.0)
    assert by_output(finer)["incident_air_kerma_mgy"] == pytest.approx(0.04 * 2.4 * (1000 / 920) ** 2)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"exposure_mas": None}, "tube loading (mAs) is not stated"),
        ({"exposure_mas": 0.0}, "tube loading (mAs) is not stated"),
        ({"tube_current_ma": 200.0, "exposure_time_ms": 5e4}, "9.6 mAs, and tube current times time are 10000 mAs"),
        ({"kvp": None}, "tube voltage is not stated"),
        ({"kvp": 125.0}, "too far from that"),
        ({"source_to_entrance_mm": None}, "distance from source to skin is not stated"),
        ({"source_to_entrance_mm": 92.0}, "is it in cm"),
    ],
)
def test_what_the_output_needs_is_not_assumed_and_said(fields: dict[str, Any], said: str) -> None:
    row = by_output(without(**fields))
    assert row["incident_air_kerma_mgy"] is None
    assert row["entrance_kerma_method"].startswith("not derived: The KAP is not stated. By the tube output of QA-1: ")
    assert said in row["entrance_kerma_method"]


def test_an_output_of_another_day_or_device_is_not_used_and_one_without_a_chain_is_flagged() -> None:
    for other in (by_output(UNMEASURED, day="2025-01-01"), columns(UNMEASURED)):
        assert "No measured output of the tube covers the day" in other["entrance_kerma_method"]
    untraced = msgspec.structs.replace(OUTPUT, traceability=())
    assert "traceability-not-stated" in by_output(UNMEASURED, output=untraced)["entrance_kerma_method"]


def test_a_long_field_scatters_like_its_equivalent_square() -> None:
    long = without(collimated_field_area_cm2=None, collimated_field_width_mm=400.0, collimated_field_height_mm=100.0)
    row = by_output(long)
    assert row["entrance_surface_air_kerma_mgy"] / row["incident_air_kerma_mgy"] == pytest.approx(
        backscatter_of_field(70.0, 2.6, 2 * 40 * 10 / 50 * 920 / 1150)
    )
