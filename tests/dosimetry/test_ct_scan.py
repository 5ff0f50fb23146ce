"""SSDE along z follows size and tube current; its mean is over the length, and images left out are counted."""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dosimetry.phantoms import INTERCEPT, PIXEL_MM, Ellipse, hounsfield, stored

from doseatlas.dosimetry import (
    DosimetryError,
    MeasuredImage,
    NotEstimated,
    PatientSize,
    ScanProfile,
    body_section,
    dlp_by_region,
    overscan_flag,
    overscan_mm,
    profile_of_measured,
    size_factor,
    size_of_measured,
)

THIN, WIDE = (stored(hounsfield([Ellipse(a, b)])) for a, b in ((120, 90), (180, 130)))
THIN_MM, WIDE_MM = 2 * sqrt(120 * 90), 2 * sqrt(180 * 130)


class Image(NamedTuple):
    """An axial image with its pixels."""

    z_mm: float
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.int16]]
    pixel_spacing_mm: tuple[float, float] | None = (PIXEL_MM, PIXEL_MM)
    rescale_slope: float | None = 1.0
    ctdi_vol_mgy: float | None = None
    tube_current_ma: float | None = None


def image(z_mm: float, pixels: np.ndarray[tuple[int, ...], np.dtype[np.int16]] = THIN, **more: Any) -> Image:
    return Image(z_mm, pixels, **more)


def measured(one: Image) -> MeasuredImage:
    section = body_section(
        one.pixels,
        pixel_spacing_mm=one.pixel_spacing_mm,
        rescale_slope=one.rescale_slope,
        rescale_intercept=INTERCEPT,
    )
    if isinstance(section, NotEstimated):
        return MeasuredImage(one.z_mm, section, one.ctdi_vol_mgy, one.tube_current_ma)
    size = PatientSize(
        diameter_mm=section.water_equivalent_diameter_mm,
        relative_standard_uncertainty=section.relative_standard_uncertainty,
        method="water-equivalent diameter from axial images",
        source="",
        flags=section.flags,
    )
    return MeasuredImage(one.z_mm, size, one.ctdi_vol_mgy, one.tube_current_ma)


def scan_profile(
    images: list[Image], ctdi: float | None = 10.0, phantom: int | None = 32
) -> ScanProfile | NotEstimated:
    measured_images = [measured(one) for one in images]
    return profile_of_measured(measured_images, ctdi_vol_mgy=ctdi, phantom_cm=phantom, region="body")


def profile(images: list[Image], ctdi: float | None = 10.0) -> ScanProfile:
    found = scan_profile(images, ctdi)
    assert isinstance(found, ScanProfile), found
    return found


def factor(diameter_mm: float) -> float:
    found = size_factor(diameter_mm, 32, "body")
    assert found is not None
    return found


def test_the_mean_is_over_z_and_the_centre_is_the_middle_of_the_range() -> None:
    found = profile([image(20, WIDE), image(0), image(10, WIDE)])
    assert [point.z_mm for point in found.points] == [0, 10, 20]
    assert found.mean.value == pytest.approx(10 * (factor(THIN_MM) + 2 * factor(WIDE_MM)) / 3, rel=2e-3)
    assert found.central.ssde.value == pytest.approx(10 * factor(WIDE_MM), rel=2e-3)
    assert found.mean_diameter_mm == pytest.approx((THIN_MM + 2 * WIDE_MM) / 3, rel=5e-3)
    size = size_of_measured([measured(one) for one in (image(20, WIDE), image(0), image(10, WIDE))])
    assert isinstance(size, PatientSize)
    assert size.diameter_mm == found.mean_diameter_mm
    assert found.central.size.diameter_mm == pytest.approx(WIDE_MM, rel=5e-3)
    assert found.mean.method == (
        "mean of SSDE(z) over 3 images, water-equivalent diameter from axial images, CTDIvol of the scan"
    )


def test_images_far_apart_stand_for_more_of_the_scan() -> None:
    found = profile([image(0), image(10), image(50, WIDE)])
    weights = np.array([10, 25, 40]) / 75
    values = 10 * np.array([factor(THIN_MM), factor(THIN_MM), factor(WIDE_MM)])
    assert found.mean.value == pytest.approx(float(weights @ values), rel=2e-3)


def test_tube_current_modulation_is_followed_and_a_ctdi_of_each_image_comes_first() -> None:
    images = [image(0, tube_current_ma=100), image(10, tube_current_ma=300)]
    assert [point.ctdi_vol_mgy for point in profile(images).points] == [5.0, 15.0]
    images = [image(0, tube_current_ma=100, ctdi_vol_mgy=4), image(10, tube_current_ma=300, ctdi_vol_mgy=6)]
    found = profile(images, ctdi=None)
    assert [point.ctdi_vol_mgy for point in found.points] == [4.0, 6.0]
    assert "of each image" in found.mean.method


def test_one_ctdi_in_all_images_is_that_of_the_scan_and_the_tube_current_says_how_it_goes() -> None:
    images = [image(0, tube_current_ma=100, ctdi_vol_mgy=8), image(10, tube_current_ma=300, ctdi_vol_mgy=8)]
    found = profile(images, ctdi=None)
    assert [point.ctdi_vol_mgy for point in found.points] == [4.0, 12.0]
    assert "by the tube current" in found.dose
    without = profile([one._replace(tube_current_ma=None) for one in images], ctdi=None)
    assert [point.ctdi_vol_mgy for point in without.points] == [8.0, 8.0]


def test_the_mean_ctdi_along_z_is_that_of_the_scan_however_the_images_lie() -> None:
    images = [image(z, tube_current_ma=100) for z in range(5)] + [image(10 * n, tube_current_ma=400) for n in (2, 4)]
    found = profile(images)
    lengths = [1, 1, 1, 1, 8.5, 18, 20]
    along = sum(length * point.ctdi_vol_mgy for length, point in zip(lengths, found.points, strict=True))
    assert along / sum(lengths) == pytest.approx(10.0)


def test_a_second_reconstruction_at_the_same_place_does_not_count_twice() -> None:
    assert len(profile([image(0), image(0, WIDE), image(10)]).points) == 2


def test_an_image_that_gives_no_diameter_is_left_out_and_said() -> None:
    broken = image(10)._replace(rescale_slope=None)
    found = profile([image(0), broken, image(20)])
    assert [(z, reason.code) for z, reason in found.left_out] == [(10, "rescale-not-stated")]
    assert [flag.code for flag in found.mean.flags] == ["images-left-out"]


@pytest.mark.parametrize("images", [[], [image(0)._replace(pixel_spacing_mm=None)], [image(float("nan"))]])
def test_without_a_usable_image_there_is_no_profile(images: list[Image]) -> None:
    found = scan_profile(images)
    assert isinstance(found, NotEstimated)
    assert found.code == "size-not-known"


def test_without_phantom_or_ctdi_there_is_no_profile() -> None:
    for ctdi, phantom, code in ((None, 32, "not-stated"), (10.0, None, "phantom-not-stated")):
        found = scan_profile([image(0)], ctdi, phantom)
        assert isinstance(found, NotEstimated)
        assert found.code == code


def measured_at_places(*currents: float | None) -> list[MeasuredImage]:
    nothing = NotEstimated(quantity="water_equivalent_diameter_mm", code="no-body", message="")
    return [MeasuredImage(10.0 * n, nothing, None, current) for n, current in enumerate(currents)]


def test_a_scan_over_two_regions_is_split_by_z_where_the_border_is_known() -> None:
    images = measured_at_places(100, 100, 300, 300)
    parts, outside, dose = dlp_by_region(images, 800.0, 32, [("abdomen", 0.0, 14.0), ("chest", 16.0, 25.0)])
    assert [sorted(part.regions) for part in parts] == [["abdomen"], ["chest"]]
    assert [part.dlp_mgy_cm for part in parts] == pytest.approx([200.0, 600.0])
    assert outside == pytest.approx(3 / 8)
    assert "tube current" in dose
    even, _, dose = dlp_by_region(
        measured_at_places(100, None, 300, 300), 800.0, 32, [("chest", 0, 5), ("neck", 6, 40)]
    )
    assert [part.dlp_mgy_cm for part in even] == pytest.approx([200.0, 600.0])
    assert dose == "length alone"


def test_without_a_range_or_images_or_dose_nothing_is_split() -> None:
    dark = [one._replace(ctdi_vol_mgy=0.0) for one in measured_at_places(None, None)]
    for images, ranges in ((measured_at_places(1.0), []), ([], [("chest", 0, 9)]), (dark, [("chest", 0, 9)])):
        with pytest.raises(DosimetryError, match=r"split by z"):
            dlp_by_region(images, 800.0, 32, ranges)


@given(st.lists(st.floats(1, 500), min_size=1, max_size=20), st.floats(-50, 250))
def test_the_parts_of_a_split_dlp_add_up_to_it(currents: list[float], border: float) -> None:
    parts, _, _ = dlp_by_region(
        measured_at_places(*currents), 500.0, 32, [("abdomen", -1000, border), ("chest", border, 1000)]
    )
    assert sum(part.dlp_mgy_cm for part in parts) == pytest.approx(500.0)


def test_overscan_is_what_is_irradiated_beyond_the_images_and_the_helix() -> None:
    assert overscan_mm(350, 0, 295, 5) == pytest.approx(50)
    assert overscan_mm(None, 0, 295, 5) is None
    assert overscan_mm(200, 0, 295, 5) is None
    assert overscan_flag(50, 40, 1.0) is None
    flag = overscan_flag(150, 40, 1.0)
    assert flag is not None
    assert flag.code == "overscan"
    assert overscan_flag(None, 40, 1.0) is None
