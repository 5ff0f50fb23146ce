"""Stated and corrected values of each device side by side, with the certificates that make the difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from doseatlas.analysis import mart_table
from doseatlas.analysis.displays import device_displays

Mart = Callable[[Any], Path]


def _rows(device: str, factor: float, calibration: str, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "device": device,
            "calibration": calibration,
            "dlp_mgy_cm": dlp,
            "dlp_corrected_mgy_cm": factor * dlp,
            "dlp_relative_uncertainty": 0.03 if factor != 1 else 0.115,
            **more,
        }
        for dlp in (400.0, 500.0, 600.0)
    ]


def test_each_device_has_its_stated_and_corrected_median_and_the_certificates(mart: Mart) -> None:
    rows = [
        *_rows("A", 1.1, "C-1"),
        *_rows("A", 1.2, "C-2", phantom_cm=32),
        *_rows("B", 1.0, "display tolerance"),
        *_rows("C", 1.3, "C-3", plausible=False),
    ]
    found = device_displays(mart_table(mart(rows)))
    assert [(one.device, one.phantom_cm, one.exams, one.certificates) for one in found] == [
        ("A", 16, 3, ("C-1",)),
        ("A", 32, 3, ("C-2",)),
        ("B", 16, 3, ("display tolerance",)),
    ]
    assert found[0].stated == 500.0
    assert found[0].corrected == pytest.approx(550.0)
    assert found[0].relative_uncertainty == pytest.approx(0.03)
    assert {one.quantity for one in found} == {"dlp_mgy_cm"}


def test_each_quantity_names_its_own_certificates(mart: Mart) -> None:
    text = "kap_gy_cm2: C-1; reference_air_kerma_mgy: display tolerance"
    row: dict[str, Any] = {"kind": "projection", "phantom_cm": None, "calibration": text}
    for name, corrected in (
        ("kap", "kap_corrected_gy_cm2"),
        ("reference_air_kerma", "reference_air_kerma_corrected_mgy"),
    ):
        row |= {corrected.replace("_corrected", ""): 2.0, corrected: 2.2, f"{name}_relative_uncertainty": 0.05}
    found = device_displays(mart_table(mart([row])))
    assert [(one.quantity, one.phantom_cm, one.certificates) for one in found] == [
        ("kap_gy_cm2", None, ("C-1",)),
        ("reference_air_kerma_mgy", None, ("display tolerance",)),
    ]


def test_without_a_certificate_there_is_nothing_to_show(mart: Mart) -> None:
    assert device_displays(mart_table(mart(_rows("B", 1.0, "display tolerance")))) == ()
    assert device_displays(mart_table(mart([]))) == ()
