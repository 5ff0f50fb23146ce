"""A localiser calibrated on known diameters gives the others; one that is not calibrated, or cut, gives none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from doseatlas.dosimetry import (
    DosimetryError,
    LocaliserCalibration,
    LocaliserLines,
    NotEstimated,
    calibrate,
    calibrate_on_images,
    calibrated_diameters_mm,
    diameters_from_widths_mm,
    line_diameters_mm,
    line_sums,
    localiser_lines,
    magnification_off_centre,
    size_from_lines,
    size_from_widths,
)

PIXEL_MM, VALUE_PER_MM, AIR = 0.8, 3.5, 120.0


def radiograph(
    radii_mm: npt.NDArray[np.float64], columns: int = 512, magnification: float = 1.0
) -> npt.NDArray[np.int16]:
    """Return the projection of water cylinders, one a line: chords times a value per mm, above the value of air."""
    x = (np.arange(columns) - (columns - 1) / 2) * PIXEL_MM / magnification
    chord = 2 * np.sqrt(np.maximum(0.0, radii_mm[:, None] ** 2 - x**2))
    return np.round(AIR + VALUE_PER_MM * chord).astype(np.int16)


RADII = np.linspace(80.0, 170.0, 60)


def test_the_lines_give_their_diameters_once_a_few_are_known() -> None:
    image = radiograph(RADII)
    calibration = calibrate(line_sums(image, pixel_mm=PIXEL_MM)[::6], 2 * RADII[::6], "axial images of the patient")
    assert calibration.water_mm_per_value == pytest.approx(1 / VALUE_PER_MM, rel=2e-3)
    found = line_diameters_mm(image, pixel_mm=PIXEL_MM, calibration=calibration)
    assert found == pytest.approx(2 * RADII, rel=5e-3)
    size = size_from_lines(found, calibration)
    assert size is not None
    assert size.diameter_mm == pytest.approx(2 * RADII.mean(), rel=5e-3)
    assert "axial images of the patient" in size.source
    assert not size.flags


def test_a_patient_off_centre_is_brought_back_to_size() -> None:
    magnification = magnification_off_centre(540.0, -50.0)
    assert magnification == pytest.approx(540 / 490)
    image = radiograph(RADII, magnification=magnification)
    calibration = LocaliserCalibration(1 / VALUE_PER_MM, 0.02, "phantom")
    found = line_diameters_mm(image, pixel_mm=PIXEL_MM, calibration=calibration, magnification=magnification)
    assert found == pytest.approx(2 * RADII, rel=5e-3)
    with pytest.raises(DosimetryError, match="cannot be"):
        magnification_off_centre(540.0, -500.0)


def test_lines_in_which_the_patient_reaches_the_side_are_left_out_and_flagged() -> None:
    image = radiograph(RADII)
    shifted = np.roll(image, 120, axis=1)
    shifted[:, :120] = image[:, :1]
    calibration = LocaliserCalibration(1 / VALUE_PER_MM, 0.0, "phantom")
    found = line_diameters_mm(shifted, pixel_mm=PIXEL_MM, calibration=calibration)
    assert 0 < np.isnan(found).sum() < found.size
    size = size_from_lines(found, calibration)
    assert size is not None
    assert [flag.code for flag in size.flags] == ["truncated"]
    assert size_from_lines(np.full(5, np.nan), calibration) is None


def test_a_calibration_needs_enough_lines_and_an_image_must_be_one() -> None:
    with pytest.raises(DosimetryError, match="2 lines"):
        calibrate(np.array([1.0, 2.0, np.nan]), np.array([200.0, 210.0, 220.0]), "phantom")
    with pytest.raises(DosimetryError, match="no localiser"):
        line_sums(np.zeros((4, 4, 4)), pixel_mm=1.0)
    with pytest.raises(DosimetryError, match="not possible"):
        line_sums(np.zeros((40, 40)), pixel_mm=0.0)


LEFT, BACK, FEET = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0)


def lines_of(image: npt.NDArray[np.int16], across: tuple[float, float, float] = LEFT) -> LocaliserLines:
    """Return the lines of a localiser whose first row is at z = 0 and whose rows go towards the feet."""
    found = localiser_lines(
        image,
        pixel_spacing_mm=(2.0, PIXEL_MM),
        position_mm=(0.0, 0.0, 0.0),
        row_direction=across,
        column_direction=FEET,
    )
    assert not isinstance(found, NotEstimated)
    return found


def test_the_width_of_the_body_is_that_of_its_outline_with_noise_and_a_table() -> None:
    image = radiograph(RADII) + np.random.default_rng(1).normal(0, 5, (RADII.size, 512)).round().astype(np.int16)
    image[:, 20:-20] += 40  # a table top of 11 mm of water
    lines = lines_of(image)
    assert lines.view == "frontal"
    assert lines.z_mm[0] == 0.0
    assert lines.z_mm[-1] == pytest.approx(-2.0 * (RADII.size - 1))
    assert lines.widths_mm == pytest.approx(2 * RADII, rel=0.02)


def test_a_localiser_that_lies_along_its_rows_gives_the_same_lines() -> None:
    image = radiograph(RADII)
    upright = lines_of(image)
    lying = localiser_lines(
        image.T,
        pixel_spacing_mm=(PIXEL_MM, 2.0),
        position_mm=(0.0, 0.0, 0.0),
        row_direction=FEET,
        column_direction=LEFT,
    )
    assert isinstance(lying, LocaliserLines)
    assert lying.view == upright.view
    for one, other in zip(lying[1:], upright[1:], strict=True):
        assert one == pytest.approx(other)


def test_axial_images_of_some_places_calibrate_a_localiser_for_all_places() -> None:
    lines = lines_of(radiograph(RADII))
    some = slice(10, 40)
    calibration = calibrate_on_images(lines, lines.z_mm[some], 2 * RADII[some])
    assert isinstance(calibration, LocaliserCalibration)
    assert calibrated_diameters_mm(lines, calibration) == pytest.approx(2 * RADII, rel=5e-3)
    for z_mm, diameters in ((lines.z_mm[some] + 5000, 2 * RADII[some]), (np.empty(0), np.empty(0))):
        found = calibrate_on_images(lines, z_mm, diameters)
        assert isinstance(found, NotEstimated)
        assert found.code == "localiser-not-calibrated"


def test_without_calibration_two_views_give_the_effective_diameter_flagged() -> None:
    frontal, lateral = lines_of(radiograph(RADII)), lines_of(radiograph(0.7 * RADII), BACK)
    assert lateral.view == "lateral"
    diameters = diameters_from_widths_mm(frontal, lateral)
    assert diameters == pytest.approx(2 * RADII * np.sqrt(0.7), rel=5e-3)
    size = size_from_widths(diameters)
    assert size is not None
    assert [flag.code for flag in size.flags] == ["localiser-not-calibrated"]
    assert size.relative_standard_uncertainty > 0.1
    assert size_from_widths(np.empty(0)) is None


def test_a_line_without_body_has_no_width_and_no_diameter() -> None:
    image = radiograph(np.concatenate([np.zeros(20), RADII]))
    lines = lines_of(image)
    assert np.isnan(lines.widths_mm[:20]).all()
    found = calibrated_diameters_mm(lines, LocaliserCalibration(1 / VALUE_PER_MM, 0.0, "phantom"))
    assert np.isnan(found[:20]).all()
    assert found[20:] == pytest.approx(2 * RADII, rel=5e-3)


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        ({"pixel_spacing_mm": None}, "spacing-not-stated"),
        ({"position_mm": None}, "localiser-not-placed"),
        ({"row_direction": (0.7, 0.7, 0.0)}, "localiser-not-placed"),
        ({"column_direction": (0.0, 1.0, 0.0)}, "localiser-not-placed"),
        ({"pixel_spacing_mm": (1.0, 400.0)}, "image-shape"),
    ],
)
def test_a_localiser_that_does_not_state_how_it_lies_is_refused(stated: dict[str, object], code: str) -> None:
    placed: dict[str, object] = {
        "pixel_spacing_mm": (1.0, PIXEL_MM),
        "position_mm": (0.0, 0.0, 0.0),
        "row_direction": LEFT,
        "column_direction": FEET,
    }
    found = localiser_lines(radiograph(RADII), **(placed | stated))  # type: ignore[arg-type]
    assert isinstance(found, NotEstimated)
    assert found.code == code
