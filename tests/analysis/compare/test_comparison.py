"""Who is above the level, by chance or again and again; and whether a dose moved after something was done."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doseatlas.analysis import Selection, mart_table
from doseatlas.analysis.compare import before_after, compare

Mart = Callable[..., Path]
Levels = Callable[..., Any]
ALL = Selection()


def month(doses: list[float], month: int, **more: Any) -> list[dict[str, Any]]:
    day = dt.date(2026, month, 10)
    return [{"dlp_mgy_cm": dose, "month": f"2026-{month:02}", "study_date": day, **more} for dose in doses]


HIGH, LOW = [700.0 + i for i in range(25)], [300.0 + i for i in range(25)]


def test_above_twice_is_consistently_above_and_a_thin_month_between_does_not_interrupt(
    mart: Mart, levels: Levels
) -> None:
    rows = month(HIGH, 1) + month(HIGH[:5], 2) + month(HIGH, 3) + month(LOW, 4) + month(HIGH, 5)
    found = compare(mart_table(mart(rows)), ALL, by="device", period="month", drl_set=levels(dlp_mgy_cm=(600.0, 16)))
    assert [(one.period, one.verdict) for one in found] == [
        ("2026-01", "above"),
        ("2026-02", "too few"),
        ("2026-03", "consistently above"),
        ("2026-04", "within"),
        ("2026-05", "above"),
    ]
    assert [one.unit for one in found] == ["General Hospital / Maker Model 1"] * 5
    assert found[2].probability_above == pytest.approx(1, abs=1e-6)


def test_a_median_just_above_by_chance_is_not_consistently_above(mart: Mart, levels: Levels) -> None:
    doses = [590.0] * 12 + [610.0] * 13
    rows = month(doses, 1) + month(doses, 2)
    found = compare(mart_table(mart(rows)), ALL, by="facility", period="month", drl_set=levels(dlp_mgy_cm=(600.0, 16)))
    assert [one.verdict for one in found] == ["above", "above"]
    assert found[1].probability_above is not None
    assert found[1].probability_above < 0.95


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ("month", ["2026-01", "2026-03", "2026-04", "2026-12"]),
        ("quarter", ["2026-Q1", "2026-Q2", "2026-Q4"]),
        ("year", ["2026"]),
        (None, ["all"]),
    ],
)
def test_periods_are_of_the_calendar_and_undated_exams_are_in_none(
    mart: Mart, period: Any, expected: list[str]
) -> None:
    rows = [row for number in (1, 3, 4, 12) for row in month(LOW, number)]
    rows.append({"dlp_mgy_cm": 1.0, "month": "undated", "study_date": None})
    found = compare(mart_table(mart(rows)), ALL, by="facility", period=period)
    assert [one.period for one in found] == expected
    assert sum(one.n for one in found) == (100 if period else 101)


def test_protocols_of_one_name_on_two_devices_are_two_units(mart: Mart) -> None:
    rows = [{"dlp_mgy_cm": 1.0 + i, "device": d, "protocol": p} for d in "AB" for p in ("Head", None) for i in range(3)]
    found = compare(mart_table(mart(rows)), ALL, by="protocol")
    assert [one.unit for one in found] == [
        f"General Hospital / {device} / {protocol}" for device in "AB" for protocol in ("(no protocol stated)", "Head")
    ]


def test_far_below_the_level_asks_for_image_quality_first(mart: Mart, levels: Levels) -> None:
    (one,) = compare(mart_table(mart(month([100.0] * 20, 1))), ALL, by="facility", drl_set=levels(dlp_mgy_cm=(600, 16)))
    assert one.verdict == "within"
    assert one.note == "below half of the level: see to image quality first"


def test_a_dose_that_fell_is_told_from_one_that_only_seems_to(mart: Mart) -> None:
    rng = np.random.default_rng(4)
    before = np.exp(rng.normal(6, 0.4, 80)).tolist()
    rows = month(before, 1) + month((0.6 * np.exp(rng.normal(6, 0.4, 80))).tolist(), 3)
    rows += month(before, 1, device="other") + month(np.exp(rng.normal(6, 0.4, 80)).tolist(), 3, device="other")
    found = before_after(mart_table(mart(rows)), ALL, dt.date(2026, 2, 1), by="device")
    lowered, same = found
    assert (lowered.verdict, same.verdict) == ("lower", "no change shown")
    assert lowered.low is not None
    assert lowered.high is not None
    assert lowered.low < 0.6 < lowered.high < 1
    assert lowered.ratio == lowered.median_after / lowered.median_before
    (unit,) = before_after(mart_table(mart(rows)), ALL, dt.date(2026, 2, 1), by="device", unit=same.unit)
    assert unit == same


def test_the_interval_of_a_ratio_holds_the_true_one_about_as_often_as_it_says(mart: Mart) -> None:
    rng = np.random.default_rng(9)
    rows = []
    for device in range(150):
        for number, factor in ((1, 1.0), (3, 0.8)):
            doses = factor * np.exp(rng.normal(6, 0.5, 25))
            rows += month(doses.tolist(), number, device=f"{device:03}")
    found = before_after(mart_table(mart(rows)), ALL, dt.date(2026, 2, 1), by="device")
    held = [one.low is not None and one.high is not None and one.low <= 0.8 <= one.high for one in found]
    assert len(held) == 150
    assert 0.9 <= np.mean(held) <= 0.99


def test_too_few_exams_on_one_side_are_no_proof(mart: Mart) -> None:
    (one,) = before_after(mart_table(mart(month(HIGH, 1) + month(LOW[:6], 3))), ALL, dt.date(2026, 2, 1))
    assert one.verdict == "too few"
    assert one.ratio < 0.5
