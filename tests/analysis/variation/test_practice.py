"""What goes with a high dose, and the three habits of the coordinated studies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doseatlas.analysis import Selection, mart_table
from doseatlas.analysis.drl import Draws
from doseatlas.analysis.variation import (
    adult_protocols_on_children,
    drivers,
    load_device_years,
    multiphase_scans,
    reduced_dose_use,
)
from doseatlas.analysis.variation.habits import driver_rows
from doseatlas.analysis.variation.practice import reduced_dose_rows
from doseatlas.model import TableError

Mart = Callable[..., Path]
ALL = Selection()


def test_the_factors_of_the_dose_share_its_variance_exactly(mart: Mart) -> None:
    rng = np.random.default_rng(1)
    rows = []
    for f in range(40):
        ctdi, length, phases = np.exp(rng.normal(3, 0.4)), np.exp(rng.normal(5.5, 0.2)), rng.integers(1, 4)
        habits = {"ctdi_vol_mgy": ctdi, "scan_length_mm": length, "phase_count": int(phases), "kvp": 120.0}
        maker = {"manufacturer": "B" if ctdi > 20 else "A", "dlp_mgy_cm": ctdi * length * int(phases)}
        rows += [{"facility": f"F{f:02}", **habits, **maker}] * 10
    found = {one.name: one for one in drivers(mart_table(mart(rows)), ALL, "dlp_mgy_cm", draws=Draws(100, 1))}
    factors = [found[name].explained for name in ("CTDIvol", "scan length", "number of phases")]
    assert sum(factors) == pytest.approx(1, abs=1e-9)
    assert found["CTDIvol"].direction == found["number of phases"].direction == "more"
    assert found["manufacturer"].explained > 0.1
    assert "tube voltage" not in found  # it is the same everywhere
    assert "patient weight" not in found  # nobody states it
    low, high = found["CTDIvol"].low, found["CTDIvol"].high
    assert low is not None
    assert high is not None
    assert low < found["CTDIvol"].explained < high


def test_the_year_of_installation_comes_from_a_list_of_devices(mart: Mart) -> None:
    rows = [{"device": f"{i}", "dlp_mgy_cm": 1000.0 - 40 * i} for i in range(10) for _ in range(10)]
    years = {f"General Hospital / {i}": 2008 + i for i in range(10)}
    (one,) = drivers(mart_table(mart(rows)), ALL, "dlp_mgy_cm", device_years=years, draws=Draws(100, 1))
    assert (one.name, one.direction, one.units) == ("year of installation", "less", 10)
    assert one.explained > 0.9


def test_the_years_of_devices_are_read_from_a_sheet(tmp_path: Path) -> None:
    sheet = tmp_path / "years.csv"
    sheet.write_text("facility,device,year\nA,CT 1,2019\nB,CT 1,2007\n")
    assert load_device_years(sheet) == {"A / CT 1": 2019, "B / CT 1": 2007}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("facility,device\nA,CT\n", "missing columns year"),
        (
            "facility,device,year\nA,CT,2019\nA,CT,2020\n",
            "line 3: the device 'A / CT' is not named whole",
        ),
        ("facility,device,year\nA,CT,new\n", "line 2, column year: 'new' is no year of installation"),
        ("facility,device,year\nA,CT,19\n", "'19' is no year"),
    ],
)
def test_a_wrong_sheet_of_years_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "years.csv").write_text(text)
    with pytest.raises(TableError, match=message):
        load_device_years(tmp_path / "years.csv")


def test_every_driver_and_every_reduced_dose_has_a_source() -> None:
    assert all(row.source for row in driver_rows())
    assert all(row.source for row in reduced_dose_rows())


def child(facility: str, adult: bool | None, dose: float) -> dict[str, Any]:
    return {
        "facility": facility,
        "patient_group": "child-age-1-6y",
        "adult_protocol_on_child": adult,
        "dlp_mgy_cm": dose,
    }


def test_adult_protocols_on_children_are_counted_with_what_they_cost(mart: Mart) -> None:
    rows = [child("A", True, 600.0)] * 5 + [child("A", False, 300.0)] * 15 + [child("B", False, 300.0)] * 9
    rows += [child("D", True, 600.0)] * 4 + [child("D", False, 300.0)] * 36
    rows += (
        [child("C", True, 500.0)] * 2 + [child("A", None, 1.0)] + [{"facility": "A", "adult_protocol_on_child": True}]
    )
    first, second, third = adult_protocols_on_children(mart_table(mart(rows)), ALL)
    assert (first.facility, first.share, first.dose_ratio) == ("C", 1, None)
    assert (second.facility, second.children, second.on_adult_protocol, second.dose_ratio) == ("A", 20, 5, 2.0)
    assert (third.facility, third.share, third.dose_ratio) == ("D", 0.1, None)


def test_more_phases_than_suffice_elsewhere_cost_what_the_urography_study_found(mart: Mart) -> None:
    def urography(facility: str, phases: int, dose: float, n: int = 10) -> list[dict[str, Any]]:
        row = {"facility": facility, "procedure": "ct-urography", "phantom_cm": 32}
        return [{**row, "phase_count": phases, "dlp_mgy_cm": dose}] * n

    rows = [row for f in "ABC" for row in urography(f, 2, 740.0)]
    rows += (
        urography("D", 2, 740.0, 5)
        + urography("D", 3, 1793.0, 20)
        + urography("E", 4, 3618.0)
        + urography("F", 6, 1.0, 3)
    )
    found = {one.facility: one for one in multiphase_scans(mart_table(mart(rows)), ALL)}
    assert set(found) == {"D", "E"}
    assert (found["D"].sufficient, found["D"].share, found["E"].share) == (2, 0.8, 1)
    assert found["D"].dose_ratio == pytest.approx(2.42, abs=0.01)
    assert found["E"].dose_ratio is None


def test_two_facilities_cannot_say_how_many_phases_suffice(mart: Mart) -> None:
    rows = [{"facility": f, "phase_count": p, "dlp_mgy_cm": 1.0} for f, p in (("A", 1), ("B", 4)) for _ in range(10)]
    assert multiphase_scans(mart_table(mart(rows)), ALL) == ()


def test_reduced_dose_is_known_by_dose_or_by_name(mart: Mart) -> None:
    def stones(facility: str, dose: float, protocol: str | None, n: int) -> list[dict[str, Any]]:
        row = {"facility": facility, "procedure": "ct-kidneys-ureters-bladder", "phantom_cm": 32}
        return [{**row, "dlp_mgy_cm": dose, "protocol": protocol}] * n

    rows = stones("A", 516.0, "ABDOMEN ROUTINE", 12) + stones("B", 180.0, None, 6) + stones("B", 500.0, "KUB", 6)
    rows += stones("C", 260.0, "KUB LOW DOSE", 12) + stones("D", 100.0, "KUB", 9)
    found = reduced_dose_use(mart_table(mart(rows)), ALL)
    assert [(one.facility, one.used, one.share, one.by_name) for one in found] == [
        ("A", False, 0.0, 0),
        ("B", True, 0.5, 0),
        ("C", True, 1.0, 12),
    ]
