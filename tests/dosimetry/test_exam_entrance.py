"""The air kerma at the skin of a radiograph: from what is stated, with and without backscatter, or why not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from doseatlas.dosimetry import CertificateBook, exam_entrance
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
    assert "coefficient-not-verified" in row["entrance_kerma_method"]
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
