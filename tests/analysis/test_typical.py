from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doseatlas.analysis import Selection, TypicalValue, mart_table, typical_values, typical_values_table

Mart = Callable[[Any], Path]
Levels = Callable[..., Any]
ALL = Selection()


def of(path: Path, **options: Any) -> tuple[TypicalValue, ...]:
    return typical_values(mart_table(path), ALL, **options)


def test_an_empty_mart_has_no_typical_values(tmp_path: Path) -> None:
    assert of(tmp_path) == ()


def test_twenty_known_exams_give_the_figures_worked_out_by_hand(mart: Mart, levels: Levels) -> None:
    doses = [float(dose) for dose in range(100, 2100, 100)]
    random.Random(1).shuffle(doses)
    (found,) = of(mart([{"dlp_mgy_cm": dose} for dose in doses]), drl_set=levels(dlp_mgy_cm=(1000.0, 16)))
    assert (found.procedure, found.patient_group, found.quantity, found.phantom_cm) == (
        "ct-head",
        "adult",
        "dlp_mgy_cm",
        16,
    )
    assert (found.n, found.minimum_n) == (20, 20)
    assert found.median == 1050.0
    assert (found.low, found.high) == (600.0, 1500.0)  # the 6th and the 15th
    assert (found.p25, found.p75) == (575.0, 1525.0)
    assert (found.minimum, found.maximum) == (100.0, 2000.0)
    assert found.ratio == pytest.approx(1.05)
    # ten of twenty lie above 1000: P(Bin(21, 1/2) <= 10) = 1/2
    assert found.probability_above == pytest.approx(0.5)
    assert found.verdict == "above"
    assert found.reference is not None
    assert found.reference.source == "a document"


@pytest.mark.parametrize(
    ("doses", "level", "verdict"),
    [
        ([700.0] * 20, 700.0, "within"),
        ([700.1] * 20, 700.0, "above"),
        ([700.1] * 19, 700.0, "too few"),
        ([700.0] * 20, None, "no reference level"),
        ([700.0], None, "too few"),
    ],
)
def test_the_verdict(mart: Mart, levels: Levels, doses: list[float], level: float | None, verdict: str) -> None:
    drl_set = levels(dlp_mgy_cm=(level, None)) if level else None
    (found,) = of(mart([{"dlp_mgy_cm": dose} for dose in doses]), drl_set=drl_set)
    assert found.verdict == verdict
    assert (found.ratio is None) == (level is None)


def test_too_few_exams_for_an_interval_have_none(mart: Mart) -> None:
    (found,) = of(mart([{"dlp_mgy_cm": 1.0 * i} for i in range(1, 6)]))
    assert found.median == 3.0
    assert found.low is None
    assert found.high is None


def test_the_minimum_sample_is_that_of_the_procedure(mart: Mart) -> None:
    rows = [{"procedure": "mg-bilateral", "kind": "mammography", "phantom_cm": None, "agd_mgy": 1.5}] * 49
    (found,) = of(mart(rows))
    assert found.minimum_n == 50
    assert found.verdict == "too few"


def test_values_on_different_phantoms_are_never_pooled(mart: Mart, levels: Levels) -> None:
    rows = [{"ctdi_vol_mgy": dose, "phantom_cm": phantom} for phantom, dose in ((16, 60.0), (32, 30.0), (None, 45.0))]
    found = of(mart(rows * 20), drl_set=levels(ctdi_vol_mgy=(50.0, 16)))
    assert [(value.phantom_cm, value.n, value.median) for value in found] == [
        (None, 20, 45.0),
        (16, 20, 60.0),
        (32, 20, 30.0),
    ]
    assert [value.verdict for value in found] == ["no reference level", "above", "no reference level"]
    assert [value.note for value in found] == [
        "CTDI phantom not stated, or several in one exam; not compared: the reference level is for the 16 cm phantom",
        None,
        "not compared: the reference level is for the 16 cm phantom",
    ]


def test_a_quantity_without_a_phantom_is_not_split_by_one(mart: Mart) -> None:
    rows = [{"kap_gy_cm2": 1.0, "phantom_cm": phantom} for phantom in (16, 32, None)]
    (found,) = of(mart(rows))
    assert found.n == 3
    assert found.phantom_cm is None


def test_each_quantity_stated_has_its_own_typical_value(mart: Mart) -> None:
    rows = [{"kap_gy_cm2": 2.0, "reference_air_kerma_mgy": 30.0, "fluoro_time_s": 60.0}, {"kap_gy_cm2": 4.0}]
    found = of(mart(rows))
    assert [(value.quantity, value.n, value.median) for value in found] == [
        ("kap_gy_cm2", 2, 3.0),
        ("reference_air_kerma_mgy", 1, 30.0),
        ("fluoro_time_s", 1, 60.0),
    ]


def test_by_device_each_device_has_its_typical_value(mart: Mart) -> None:
    rows = [{"dlp_mgy_cm": 1.0 * i, "device": str(i % 2)} for i in range(10)] + [{"dlp_mgy_cm": 99.0, "device": None}]
    found = of(mart(rows), by="device")
    assert [(value.device, value.n, value.median) for value in found] == [
        ("0", 5, 4.0),
        ("1", 5, 5.0),
        ("unknown device", 1, 99.0),
    ]


def test_a_level_split_by_question_says_which_row_was_taken(mart: Mart, levels: Levels) -> None:
    drl_set = levels(dlp_mgy_cm=(500.0, 16), again=800.0)
    (found,) = of(mart([{"dlp_mgy_cm": 600.0}] * 20), drl_set=drl_set)
    assert found.reference is not None
    assert found.reference.value == 500.0
    assert found.reference.note == "2 rows of the set are for this procedure; taken is the first, 'Head'"


doses = st.floats(0.01, 1e5, allow_nan=False).map(lambda dose: float(f"{dose:.4g}"))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(doses, min_size=1, max_size=80), doses, st.randoms(use_true_random=False))
def test_the_figures_are_numpys_whatever_the_order(
    mart: Mart, levels: Levels, sample: list[float], level: float, shuffle: random.Random
) -> None:
    shuffled = list(sample)
    shuffle.shuffle(shuffled)
    drl_set = levels(dlp_mgy_cm=(level, 16))
    (found,) = of(mart([{"dlp_mgy_cm": dose} for dose in sample]), drl_set=drl_set)
    (again,) = of(mart([{"dlp_mgy_cm": dose} for dose in shuffled]), drl_set=drl_set)
    assert found == again
    expected = np.quantile(sample, [0.25, 0.5, 0.75])
    assert [found.p25, found.median, found.p75] == pytest.approx(list(expected))
    assert (found.n, found.minimum, found.maximum) == (len(sample), min(sample), max(sample))
    if found.low is not None and found.high is not None:
        assert found.minimum <= found.low <= found.median <= found.high <= found.maximum
    assert found.ratio is not None
    assert found.ratio * level == pytest.approx(found.median)
    n, above = len(sample), sum(dose > level for dose in sample)
    exact = sum(math.comb(n + 1, k) for k in range(above + 1)) / 2 ** (n + 1)
    assert found.probability_above == pytest.approx(exact)


# Ibis 12 sets an option that pandas 3 has deprecated.
@pytest.mark.filterwarnings("ignore:The 'future.infer_string' option is deprecated")
def test_the_table_gives_the_same_figures_to_arrow_pandas_and_polars(mart: Mart) -> None:
    rng = np.random.default_rng(3)
    rows = [{"dlp_mgy_cm": float(d), "phantom_cm": p} for p in (16, None) for d in rng.lognormal(6, 0.5, 33)]
    path = mart(rows)
    table = typical_values_table(mart_table(path))
    expected = [(v.phantom_cm, v.n, v.median, v.p25, v.p75, v.minimum, v.maximum) for v in of(path)]
    columns = ["phantom_cm", "n", "median", "p25", "p75", "minimum", "maximum"]
    found = sorted((tuple(row[c] for c in columns) for row in table.to_pyarrow().to_pylist()), key=lambda r: r[0] or 0)
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one[2:] == pytest.approx(other[2:])
    assert list(table.to_pandas()["n"]) == [33, 33]
    assert table.to_polars()["n"].to_list() == [33, 33]
