"""The week in which the simulator's device drifts is found, with the size of the step; others stay quiet."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from doseatlas.analysis import Selection, mart_table
from doseatlas.analysis.compare import ControlChart, control_charts
from doseatlas.analysis.compare.change_point import Weekly, find_step, probability_of_largest
from doseatlas.analysis.compare.control_chart import CUSUM_LIMIT, SURE, _weeks
from doseatlas.dicom.simulate import mart_arrow, plan

START, END = dt.date(2024, 1, 1), dt.date(2025, 12, 31)


@pytest.fixture(scope="module", params=[1, 2])
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def charts(seed: int, tmp_path_factory: pytest.TempPathFactory) -> tuple[ControlChart, ...]:
    mart = tmp_path_factory.mktemp("mart")
    (mart / "exams").mkdir()
    pq.write_table(mart_arrow("country", 30_000, seed, start=START, end=END), mart / "exams" / "all.parquet")
    return control_charts(mart_table(mart), Selection(), by="device")


def test_the_week_and_the_size_of_a_drift_are_found(seed: int, charts: tuple[ControlChart, ...]) -> None:
    world = plan("country", exams=30_000, seed=seed, start=START, end=END)
    (drifting,) = world.drifting_devices
    assert drifting.drift is not None
    found = [chart for chart in charts if chart.unit.endswith(drifting.station_name)]
    assert {chart.quantity for chart in found} == {"dlp_mgy_cm", "ctdi_vol_mgy"}
    for chart in found:
        assert chart.change is not None
        assert abs(chart.change.week - drifting.drift.date) <= dt.timedelta(days=7)
        # The last week before may be mixed, so the interval may miss the truth by a little.
        assert 0.98 * chart.change.low <= drifting.drift.factor <= 1.02 * chart.change.high
        assert chart.first_signal is not None
        assert dt.timedelta(0) <= chart.first_signal - chart.change.week <= dt.timedelta(weeks=8)


def test_devices_that_do_not_drift_stay_quiet(seed: int, charts: tuple[ControlChart, ...]) -> None:
    world = plan("country", exams=30_000, seed=seed, start=START, end=END)
    quiet = [chart for chart in charts if not chart.unit.endswith(world.drifting_devices[0].station_name)]
    assert len(quiet) > 50
    assert sum(chart.change is not None for chart in quiet) <= 1
    assert np.mean([chart.first_signal is not None for chart in quiet]) < 0.2


def test_another_mix_of_exams_is_no_step() -> None:
    rng = np.random.default_rng(1)
    n = np.zeros((2, 40))
    n[0], n[1] = np.where(np.arange(40) < 20, 30, 5), np.where(np.arange(40) < 20, 5, 30)
    level = np.array([[5.0], [7.0]])
    total = n * level + np.sqrt(n) * 0.3 * rng.normal(size=n.shape)
    squares = n * (level**2 + 0.09) + 2 * level * (total - n * level)
    step = find_step(Weekly(n, total, squares))
    assert step is not None
    assert step.p_value > 0.01
    assert abs(step.size) < 0.1


def test_the_chance_of_the_largest_of_many_steps_is_that_of_the_published_table() -> None:
    # Andrews (1993) table I, one parameter, trimming of 15 %: 5 % at 8.85 and 1 % at 12.35.
    assert probability_of_largest(8.85, 0.15, 0.85) == pytest.approx(0.05, abs=0.003)
    assert probability_of_largest(12.35, 0.15, 0.85) == pytest.approx(0.01, abs=0.001)
    assert probability_of_largest(0.5, 0.15, 0.85) == 1


def test_steps_are_as_rare_by_chance_as_the_p_value_says() -> None:
    rng = np.random.default_rng(2)
    p_values = []
    for _ in range(400):
        n = rng.poisson(20, (1, 60)).astype(np.float64)
        total = np.sqrt(n) * rng.normal(size=n.shape)
        step = find_step(Weekly(n, total, n + (total**2 / np.maximum(n, 1)) - 1))
        assert step is not None
        p_values.append(step.p_value)
    assert 0.005 <= np.mean(np.array(p_values) < 0.05) <= 0.07


def test_few_weeks_have_no_chart(tmp_path: Path) -> None:
    (tmp_path / "exams").mkdir()
    table = mart_arrow("facility", 300, 1, start=START, end=START + dt.timedelta(days=60))
    pq.write_table(table, tmp_path / "exams" / "all.parquet")
    assert control_charts(mart_table(tmp_path), Selection(), by="device") == ()


def weekly(rng: np.random.Generator, weeks: int, exams: int, step: float = 0.0, begins: int = 0) -> Weekly:
    """Weeks of exams of one kind whose logarithm of dose has a spread of 0.4, and steps up at a week."""
    n = np.maximum(rng.poisson(exams, (1, weeks)), 1).astype(np.float64)
    mean = np.where(np.arange(weeks) < begins, 0.0, step) + 0.4 * rng.normal(size=n.shape) / np.sqrt(n)
    within = 0.16 * rng.chisquare(np.maximum(n - 1, 1)) * (n > 1)
    return Weekly(n, n * mean, within + n * mean**2)


@pytest.mark.parametrize(("step", "exams"), [(0.15, 20), (0.3, 10)])
def test_the_interval_of_the_week_holds_the_week_in_which_the_step_began(step: float, exams: int) -> None:
    rng = np.random.default_rng(8)
    held = []
    for _ in range(300):
        begins = int(rng.integers(10, 50))
        found = find_step(weekly(rng, 60, exams, step, begins))
        assert found is not None
        if found.p_value < SURE:
            assert found.first <= found.week <= found.last
            held.append(found.first <= begins <= found.last)
    assert len(held) > 250
    assert np.mean(held) >= 0.94


@pytest.mark.nightly
def test_charts_of_what_does_not_change_signal_as_rarely_as_they_are_said_to() -> None:
    rng = np.random.default_rng(9)
    exposed, signals = np.zeros(2), np.zeros(2)
    for _ in range(500):
        charted = list(_weeks(weekly(rng, 400, 20), [START + dt.timedelta(weeks=i) for i in range(400)], 13))
        over = np.array(
            [(abs(week.ewma) > week.ewma_limit, max(week.cusum_up, week.cusum_down) > CUSUM_LIMIT) for week in charted]
        )
        for chart in range(2):
            first = np.flatnonzero(over[:, chart])
            exposed[chart] += first[0] + 1 if len(first) else len(charted)
            signals[chart] += len(first) > 0
    assert exposed / signals == pytest.approx([2850, 3400], rel=0.3)
