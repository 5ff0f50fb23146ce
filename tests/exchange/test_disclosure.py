"""What the figures over facilities give away: by linear algebra, of every number of facilities that is averaged."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from doseatlas.exchange.disclosure import (
    NEIGHBOURS,
    PLAIN_FROM,
    QUARTILES_FROM,
    averaged_over,
    quantile_weights,
    rounded,
    shown_quantile,
)

QUANTILES = (0.25, 0.5, 0.75)
Equations = np.ndarray[Any, np.dtype[np.float64]]


def published(facilities: int) -> Equations:
    """Return the equations that the published figures are in the facilities' values by rising size."""
    shown = [p for p in QUANTILES if shown_quantile([float(i) for i in range(1, facilities + 1)], p) is not None]
    return np.array([quantile_weights(facilities, p) for p in shown])


def freedom(equations: Equations) -> float:
    """Return how much of the least free unknown the equations leave open: 0 where one is determined, at most 1."""
    open_directions = np.eye(equations.shape[1]) - np.linalg.pinv(equations) @ equations
    return float(np.sqrt(np.clip(np.diag(open_directions), 0, None)).min())


@pytest.mark.parametrize("facilities", range(NEIGHBOURS, PLAIN_FROM))
def test_neither_an_outsider_nor_a_facility_that_knows_its_own_value_can_solve_for_another(facilities: int) -> None:
    equations = published(facilities)
    assert len(equations) == (3 if facilities >= QUARTILES_FROM else 1)
    assert freedom(equations) > 0.5
    for known in range(facilities):
        assert freedom(np.delete(equations, known, axis=1)) > 0.4, known


@pytest.mark.parametrize("facilities", range(NEIGHBOURS, PLAIN_FROM))
def test_other_values_far_from_these_give_the_same_figures(facilities: int) -> None:
    values = np.exp(np.linspace(5.0, 6.5, facilities))
    equations = published(facilities)
    # For every facility and every one that knows its own: move it, and the figures stay.
    for target, knows in permutations(range(facilities), 2):
        others = np.delete(np.arange(facilities), knows)
        part = equations[:, others]
        step = (np.eye(len(others)) - np.linalg.pinv(part) @ part)[others.tolist().index(target)]
        moved = values.copy()
        gap = 0.49 * np.diff(values).min()  # so small that their order stays
        moved[others] += gap * step / np.abs(step).max()
        assert (np.diff(moved) > 0).all()
        assert abs(moved[target] / values[target] - 1) > 0.002
        assert equations @ moved == pytest.approx(equations @ values)


def test_plain_quartiles_of_three_or_five_would_be_the_facilities_own_values() -> None:
    of_three = np.array([[0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5]])
    of_five = np.eye(5)[[1, 2, 3]]
    for plain in (of_three, of_five):
        assert plain @ np.arange(len(plain[0])) == pytest.approx(np.quantile(np.arange(len(plain[0])), QUANTILES))
        assert freedom(plain) == pytest.approx(0, abs=1e-7)
    assert shown_quantile([1.0, 2.0, 3.0, 4.0, 5.0], 0.25) is None


@pytest.mark.parametrize("facilities", [20, 21, 30, 100])
@pytest.mark.parametrize("probability", QUANTILES)
def test_from_twenty_facilities_on_quantiles_are_the_plain_ones(facilities: int, probability: float) -> None:
    values = np.random.default_rng(facilities).lognormal(6, 0.4, facilities)
    assert averaged_over(facilities) == 1
    found = shown_quantile(list(values), probability)
    assert found == rounded(float(np.quantile(values, probability)))


@pytest.mark.parametrize("facilities", [6, 8, 12, 19])
def test_averaged_quantiles_stay_near_the_plain_ones(facilities: int) -> None:
    ratios = []
    for seed in range(200):
        values = np.random.default_rng(seed).lognormal(6, 0.3, facilities)
        ratios.append((shown_quantile(list(values), 0.75) or 0.0) / float(np.quantile(values, 0.75)))
    assert abs(float(np.median(ratios)) - 1) < 0.03
    assert float(np.quantile(np.abs(np.log(ratios)), 0.9)) < 0.12


def test_the_order_in_which_facilities_come_does_not_matter() -> None:
    values = [300.0, 100.0, 200.0, 700.0, 500.0, 600.0, 400.0]
    assert shown_quantile(values, 0.5) == shown_quantile(sorted(values), 0.5) == 400


@pytest.mark.parametrize(("value", "shown"), [(240.68, 241.0), (0.0123456, 0.0123), (12345.0, 12300.0), (6.395, 6.39)])
def test_figures_have_three_digits(value: float, shown: float) -> None:
    assert rounded(value) == shown
