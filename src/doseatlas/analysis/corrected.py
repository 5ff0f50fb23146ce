"""What do statistics count where stated values are corrected by calibration certificates, and how sure is a median?

Corrected values stand in the columns of the stated ones. The error of a calibration is common to the exams of a device
and does not average out: it widens the interval of the median, and makes the probability that this lies above a level
less sure. Values that no certificate covers count as stated, with the tolerance of their display as uncertainty.

Doses that are derived here rest on corrected values whatever is counted. The uncertainty of an air kerma is mostly that
of the device; that of an effective dose and of an SSDE, stated or derived, is taken as common to all exams, as their
coefficients are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from doseatlas.analysis.dose_values import PEERS
from doseatlas.analysis.mart import chosen, countable
from doseatlas.analysis.order_statistics import probability_median_above
from doseatlas.analysis.results import DoseValues, ReferenceLevel, Selection, TypicalValue
from doseatlas.analysis.tables import quantities
from doseatlas.dosimetry import CORRECTED_COLUMNS, DISPLAY_TOLERANCE, MedianInterval, median_interval

if TYPE_CHECKING:
    import ibis
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Floats = npt.NDArray[np.float64]

_DERIVED = {
    "effective_dose_msv": "effective_dose_uncertainty_msv",
    "ssde_derived_mgy": "ssde_derived_uncertainty_mgy",
    "incident_air_kerma_mgy": "incident_air_kerma_uncertainty_mgy",
    "entrance_surface_air_kerma_mgy": "entrance_surface_air_kerma_uncertainty_mgy",
}
_BY_COEFFICIENT = frozenset({"effective_dose_msv", "ssde_derived_mgy", "ssde_mgy"})
"""Quantities whose uncertainty is mostly that of coefficients, hence common to all devices."""
_UNKNOWN_DEVICE = "unknown device"
_ERRORS = 100
"""Into so many equally likely errors of calibration a probability is split."""


def counted_as(exams: ibis.Table, dose_values: DoseValues) -> ibis.Table:
    """Return exams of a mart as statistics are asked to count them: as stated, or :func:`with_corrected_values`."""
    return exams if dose_values == "stated" else with_corrected_values(exams)


def with_corrected_values(exams: ibis.Table) -> ibis.Table:
    """Return exams of a mart whose displayed values are the corrected ones; as stated where there is no correction."""
    return exams.mutate(
        **{stated: exams[corrected].fill_null(exams[stated]) for stated, (corrected, _) in CORRECTED_COLUMNS.items()}
    )


class Calibrated(NamedTuple):
    """How many exams that count have a value corrected by a certificate, stand as displayed, or say neither.

    Of the last the uncertainty is not known, as of a registry's exams that came without it: nothing is corrected, and
    no interval holds a calibration. Exams without a value that a certificate could correct are in none of the three.
    """

    by_certificate: int
    as_displayed: int
    not_said: int


def calibrated(table: ibis.Table, selection: Selection) -> Calibrated:
    """Return what the corrected values of a selection of a mart's exams rest on."""
    import ibis

    exams = countable(chosen(table, selection))
    displayed = exams.filter(ibis.or_(*(exams[column].notnull() for column in CORRECTED_COLUMNS)))
    said = displayed.calibration
    counts = displayed.agg(
        certified=(said.fill_null(DISPLAY_TOLERANCE) != DISPLAY_TOLERANCE).sum(),
        displayed=(said.fill_null("") == DISPLAY_TOLERANCE).sum(),
        not_said=said.isnull().sum(),
    )
    (row,) = counts.to_pyarrow().to_pylist()
    return Calibrated(*(int(number or 0) for number in row.values()))


class Sample(NamedTuple):
    """The corrected values behind one median, by rising size, and what the calibration of their devices leaves open.

    ``devices`` is the place of each value's device in ``relative``, the relative standard uncertainties. A device with
    several certificates counts with the least certain of them.
    """

    values: Floats
    devices: npt.NDArray[np.intp]
    relative: Floats

    def interval(self, low: float, high: float) -> MedianInterval | None:
        """Return the interval for sampling and calibration; ``None`` where doses of 0 have no logarithm."""
        if low <= 0 or self.values[0] <= 0:
            return None
        return median_interval(self.values, self.devices, self.relative, (low, high))

    def probability_above(self, level: float, calibration: float) -> float:
        """Return the probability that the true median lies above a level, over sampling and calibration.

        That is :func:`probability_median_above` averaged over the errors of calibration, normal on the logarithmic
        scale with the standard deviation ``calibration``.
        """
        import numpy as np

        above = len(self.values) - np.searchsorted(self.values, level * np.exp(calibration * _errors()), side="right")
        return float(np.mean([probability_median_above(len(self.values), int(k)) for k in above]))


@cache
def _errors() -> Floats:
    import numpy as np

    normal = NormalDist()
    return np.array([normal.inv_cdf((i + 0.5) / _ERRORS) for i in range(_ERRORS)])


def with_calibration(
    exams: ibis.Table,
    selection: Selection,
    typical: Sequence[TypicalValue],
    *,
    by: Literal["device"] | None = None,
) -> tuple[TypicalValue, ...]:
    """Return typical values of corrected exams with intervals and probabilities that hold sampling and calibration.

    Args:
        exams: those of :func:`with_corrected_values`.
        selection: which of them the typical values are of.
        typical: typical values, with the interval of sampling alone.
        by: what they are of, as for ``typical_values``.

    """
    keys = ("device",) if by else ()
    found = samples(countable(chosen(exams, selection)), keys)
    return tuple(_widened(value, found.get(_key(value, keys))) for value in typical)


def _key(value: TypicalValue, keys: Sequence[str]) -> tuple[Any, ...]:
    return (*(getattr(value, name) for name in PEERS[:-1]), value.phantom_cm or 0, *(getattr(value, k) for k in keys))


def samples(exams: ibis.Table, keys: Sequence[str] = ()) -> dict[tuple[Any, ...], Sample]:
    """Return the sample behind each median that certificates can correct, by ``PEERS`` and further columns.

    Args:
        exams: those of :func:`with_corrected_values` that count.
        keys: columns of exams.

    """
    import numpy as np

    found: dict[tuple[Any, ...], Sample] = {}
    for values in _calibrated(exams, keys):
        grouped = values.group_by([*PEERS, *keys, "calibrated"]).agg(
            values=values.value.collect(), relative=values.relative.max()
        )
        table = grouped.order_by([*PEERS, *keys, "calibrated"]).to_pyarrow()
        for key, flat, sizes, relative in _groups(table, (*PEERS, *keys)):
            order = np.argsort(flat, kind="stable")
            found[key] = Sample(flat[order], np.repeat(np.arange(len(sizes)), sizes)[order], relative)
    return found


def _groups(
    table: pa.Table, keys: Sequence[str]
) -> Iterator[tuple[tuple[Any, ...], Floats, npt.NDArray[np.int64], Floats]]:
    """Yield each group's values, how many each of its devices has, and the devices' uncertainties."""
    import itertools

    lists = table["values"].combine_chunks()
    flat, offsets = lists.values.to_numpy(), lists.offsets.to_numpy()
    relative = table["relative"].to_numpy()
    rows = zip(*(table[name].to_pylist() for name in keys), strict=True)
    start = 0
    for key, members in itertools.groupby(rows):
        stop = start + sum(1 for _ in members)
        values = flat[offsets[start] : offsets[stop]].astype("float64")
        yield key, values, (offsets[start + 1 : stop + 1] - offsets[start:stop]), relative[start:stop]
        start = stop


def calibration_by(exams: ibis.Table, keys: Sequence[str]) -> dict[tuple[Any, ...], float]:
    """Return the relative standard uncertainty that calibration leaves to the mean logarithm of each group's doses.

    Devices are independent: the square root of the sum of the squares of (share of the exams) x (uncertainty). Of a
    single device it is that of the device, for the median as for the mean. By ``PEERS`` and further columns ``keys``.
    """
    squares: dict[tuple[Any, ...], float] = {}
    counts: dict[tuple[Any, ...], int] = {}
    for values in _calibrated(exams, keys):
        positive = values.filter(values.value > 0)
        grouped = positive.group_by([*PEERS, *keys, "calibrated"]).agg(
            n=positive.count(), relative=positive.relative.max()
        )
        for row in grouped.order_by([*PEERS, *keys, "calibrated"]).to_pyarrow().to_pylist():
            key = tuple(row[name] for name in (*PEERS, *keys))
            squares[key] = squares.get(key, 0.0) + (row["n"] * row["relative"]) ** 2
            counts[key] = counts.get(key, 0) + row["n"]
    return {key: sqrt(squares[key]) / counts[key] for key in squares}


def _calibrated(exams: ibis.Table, keys: Sequence[str]) -> Iterator[ibis.Table]:
    """Yield, quantity by quantity, ``PEERS``, ``keys``, ``calibrated`` (the device), ``value`` and ``relative``."""
    import ibis

    on_phantom = {quantity.name: quantity.phantom_matters for quantity in quantities()}
    device = exams.device.fill_null(_UNKNOWN_DEVICE)
    known = exams.mutate(device=device)
    stated = {stated: exams[uncertainty] for stated, (_, uncertainty) in CORRECTED_COLUMNS.items()}
    derived = {name: exams[uncertainty] / exams[name].nullif(0.0) for name, uncertainty in _DERIVED.items()}
    for quantity, relative in (stated | derived).items():
        if quantity not in on_phantom:  # a column of the mart that no statistic counts
            continue
        common = ibis.literal("all") if quantity in _BY_COEFFICIENT else exams.facility + " / " + device
        own = known.mutate(calibrated=common, relative=relative).filter(exams[quantity].notnull())
        yield own.select(
            "procedure",
            "patient_group",
            *keys,
            "calibrated",
            quantity=ibis.literal(quantity),
            phantom_cm=(own.phantom_cm.fill_null(0) if on_phantom[quantity] else ibis.literal(0)).cast("int32"),
            value=own[quantity].cast("float64"),
            relative=own.relative.fill_null(0.0),
        )


def _widened(value: TypicalValue, sample: Sample | None) -> TypicalValue:
    if sample is None:
        return value
    low, high, calibration, probability = widened(sample, value.low, value.high, value.reference)
    return msgspec.structs.replace(
        value,
        low=low,
        high=high,
        calibration_uncertainty=calibration,
        probability_above=value.probability_above if probability is None else probability,
    )


class Widened(NamedTuple):
    """Interval, relative standard uncertainty of calibration and probability above a level, for a median."""

    low: float | None
    high: float | None
    calibration: float | None
    probability_above: float | None


def widened(sample: Sample, low: float | None, high: float | None, reference: ReferenceLevel | None) -> Widened:
    """Return the interval of a median's sampling as one of sampling and calibration, and the probability likewise.

    ``None`` stays ``None``: fewer than 6 exams have no interval, and doses of 0 no uncertainty on a logarithmic scale.
    """
    import numpy as np

    middle = float(np.median(sample.values))
    interval = sample.interval(middle if low is None else low, middle if high is None else high)
    if interval is None:
        return Widened(low, high, None, None)
    calibration = interval.calibration_relative_uncertainty
    return Widened(
        None if low is None else interval.low,
        None if high is None else interval.high,
        calibration,
        sample.probability_above(reference.value, calibration) if reference else None,
    )
