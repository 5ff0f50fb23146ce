"""Quantile regression is exact, and a curve finds the level that a child of any weight has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from doseatlas.analysis.drl import Computed, fit_quantile_line, level_at
from doseatlas.analysis.drl.quantile_regression import check_loss

POINTS = st.lists(st.tuples(st.integers(20, 800), st.integers(10, 9000)), min_size=3, max_size=60)


@settings(max_examples=40, deadline=None)
@given(POINTS.filter(lambda points: len({x for x, _ in points}) > 1), st.sampled_from([0.25, 0.5, 0.75]))
def test_no_line_has_a_smaller_loss(points: list[tuple[int, int]], probability: float) -> None:
    x, y = np.array(points, dtype=np.float64).T / 10
    line = fit_quantile_line(x, y, probability)
    n = len(x)
    best = linprog(
        np.r_[0, 0, np.full(n, probability), np.full(n, 1 - probability)],
        A_eq=np.c_[np.ones(n), x, np.eye(n), -np.eye(n)],
        b_eq=y,
        bounds=[(None, None)] * 2 + [(0, None)] * (2 * n),
    )
    assert check_loss(y - line.intercept - line.slope * x, probability) == pytest.approx(best.fun, rel=1e-7, abs=1e-6)


def test_a_line_needs_two_different_weights() -> None:
    with pytest.raises(ValueError, match="two or more different x"):
        fit_quantile_line(np.array([3.0, 3.0]), np.array([1.0, 2.0]), 0.5)


def test_thin_weight_groups_get_the_curve_that_made_them(
    registry: Callable[..., Path], computed: Callable[..., Computed]
) -> None:
    rng = np.random.default_rng(2)
    rows = []
    for i in range(600):
        weight = float(rng.uniform(6, 49))
        group = next(g for g, top in (("5-15", 15), ("15-30", 30), ("30-50", 50)) if weight < top)
        rows.append(
            {
                "facility": f"F{i % 12:02}",
                "procedure": "ct-abdomen-pelvis",
                "patient_group": f"child-weight-{group}",
                "phantom_cm": 32,
                "weight_kg": weight,
                "dlp_mgy_cm": 60 * np.exp(0.03 * weight + rng.normal(0, 0.3)),
            }
        )
    run = computed(registry({"": rows}), "icrp-135-national").run
    assert {level.status for level in run.levels} == {"too few units"}
    level, achievable = run.curves
    assert (level.percentile, achievable.percentile, level.patients, level.facilities) == (75, 50, 600, 12)
    truth = 60 * np.exp(0.3 * 0.6745)
    assert level.a_low is not None
    assert level.a_high is not None
    assert level.b_low is not None
    assert level.b_high is not None
    assert level.a_low < truth < level.a_high
    assert level.b_low < 0.03 < level.b_high
    assert level_at(level, 20.0) == pytest.approx(truth * np.exp(0.6), rel=0.08)
    assert level_at(level, 80.0) is None
