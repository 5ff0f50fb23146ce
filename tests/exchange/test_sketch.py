from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.exchange.sketch import K, SketchError, Weighted, make_sketch, quantile, read_sketch, thinned, together

DOSES = st.lists(st.floats(0, 1e4, allow_nan=False), min_size=1, max_size=60)


@given(DOSES, st.floats(0, 1))
def test_quantiles_of_few_values_are_those_of_the_values_themselves(values: list[float], probability: float) -> None:
    sample = together([read_sketch(make_sketch(np.array(values)), len(values))])
    assert quantile(sample, probability) == pytest.approx(float(np.quantile(values, probability)), rel=1e-12, abs=1e-12)


@given(DOSES, DOSES)
def test_months_put_together_are_the_same_as_one_sample(first: list[float], second: list[float]) -> None:
    parts = [read_sketch(make_sketch(np.array(values)), len(values)) for values in (first, second)]
    assert quantile(together(parts), 0.5) == pytest.approx(float(np.median([*first, *second])), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, K, K + 1, 3 * K, 50_000])
def test_every_value_is_counted_and_ranks_are_within_the_stated_bound(n: int) -> None:
    values = np.exp(np.random.default_rng(n).normal(0, 0.5, n))
    sample = together([read_sketch(make_sketch(values), n)])
    assert sample.weights.sum() == n
    for probability in (0.25, 0.5, 0.75):
        rank = (values <= quantile(sample, probability)).mean()
        assert abs(rank - probability) <= 0.02 + 1 / n


def test_the_library_reads_what_is_made_and_agrees_on_the_bounds_of_levels() -> None:
    from datasketches import kll_doubles_sketch

    for n in (1, 10, 500, 5_000, 200_000):
        content = make_sketch(np.random.default_rng(1).random(n))
        assert kll_doubles_sketch.deserialize(content).n == n
        assert len(read_sketch(content, n).values) == kll_doubles_sketch.deserialize(content).num_retained


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_a_sketch_error(content: bytes) -> None:
    with pytest.raises(SketchError):
        read_sketch(content, 5)


@given(st.integers(0, 5), st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_a_changed_sketch_is_refused_or_still_a_whole_one(which: int, place: int, changed: bytes) -> None:
    n = (1, 3, 100, 401, 3000, 20_000)[which]
    content = bytearray(make_sketch(np.arange(1.0, n + 1)))
    place %= len(content)
    content[place : place + len(changed)] = changed
    try:
        sample = read_sketch(bytes(content), n)
    except SketchError:
        return
    assert sample.weights.sum() == n
    assert np.isfinite(sample.values).all()


@given(st.integers(0, 839))
def test_half_a_sketch_is_refused(length: int) -> None:
    content = make_sketch(np.arange(1.0, 101.0))
    with pytest.raises(SketchError):
        read_sketch(content[:length], 100)


def test_a_thinned_sample_keeps_its_weight_and_its_quantiles() -> None:
    values = np.sort(np.exp(np.random.default_rng(2).normal(0, 0.5, 30_000)))
    thin = thinned(Weighted(values, np.ones(len(values))))
    assert len(thin.values) == 1000
    assert thin.weights.sum() == pytest.approx(30_000)
    for probability in (0.1, 0.5, 0.75):
        assert quantile(thin, probability) == pytest.approx(np.quantile(values, probability), rel=0.003)
