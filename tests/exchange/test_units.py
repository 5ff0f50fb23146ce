"""Doses in another unit than their column's name states are found, however few exams a month has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.exchange.sketch import Weighted
from doseatlas.exchange.units import Months, unit_findings

CHEST = st.lists(st.lists(st.floats(2, 30), min_size=1, max_size=9), min_size=1, max_size=14)


def months(quantity: str, values: Sequence[Sequence[float]], facility: str = "one") -> Months:
    """Return the values of one month after another of chest CTs."""
    by_month = {
        f"{2024 + i // 12}-{1 + i % 12:02d}": Weighted(np.sort(np.array(part)), np.ones(len(part)))
        for i, part in enumerate(values)
    }
    return Months(facility, "ct-chest", quantity, by_month)


@given(CHEST)
def test_ctdi_vol_in_gy_is_always_found_and_in_mgy_never(values: list[list[float]]) -> None:
    assert not list(unit_findings([months("ctdi_vol_mgy", values)]))
    (finding,) = unit_findings([months("ctdi_vol_mgy", [[value / 1000 for value in part] for part in values])])
    assert "It looks like Gy: multiply by 1000." in finding


@given(CHEST, st.booleans())
def test_dlp_over_ctdi_vol_must_be_a_length_however_few_exams(values: list[list[float]], dlp_is_wrong: bool) -> None:
    dlp = [[value * 35 for value in part] for part in values]
    assert not list(unit_findings([months("ctdi_vol_mgy", values), months("dlp_mgy_cm", dlp)]))
    if dlp_is_wrong:
        dlp = [[value / 1000 for value in part] for part in dlp]
    else:
        values = [[value / 1000 for value in part] for part in values]
    findings = list(unit_findings([months("ctdi_vol_mgy", values), months("dlp_mgy_cm", dlp)]))
    assert "one of them is in another unit" in findings[-1]


def test_a_month_in_another_unit_among_right_ones_is_named() -> None:
    right = [[6.0, 7.0, 8.0, 9.0, 10.0]] * 10
    assert "of 4 exams in 2024-06 is" in next(
        unit_findings([months("ctdi_vol_mgy", [*right[:5], [0.006, 0.007, 0.008, 0.009], *right[5:]])])
    )
    (finding,) = unit_findings([months("ctdi_vol_mgy", [*right[:5], [0.2] * 5, *right[5:]])])
    assert "of 5 exams in 2024-06 is 0.2; medians lie from 0.3 to 300. Check the unit." in finding
    assert "looks" not in finding


def test_a_few_unusual_exams_are_no_finding() -> None:
    right = [[6.0, 7.0, 8.0, 9.0, 10.0]] * 5
    assert not list(unit_findings([months("ctdi_vol_mgy", [*right, [0.2] * 4])]))


@pytest.mark.parametrize("quantity", ["fluoro_time_s", "kap_gy_cm2"])
def test_a_dose_of_nothing_is_no_sign_of_a_unit(quantity: str) -> None:
    assert not list(unit_findings([months(quantity, [[0.0] * 20])]))


def test_of_several_facilities_the_one_is_named() -> None:
    (finding,) = unit_findings([months("agd_mgy", [[1.5] * 9], "a"), months("agd_mgy", [[0.0015] * 9], "b")])
    assert finding.startswith("column agd_mgy, ct-chest of b: the median of 9 exams")
