"""Water phantoms give their analytic diameter within 0.5 %, whatever lies around them; bad images are refused."""

from __future__ import annotations

from importlib import import_module
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.dosimetry.phantoms import INTERCEPT, PIXEL_MM, Ellipse, Table, hounsfield, stored

from doseatlas.dosimetry import BodySection, NotEstimated, body_section

BODY = Ellipse(170, 110)
BODY_MM = 2 * sqrt(170 * 110)
TOLERANCE = 0.005


def measured(pixels: npt.NDArray[Any]) -> BodySection:
    found = body_section(pixels, pixel_spacing_mm=(PIXEL_MM, PIXEL_MM), rescale_slope=1.0, rescale_intercept=INTERCEPT)
    assert isinstance(found, BodySection), found
    return found


@pytest.mark.parametrize("radius_mm", [40, 60, 80, 100, 160, 200])
def test_a_water_cylinder_has_its_own_diameter(radius_mm: float) -> None:
    found = measured(stored(hounsfield([Ellipse(radius_mm, radius_mm)])))
    assert found.water_equivalent_diameter_mm == pytest.approx(2 * radius_mm, rel=TOLERANCE)
    assert found.effective_diameter_mm == pytest.approx(2 * radius_mm, rel=0.01)
    assert not found.flags


@pytest.mark.parametrize(("a_mm", "b_mm"), [(110, 80), (170, 110), (210, 150)])
@pytest.mark.parametrize("blur", [False, True])
def test_a_water_ellipse_has_the_diameter_of_the_circle_of_its_area(a_mm: float, b_mm: float, blur: bool) -> None:
    found = measured(stored(hounsfield([Ellipse(a_mm, b_mm)], blur=blur)))
    assert found.water_equivalent_diameter_mm == pytest.approx(2 * sqrt(a_mm * b_mm), rel=TOLERANCE)


def test_lungs_and_gas_count_with_their_attenuation() -> None:
    lungs = [Ellipse(50, 70, -800, -70), Ellipse(50, 70, -800, 70)]
    found = measured(stored(hounsfield([BODY, *lungs])))
    assert found.water_equivalent_diameter_mm == pytest.approx(2 * sqrt(170 * 110 - 2 * 0.8 * 50 * 70), rel=TOLERANCE)
    assert found.effective_diameter_mm == pytest.approx(BODY_MM, rel=0.01)
    gas = measured(stored(hounsfield([BODY, Ellipse(30, 40, -1000, 0, -30)])))
    assert gas.water_equivalent_diameter_mm == pytest.approx(2 * sqrt(170 * 110 - 30 * 40), rel=TOLERANCE)


def test_metal_counts_by_its_hounsfield_units_and_is_flagged() -> None:
    found = measured(stored(hounsfield([BODY, Ellipse(10, 10, 3000, 60)])))
    assert found.water_equivalent_diameter_mm == pytest.approx(2 * sqrt(170 * 110 + 3 * 100), rel=TOLERANCE)
    assert [flag.code for flag in found.flags] == ["metal"]
    assert found.relative_standard_uncertainty > measured(stored(hounsfield([BODY]))).relative_standard_uncertainty


@pytest.mark.parametrize("gap_mm", [20.0, 5.0, 1.0, 0.0, -2.0])
@pytest.mark.parametrize("thickness_mm", [3.0, 15.0, 40.0])
@pytest.mark.parametrize("hu", [-300.0, 200.0])
def test_a_table_does_not_count_with_an_air_gap_or_without(gap_mm: float, thickness_mm: float, hu: float) -> None:
    image = hounsfield([BODY], Table(110 + gap_mm, thickness_mm, hu=hu))
    assert measured(stored(image)).water_equivalent_diameter_mm == pytest.approx(BODY_MM, rel=TOLERANCE)


@pytest.mark.parametrize("gap_mm", [5.0, 0.0])
@pytest.mark.parametrize(
    "table",
    [
        Table(0, 35, shell_mm=3),
        Table(0, 35, half_width_mm=150, shell_mm=3),
        Table(0, 15, curvature_per_mm=0.0005),
        Table(0, 20, half_width_mm=120),
    ],
    ids=["sandwich", "sandwich narrower than the body", "cradle", "slab narrower than the body"],
)
def test_tables_of_other_shapes_do_not_count(table: Table, gap_mm: float) -> None:
    image = hounsfield([BODY], table._replace(top_mm=110 + gap_mm))
    assert measured(stored(image)).water_equivalent_diameter_mm == pytest.approx(BODY_MM, rel=TOLERANCE)


@pytest.mark.parametrize("gap_mm", [5.0, 0.0])
def test_a_small_child_is_found_on_a_table_that_is_larger_than_the_child(gap_mm: float) -> None:
    image = hounsfield([Ellipse(60, 50)], Table(50 + gap_mm, 20))
    assert measured(stored(image)).water_equivalent_diameter_mm == pytest.approx(2 * sqrt(60 * 50), rel=TOLERANCE)


def test_arms_and_legs_count_and_a_tube_beside_the_patient_does_not() -> None:
    arms = [Ellipse(35, 40, 0, -170, 30), Ellipse(35, 40, 0, 170, 30)]
    tube = Ellipse(3, 3, 300, 0, -150)
    found = measured(stored(hounsfield([Ellipse(125, 90), *arms, tube])))
    assert found.water_equivalent_diameter_mm == pytest.approx(2 * sqrt(125 * 90 + 2 * 35 * 40), rel=TOLERANCE)
    legs = measured(stored(hounsfield([Ellipse(70, 75, 0, -90), Ellipse(70, 75, 0, 90)], Table(90, 20))))
    assert legs.water_equivalent_diameter_mm == pytest.approx(2 * sqrt(2 * 70 * 75), rel=TOLERANCE)


TRUNCATED = [Ellipse(250, 170), Ellipse(240, 160, 0, 10), Ellipse(200, 150, 0, 80), Ellipse(180, 140, 0, 0, 100)]


@pytest.mark.parametrize("body", TRUNCATED, ids=str)
@pytest.mark.parametrize("padding", [None, 0, -2000], ids=["square", "round, padded with air", "round, padded lower"])
def test_a_truncated_body_is_completed_and_flagged(body: Ellipse, padding: int | None) -> None:
    found = measured(stored(hounsfield([body]), padding))
    assert found.water_equivalent_diameter_mm == pytest.approx(2 * sqrt(body.a_mm * body.b_mm), rel=TOLERANCE)
    assert [flag.code for flag in found.flags] == ["truncation-corrected"]
    assert found.truncated_share > 0.1


def test_a_truncated_body_that_is_no_ellipse_is_flagged_as_too_small() -> None:
    arms = [Ellipse(60, 60, 0, -200, -30), Ellipse(60, 60, 0, 200, -30)]
    found = measured(stored(hounsfield([Ellipse(120, 100), *arms])))
    assert [flag.code for flag in found.flags] == ["truncated"]
    assert found.relative_standard_uncertainty > 0.05


def test_a_body_beyond_all_sides_of_the_image_is_refused() -> None:
    found = body_section(
        stored(hounsfield([Ellipse(400, 400)])),
        pixel_spacing_mm=(PIXEL_MM, PIXEL_MM),
        rescale_slope=1.0,
        rescale_intercept=INTERCEPT,
    )
    assert isinstance(found, NotEstimated)
    assert found.code == "truncated"


@pytest.mark.nightly
def test_of_random_bodies_on_random_tables_all_but_a_few_are_within_tolerance() -> None:
    random = np.random.default_rng(0)
    errors = []
    for _ in range(300):
        a = random.uniform(45, 200)
        body = Ellipse(a, random.uniform(0.6, 0.95) * a, random.uniform(-20, 60), *random.uniform(-15, 15, 2))
        lung = Ellipse(0.28 * a, 0.6 * body.b_mm, -850, body.x_mm - 0.45 * a, body.y_mm)
        parts = [body, lung, lung._replace(x_mm=body.x_mm + 0.45 * a)][: random.choice([1, 3])]
        water = sum(
            (part.hu + 1000 if part is body else part.hu - body.hu) / 1000 * part.a_mm * part.b_mm for part in parts
        )
        table = Table(
            body.y_mm + body.b_mm + random.choice([0, 0, 1, 3, 8, 20]),
            random.uniform(2, 40),
            random.uniform(100, 225),
            random.uniform(-350, 300),
            (None, 3.0)[random.integers(2)],
            random.choice([0, 0.0004]),
        )
        image = hounsfield(parts, table, noise_hu=random.choice([5, 15, 40, 80]), blur=bool(random.integers(2)))
        found = measured(stored(image, (None, 0, -2000)[random.integers(3)]))
        errors.append(abs(found.water_equivalent_diameter_mm / (2 * sqrt(water)) - 1))
    assert np.mean(np.array(errors) > TOLERANCE) <= 0.02
    assert np.max(errors) < 0.05


GOOD: dict[str, Any] = {
    "pixel_spacing_mm": (PIXEL_MM, PIXEL_MM),
    "rescale_slope": 1.0,
    "rescale_intercept": INTERCEPT,
}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"rescale_slope": None}, "rescale-not-stated"),
        ({"rescale_intercept": None}, "rescale-not-stated"),
        ({"rescale_slope": 0.0}, "not-physical"),
        ({"rescale_slope": float("nan")}, "not-physical"),
        ({"pixel_spacing_mm": None}, "spacing-not-stated"),
        ({"pixel_spacing_mm": (0.0, 0.0)}, "not-physical"),
        ({"pixel_spacing_mm": (0.9, 1.8)}, "spacing-not-square"),
        ({"rescale_intercept": 0.0}, "truncated"),
    ],
)
def test_an_image_without_scale_is_refused_with_the_reason(change: dict[str, Any], code: str) -> None:
    found = body_section(stored(hounsfield([BODY])), **(GOOD | change))
    assert isinstance(found, NotEstimated)
    assert found.code == code
    assert found.message


@pytest.mark.parametrize(
    ("pixels", "code"),
    [
        (np.zeros((512, 512), np.int16), "no-body"),
        (np.zeros((8, 8), np.int16), "image-shape"),
        (np.zeros((4, 64, 64), np.int16), "image-shape"),
        (np.zeros((64, 64), np.complex128), "image-shape"),
        (np.full((512, 512), np.nan), "no-body"),
    ],
)
def test_an_image_without_a_patient_is_refused(pixels: npt.NDArray[Any], code: str) -> None:
    found = body_section(pixels, **GOOD)
    assert isinstance(found, NotEstimated)
    assert found.code == code


@given(seed=st.integers(0, 2**32 - 1), side=st.sampled_from([32, 57, 128]), level=st.integers(-1200, 1200))
@settings(max_examples=40, deadline=None)
def test_noise_is_never_a_traceback_and_never_a_diameter_wider_than_the_image(seed: int, side: int, level: int) -> None:
    pixels = (np.random.default_rng(seed).normal(level, 500, (side, side)) + 1024).astype(np.int16)
    found = body_section(pixels, **GOOD)
    if isinstance(found, BodySection):
        assert 0 < found.water_equivalent_diameter_mm < 3 * side * PIXEL_MM


def test_pixel_types_and_rescaling_don_t_change_the_diameter() -> None:
    image = stored(hounsfield([BODY]))
    wanted = measured(image).water_equivalent_diameter_mm
    for pixels in (image.astype(np.uint16), image.astype(np.int32), image.astype(np.float32), np.asfortranarray(image)):
        assert measured(pixels).water_equivalent_diameter_mm == pytest.approx(wanted, rel=1e-9)
    found = body_section(
        (image.astype(np.int32) * 2), pixel_spacing_mm=(PIXEL_MM,) * 2, rescale_slope=0.5, rescale_intercept=INTERCEPT
    )
    assert isinstance(found, BodySection)
    assert found.water_equivalent_diameter_mm == pytest.approx(wanted, rel=1e-9)


def test_the_slices_of_a_patient_agree_with_a_segmentation_made_another_way(corpus: Path) -> None:
    ndimage = import_module("scipy.ndimage")
    compared = 0
    for path in sorted((corpus / "ct-series").glob("*.dcm")):
        image = pydicom.dcmread(path)
        slope, intercept = float(image.RescaleSlope), float(image.RescaleIntercept)
        spacing = (float(image.PixelSpacing[0]), float(image.PixelSpacing[1]))
        found = body_section(
            image.pixel_array, pixel_spacing_mm=spacing, rescale_slope=slope, rescale_intercept=intercept
        )
        assert isinstance(found, BodySection), path
        assert 120 < found.water_equivalent_diameter_mm < 330
        if any(flag.code == "truncated" for flag in found.flags):
            continue
        hu = image.pixel_array * slope + intercept
        # The table is opened away: nothing of it is 12 mm thick.
        solid = ndimage.binary_opening(hu > -400, np.ones((3, 3)), iterations=4)
        labels, _ = ndimage.label(solid)
        sizes = np.bincount(labels.ravel())
        keep = np.flatnonzero(sizes > 2000)
        body = ndimage.binary_fill_holes(np.isin(labels, keep[keep > 0]))
        water = float((hu[body] / 1000 + 1).sum()) * spacing[0] * spacing[1]
        assert found.water_equivalent_diameter_mm == pytest.approx(2 * sqrt(water / np.pi), rel=0.03), path
        compared += 1
    assert compared > 20
