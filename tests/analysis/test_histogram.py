from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doseatlas.analysis import Distribution, Selection, distributions, mart_table

Mart = Callable[[Any], Path]


def of(mart: Mart, doses: list[float]) -> Distribution:
    (found,) = distributions(mart_table(mart([{"dlp_mgy_cm": dose} for dose in doses])), Selection())
    return found


def test_a_narrow_spread_has_even_bins_counted_like_numpy(mart: Mart) -> None:
    doses = [float(dose) for dose in np.random.default_rng(1).normal(500, 60, 400)]
    found = of(mart, doses)
    widths = np.diff(found.edges)
    assert widths == pytest.approx([widths[0]] * len(widths))
    assert found.edges[0] == min(doses)
    assert list(found.counts) == np.histogram(doses, bins=len(found.counts), range=(min(doses), max(doses)))[0].tolist()
    # Freedman and Diaconis: range / (2 IQR / n^(1/3))
    iqr = np.subtract(*np.quantile(doses, [0.75, 0.25]))
    assert len(found.counts) == np.ceil((max(doses) - min(doses)) / (2 * iqr / 400 ** (1 / 3)))


def test_a_wide_spread_has_bins_even_on_a_logarithmic_scale(mart: Mart) -> None:
    doses = [float(dose) for dose in np.random.default_rng(2).lognormal(5, 1, 300)]
    found = of(mart, doses)
    ratios = np.diff(np.log(found.edges))
    assert ratios == pytest.approx([ratios[0]] * len(ratios))
    assert sum(found.counts) == 300
    assert list(found.counts) == np.histogram(np.log(doses), bins=len(found.counts))[0].tolist()


def test_a_zero_dose_is_drawn_on_a_linear_scale(mart: Mart) -> None:
    found = of(mart, [0.0, 1.0, 100.0])
    assert found.edges[0] == 0.0
    assert sum(found.counts) == 3


def test_one_value_is_one_bin_around_it(mart: Mart) -> None:
    found = of(mart, [500.0] * 3)
    assert found.counts == (3,)
    assert found.edges == (475.0, 525.0)


def test_each_phantom_has_its_own_histogram(mart: Mart) -> None:
    rows = [{"ctdi_vol_mgy": 10.0 + i, "phantom_cm": phantom} for i in range(8) for phantom in (16, 32)]
    found = distributions(mart_table(mart(rows)), Selection())
    assert [(one.phantom_cm, sum(one.counts)) for one in found] == [(16, 8), (32, 8)]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_every_exam_is_in_one_of_a_few_bins(mart: Mart, doses: list[float]) -> None:
    found = of(mart, doses)
    assert sum(found.counts) == len(doses)
    assert len(found.edges) == len(found.counts) + 1
    assert 1 <= len(found.counts) <= 24
    assert list(found.edges) == sorted(found.edges)
    assert found.edges[0] <= min(doses) * (1 + 1e-9)
    assert found.edges[-1] >= max(doses) * (1 - 1e-9)
