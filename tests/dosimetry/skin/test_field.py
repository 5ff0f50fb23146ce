"""Shutters, turned fields and the table's height above the floor: read from events, and seen in the map."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from doseatlas.dicom import read_paths
from doseatlas.dicom.simulate import plan, write_objects
from doseatlas.dosimetry.skin import Options, skin_dose
from doseatlas.dosimetry.skin.coordinates import coordinates_of
from doseatlas.dosimetry.skin.geometry import beams_of
from doseatlas.dosimetry.skin.phantom import flat, human
from doseatlas.dosimetry.skin.setup import Placed, setup_of
from doseatlas.model import Device, Event

from .conftest import Make

ALLURA, AZURION = Device(manufacturer="Philips", model="Allura Xper"), Device(manufacturer="Philips", model="Azurion")
WIDE = flat(60, 176, "wide back", rows=704, columns=240)
# 15 cm by 11 cm at 1 m: 59.4 cm2 at the reference point, 60 cm from the source, which gets 100 mGy.
SHUTTERS: dict[str, Any] = {
    "shutter_left_mm": 100.0,
    "shutter_right_mm": 50.0,
    "shutter_bottom_mm": 30.0,
    "shutter_top_mm": 80.0,
    "kap_gy_cm2": 5.94,
    "collimated_field_area_cm2": None,
}


def placed(make: Make, *events: Event, device: Device = ALLURA, rotation_deg: float = 0.0) -> Placed:
    return setup_of(events or (make.event(**SHUTTERS),), coordinates_of(device), 3.0, rotation_deg)


def said(found: Placed) -> str:
    return " ".join(found.assumptions)


def square_of_kap(event: Event) -> float:
    return math.sqrt((event.kap_gy_cm2 or 0) * 1000 / 100 * (100 / 60) ** 2)


@pytest.mark.parametrize("detector_mm", [1000.0, 1200.0])
def test_four_shutters_are_the_edges_scaled_from_their_plane_to_the_detector(make: Make, detector_mm: float) -> None:
    found = placed(make, make.event(**SHUTTERS, source_to_detector_mm=detector_mm))
    scale = detector_mm / 1000
    assert found.setup.field_x_cm[0] == pytest.approx(np.array([-10.0, 5.0]) * scale)
    assert found.setup.field_z_cm[0] == pytest.approx(np.array([-3.0, 8.0]) * scale)
    assert "edges are the four shutters" in said(found)
    assert "is a square" not in said(found)


def test_a_shutter_may_stand_beyond_the_central_ray(make: Make) -> None:
    changes = SHUTTERS | {"shutter_right_mm": -20.0, "kap_gy_cm2": 8 * 11 * 0.36 / 10}
    assert placed(make, make.event(**changes)).setup.field_x_cm[0] == pytest.approx([-10.0, -2.0])


def test_shutters_put_the_dose_where_they_leave_the_beam_open(make: Make) -> None:
    found = skin_dose([make.exam(make.event(**SHUTTERS))], WIDE, Options(region="chest"))
    hit = found.mesh.centres[found.dose_mgy > 0]
    middle = float(WIDE.centres[:, 2].max()) - float(found.answer.peak_below_crown_cm)
    # The back lies at the isocentre, 75 cm from the source: three quarters of the edges at 1 m; cells are 0.25 cm.
    assert [hit[:, 0].min(), hit[:, 0].max()] == pytest.approx([-7.5, 3.75], abs=0.25)
    assert np.ptp(hit[:, 2]) == pytest.approx(8.25, abs=0.3)
    # The peak is where the skin is nearest to the source: on the central ray, which is not the field's middle.
    assert [hit[:, 2].min() - middle, hit[:, 2].max() - middle] == pytest.approx([-2.25, 6.0], abs=0.4)


def test_shutters_that_contradict_the_kerma_area_product_give_way_to_it(make: Make) -> None:
    event = make.event(**(SHUTTERS | {"kap_gy_cm2": 2.0}))
    found = placed(make, event)
    side = square_of_kap(event)
    assert found.setup.field_x_cm[0] == pytest.approx([-side / 2, side / 2])
    assert "differs by over 30 %" not in said(placed(make))
    assert "Shutters, which are of the end of a run, are not used" in said(found)
    assert "is a square" in said(found)


@pytest.mark.parametrize(
    "change",
    [
        {"shutter_left_mm": -60.0},
        dict.fromkeys(("shutter_left_mm", "shutter_right_mm", "shutter_bottom_mm", "shutter_top_mm"), 0.0),
        {"shutter_top_mm": 1e9},
        {"shutter_top_mm": -1e300},
        {"shutter_top_mm": None},
        {"shutter_left_mm": math.nan},
        {"shutter_left_mm": 2000.0, "shutter_right_mm": -1990.0},
    ],
)
def test_shutters_that_bound_no_field_are_refused_and_said(make: Make, change: dict[str, Any]) -> None:
    event = make.event(**(SHUTTERS | change))
    found = placed(make, event)
    side = square_of_kap(event)
    assert found.setup.field_x_cm[0] == pytest.approx([-side / 2, side / 2])
    assert "bound no possible field" in said(found)


def test_shutters_of_a_device_that_counts_them_in_an_unknown_way_are_not_used(make: Make) -> None:
    found = placed(make, device=AZURION)
    assert found.setup.field_x_cm[0, 1] == -found.setup.field_x_cm[0, 0]
    assert "Shutters are stated but not used" in said(found)


def test_a_kerma_not_stated_is_the_kerma_area_product_over_the_area_between_the_shutters(make: Make) -> None:
    found = placed(make, make.event(**SHUTTERS, reference_air_kerma_mgy=None))
    assert found.setup.kerma_mgy == pytest.approx([100.0])


def test_shutters_go_before_a_stated_area_that_they_agree_with(make: Make) -> None:
    changes = SHUTTERS | {"collimated_field_area_cm2": 165.0, "kap_gy_cm2": None}
    assert placed(make, make.event(**changes)).setup.field_x_cm[0] == pytest.approx([-10.0, 5.0])
    changes["collimated_field_area_cm2"] = 300.0
    assert "bound" not in said(placed(make, make.event(**changes)))
    assert np.ptp(placed(make, make.event(**changes)).setup.field_x_cm[0]) == pytest.approx(math.sqrt(300))


def test_each_field_turns_with_its_own_detector_and_else_as_given(make: Make) -> None:
    events = [make.event(detector_rotation_deg=turned) for turned in (90.0, None, -30.0, 500.0)]
    found = placed(make, *events, rotation_deg=15.0)
    assert found.setup.field_rotation_deg.tolist() == [90.0, 15.0, -30.0, 15.0]
    assert "rotation is stated (events: 2)" in said(found)
    assert "turned by 15 degrees as given (events: 2)" in said(found)
    assert "is not stated is taken to have its sides across and along the table (events: 4)" in said(
        placed(make, *[make.event()] * 4)
    )


def test_a_detector_turned_clockwise_seen_towards_the_source_turns_the_image_s_top_to_the_patient_s_left(
    make: Make,
) -> None:
    beam = beams_of(placed(make, make.event(detector_rotation_deg=30.0), device=Device()).setup)
    assert beam.along[0] == pytest.approx([0.5, 0, math.cos(math.pi / 6)], abs=1e-12)


def spans(make: Make, *turned: float) -> npt.NDArray[np.float64]:
    shape = {"collimated_field_width_mm": 200.0, "collimated_field_height_mm": 68.0555555}
    events = [make.event(**shape, detector_rotation_deg=one) for one in turned]
    found = skin_dose([make.exam(*events)], WIDE, Options(region="chest"))
    span: npt.NDArray[np.float64] = np.ptp(found.mesh.centres[found.dose_mgy > 0], axis=0)
    return span


def test_fields_of_one_report_turn_one_by_one(make: Make) -> None:
    across, along, both = spans(make, 0.0), spans(make, 90.0), spans(make, 0.0, 90.0)
    assert across[0] > 2 * across[2]
    assert (along[0], along[2]) == pytest.approx((across[2], across[0]), abs=0.6)
    assert (both[0], both[2]) == pytest.approx((across[0], along[2]), abs=0.6)


def test_the_table_s_height_above_the_floor_is_taken_from_the_isocentre_s(make: Make) -> None:
    event = make.event(table_above_floor_mm=905.0, system_height_mm=1065.0, table_height_mm=None)
    found = placed(make, event, make.event(table_above_floor_mm=955.0, system_height_mm=1065.0))
    assert found.rows.y_zero == "isocentre"
    assert found.setup.table_cm[:, 1] == pytest.approx([16.0, 11.0])
    assert "the stated height of the system (106.5 cm)" in said(found)


@pytest.mark.parametrize("system_mm", [None, 0.0, 9000.0])
def test_without_the_isocentre_s_height_the_table_s_zero_stays_unknown(make: Make, system_mm: float | None) -> None:
    events = [make.event(table_above_floor_mm=905.0, system_height_mm=height) for height in (1065.0, system_mm)]
    found = placed(make, *events)
    assert found.rows.y_zero == "unknown"
    assert found.setup.table_cm[:, 1] == pytest.approx([-90.5, -90.5])


@pytest.mark.parametrize(("dialect", "expected"), [("cygne", "four shutters"), ("echo", "rotation is stated")])
def test_simulated_reports_with_shutters_or_turned_detectors_give_a_map_that_uses_them(
    dialect: str, expected: str, tmp_path: Path
) -> None:
    world = plan(
        "world",
        exams=60,
        seed=5,
        start=dt.date(2025, 1, 1),
        end=dt.date(2025, 3, 31),
        faults=False,
        device_classes=("angiography",),
    )
    write_objects(world, tmp_path)
    makers = {"cygne": "Cygne Santé", "echo": "Echo Diagnostics"}
    exams = [reading.exam for reading in read_paths([tmp_path]) if reading.exam.device.manufacturer == makers[dialect]]
    assert exams
    answer = skin_dose([exams[0]], human()).answer
    assert any(expected in text for text in answer.assumptions)
    assert not any("differs by over 30 %" in text for text in answer.assumptions)


def test_the_shutters_of_an_allura_agree_with_its_kerma_area_products(corpus: Path) -> None:
    (reading,) = read_paths([corpus / "rdsr" / "RF-RDSR-Philips_Allura.dcm"])
    answer = skin_dose([reading.exam], human()).answer
    assert any("the four shutters" in text and "(events: 3)" in text for text in answer.assumptions)
    assert any("height of the system (106.5 cm)" in text for text in answer.assumptions)
