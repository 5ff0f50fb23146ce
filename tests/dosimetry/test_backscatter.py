"""Backscatter of one beam and field: between the fields of the polynomial, at its ends, and against another table."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doseatlas.dosimetry.backscatter import SIDES_CM, backscatter, backscatter_of_field


@settings(max_examples=60, deadline=None)
@given(st.floats(50, 150), st.floats(0.8, 3))
def test_at_the_fields_of_the_polynomial_it_is_that(kv: float, layer_per_30_kv: float) -> None:
    hvl = 1.0 + layer_per_30_kv * kv / 30
    of_sides = backscatter(np.array([kv]), np.array([hvl]))[0]
    if hvl <= 12.48:
        assert [backscatter_of_field(kv, hvl, side) for side in SIDES_CM] == pytest.approx(list(of_sides))


@settings(max_examples=60, deadline=None)
@given(st.floats(50, 150), st.floats(2, 8), st.floats(0, 34))
def test_it_begins_with_1_and_grows_with_the_field(kv: float, hvl: float, side: float) -> None:
    assert backscatter_of_field(kv, hvl, 0.0) == pytest.approx(1.0)
    assert 1.0 - 1e-9 <= backscatter_of_field(kv, hvl, side) <= backscatter_of_field(kv, hvl, side + 1) + 1e-3 < 1.7


def test_beyond_its_ranges_the_nearest_end_counts() -> None:
    assert backscatter_of_field(40, 3, 20) == backscatter_of_field(50, 3, 20)
    assert backscatter_of_field(80, 0.5, 20) == backscatter_of_field(80, 1.78, 20)
    assert backscatter_of_field(80, 3, 80) == backscatter_of_field(80, 3, 35)


def test_it_agrees_with_the_factors_of_trs_457_within_1_5_percent(corpus: Path) -> None:
    file = corpus.parent / "facts" / "backscatter_factors_trs457.csv"
    lines = file.read_text(encoding="utf-8").splitlines()
    rows = [row for row in csv.DictReader(lines) if row["medium"] == "water"]
    assert len(rows) > 50
    for row in rows:
        found = backscatter_of_field(float(row["kV"]), float(row["hvl_mm_al"]), float(row["field_side_cm"]))
        assert found == pytest.approx(float(row["bsf"]), rel=0.015), row
