from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from doseatlas.analysis import DeviceSummary, Selection, mart_table, typical_values
from doseatlas.analysis.device import devices_of


def test_each_device_has_its_exams_and_the_verdicts_of_its_typical_values(
    mart: Callable[[Any], Path], levels: Callable[..., Any]
) -> None:
    rows = (
        [{"device": "A", "dlp_mgy_cm": 400.0, "ctdi_vol_mgy": 20.0}] * 25
        + [{"device": "A", "plausible": False}] * 2
        + [{"device": "B", "dlp_mgy_cm": 200.0}] * 3
        + [{"device": None, "procedure": None}]
    )
    exams = mart_table(mart(rows))
    values = typical_values(exams, Selection(), by="device", drl_set=levels(dlp_mgy_cm=(300.0, 16)))
    assert devices_of(exams, values) == (
        DeviceSummary(device="A", exams=27, counted=25, above=1, no_level=1),
        DeviceSummary(device="B", exams=3, counted=3, too_few=1),
        DeviceSummary(device="unknown device", exams=1, counted=0),
    )
