"""What do statistics count where stated values are corrected by calibration certificates, and how sure is a median?

Corrected values stand in the columns of the stated ones; the CTDIvol is corrected as its DLP is. The error of a
calibration is common to the exams of a device and does not average out: it widens the interval of the median.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from doseatlas.analysis.dose_values import PEERS
from doseatlas.analysis.mart import chosen, countable
from doseatlas.analysis.results import Selection, TypicalValue
from doseatlas.dosimetry import CORRECTED_COLUMNS, median_interval

if TYPE_CHECKING:
    import ibis

_LIKE_DLP = "ctdi_vol_mgy"
_UNKNOWN_DEVICE = "unknown device"


def with_corrected_values(exams: ibis.Table) -> ibis.Table:
    """Return exams of a mart whose displayed values are the corrected ones; as stated where there is no correction."""
    values = {stated: exams[corrected].fill_null(exams[stated]) for stated, (corrected, _) in CORRECTED_COLUMNS.items()}
    factor = (values["dlp_mgy_cm"] / exams.dlp_mgy_cm.nullif(0.0)).fill_null(1.0)
    return exams.mutate(**values, **{_LIKE_DLP: exams[_LIKE_DLP] * factor})


def with_calibration(
    exams: ibis.Table, selection: Selection, typical: Sequence[TypicalValue]
) -> tuple[TypicalValue, ...]:
    """Return typical values of corrected exams with intervals that hold sampling and calibration.

    Args:
        exams: those of :func:`with_corrected_values`.
        selection: which of them the typical values are of.
        typical: typical values, with the interval of sampling alone.

    """
    samples = _samples(exams, selection)
    return tuple(_widened(value, samples) for value in typical)


Sample = list[tuple[str, float, float]]
"""Device, value and relative standard uncertainty of each exam."""


def _samples(exams: ibis.Table, selection: Selection) -> dict[tuple[Any, ...], Sample]:
    """Return the sample behind each typical value that certificates can correct."""
    relative = {stated: uncertainty for stated, (_, uncertainty) in CORRECTED_COLUMNS.items()}
    relative[_LIKE_DLP] = relative["dlp_mgy_cm"]
    counted = countable(chosen(exams, selection))
    found: dict[tuple[Any, ...], Sample] = defaultdict(list)
    for quantity, uncertainty in relative.items():
        on_phantom = quantity in ("dlp_mgy_cm", _LIKE_DLP)
        own = counted.filter(counted[quantity].notnull()).select(
            "procedure",
            "patient_group",
            "device",
            phantom_cm=counted.phantom_cm if on_phantom else None,
            value=counted[quantity],
            relative=counted[uncertainty].fill_null(0.0),
        )
        for row in own.to_pyarrow().to_pylist():
            row["quantity"] = quantity
            key = tuple(row[name] for name in PEERS)
            found[key].append((row["device"] or _UNKNOWN_DEVICE, row["value"], row["relative"]))
    return found


def _widened(value: TypicalValue, samples: dict[tuple[Any, ...], Sample]) -> TypicalValue:
    import numpy as np

    sample = [
        one
        for one in samples.get(tuple(getattr(value, name) for name in PEERS), ())
        if value.device is None or one[0] == value.device
    ]
    if value.low is None or value.high is None or not sample or value.low <= 0 or min(one[1] for one in sample) <= 0:
        return value
    devices = {name: number for number, name in enumerate(sorted({one[0] for one in sample}))}
    # A device with several certificates in the period counts with the least certain of them.
    relative = np.zeros(len(devices))
    for name, _, own in sample:
        relative[devices[name]] = max(relative[devices[name]], own)
    interval = median_interval(
        np.array([one[1] for one in sample]),
        np.array([devices[one[0]] for one in sample]),
        relative,
        (value.low, value.high),
    )
    return msgspec.structs.replace(
        value,
        low=interval.low,
        high=interval.high,
        calibration_uncertainty=interval.calibration_relative_uncertainty,
    )
