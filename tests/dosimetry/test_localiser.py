"""A localiser calibrated on known diameters gives the others; one that is not calibrated, or cut, gives none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from doseatlas.dosimetry import (
    DosimetryError,
    LocaliserCalibration,
    calibrate,
    line_diameters_mm,
    line_sums,
    magnification_off_centre,
    size_from_lines,
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
