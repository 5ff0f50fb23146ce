from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doseatlas.analysis import Selection, mart_table, trends

Mart = Callable[[Any], Path]


def test_each_month_has_its_median_and_quartiles_in_order(mart: Mart) -> None:
    rng = np.random.default_rng(5)
    by_month = {month: rng.lognormal(6, 0.4, n) for month, n in (("2026-02", 7), ("2025-12", 1), ("2026-01", 12))}
    rows = [{"month": month, "dlp_mgy_cm": float(dose)} for month, doses in by_month.items() for dose in doses]
    found = trends(mart_table(mart(rows)), Selection())
    assert [value.month for value in found] == ["2025-12", "2026-01", "2026-02"]
    for value in found:
        doses = by_month[value.month]
        assert value.n == len(doses)
        assert [value.p25, value.median, value.p75] == pytest.approx(list(np.quantile(doses, [0.25, 0.5, 0.75])))


def test_exams_without_a_date_have_no_place_in_a_trend(mart: Mart) -> None:
    rows = [{"month": "undated", "study_date": None, "dlp_mgy_cm": 1.0}]
    assert trends(mart_table(mart(rows)), Selection()) == ()


def test_a_trend_does_not_mix_phantoms(mart: Mart) -> None:
    rows = [{"ctdi_vol_mgy": 1.0 * phantom, "phantom_cm": phantom} for phantom in (16, 32)]
    found = trends(mart_table(mart(rows)), Selection())
    assert [(value.phantom_cm, value.median) for value in found] == [(16, 16.0), (32, 32.0)]
