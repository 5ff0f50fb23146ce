"""The SSDE of a scan is the mean of SSDE(z) over its images, whose dose is believed where it is that of the scan."""

from __future__ import annotations

from typing import Any

import pytest

from doseatlas.dosimetry import Estimate, ImageSizes, NotEstimated, Place, size_factor
from doseatlas.dosimetry.image_sizes import Width
from doseatlas.dosimetry.scan_ssde import ScanDose, ScanSsde, ssde_of_scan
from doseatlas.model import Event, Patient

TEN_ON_32 = ScanDose(10.0, 32)
PATIENT = Patient(age_years=50.0, height_cm=175.0, weight_kg=75.0)


def place(z_mm: int, diameter_mm: float, **more: Any) -> Place:
    return Place(series="1", cell=z_mm // 5, missed_by_mm=0.0, diameter_mm=diameter_mm, **more)


def factor(diameter_mm: float) -> float:
    found = size_factor(diameter_mm, 32, "body")
    assert found is not None
    return found


def found(*places: Place, dose: ScanDose = TEN_ON_32, alone: bool = True, **of_scan: Any) -> ScanSsde:
    one = outcome(*places, dose=dose, alone=alone, **of_scan)
    assert isinstance(one, ScanSsde), one
    return one


def outcome(*places: Place, dose: ScanDose = TEN_ON_32, alone: bool = True, **of_scan: Any) -> ScanSsde | NotEstimated:
    scan = Event(**({"event_uid": "1.9"} | of_scan))
    return ssde_of_scan(scan, PATIENT, "body", dose, ImageSizes(places=places), alone=alone)


def codes(estimate: Estimate) -> list[str]:
    return [flag.code for flag in estimate.flags]


def test_without_a_dose_in_the_images_it_is_that_of_the_scan_at_each_place() -> None:
    one = found(place(0, 200.0), place(5, 260.0), place(10, 350.0))
    assert one.ssde.value == pytest.approx(10 * (factor(200) + factor(260) + factor(350)) / 3)
    assert one.central_ssde_mgy == pytest.approx(10 * factor(260))
    assert one.diameter_mm == pytest.approx(270.0)
    assert one.central_diameter_mm == 260.0
    assert codes(one.ssde) == []


def test_the_tube_current_of_the_images_says_how_the_dose_of_the_scan_goes() -> None:
    one = found(place(0, 200.0, tube_current_ma=100.0), place(5, 300.0, tube_current_ma=300.0))
    assert one.ssde.value == pytest.approx((5 * factor(200) + 15 * factor(300)) / 2)
    assert "tube current" in one.ssde.method


def test_the_dose_of_each_image_comes_first_and_is_corrected_as_that_of_the_scan() -> None:
    stated = (place(0, 200.0, ctdi_vol_mgy=8.0, phantom_cm=32), place(5, 300.0, ctdi_vol_mgy=12.0, phantom_cm=32))
    one = found(*stated, dose=ScanDose(10.0, 32, 1.1, 0.05))
    assert one.ssde.value == pytest.approx(1.1 * (8 * factor(200) + 12 * factor(300)) / 2)
    assert one.ssde.relative_standard_uncertainty > 0.05
    only = found(*stated, dose=ScanDose(None, None))
    assert only.ssde.value == pytest.approx((8 * factor(200) + 12 * factor(300)) / 2)


@pytest.mark.parametrize(
    "wrong",
    [{"ctdi_vol_mgy": 20.0, "phantom_cm": 32}, {"ctdi_vol_mgy": 10.0, "phantom_cm": 16}, {"ctdi_vol_mgy": 5.0}],
)
def test_images_whose_ctdi_is_not_that_of_the_report_give_only_the_size_flagged(wrong: dict[str, Any]) -> None:
    one = found(place(0, 200.0, **wrong), place(5, 300.0, **wrong))
    assert one.ssde.value == pytest.approx(10 * (factor(200) + factor(300)) / 2)
    assert codes(one.ssde) == ["ctdi-of-images-differs"]


def test_images_on_both_phantoms_are_never_added() -> None:
    both = (place(0, 200.0, ctdi_vol_mgy=10.0, phantom_cm=32), place(5, 200.0, ctdi_vol_mgy=10.0, phantom_cm=16))
    assert codes(found(*both).ssde) == ["ctdi-of-images-differs"]
    without = outcome(*both, dose=ScanDose(None, None))
    assert isinstance(without, NotEstimated)
    assert without.code in ("not-stated", "phantom-not-stated")


def test_images_that_state_a_dose_at_some_places_only_give_the_size() -> None:
    one = found(place(0, 200.0, ctdi_vol_mgy=4.0, phantom_cm=32), place(5, 300.0))
    assert one.ssde.value == pytest.approx(10 * (factor(200) + factor(300)) / 2)


def test_images_of_other_scans_give_the_size_and_not_the_dose() -> None:
    other = (
        place(0, 200.0, tube_current_ma=100.0, event_uid="1.8"),
        place(5, 300.0, tube_current_ma=300.0, event_uid="1.8"),
    )
    one = found(*other)
    assert one.ssde.value == pytest.approx(10 * (factor(200) + factor(300)) / 2)
    assert codes(one.ssde) == ["size-of-other-images"]
    of_two = found(place(0, 200.0, tube_current_ma=100.0), place(5, 300.0, tube_current_ma=300.0), alone=False)
    assert of_two.ssde.value == pytest.approx(10 * (factor(200) + factor(300)) / 2)


def test_a_stated_diameter_comes_before_images_of_other_scans_and_after_those_of_its_own() -> None:
    own, other = place(0, 200.0, event_uid="1.9"), place(0, 200.0, event_uid="1.8")
    assert found(own, water_equivalent_diameter_mm=250.0).diameter_mm == 200.0
    stated = found(other, water_equivalent_diameter_mm=250.0)
    assert (stated.diameter_mm, stated.central_diameter_mm) == (250.0, None)
    assert "as stated" in stated.ssde.method


def test_images_without_any_diameter_leave_it_to_localisers_and_to_height_and_weight() -> None:
    blank = place(0, 0.0, flags=("no-body",))
    assert "body mass index" in found(blank).ssde.method
    views = tuple(Width(series="2", view=view, cell=1, width_mm=300.0) for view in ("frontal", "lateral"))
    scan = ScanDose(10.0, 32)
    one = ssde_of_scan(Event(), PATIENT, "body", scan, ImageSizes(places=(blank,), widths=views), alone=True)
    assert isinstance(one, ScanSsde)
    assert one.diameter_mm == pytest.approx(300.0)
    head = ssde_of_scan(Event(), PATIENT, "head", ScanDose(10.0, 16), None, alone=True)
    assert isinstance(head, NotEstimated)
    assert head.code == "size-not-known"


def test_places_without_a_diameter_and_flags_of_images_are_counted() -> None:
    one = found(place(0, 0.0, flags=("no-body",)), place(5, 300.0, flags=("metal",)), place(10, 300.0))
    assert codes(one.ssde) == ["metal", "images-left-out"]
