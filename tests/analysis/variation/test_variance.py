"""Known components of variance come back, balanced or not, and the textbook's figures where data are balanced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doseatlas.analysis import Selection, mart_table
from doseatlas.analysis.areas import Place, Places
from doseatlas.analysis.drl import Draws
from doseatlas.analysis.variation import Decomposition, decompose
from doseatlas.analysis.variation.variance import CellSums, estimate

SD = {"country": 0.25, "facility": 0.3, "device": 0.15, "protocol": 0.2, "rest": 0.35}
EXPONENT = 0.6


def sums(y: Any, x: Any, cell: Any) -> CellSums:
    count = cell.max() + 1
    return CellSums(*(np.bincount(cell, w, count).astype(float) for w in (None, y, y * y, x, x * x, x * y)))


def test_a_balanced_design_gives_the_mean_squares_of_the_textbook() -> None:
    rng = np.random.default_rng(1)
    a, b, n = 6, 4, 5
    y = rng.normal(size=(a, 1, 1)) + 0.5 * rng.normal(size=(a, b, 1)) + 0.3 * rng.normal(size=(a, b, n))
    between_a = n * b * y.mean(axis=(1, 2)).var(ddof=1)
    between_b = n * ((y.mean(axis=2) - y.mean(axis=(1, 2))[:, None]) ** 2).sum() / (a * (b - 1))
    within = ((y - y.mean(axis=2)[:, :, None]) ** 2).sum() / (a * b * (n - 1))
    cell = np.repeat(np.arange(a * b), n)
    levels = [np.repeat(np.arange(a), b), np.arange(a * b)]
    found = estimate(sums(y.ravel(), np.zeros(y.size), cell), levels)
    assert found is not None
    expected = [(between_a - between_b) / (n * b), (between_b - within) / n, within]
    assert [*found.levels, found.rest] == pytest.approx(expected)
    assert (found.slope, found.size) == (0, 0)


def world(rng: np.random.Generator, countries: int) -> tuple[list[dict[str, Any]], Places]:
    """Exams of an unbalanced world with the components SD; large patients are examined in some places more."""
    rows, places = [], {}
    for country in range(countries):
        of_country = rng.normal(0, SD["country"])
        for f in range(rng.integers(3, 7)):
            facility = f"C{country:02} F{f}"
            places[facility] = Place(f"C{country:02}", "")
            of_facility, heavy = of_country + rng.normal(0, SD["facility"]), rng.normal(0, 0.1)
            for d in range(rng.integers(1, 4)):
                of_device = of_facility + rng.normal(0, SD["device"])
                for p in range(rng.integers(1, 4)):
                    of_protocol = of_device + rng.normal(0, SD["protocol"])
                    for _ in range(rng.integers(4, 15)):
                        log_weight = rng.normal(np.log(72) + heavy, 0.2)
                        y = 6 + of_protocol + EXPONENT * (log_weight - np.log(72)) + rng.normal(0, SD["rest"])
                        rows.append(
                            {
                                "facility": facility,
                                "device": f"D{d}",
                                "protocol": f"P{p}",
                                "weight_kg": float(np.exp(log_weight)),
                                "dlp_mgy_cm": float(np.exp(y)),
                            }
                        )
    return rows, Places(places, None)


def test_known_components_come_back_and_their_intervals_hold_them(mart: Callable[..., Path]) -> None:
    rows, places = world(np.random.default_rng(11), 60)
    (found,) = decompose(mart_table(mart(rows)), Selection(), "dlp_mgy_cm", places=places, draws=Draws(100, 1))
    parts = {part.name: part for part in found.components}
    assert list(parts) == ["patient size", "country", "facility", "device", "protocol", "patient and rest"]
    assert found.size_exponent == pytest.approx(EXPONENT, abs=0.05)
    assert parts["patient and rest"].variance == pytest.approx(SD["rest"] ** 2, rel=0.05)
    assert parts["patient size"].variance == pytest.approx(EXPONENT**2 * 0.05, rel=0.15)
    true = {name: sd**2 for name, sd in SD.items() if name != "rest"}
    total = sum(true.values()) + SD["rest"] ** 2 + EXPONENT**2 * 0.05
    for name, variance in true.items():
        part = parts[name]  # type: ignore[index]
        assert part.variance == pytest.approx(variance, rel=0.4)
        assert part.low is not None
        assert part.high is not None
        assert part.low <= variance / total <= part.high
    assert sum(part.share for part in found.components) == pytest.approx(1)
    assert parts["country"].classes == 60


def one(mart: Callable[..., Path], rows: list[dict[str, Any]]) -> Decomposition:
    (found,) = decompose(mart_table(mart(rows)), Selection(), "dlp_mgy_cm", draws=Draws(50, 1))
    return found


def test_what_cannot_be_told_apart_is_said_and_not_guessed(mart: Callable[..., Path]) -> None:
    rng = np.random.default_rng(2)
    rows = [
        {"facility": f"F{f}", "device": "D", "protocol": "P", "dlp_mgy_cm": float(np.exp(rng.normal(6 + f / 5, 0.3)))}
        for f in range(6)
        for _ in range(12)
    ]
    found = one(mart, rows)
    assert [part.name for part in found.components] == ["facility", "patient and rest"]
    assert found.not_separable == ("country", "device", "protocol")
    assert (found.size_exponent, found.without_weight) == (None, 0)
    single = one(mart, [{**row, "facility": "F"} for row in rows])
    assert [(part.name, part.share) for part in single.components] == [("patient and rest", 1.0)]


def test_exams_without_a_weight_are_counted_as_left_out(mart: Callable[..., Path]) -> None:
    rows, _ = world(np.random.default_rng(3), 3)
    found = one(mart, [{**row, "weight_kg": None} if i % 10 == 0 else row for i, row in enumerate(rows)])
    assert found.exams == len(rows)
    assert found.without_weight == len(rows[::10])


def test_an_estimate_below_nothing_is_given_as_nothing_and_says_so(mart: Callable[..., Path]) -> None:
    # Units that are more alike than chance allows.
    rows = [{"facility": f"F{f}", "dlp_mgy_cm": float(dose)} for f in range(8) for dose in np.geomspace(100, 900, 10)]
    part = next(part for part in one(mart, rows).components if part.name == "facility")
    assert (part.variance, part.share, part.truncated) == (0, 0, True)


def test_an_unknown_quantity_is_refused(mart: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="'dose' is no dose quantity; known: dlp_mgy_cm"):
        decompose(mart_table(mart([])), Selection(), "dose")
