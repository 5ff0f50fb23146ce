"""Where does the true median lie, when both the sample and the calibration of the devices may be off?

The sampling interval comes from the caller (``analysis`` has it from order statistics). An error of calibration moves
all exams of a device together and does not shrink with their number. Its effect on the median is found by moving the
values of each device by one standard uncertainty up and down (GUM 5.1.4, numerical sensitivity), devices being
independent of one another; both parts are combined on the logarithmic scale on which doses and factors multiply.
"""

from __future__ import annotations

from math import exp, isfinite, log, sqrt
from typing import TYPE_CHECKING, NamedTuple

from doseatlas.dosimetry.estimate import DosimetryError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

COVERAGE_FACTOR = 1.96  # 95 % of a normal distribution


class MedianInterval(NamedTuple):
    """A median with its 95 % interval for sampling and calibration, and the two parts."""

    median: float
    low: float
    high: float
    calibration_relative_uncertainty: float
    sampling_low: float
    sampling_high: float


def median_interval(
    values: Floats, devices: npt.NDArray[np.intp], device_relative_uncertainty: Floats, sampling: tuple[float, float]
) -> MedianInterval:
    """Return the median of values from several devices and its interval.

    Args:
        values: one value an exam, positive.
        devices: index of the device of each exam into ``device_relative_uncertainty``.
        device_relative_uncertainty: relative standard uncertainty common to the exams of each device.
        sampling: low and high end of the 95 % interval that the sample alone gives.

    Raises:
        DosimetryError: no values, values that are not positive, or an interval that does not hold the median.

    """
    import numpy as np

    if not values.size or not bool(np.all(np.isfinite(values) & (values > 0))):
        raise DosimetryError("An interval of the median needs values, all of them greater than 0.")
    middle = float(np.median(values))
    low, high = sampling
    if not (isfinite(high) and 0 < low <= middle <= high):
        raise DosimetryError(f"The sampling interval {low:g} to {high:g} does not hold the median {middle:g}.")
    if not bool(np.all(np.isfinite(device_relative_uncertainty) & (device_relative_uncertainty >= 0))):
        raise DosimetryError("The uncertainty of a device is missing or negative.")
    variance = sum(
        _effect(values, devices == one, float(device_relative_uncertainty[one])) ** 2 for one in np.unique(devices)
    )
    calibration = COVERAGE_FACTOR * sqrt(variance)
    below, above = log(middle / low), log(high / middle)
    return MedianInterval(
        median=middle,
        low=middle * exp(-sqrt(below**2 + calibration**2)),
        high=middle * exp(sqrt(above**2 + calibration**2)),
        calibration_relative_uncertainty=sqrt(variance),
        sampling_low=low,
        sampling_high=high,
    )


def _effect(values: Floats, own: npt.NDArray[np.bool_], relative: float) -> float:
    """Return the change of ln(median) for one standard uncertainty of one device."""
    import numpy as np

    if relative == 0:
        return 0.0
    up, down = (float(np.median(np.where(own, values * exp(sign * relative), values))) for sign in (1, -1))
    return (log(up) - log(down)) / 2
