"""What do calibration certificates make of what devices display?

Stated and corrected medians stand side by side for each device, with the uncertainty of the correction. They say how
far displays are off; the typical values of procedures are elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from doseatlas.analysis.mart import has_plausible_doses
from doseatlas.analysis.results import DeviceDisplay
from doseatlas.analysis.tables import quantities
from doseatlas.dosimetry import CORRECTED_COLUMNS, DISPLAY_TOLERANCE, certificate_named

if TYPE_CHECKING:
    import ibis


def device_displays(exams: ibis.Table) -> tuple[DeviceDisplay, ...]:
    """Return each device's displayed quantities, stated and corrected, where a certificate corrects some exam.

    ``exams`` are those of a mart as stated. Devices without a certificate are among them, with the tolerance of their
    display; without any certificate there is nothing to show.
    """
    said = exams.calibration.fill_null(DISPLAY_TOLERANCE)
    if not exams.filter(said != DISPLAY_TOLERANCE).limit(1).count().to_pyarrow().as_py():
        return ()
    counted = exams.filter(has_plausible_doses(exams), exams.device.notnull(), exams.calibration.notnull())
    phantom = counted.phantom_cm.fill_null(0)
    figures: dict[str, ibis.Value] = {"calibrations": counted.calibration.collect(distinct=True)}
    shown = [one.name for one in quantities() if one.name in CORRECTED_COLUMNS]
    for name in shown:
        corrected, uncertainty = (counted[column] for column in CORRECTED_COLUMNS[name])
        figures |= {
            f"n_{name}": corrected.count(),
            f"stated_{name}": counted[name].quantile(0.5, where=corrected.notnull()),
            f"corrected_{name}": corrected.quantile(0.5),
            f"uncertainty_{name}": uncertainty.max(),
        }
    table = counted.group_by(counted.device, phantom_cm=phantom).agg(**figures).order_by("device", "phantom_cm")
    rows = table.to_pyarrow().to_pylist()
    return tuple(_display(row, name) for row in rows for name in shown if row[f"n_{name}"])


def _display(row: dict[str, Any], name: str) -> DeviceDisplay:
    certificates = {certificate_named(text, name) for text in row["calibrations"]}
    return DeviceDisplay(
        device=row["device"],
        quantity=name,  # type: ignore[arg-type]
        phantom_cm=row["phantom_cm"] or None,
        exams=row[f"n_{name}"],
        stated=row[f"stated_{name}"],
        corrected=row[f"corrected_{name}"],
        relative_uncertainty=row[f"uncertainty_{name}"],
        certificates=tuple(sorted(one for one in certificates if one is not None)),
    )
