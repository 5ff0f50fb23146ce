"""What air kerma does a tube give for a tube loading? The output measured at acceptance or in quality control.

A measurement states, by tube voltage and added filtration, the output Y (mGy/mAs) at one distance, or what a chamber
read, from which K = M N_K k_Q k_TP (IAEA TRS-457, 2007). Between the voltages measured ln Y is linear in ln U, a power
law; the exponents that spectra have (SpekPy 2.5.4, tungsten, 50 to 150 kV, 2.5 to 4 mm Al, 0 to 0.3 mm Cu: 1.5 to 2.6
without copper, 2.0 to 4.7 with, falling with the voltage) bound the error of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import exp, isfinite, log, sqrt
from statistics import fmean, stdev
from typing import NamedTuple

from doseatlas.dosimetry.estimate import CalibrationError, NotEstimated
from doseatlas.dosimetry.uncertainty import from_expanded, from_limits, of_product
from doseatlas.model import Filter, Note, Record

TUBE_OUTPUT = "tube_output_mgy_per_mas"
"""The quantity of a certificate that states the output of a tube."""
DISTANCES_MM = (150.0, 4000.0)
"""From the focus to a chamber or to skin; others are in another unit."""
_VOLTAGES_KV = (30.0, 160.0)
_OUTPUTS_AT_1_M = (1e-4, 1.0)  # mGy/mAs; beyond, it is in another unit
_MOST_FILTER_MM = {"aluminium": 20.0, "copper": 3.0}
_LAYERS_MM_AL = (0.5, 30.0)
_MOST_POINTS, _MOST_READINGS = 200, 50
_LARGEST_EXPANDED = 1.0
_QUALITY_FACTORS = (0.5, 2.0)
_LARGEST_SPREAD = 0.2  # of readings, relative; more is no repeated exposure
_SAME_VOLTAGE = 0.02
_FARTHEST_VOLTAGE = 0.15  # relative, beyond the voltages measured
_SAME_AL_MM, _SAME_CU_MM = 0.1, 0.02
_TEMPERATURES_C, _PRESSURES_KPA = (0.0, 50.0), (50.0, 115.0)
_REFERENCE_C, _REFERENCE_KPA, _KELVIN = 20.0, 101.3, 273.2


class OutputPoint(Record, frozen=True, kw_only=True):
    """The output at one voltage and added filtration: as ``output_mgy_per_mas``, or as the readings of a chamber.

    ``readings`` are of repeated exposures with ``tube_loading_mas`` each; ``quality_factor`` is k_Q. The expanded
    uncertainty (relative) is that of the meter's calibration. The filtration is what was added to the tube's own.
    """

    kvp: float
    expanded_relative_uncertainty: float
    coverage_factor: float = 2.0
    output_mgy_per_mas: float | None = None
    readings: tuple[float, ...] = ()
    tube_loading_mas: float | None = None
    quality_factor: float = 1.0
    added_al_mm: float = 0.0
    added_cu_mm: float = 0.0
    hvl_mm_al: float | None = None


class Chamber(Record, frozen=True, kw_only=True):
    """The open chamber of the readings: N_K in mGy for a unit of reading, and the air in it when it was read."""

    calibration_coefficient_mgy: float
    temperature_c: float
    pressure_kpa: float


class TubeOutput(Record, frozen=True, kw_only=True):
    """The output of a tube by voltage and filtration, all at ``distance_mm`` from the focus, free in air."""

    distance_mm: float
    points: tuple[OutputPoint, ...]
    chamber: Chamber | None = None


class OutputAt(NamedTuple):
    """The output (mGy/mAs) for one beam, its relative standard uncertainty, the half-value layer measured, flags."""

    output_mgy_per_mas: float
    relative_standard_uncertainty: float
    hvl_mm_al: float | None
    flags: tuple[Note, ...]


class _Knot(NamedTuple):
    kvp: float
    output: float
    relative: float
    hvl_mm_al: float | None


def air_kerma(reading: float, coefficient: float, quality_factor: float = 1.0, pressure_factor: float = 1.0) -> float:
    """Return K = M N_K k_Q k_TP in the unit of ``coefficient`` times that of the reading (TRS-457)."""
    return reading * coefficient * quality_factor * pressure_factor


def temperature_pressure_factor(temperature_c: float, pressure_kpa: float) -> float:
    """Return k_TP of an open chamber: (273.2 + T)/(273.2 + T0) P0/P with T0 = 20 degrees C, P0 = 101.3 kPa (TRS-457).

    Raises:
        CalibrationError: no room has such a temperature or pressure; the unit is another.

    """
    if not _TEMPERATURES_C[0] <= temperature_c <= _TEMPERATURES_C[1]:
        raise CalibrationError(
            f"A temperature of {temperature_c:g} degrees C is no room's; is it in kelvin or Fahrenheit?"
        )
    if not _PRESSURES_KPA[0] <= pressure_kpa <= _PRESSURES_KPA[1]:
        raise CalibrationError(f"A pressure of {pressure_kpa:g} kPa is no room's; is it in hPa or mmHg?")
    return (_KELVIN + temperature_c) / (_KELVIN + _REFERENCE_C) * _REFERENCE_KPA / pressure_kpa


def check_tube_output(output: TubeOutput) -> None:
    """Check that a measurement can be what it says.

    Raises:
        CalibrationError: it cannot; the message says which point and what.

    """
    if not DISTANCES_MM[0] <= output.distance_mm <= DISTANCES_MM[1]:
        raise CalibrationError(f"The output is at {output.distance_mm:g} mm from the focus; is it in cm?")
    if not 0 < len(output.points) <= _MOST_POINTS:
        raise CalibrationError(f"The output has {len(output.points)} points; 1 to {_MOST_POINTS} are taken.")
    if output.chamber is not None:
        temperature_pressure_factor(output.chamber.temperature_c, output.chamber.pressure_kpa)
    for point in output.points:
        _check_point(point, output)
    for series in _series(output.points):
        knots = _knots(series, output)
        for a, b in pairwise(knots):
            if a.kvp == b.kvp or a.output >= b.output:
                raise CalibrationError(
                    f"The output is {a.output:.3g} mGy/mAs at {a.kvp:g} kV and {b.output:.3g} at {b.kvp:g} kV with "
                    "one filtration; at one distance it grows with the voltage, which is stated once."
                )


def _check_point(point: OutputPoint, output: TubeOutput) -> None:
    where = f"The output at {point.kvp:g} kV"
    for value, (low, high), name in (
        (point.kvp, _VOLTAGES_KV, "a tube voltage (kV)"),
        (point.added_al_mm, (0.0, _MOST_FILTER_MM["aluminium"]), "added aluminium (mm)"),
        (point.added_cu_mm, (0.0, _MOST_FILTER_MM["copper"]), "added copper (mm)"),
        (point.hvl_mm_al, _LAYERS_MM_AL, "a half-value layer (mm Al)"),
        (point.quality_factor, _QUALITY_FACTORS, "k_Q"),
    ):
        if value is not None and not low <= value <= high:
            raise CalibrationError(f"{where}: {name} of {value:g} is outside {low:g} to {high:g}.")
    if not (0 < point.expanded_relative_uncertainty <= _LARGEST_EXPANDED and 1 <= point.coverage_factor <= 10):
        raise CalibrationError(
            f"{where}: an expanded relative uncertainty of {point.expanded_relative_uncertainty:g} with "
            f"k = {point.coverage_factor:g} cannot be."
        )
    if (point.output_mgy_per_mas is None) == (not point.readings):
        raise CalibrationError(f"{where} must be stated either as output_mgy_per_mas or as readings.")
    if point.readings:
        _check_readings(point, output.chamber, where)
    value, _ = _measured(point, output)
    at_1_m = value * (output.distance_mm / 1000) ** 2
    if not (isfinite(value) and _OUTPUTS_AT_1_M[0] <= at_1_m <= _OUTPUTS_AT_1_M[1]):
        raise CalibrationError(
            f"{where} is {value:g} mGy/mAs, {at_1_m:.3g} at 1 m; outside {_OUTPUTS_AT_1_M[0]:g} to "
            f"{_OUTPUTS_AT_1_M[1]:g} it is in another unit or at another distance."
        )


def _check_readings(point: OutputPoint, chamber: Chamber | None, where: str) -> None:
    if chamber is None or point.tube_loading_mas is None or not 0 < point.tube_loading_mas < 10_000:
        raise CalibrationError(f"{where} is stated as readings; it needs the chamber and tube_loading_mas (mAs).")
    if len(point.readings) > _MOST_READINGS or not all(isfinite(one) and one > 0 for one in point.readings):
        raise CalibrationError(f"{where}: readings are up to {_MOST_READINGS} numbers above 0.")
    if len(point.readings) > 1 and stdev(point.readings) > _LARGEST_SPREAD * fmean(point.readings):
        raise CalibrationError(
            f"{where}: readings {min(point.readings):g} to {max(point.readings):g} are not of one beam."
        )


def output_in_words(output: TubeOutput) -> str:
    """Return the output by beam as people read it."""
    said = []
    for series in _series(output.points):
        filtration = "" if not series[0].added_al_mm and not series[0].added_cu_mm else f", {_filtration(series)}"
        said += [f"{knot.output:.3g} ({knot.kvp:g} kV{filtration})" for knot in _knots(series, output)]
    return f"{', '.join(said)} mGy/mAs at {output.distance_mm:g} mm"


def output_for(
    output: TubeOutput, kvp: float | None, filters: tuple[Filter, ...], quantity: str
) -> OutputAt | NotEstimated:
    """Return the output for the beam of an exposure.

    The filtration must be one of those measured. Up to 15 % beyond the voltages measured the power law goes on,
    flagged and less sure; farther away there is none.

    Args:
        output: what was measured, checked.
        kvp: tube voltage of the exposure.
        filters: the filters it states; without any, the filtration measured stands for it, if that is one only.
        quantity: what the output is for.

    """
    if kvp is None or not isfinite(kvp) or kvp <= 0:
        return NotEstimated(quantity=quantity, code="not-stated", message="The tube voltage is not stated.")
    found = _series_of(list(_series(output.points)), filters)
    if isinstance(found, str):
        return NotEstimated(quantity=quantity, code="output-not-measured", message=found)
    series, flags = found
    knots = _knots(series, output)
    near = min(max(kvp, knots[0].kvp), knots[-1].kvp)
    if abs(kvp - near) > _FARTHEST_VOLTAGE * near:
        message = (
            f"The output was measured at {_voltages(knots)} kV with this filtration; {kvp:g} kV is too far from that."
        )
        return NotEstimated(quantity=quantity, code="output-not-measured", message=message)
    spread = 1.5 if series[0].added_cu_mm else 1.0
    if abs(kvp - near) > _SAME_VOLTAGE * near:
        message = (
            f"The output was measured at {_voltages(knots)} kV; for {kvp:g} kV it is taken to go on as a power "
            f"{_exponent_beyond(knots, near, spread):.2g} of the voltage."
        )
        flags = (*flags, Note(code="output-extrapolated", message=message))
    value, relative = _at_voltage(knots, kvp, near, spread)
    return OutputAt(value, relative, _half_value_layer(knots, kvp), flags)


def _at_voltage(knots: Sequence[_Knot], kvp: float, near: float, spread: float) -> tuple[float, float]:
    """Return the output at a voltage and its relative standard uncertainty."""
    low = next(one for one in reversed(knots) if one.kvp <= near)
    high = next(one for one in knots if one.kvp >= near)
    beyond = log(kvp / near)
    own = max(low.relative, high.relative)  # one meter measured both, so their errors go together
    if abs(kvp - near) <= _SAME_VOLTAGE * near:
        beyond = 0.0
    if beyond or low is high:
        exponent = _exponent_beyond(knots, near, spread)
        return low.output * exp(exponent * log(kvp / near)), of_product(own, from_limits(spread * abs(beyond)))
    width = log(high.kvp / low.kvp)
    share = log(near / low.kvp) / width
    value = exp(log(low.output) + share * log(high.output / low.output))
    # The exponent falls by up to 1 (with copper 2.5) for e times the voltage, more below 60 kV.
    bent = 0.5 * share * (1 - share) * width**2 * (2.5 if spread > 1 else 1.0)
    return value, of_product(own, from_limits(bent))


def _exponent_beyond(knots: Sequence[_Knot], near: float, spread: float) -> float:
    """Return the exponent of the power law beyond the last voltages; a usual one where one voltage was measured."""
    if len(knots) == 1:
        return 3.0 if spread > 1 else 2.0
    a, b = knots[:2] if near == knots[0].kvp else knots[-2:]
    return log(b.output / a.output) / log(b.kvp / a.kvp)


def _half_value_layer(knots: Sequence[_Knot], kvp: float) -> float | None:
    """Return the half-value layer measured, linear in the voltage; ``None`` where a point does not state it."""
    layers = [(one.kvp, one.hvl_mm_al) for one in knots if one.hvl_mm_al is not None]
    if len(layers) < len(knots):
        return None
    for (a, low), (b, high) in pairwise(layers):
        if a <= kvp <= b:
            return low + (kvp - a) / (b - a) * (high - low)
    return layers[0][1] if kvp <= layers[0][0] else layers[-1][1]


def _series(points: Iterable[OutputPoint]) -> Iterable[list[OutputPoint]]:
    """Return the points of one filtration each."""
    by_filter: dict[tuple[float, float], list[OutputPoint]] = {}
    for point in points:
        by_filter.setdefault((point.added_al_mm, point.added_cu_mm), []).append(point)
    return by_filter.values()


def _series_of(
    measured: list[list[OutputPoint]], filters: tuple[Filter, ...]
) -> tuple[list[OutputPoint], tuple[Note, ...]] | str:
    """Return the points measured with the filters of an exposure, and flags; else why there are none."""
    if not filters:
        if len(measured) > 1:
            return "The exposure does not state its filter, and the output was measured with several."
        message = f"The exposure does not state its filter; {_filtration(measured[0])}, as measured, is taken."
        return measured[0], (Note(code="filter-not-stated", message=message),)
    if any(one.material and one.thickness_min_mm is None and one.thickness_max_mm is None for one in filters):
        return "The exposure states a filter without its thickness."
    from doseatlas.dosimetry.skin import filtration

    al_mm, cu_mm, others = filtration(filters)
    if others:
        return f"The exposure has a filter of {others}, with which no output was measured."
    for series in measured:
        same_al = abs(series[0].added_al_mm - al_mm) <= _SAME_AL_MM
        if same_al and abs(series[0].added_cu_mm - cu_mm) <= _SAME_CU_MM:
            return series, ()
    known = "; ".join(_filtration(series) for series in measured)
    return f"The exposure has {al_mm:g} mm Al and {cu_mm:g} mm Cu added; the output was measured with {known}."


def _filtration(series: list[OutputPoint]) -> str:
    return f"{series[0].added_al_mm:g} mm Al and {series[0].added_cu_mm:g} mm Cu added"


def _voltages(knots: Sequence[_Knot]) -> str:
    return f"{knots[0].kvp:g}" if len(knots) == 1 else f"{knots[0].kvp:g} to {knots[-1].kvp:g}"


def _knots(series: list[OutputPoint], output: TubeOutput) -> list[_Knot]:
    points = sorted(series, key=lambda one: one.kvp)
    return [_Knot(one.kvp, *_measured(one, output), one.hvl_mm_al) for one in points]


def _measured(point: OutputPoint, output: TubeOutput) -> tuple[float, float]:
    """Return the output of a point and its relative standard uncertainty, with the spread of readings (GUM 4.2.3)."""
    meter = from_expanded(point.expanded_relative_uncertainty, point.coverage_factor)
    if point.output_mgy_per_mas is not None:
        return point.output_mgy_per_mas, meter
    assert output.chamber is not None
    assert point.tube_loading_mas is not None
    mean, chamber = fmean(point.readings), output.chamber
    pressure = temperature_pressure_factor(chamber.temperature_c, chamber.pressure_kpa)
    kerma = air_kerma(mean, chamber.calibration_coefficient_mgy, point.quality_factor, pressure)
    count = len(point.readings)
    repeated = stdev(point.readings) / mean / sqrt(count) if count > 1 else 0.0
    return kerma / point.tube_loading_mas, of_product(meter, repeated)
