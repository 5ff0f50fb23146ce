from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from doseatlas.dosimetry.skin.coordinates import coordinate_rows, coordinates_of
from doseatlas.dosimetry.skin.geometry import beams_of, solid_angle
from doseatlas.dosimetry.skin.setup import setup_of
from doseatlas.model import Device, Event

from .conftest import PLAIN

DICOM = coordinates_of(Device())


def beams(**changes: Any) -> Any:
    event = Event(**{name: getattr(PLAIN, name) for name in PLAIN.__struct_fields__} | changes)
    return beams_of(setup_of([event], DICOM, 3.0).setup)


def test_at_angles_of_zero_the_source_is_straight_below_and_the_beam_goes_up() -> None:
    beam = beams(table_height_mm=0.0)
    assert beam.source_cm[0] == pytest.approx([0, 75, 0])
    assert beam.axis[0] == pytest.approx([0, -1, 0])


@pytest.mark.parametrize(
    ("primary", "secondary", "detector_towards"),
    [(90, 0, [1, 0, 0]), (-90, 0, [-1, 0, 0]), (0, 30, [0, -np.cos(np.pi / 6), 0.5])],
)
def test_lao_turns_the_detector_to_the_left_and_cra_to_the_head(
    primary: float, secondary: float, detector_towards: list[float]
) -> None:
    beam = beams(primary_angle_deg=primary, secondary_angle_deg=secondary, table_height_mm=0.0)
    assert beam.axis[0] == pytest.approx(detector_towards, abs=1e-12)


def test_a_lowered_table_is_nearer_to_the_source_below_it() -> None:
    assert beams(table_height_mm=150.0).source_cm[0] == pytest.approx([0, 60, 0])


@pytest.mark.parametrize(
    ("angle", "source_at"),
    [
        ("table_horizontal_rotation_deg", [0, 75, 0]),
        ("table_head_tilt_deg", [0, 75 * np.cos(0.5), -75 * np.sin(0.5)]),
        ("table_cradle_tilt_deg", [-75 * np.sin(0.5), 75 * np.cos(0.5), 0]),
    ],
)
def test_seen_from_a_table_whose_head_or_left_side_is_up_the_source_below_leans_away(
    angle: str, source_at: list[float]
) -> None:
    beam = beams(**{angle: float(np.rad2deg(0.5)), "table_height_mm": 0.0})
    assert beam.source_cm[0] == pytest.approx(source_at, abs=1e-9)


def test_a_table_turned_clockwise_seen_from_above_turns_the_field_the_other_way() -> None:
    along = beams(table_horizontal_rotation_deg=30.0).along[0]
    assert along == pytest.approx([-0.5, 0, np.cos(np.pi / 6)], abs=1e-12)


def test_the_solid_angle_of_half_the_space_in_front_is_that_of_a_hemisphere() -> None:
    wide = np.array([[-1e9, 1e9]])
    assert solid_angle(wide, wide)[0] == pytest.approx(2 * np.pi, rel=1e-6)


def test_the_last_row_of_coordinates_fits_every_device_and_every_row_has_a_source() -> None:
    assert coordinate_rows()[-1].name == "dicom"
    assert all(row.source for row in coordinate_rows())


@pytest.mark.parametrize(
    ("manufacturer", "model", "name"),
    [
        ("Philips", "Azurion", "philips-azurion"),
        ("Philips Medical Systems", "Allura Xper", "philips-allura"),
        ("SIEMENS", "AXIOM-Artis", "siemens-artis"),
        ("Nobody", None, "dicom"),
        (None, None, "dicom"),
    ],
)
def test_a_device_gets_its_makers_coordinates(manufacturer: str | None, model: str | None, name: str) -> None:
    assert coordinates_of(Device(manufacturer=manufacturer, model=model)).name == name
