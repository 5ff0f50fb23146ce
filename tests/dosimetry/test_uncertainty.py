"""Propagation of uncertainty agrees with simulation."""

from __future__ import annotations

import numpy as np
import pytest

from doseatlas.dosimetry.uncertainty import from_expanded, from_limits, of_product


def test_limits_are_a_rectangular_distribution_and_expanded_ones_are_divided_by_k() -> None:
    drawn = np.random.default_rng(1).uniform(-0.35, 0.35, 200_000)
    assert from_limits(0.35) == pytest.approx(float(drawn.std()), rel=5e-3)
    assert from_expanded(0.07, 2.0) == 0.035
    with pytest.raises(ValueError, match="not positive"):
        from_expanded(0.07, 0.0)


def test_a_product_agrees_with_simulation() -> None:
    random = np.random.default_rng(2)
    a, b = random.normal(10, 0.3, 200_000), random.normal(5, 0.2, 200_000)
    assert of_product(0.03, 0.04) == pytest.approx(float((a * b).std() / 50), rel=0.01)
