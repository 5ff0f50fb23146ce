"""Statistics of corrected values: they count what certificates make of the stated ones, and say how sure that is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from math import exp, log, sqrt
from pathlib import Path
from typing import Any

import pytest

from doseatlas.analysis import FacilityReport, Selection, facility_report, mart_table
from doseatlas.analysis.compare import before_after, compare, funnels, league, unit_logs
from doseatlas.analysis.corrected import calibrated, counted_as
from doseatlas.analysis.drl import Draws
from doseatlas.analysis.mart import countable
from doseatlas.analysis.variation import fold_variations

Mart = Callable[[Any], Path]
NOW = dt.datetime(2026, 2, 1, 12, 0, tzinfo=dt.UTC)
DLPS = [float(value) for value in range(500, 740, 10)]


def _rows(device: str, factor: float, relative: float, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "device": device,
            "calibration": "certificate 1",
            "dlp_mgy_cm": dlp,
            "ctdi_vol_mgy": dlp / 10,
            "dlp_corrected_mgy_cm": factor * dlp,
            "dlp_relative_uncertainty": relative,
            "ctdi_vol_corrected_mgy": factor * dlp / 10,
            "ctdi_vol_relative_uncertainty": relative,
            **more,
        }
        for dlp in DLPS
    ]


def _report(mart_dir: Path, **options: Any) -> FacilityReport:
    return facility_report(mart_dir, selection=Selection(), drl_set=None, now=NOW, version="1", **options)


def _sure(value: float | None) -> float:
    assert value is not None
    return value


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


def test_a_comparison_of_corrected_values_holds_sampling_and_calibration(
    mart: Mart, levels: Callable[..., Any]
) -> None:
    table = mart_table(mart(_rows("A", 1.1, 0.05)))
    level = levels(dlp_mgy_cm=(660.0, 16))
    stated, corrected = (
        next(one for one in compare(table, Selection(), by="device", drl_set=level, dose_values=values))
        for values in ("stated", "corrected")
    )
    assert stated.verdict == "within"
    assert corrected.verdict == "above"
    assert corrected.median == pytest.approx(1.1 * stated.median)
    assert stated.calibration_uncertainty is None
    assert corrected.calibration_uncertainty == pytest.approx(0.05)
    stated_width, corrected_width = (log(_sure(one.high) / one.median) for one in (stated, corrected))
    assert corrected_width == pytest.approx(sqrt(stated_width**2 + (1.96 * 0.05) ** 2))
    certain = mart_table(mart(_rows("A", 1.1, 0.0)))
    (sampling, _) = compare(certain, Selection(), by="device", drl_set=level, dose_values="corrected")
    assert sampling.probability_above == pytest.approx(_sampling_alone(level))
    assert 0.5 < _sure(corrected.probability_above) < _sure(sampling.probability_above)


def _sampling_alone(level: Any) -> float:
    from doseatlas.analysis.order_statistics import probability_median_above

    return probability_median_above(len(DLPS), sum(1.1 * dlp > level.rows[0].value for dlp in DLPS))


def test_the_probability_of_the_report_holds_calibration_too(mart: Mart, levels: Callable[..., Any]) -> None:
    level = levels(dlp_mgy_cm=(600.0, 16))
    found = [
        next(
            _sure(one.probability_above)
            for one in facility_report(
                mart(_rows("A", 1.0, relative)),
                selection=Selection(),
                drl_set=level,
                dose_values="corrected",
                now=NOW,
                version="1",
            ).typical_values
            if one.quantity == "dlp_mgy_cm"
        )
        for relative in (0.0, 0.05, 0.3)
    ]
    assert found[0] > found[1] > found[2] > 0.5


def test_an_error_of_calibration_shared_by_both_periods_cancels_and_a_new_certificate_does_not(mart: Mart) -> None:
    day = dt.date(2026, 3, 1)
    late = {"study_date": dt.date(2026, 3, 15), "month": "2026-03"}
    first = _rows("A", 1.1, 0.05)

    def change(second: list[dict[str, Any]], values: Any) -> Any:
        found = before_after(mart_table(mart([*first, *second])), Selection(), day, by="device", dose_values=values)
        return next(one for one in found if one.quantity == "dlp_mgy_cm")

    same = change(_rows("A", 1.1, 0.05, **late), "corrected")
    assert (same.low, same.high) == pytest.approx(
        (change(_rows("A", 1.1, 0.05, **late), "stated").low, change(_rows("A", 1.1, 0.05, **late), "stated").high)
    )
    other = change(_rows("A", 0.9, 0.05, calibration="certificate 2", **late), "corrected")
    assert other.ratio == pytest.approx(0.9 / 1.1)
    widths = [log(one.high / one.low) for one in (same, other)]
    assert widths[1] == pytest.approx(sqrt(widths[0] ** 2 + 2 * (2 * 1.96 * 0.05) ** 2), rel=1e-3)


def test_leagues_funnels_and_folds_of_corrected_values_allow_for_calibration(mart: Mart) -> None:
    rows = [row | {"facility": f"F{i}"} for i in range(6) for row in _rows("A", 1 + 0.1 * i, 0.2)]
    table = mart_table(mart(rows))
    units = {
        values: unit_logs(countable(counted_as(table, values)), "facility", values)
        for values in ("stated", "corrected")
    }
    peers = next(peers for peers in units["corrected"] if peers.quantity == "dlp_mgy_cm")
    assert units["corrected"][peers].calibration == pytest.approx(0.2)
    assert fold_variations(units["stated"], Draws(200, 1))[0].fold == pytest.approx(1)
    (fold,) = (one for one in fold_variations(units["corrected"], Draws(200, 1)) if one.quantity == "dlp_mgy_cm")
    assert fold.fold == pytest.approx(1.5)
    assert fold.fold_low == 1  # calibrations as unsure as these spread equal facilities as far
    places = league(units["corrected"][peers], Draws(500, 1))
    assert [row.unit for row in places] == [f"F{i}" for i in range(6)]
    assert places[0].place_high > 1
    assert all(point.signal == "none" for one in funnels(units["corrected"]) for point in one.points)


def test_what_corrected_values_rest_on_is_counted(mart: Mart) -> None:
    rows = [
        *_rows("A", 1.1, 0.05),
        *_rows("B", 1.0, 0.2, calibration="display tolerance"),
        *_rows("C", 1.0, 0.0, calibration=None),
        *_rows("D", 1.0, 0.05, plausible=False),
    ]
    assert calibrated(mart_table(mart(rows)), Selection()) == (24, 24, 24)
    assert calibrated(mart_table(mart(rows)), Selection(device="A")) == (24, 0, 0)


def test_each_quantity_is_counted_by_its_own_corrected_column(mart: Mart) -> None:
    rows = _rows("A", 1.1, 0.05)
    for row in rows:
        row |= {"ctdi_vol_corrected_mgy": 0.8 * row["ctdi_vol_mgy"], "ctdi_vol_relative_uncertainty": 0.02}
        row |= {"ssde_mgy": 10.0, "ssde_corrected_mgy": 8.0, "ssde_relative_uncertainty": 0.1}
        row |= {"agd_mgy": 1.5, "agd_corrected_mgy": 1.8, "agd_relative_uncertainty": 0.04}
        row |= {"entrance_air_kerma_mgy": 2.0, "entrance_air_kerma_corrected_mgy": 1.9}
        row |= {"entrance_air_kerma_relative_uncertainty": 0.03}
    stated, corrected = (_report(mart(rows), dose_values=values) for values in ("stated", "corrected"))
    expected = {
        "dlp_mgy_cm": (1.1, 0.05),
        "ctdi_vol_mgy": (0.8, 0.02),
        "ssde_mgy": (0.8, 0.1),
        "agd_mgy": (1.2, 0.04),
        "entrance_air_kerma_mgy": (0.95, 0.03),
    }
    for quantity, (factor, uncertainty) in expected.items():
        before, after = _typical(stated, quantity), _typical(corrected, quantity)
        assert after.median == pytest.approx(factor * before.median), quantity
        assert after.calibration_uncertainty == pytest.approx(uncertainty), quantity


def test_an_air_kerma_at_the_skin_is_sure_as_the_devices_are_and_compared_with_its_own_levels(
    mart: Mart, levels: Callable[..., Any]
) -> None:
    rows = [
        row
        | {
            "incident_air_kerma_mgy": 2.0,
            "incident_air_kerma_uncertainty_mgy": 0.2,
            "entrance_surface_air_kerma_mgy": 2.8,
            "entrance_surface_air_kerma_uncertainty_mgy": 0.3,
        }
        for device in ("A", "B")
        for row in _rows(device, 1.0, 0.05)
    ]
    level = levels(incident_air_kerma_mgy=(2.5, None), entrance_surface_air_kerma_mgy=(2.5, None))
    report = facility_report(
        mart(rows), selection=Selection(), drl_set=level, dose_values="corrected", now=NOW, version="1"
    )
    incident, surface = (_typical(report, f"{name}_air_kerma_mgy") for name in ("incident", "entrance_surface"))
    assert (incident.verdict, surface.verdict) == ("within", "above")
    assert (
        incident.calibration_uncertainty
        < 0.1
        == pytest.approx(_typical(report, "incident_air_kerma_mgy", "A").calibration_uncertainty)
    )


def test_a_stated_ssde_is_corrected_and_derived_doses_have_their_own_uncertainty(mart: Mart) -> None:
    rows = _rows("A", 1.1, 0.05) + _rows("B", 1.1, 0.05)
    for row in rows:
        row |= {"ssde_mgy": row["ctdi_vol_mgy"], "effective_dose_msv": row["dlp_mgy_cm"] / 500}
        row |= {"ssde_corrected_mgy": row["ctdi_vol_corrected_mgy"], "ssde_relative_uncertainty": 0.11}
        row["effective_dose_uncertainty_msv"] = 0.3 * row["effective_dose_msv"]
    stated, corrected = (_report(mart(rows), dose_values=values) for values in ("stated", "corrected"))
    ssde = [_typical(report, "ssde_mgy") for report in (stated, corrected)]
    assert ssde[1].median == pytest.approx(1.1 * ssde[0].median)
    assert ssde[1].calibration_uncertainty == pytest.approx(0.11)  # mostly the size factor, common to all devices
    effective = [_typical(report, "effective_dose_msv") for report in (stated, corrected)]
    assert effective[0].median == effective[1].median
    assert effective[1].calibration_uncertainty == pytest.approx(0.3)  # two devices, one set of coefficients
    assert effective[1].low < effective[0].low / 1.5
