"""The interval of a median holds sampling and calibration; a device's calibration moves all its exams together."""

from __future__ import annotations

import numpy as np
import pytest

from doseatlas.dosimetry import DosimetryError, median_interval

RANDOM = np.random.default_rng(3)
VALUES = np.exp(RANDOM.normal(np.log(500), 0.4, 400))
MEDIAN = float(np.median(VALUES))
SAMPLING = (0.96 * MEDIAN, 1.04 * MEDIAN)
ONE = np.zeros(400, np.intp)


def test_without_uncertainty_of_calibration_the_interval_is_the_sample_s() -> None:
    found = median_interval(VALUES, ONE, np.array([0.0]), SAMPLING)
    assert (found.median, found.low, found.high) == pytest.approx((MEDIAN, *SAMPLING))


def test_one_device_moves_the_median_by_its_whole_uncertainty_however_many_exams() -> None:
    found = median_interval(VALUES, ONE, np.array([0.2]), SAMPLING)
    assert found.calibration_relative_uncertainty == pytest.approx(0.2)
    assert np.log(found.high / MEDIAN) == pytest.approx(np.hypot(np.log(1.04), 1.96 * 0.2))
    many = median_interval(np.tile(VALUES, 50), np.zeros(20_000, np.intp), np.array([0.2]), SAMPLING)
    assert many.calibration_relative_uncertainty == pytest.approx(0.2)


def test_several_devices_average_out_as_a_simulation_of_their_errors_does() -> None:
    devices = np.arange(400) % 4
    found = median_interval(VALUES, devices, np.full(4, 0.1), SAMPLING)
    factors = np.exp(RANDOM.normal(0, 0.1, (4000, 4)))
    medians = np.median(VALUES * factors[:, devices], axis=1)
    assert found.calibration_relative_uncertainty == pytest.approx(float(np.log(medians).std()), rel=0.15)
    assert 0.03 < found.calibration_relative_uncertainty < 0.08


def test_a_well_calibrated_device_narrows_the_interval() -> None:
    devices = np.arange(400) % 2
    both_bad = median_interval(VALUES, devices, np.array([0.2, 0.2]), SAMPLING)
    one_good = median_interval(VALUES, devices, np.array([0.2, 0.03]), SAMPLING)
    assert both_bad.low < one_good.low < SAMPLING[0]


@pytest.mark.parametrize(
    ("values", "uncertainty", "sampling"),
    [
        (np.array([]), np.array([0.1]), (1.0, 2.0)),
        (np.array([1.0, 0.0]), np.array([0.1]), (0.1, 2.0)),
        (np.array([1.0, np.nan]), np.array([0.1]), (0.1, 2.0)),
        (np.array([1.0, 2.0]), np.array([np.nan]), (1.0, 2.0)),
        (np.array([1.0, 2.0]), np.array([0.1]), (1.9, 2.0)),
        (np.array([1.0, 2.0]), np.array([0.1]), (0.0, 2.0)),
    ],
)
def test_what_has_no_interval_is_refused(
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
    uncertainty: np.ndarray[tuple[int], np.dtype[np.float64]],
    sampling: tuple[float, float],
) -> None:
    with pytest.raises(DosimetryError):
        median_interval(values, np.zeros(values.size, np.intp), uncertainty, sampling)
