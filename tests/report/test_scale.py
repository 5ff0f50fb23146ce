from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doseatlas.report.scale import Scale


def test_a_linear_scale_marks_round_values() -> None:
    assert Scale(0, 97, 0, 100).ticks(5) == (0, 20, 40, 60, 80)


def test_a_short_logarithmic_scale_is_marked_more_finely_than_1_2_and_5() -> None:
    assert Scale(16, 62, 0, 100, logarithmic=True).ticks(6) == pytest.approx((20, 30, 40, 50, 60))
    assert Scale(240, 1200, 0, 100, logarithmic=True).ticks(4) == pytest.approx((300, 500, 1000))


def test_a_logarithmic_scale_marks_1_2_and_5_where_there_is_room() -> None:
    assert Scale(9, 110, 0, 100, logarithmic=True).ticks(5) == pytest.approx((10, 20, 50, 100))


@settings(deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(1.01, 1e6), st.booleans(), st.integers(2, 8))
def test_ticks_are_on_the_scale_in_order_and_not_too_many(low: float, times: float, log: bool, most: int) -> None:
    scale = Scale(low, low * times, 10, 200, logarithmic=log)
    ticks = scale.ticks(most)
    assert len(ticks) <= most + 1
    assert list(ticks) == sorted(set(ticks))
    assert all(10 <= scale.at(tick) <= 200 for tick in ticks)
    assert all(low * (1 - 1e-6) <= tick <= low * times * (1 + 1e-6) for tick in ticks)


@settings(deadline=None)
@given(st.floats(0, 1e9))
def test_a_value_off_the_scale_is_held_at_its_end(value: float) -> None:
    assert 10 <= Scale(1, 50, 10, 200).at(value) <= 200
