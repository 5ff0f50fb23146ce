"""Which exams the report shows for their skin dose, in which order, and which trigger each reaches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from doseatlas.analysis import mart_table
from doseatlas.analysis.skin import SkinDoses, skin_doses

Mart = Callable[[Any], Path]
XA: dict[str, Any] = {"kind": "projection", "procedure": "xa-pci", "phantom_cm": None}


def _found(mart: Mart, rows: list[dict[str, Any]], **options: Any) -> Any:
    return skin_doses(mart_table(mart([{**XA, **row} for row in rows])), **options)


def test_the_largest_calculated_dose_comes_first_and_kerma_stands_in_where_there_is_none(mart: Mart) -> None:
    rows = [
        {"exam_id": "small", "peak_skin_dose_mgy": 400.0, "peak_skin_dose_uncertainty_mgy": 80.0},
        {"exam_id": "large", "peak_skin_dose_mgy": 2500.0, "peak_skin_dose_uncertainty_mgy": 500.0},
        {"exam_id": "no map", "reference_air_kerma_mgy": 1800.0, "peak_skin_dose_missing": "no events"},
        {"exam_id": "kap", "kap_gy_cm2": 600.0},
        {"exam_id": "nothing", "kap_gy_cm2": 10.0},
    ]
    found = _found(mart, rows)
    assert [one.exam_id for one in found.largest] == ["kap", "large", "no map", "small"]
    assert found.triggered == 2
    low, high = found.largest[1].interval_mgy
    assert low < 2500 < high
    assert found.largest[0].interval_mgy == (None, None)


def test_the_highest_trigger_is_named_with_all_that_reaches_it(mart: Mart) -> None:
    rows = [
        {"exam_id": "a", "reference_air_kerma_mgy": 5000.0, "kap_gy_cm2": 500.0, "fluoro_time_s": 2000.0},
        {"exam_id": "b", "peak_skin_dose_mgy": 2000.0, "reference_air_kerma_mgy": 2999.9},
        {"exam_id": "c", "peak_skin_dose_mgy": 1999.9},
    ]
    found = {one.exam_id: (one.trigger, one.trigger_quantities) for one in _found(mart, rows).largest}
    assert found == {
        "a": ("follow-up", ("reference_air_kerma_mgy", "kap_gy_cm2")),
        "b": ("notification", ("peak_skin_dose_mgy",)),
        "c": (None, ()),
    }


def test_implausible_exams_and_other_kinds_are_left_out_and_the_list_is_bounded(mart: Mart) -> None:
    rows: list[dict[str, Any]] = [
        {"exam_id": f"{number:02d}", "peak_skin_dose_mgy": 100.0 + number} for number in range(30)
    ]
    rows += [{"plausible": False, "reference_air_kerma_mgy": 1e6}, {"kind": "ct", "reference_air_kerma_mgy": 1e4}]
    found = _found(mart, rows, most=5)
    assert [one.exam_id for one in found.largest] == ["29", "28", "27", "26", "25"]
    assert found.triggered == 0
    assert len(found.implausible) == 1


def test_a_mart_without_exams_has_no_skin_doses(tmp_path: Path) -> None:
    assert skin_doses(mart_table(tmp_path)) == SkinDoses((), 0, ())


def test_a_kerma_of_ten_times_the_procedures_median_is_listed_with_that_mark(mart: Mart) -> None:
    rows = [{"exam_id": f"usual {n}", "reference_air_kerma_mgy": 700.0 + n, "fluoro_time_s": 1900.0} for n in range(6)]
    rows += [{"exam_id": "odd", "reference_air_kerma_mgy": 20_000.0}]
    rows += [{"exam_id": "rare", "procedure": "rf-ercp", "reference_air_kerma_mgy": 20_000.0}]
    found = {one.exam_id: one.times_median for one in _found(mart, rows).largest}
    assert found.pop("odd") == 20_000.0 / 703.0
    # Of a procedure with a single exam nothing says what is usual.
    assert set(found.values()) == {None}


def test_implausible_exams_beyond_a_trigger_are_named_and_not_ranked(mart: Mart) -> None:
    rows = [
        {"exam_id": "wrong", "plausible": False, "reference_air_kerma_mgy": 76_000.0},
        {"exam_id": "small and wrong", "plausible": False, "fluoro_time_s": -5.0},
        {"exam_id": "right", "reference_air_kerma_mgy": 3100.0},
    ]
    found = _found(mart, rows)
    assert [one.exam_id for one in found.largest] == ["right"]
    assert found.implausible == ("wrong",)
