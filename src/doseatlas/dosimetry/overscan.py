"""How much is irradiated beyond what is imaged?"""

from __future__ import annotations

from math import isfinite

from doseatlas.model import Note

_NOTICED_MM = 10.0


def overscan_mm(exposed_range_mm: float | None, first_z_mm: float, last_z_mm: float, slice_mm: float) -> float | None:
    """Return the length irradiated beyond the images, ``None`` where the exposed range is not stated or shorter.

    A helical scan needs about one rotation more than it reconstructs; anything longer is worth a look.
    """
    if exposed_range_mm is None or not isfinite(exposed_range_mm):
        return None
    beyond = exposed_range_mm - (abs(last_z_mm - first_z_mm) + slice_mm)
    return beyond if beyond >= 0 else None


def overscan_flag(beyond_mm: float | None, total_collimation_mm: float | None, pitch: float | None) -> Note | None:
    """Return a flag where more is irradiated than images and helix need: (1 + pitch) times the collimation."""
    if beyond_mm is None or total_collimation_mm is None or pitch is None:
        return None
    needed = (1 + pitch) * total_collimation_mm + _NOTICED_MM
    if beyond_mm <= needed:
        return None
    message = f"{beyond_mm:.0f} mm are irradiated beyond the images; the helix needs about {needed:.0f} mm."
    return Note(code="overscan", message=message)
