"""Intervals: the same as drawing values one by one, reproducible, and about as often right as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doseatlas.analysis.drl.bootstrap import Draws, drawn_units, percentile_interval, percentile_of
from doseatlas.analysis.drl.levels import rounded


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.1, 1e4), min_size=5, max_size=60), st.sampled_from([25.0, 50.0, 75.0]))
def test_drawing_ranks_is_drawing_values(values: list[float], percentile: float) -> None:
    ordered, draws = np.sort(values), Draws(200, 3)
    by_value = np.quantile(ordered[drawn_units(len(ordered), draws)], percentile / 100, axis=1)
    found = percentile_interval(ordered, percentile, draws)
    assert found is not None
    assert list(found) == pytest.approx(list(np.quantile(by_value, [0.025, 0.975])))
    assert percentile_of(ordered, percentile) == pytest.approx(np.quantile(ordered, percentile / 100))


def test_the_interval_of_a_nations_level_holds_the_true_one_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    truth = np.exp(0.3 * 0.6744897501960817)
    held = 0
    for _ in range(400):
        found = percentile_interval(np.sort(np.exp(0.3 * rng.normal(size=40))), 75, Draws(400, 1))
        assert found is not None
        held += found.low <= truth <= found.high
    assert 0.90 <= held / 400 <= 0.98


def test_a_handful_of_units_has_no_interval() -> None:
    assert percentile_interval(np.array([1.0, 2.0, 3.0, 4.0]), 75, Draws()) is None


@pytest.mark.parametrize(
    ("value", "rounding", "expected"),
    [
        (125.0, (("dlp_mgy_cm", 50.0),), 150.0),
        (124.9, (("dlp_mgy_cm", 50.0),), 100.0),
        (12.34, (("dlp_mgy_cm", 50.0),), 12.0),
        (0.2549, (("significant", 2.0),), 0.25),
        (1250.0, (("significant", 2.0),), 1300.0),
        (7.123, (), 7.123),
        (7.123, (("ctdi_vol_mgy", 5.0),), 7.123),
    ],
)
def test_rounding_is_as_on_paper_and_never_makes_a_level_of_nothing(
    value: float, rounding: tuple[tuple[str, float], ...], expected: float
) -> None:
    assert rounded(value, "dlp_mgy_cm", rounding) == expected
