"""Fold variation is max / min of the typical values: the ratios of the coordinated studies come out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doseatlas.analysis import mart_table
from doseatlas.analysis.compare import unit_logs
from doseatlas.analysis.drl import Draws
from doseatlas.analysis.mart import countable
from doseatlas.analysis.variation import FoldVariation, fold_variations, spread_of

DRAWS = Draws(500, 1)


def scans(median: float, facility: str, n: int = 21, **more: Any) -> list[dict[str, Any]]:
    """Exams whose median is exactly the one given."""
    spread = np.exp(np.linspace(-0.5, 0.5, n))
    return [{"facility": facility, "dlp_mgy_cm": float(median * factor), **more} for factor in spread]


def of(mart: Callable[..., Path], rows: list[dict[str, Any]], **more: Any) -> tuple[FoldVariation, ...]:
    return fold_variations(unit_logs(countable(mart_table(mart(rows))), "facility"), DRAWS, **more)


@pytest.mark.parametrize(
    ("lowest", "highest", "fold"),
    [
        pytest.param(219, 2664, 12.164, id="urinary stones CT, 20 countries: 12-fold"),
        pytest.param(100, 2200, 22.0, id="paediatric CT, one age group: 22-fold"),
        pytest.param(65, 650, 10.0, id="COVID-19 chest CT: 10-fold"),
    ],
)
def test_the_published_folds_come_out_of_facilities_with_the_published_medians(
    mart: Callable[..., Path], lowest: float, highest: float, fold: float
) -> None:
    between = np.geomspace(lowest, highest, 9)
    rows = [row for i, median in enumerate(between) for row in scans(median, f"F{i}")]
    (found,) = of(mart, rows)
    assert found.fold == pytest.approx(fold, rel=1e-3)
    assert (found.lowest_unit, found.highest_unit, found.units, found.exams) == ("F0", "F8", 9, 189)
    assert found.quartile_ratio == pytest.approx(between[6] / between[2])
    assert found.fold_low is not None
    assert found.fold_high is not None
    assert found.fold_low < found.fold < found.fold_high


def test_a_facility_with_few_exams_makes_no_extreme(mart: Callable[..., Path]) -> None:
    rows = scans(400, "A") + scans(600, "B") + scans(9000, "C", n=5)
    (found,) = of(mart, rows)
    assert found.fold == pytest.approx(1.5)
    assert found.not_counted == 1
    (lenient,) = of(mart, rows, minimum_n=5)
    assert lenient.fold == pytest.approx(22.5)


def test_groups_and_phantoms_are_kept_apart(mart: Callable[..., Path]) -> None:
    rows = scans(400, "A") + scans(600, "B") + scans(900, "A", phantom_cm=32) + scans(1000, "B", phantom_cm=32)
    assert [(one.phantom_cm, round(one.fold, 3)) for one in of(mart, rows)] == [(16, 1.5), (32, 1.111)]


def test_the_interval_of_the_fold_holds_the_true_one_about_as_often_as_it_says() -> None:
    from doseatlas.analysis.compare import Peers, UnitLogs
    from doseatlas.analysis.variation.fold import fold_variation

    rng = np.random.default_rng(3)
    true = np.linspace(5.0, 7.0, 12)
    held = 0
    for _ in range(200):
        logs = [rng.normal(mean, 0.4, 30) for mean in true]
        units = UnitLogs(
            [f"{i}" for i in range(12)],
            np.full(12, 30.0),
            np.array([np.exp(np.median(log)) for log in logs]),
            np.array([log.mean() for log in logs]),
            np.array([((log - log.mean()) ** 2).sum() for log in logs]),
            np.zeros(12),
        )
        found = fold_variation(Peers("ct-head", "adult", "dlp_mgy_cm", 16), units, Draws(300, 1))
        assert found is not None
        assert found.fold_low is not None
        assert found.fold_high is not None
        held += found.fold_low <= np.exp(2.0) <= found.fold_high
    assert 0.88 <= held / 200 <= 0.99


def test_selection_of_nothing_has_no_variation(mart: Callable[..., Path]) -> None:
    assert of(mart, scans(400, "A")) == ()


def test_equal_places_are_not_said_to_differ_because_they_are_many() -> None:
    # The highest of twelve noisy medians over the lowest is far from 1, though all are of one dose.
    rng = np.random.default_rng(6)
    held = 0
    for _ in range(200):
        medians = np.median(rng.normal(5.0, 0.4, (12, 30)), axis=1)
        draws = medians + 0.0915 * rng.normal(size=(300, 12))
        found = spread_of(np.exp(medians), draws)
        assert found.fold > 1.05
        held += found.fold_low == 1
    assert held / 200 > 0.93


def test_two_places_have_an_interval_and_one_has_none() -> None:
    draws = np.log([100.0, 200.0]) + 0.1 * np.random.default_rng(2).normal(size=(500, 2))
    two = spread_of(np.array([100.0, 200.0]), draws)
    assert two.fold_low is not None
    assert two.fold_high is not None
    assert 1.3 < two.fold_low < two.fold < two.fold_high < 3
    assert spread_of(np.array([100.0]), draws[:, :1]).fold_low is None
    assert np.isnan(spread_of(np.array([0.0, 200.0]), None).fold)
