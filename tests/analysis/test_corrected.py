"""Statistics of corrected values: they count what certificates make of the stated ones, and say how sure that is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from math import exp, log, sqrt
from pathlib import Path
from typing import Any

import pytest

from doseatlas.analysis import FacilityReport, Selection, facility_report

Mart = Callable[[Any], Path]
NOW = dt.datetime(2026, 2, 1, 12, 0, tzinfo=dt.UTC)
DLPS = [float(value) for value in range(500, 740, 10)]


def _rows(device: str, factor: float, relative: float) -> list[dict[str, Any]]:
    return [
        {
            "device": device,
            "dlp_mgy_cm": dlp,
            "ctdi_vol_mgy": dlp / 10,
            "dlp_corrected_mgy_cm": factor * dlp,
            "dlp_relative_uncertainty": relative,
        }
        for dlp in DLPS
    ]


def _report(mart_dir: Path, **options: Any) -> FacilityReport:
    return facility_report(mart_dir, selection=Selection(), drl_set=None, now=NOW, version="1", **options)


def _typical(report: FacilityReport, quantity: str, device: str | None = None) -> Any:
    values = report.device_values if device else report.typical_values
    return next(one for one in values if one.quantity == quantity and one.device == device)


def test_stated_values_are_counted_unless_corrected_ones_are_asked_for(mart: Mart) -> None:
    path = mart(_rows("A", 1.1, 0.03))
    stated, corrected = _report(path), _report(path, dose_values="corrected")
    assert (stated.dose_values, corrected.dose_values) == ("stated", "corrected")
    for quantity in ("dlp_mgy_cm", "ctdi_vol_mgy"):
        before, after = _typical(stated, quantity), _typical(corrected, quantity)
        assert after.median == pytest.approx(1.1 * before.median)
        assert before.calibration_uncertainty is None


def test_the_interval_of_a_corrected_median_holds_sampling_and_calibration(mart: Mart) -> None:
    path = mart(_rows("A", 1.1, 0.03))
    stated = _typical(_report(path), "dlp_mgy_cm")
    corrected = _typical(_report(path, dose_values="corrected"), "dlp_mgy_cm")
    assert corrected.calibration_uncertainty == pytest.approx(0.03)
    for stated_end, corrected_end in ((stated.low, corrected.low), (stated.high, corrected.high)):
        sampling = log(stated_end / stated.median)
        wider = sqrt(sampling**2 + (1.96 * 0.03) ** 2)
        assert corrected_end == pytest.approx(corrected.median * exp(wider if sampling > 0 else -wider))


def test_calibrations_of_several_devices_are_independent(mart: Mart) -> None:
    together = _report(mart([*_rows("A", 1.0, 0.05), *_rows("B", 1.0, 0.05)]), dose_values="corrected")
    alone = _typical(together, "dlp_mgy_cm", "A").calibration_uncertainty
    assert alone == pytest.approx(0.05)
    assert 0.5 * alone < _typical(together, "dlp_mgy_cm").calibration_uncertainty < 0.95 * alone


def test_without_corrected_columns_the_stated_values_stand(mart: Mart) -> None:
    path = mart([{"dlp_mgy_cm": dlp} for dlp in DLPS])
    corrected, stated = _report(path, dose_values="corrected"), _report(path)
    assert _typical(corrected, "dlp_mgy_cm").median == _typical(stated, "dlp_mgy_cm").median
