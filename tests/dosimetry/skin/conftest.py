"""Events whose geometry a test can reckon by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doseatlas.model import Device, Event, Exam, Filter

PLAIN = Event(
    event_uid=None,
    reference_air_kerma_mgy=100.0,
    kap_gy_cm2=4.9,
    kvp=80.0,
    primary_angle_deg=0.0,
    secondary_angle_deg=0.0,
    source_to_isocenter_mm=750.0,
    source_to_detector_mm=1000.0,
    source_to_reference_point_mm=600.0,
    collimated_field_area_cm2=136.111111,
    table_longitudinal_mm=0.0,
    table_lateral_mm=0.0,
    table_height_mm=150.0,
    table_horizontal_rotation_deg=0.0,
    table_head_tilt_deg=0.0,
    table_cradle_tilt_deg=0.0,
    target_region="Chest",
    filters=(Filter(material="Copper or Copper compound", thickness_min_mm=0.2, thickness_max_mm=0.2),),
)


class Make:
    """Makes events and exams that differ from a plain one in what a test names."""

    def event(self, **changes: Any) -> Event:
        return msgspec.structs.replace(PLAIN, **changes)

    def exam(self, *events: Event, manufacturer: str = "Maker", model: str = "One") -> Exam:
        return Exam(
            path="report.dcm",
            kind="projection",
            device=Device(manufacturer=manufacturer, model=model),
            events=events or (PLAIN,),
        )


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()


@pytest.fixture(scope="session")
def pyskindose_tables() -> Path:
    """Return the folder of PySkinDose's tables (a test dependency; nothing of it is copied)."""
    spec = importlib.util.find_spec("pyskindose")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "table_data"
