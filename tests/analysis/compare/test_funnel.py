"""A small hospital is not flagged for noise, nor a large one for being large; a league says what chance leaves open."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from doseatlas.analysis.compare import Peers, UnitLogs, league
from doseatlas.analysis.compare.funnel import funnel, spread_between
from doseatlas.analysis.drl import Draws

PEERS = Peers("ct-head", "adult", "dlp_mgy_cm", 16)


def units(rng: np.random.Generator, sizes: list[int], true_logs: Any, within: float = 0.4) -> UnitLogs:
    samples = [np.exp(rng.normal(mean, within, n)) for n, mean in zip(sizes, true_logs, strict=True)]
    logs = [np.log(sample) for sample in samples]
    return UnitLogs(
        [f"U{i:02}" for i in range(len(sizes))],
        np.array(sizes, dtype=np.float64),
        np.array([np.median(sample) for sample in samples]),
        np.array([log.mean() for log in logs]),
        np.array([((log - log.mean()) ** 2).sum() for log in logs]),
        np.zeros(len(sizes)),
    )


def test_units_that_differ_by_chance_are_rarely_flagged_whatever_their_size() -> None:
    rng = np.random.default_rng(1)
    sizes = [8, 20, 60, 200, 3000] * 10
    signals, warnings = {8: 0, 3000: 0}, 0
    for _ in range(40):
        found = funnel(PEERS, units(rng, sizes, rng.normal(6, 0.15, 50)))
        assert found is not None
        for point in found.points:
            warnings += point.signal != "none"
            if point.n in signals and point.signal in ("high", "low"):
                signals[point.n] += 1
    assert warnings / 2000 < 0.09
    assert max(signals.values()) / 400 < 0.02


def test_a_large_unit_far_above_is_flagged_and_a_small_one_as_far_is_not() -> None:
    rng = np.random.default_rng(2)
    sizes = [6, 400, *[100] * 30]
    logs = units(rng, sizes, np.full(32, 6.0))
    median = logs.median.copy()
    median[:2] = np.exp(6.0 + 0.35)
    found = funnel(PEERS, logs._replace(median=median))
    assert found is not None
    assert {point.unit: point.signal for point in found.points[:2]} == {"U00": "none", "U01": "high"}
    widths = [limit.high_998 / limit.low_998 for limit in found.limits]
    assert widths == sorted(widths, reverse=True)


def test_the_spread_between_units_is_found_and_is_nothing_where_there_is_none() -> None:
    rng = np.random.default_rng(3)
    error = rng.uniform(0.02, 0.1, 400)
    true = rng.normal(6, 0.2, 400)
    seen = true + error * rng.normal(size=400)
    assert spread_between(seen, error, 6.0) == pytest.approx(0.2, rel=0.1)
    seen[:20] += 3
    assert spread_between(seen, error, 6.0) == pytest.approx(0.2, rel=0.2)
    assert spread_between(6 + error * rng.normal(size=400), error, 6.0) < 0.03


def test_few_units_or_few_exams_have_no_funnel() -> None:
    rng = np.random.default_rng(4)
    assert funnel(PEERS, units(rng, [50] * 4, [6.0] * 4)) is None
    assert funnel(PEERS, units(rng, [4] * 9, [6.0] * 9)) is None


def test_places_in_a_league_are_as_open_as_the_samples_are_small() -> None:
    rng = np.random.default_rng(5)
    rows = league(units(rng, [10_000, 10_000, 12, 12, 3], [5.0, 7.0, 6.0, 6.05, 6.0]), Draws(500, 1))
    assert [row.place for row in rows] == [1, 2, 3, 4]
    first, second, third, last = rows
    assert (first.unit, first.place_low, first.place_high) == ("U00", 1, 1)
    assert (last.unit, last.place_low, last.place_high) == ("U01", 4, 4)
    assert {(row.place_low, row.place_high) for row in (second, third)} == {(2, 3)}
    assert [row.median for row in rows] == sorted(row.median for row in rows)
    centre = np.exp(np.median(np.log([row.median for row in rows])))
    for row in rows:
        assert abs(np.log(row.shrunken / centre)) <= abs(np.log(row.median / centre)) + 1e-12
