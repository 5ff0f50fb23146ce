from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.analysis.order_statistics import median_interval, probability_median_above, quantile_position


@pytest.mark.parametrize(
    ("n", "ranks"),
    # Conover, Practical Nonparametric Statistics; also any table of sign-test confidence limits
    [
        (6, (1, 6)),
        (8, (1, 8)),
        (9, (2, 8)),
        (10, (2, 9)),
        (20, (6, 15)),
        (25, (8, 18)),
        (50, (18, 33)),
        (100, (40, 61)),
    ],
)
def test_the_interval_has_the_ranks_of_published_tables(n: int, ranks: tuple[int, int]) -> None:
    assert median_interval(n) == (ranks[0] - 1, ranks[1] - 1)


@pytest.mark.parametrize("n", range(1, 6))
def test_fewer_than_six_values_have_no_interval(n: int) -> None:
    assert median_interval(n) is None


@given(st.integers(6, 300))
def test_the_interval_is_the_narrowest_that_covers_95_percent(n: int) -> None:
    found = median_interval(n)
    assert found is not None
    low, high = found
    assert high == n - 1 - low

    def coverage(r: int) -> float:
        return 1 - 2 * float(sum(math.comb(n, k) for k in range(r)) / 2**n)

    assert coverage(low + 1) >= 0.95
    assert coverage(low + 2) < 0.95


def test_the_interval_of_a_million_values_agrees_with_the_normal_approximation() -> None:
    found = median_interval(1_000_000)
    assert found is not None
    assert found[0] == pytest.approx(500_000 - 1.959964 * 500, abs=1.5)


def test_the_interval_covers_the_median_of_a_skewed_distribution_as_often_as_it_says() -> None:
    rng = np.random.default_rng(20260115)
    samples = np.sort(rng.lognormal(mean=0, sigma=1, size=(20_000, 20)))
    found = median_interval(20)
    assert found is not None
    covered = np.mean((samples[:, found[0]] <= 1) & (samples[:, found[1]] >= 1))
    exact = 1 - 2 * sum(math.comb(20, k) for k in range(6)) / 2**20
    assert exact == pytest.approx(0.9586, abs=1e-4)
    assert covered == pytest.approx(exact, abs=0.005)


def test_as_many_above_as_below_is_an_even_chance() -> None:
    assert probability_median_above(20, 10) == pytest.approx(0.5)


def test_the_probability_of_five_in_five_is_the_closed_form_of_the_beta_distribution() -> None:
    assert probability_median_above(5, 5) == pytest.approx(1 - 0.5**6)
    assert probability_median_above(5, 0) == pytest.approx(0.5**6)


def test_the_probability_agrees_with_draws_from_the_posterior() -> None:
    draws = np.random.default_rng(7).beta(14 + 1, 20 - 14 + 1, size=400_000)
    assert probability_median_above(20, 14) == pytest.approx(np.mean(draws > 0.5), abs=0.003)


@given(st.integers(1, 3_000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_the_probability_is_exact_and_symmetric(case: tuple[int, int]) -> None:
    n, above = case
    exact = sum(math.comb(n + 1, k) for k in range(above + 1)) / 2 ** (n + 1)
    assert probability_median_above(n, above) == pytest.approx(exact, rel=1e-9, abs=1e-300)
    assert probability_median_above(n, above) + probability_median_above(n, n - above) == pytest.approx(1)


def test_certainty_is_reached_with_many_exams_and_never_passed() -> None:
    assert probability_median_above(1_000_000, 0) == 0.0
    assert probability_median_above(1_000_000, 1_000_000) == 1.0


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=60),
    st.sampled_from([0.25, 0.5, 0.75]),
)
def test_quantiles_are_numpys_linear_ones(values: list[float], probability: float) -> None:
    ordered = sorted(values)
    position = quantile_position(len(ordered), probability)
    found = position.interpolate(ordered[position.below], ordered[position.above])
    assert found == pytest.approx(np.quantile(ordered, probability), rel=1e-12, abs=1e-9)
