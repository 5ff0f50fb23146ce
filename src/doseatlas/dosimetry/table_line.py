"""Does the patient lie on a table that the image joins to the body, and where does it begin?

A table that touches the body shows beside the contact: as a flat shelf from which the body rises steeply, where the
table is wider than the body, or as a thin stretch below a gap of air, where the body curves away from it. The top of
the table, continued under the body by a line or a flat arc, is where it begins. Arms and folds of skin give no such
line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rows = npt.NDArray[np.int32]

_THICKEST_MM = 60.0
_STEP_MM, _STEP_WITHIN_MM = 30.0, 8.0
_SHORTEST_MM, _SHORTEST_ALONE_MM = 15.0, 40.0
_SLOPE = 0.4
_ROUGHNESS_MM = 2.0
_AGREEING = 0.8  # share of the columns that must lie on one line


def table_cut(top: Rows, bottom: Rows, lowest_top: Rows, pixel_mm: float) -> npt.NDArray[np.float64]:
    """Return for each column the row from which on there is table; empty where there is no table.

    Args:
        top: topmost row of patient and table in each column, -1 where there is none.
        bottom: lowest row.
        lowest_top: top of the lowest unbroken stretch.
        pixel_mm: size of a pixel.

    """
    import numpy as np

    nothing = np.empty(0)
    columns = np.flatnonzero(top >= 0)
    if not columns.size:
        return nothing
    part = slice(int(columns[0]), int(columns[-1]) + 1)
    upper, lower, lowest = (one[part].astype(np.float64) for one in (top, bottom, lowest_top))
    thickness = (lower - upper + 1) * pixel_mm
    x = np.arange(upper.size, dtype=np.float64)
    shelf = (x < _shelf(upper, thickness, pixel_mm)) | (x >= x.size - _shelf(upper[::-1], thickness[::-1], pixel_mm))
    below_gap = (top[part] >= 0) & (lowest > upper) & ((lower - lowest + 1) * pixel_mm < _THICKEST_MM)
    seen = shelf | below_gap
    middle = x.size / 2
    sides = np.array([np.count_nonzero(seen & (x < middle)), np.count_nonzero(seen & (x >= middle))]) * pixel_mm
    both = bool((sides >= _SHORTEST_MM).all())
    if not both and sides.max() < _SHORTEST_ALONE_MM:
        return nothing
    powers = np.stack([(x / middle - 1) ** power for power in range(3 if both else 2)])
    under = _fit(powers, seen, lowest)
    off = np.abs(under - lowest)
    near = seen & (off <= np.median(off[seen]) + _ROUGHNESS_MM / pixel_mm)
    if np.count_nonzero(near) < _AGREEING * np.count_nonzero(seen):
        return nothing
    under = _fit(powers, near, lowest)  # without what noise made of the sides of the body
    roughness_mm = pixel_mm * float(np.sqrt(np.mean((under - lowest)[near] ** 2)))
    highest = (upper[top[part] >= 0].min() + lower.max()) / 2
    if roughness_mm > _ROUGHNESS_MM or float(under.min()) < highest or float(np.ptp(under)) > _SLOPE * x.size:
        return nothing
    nowhere = float(bottom.max()) + 1.0
    cut = np.full(top.size, nowhere)
    under[shelf] = -1.0
    places = np.flatnonzero(near)  # never beyond what was seen of the table: it may end there
    under[: places[0]] = nowhere
    under[places[-1] + 1 :] = nowhere
    cut[part] = under
    return cut


def _fit(powers: Any, chosen: Any, rows: Any) -> Any:
    """Return the least squares polynomial of the chosen columns' rows, in all columns."""
    import numpy as np

    known = powers[:, chosen]
    # Not a product of matrices, as that may start threads.
    normal, right = np.einsum("ik,jk->ij", known, known), np.einsum("ik,k->i", known, rows[chosen])
    return np.einsum("i,ik->k", np.linalg.solve(normal, right), powers)


def _shelf(upper: Any, thickness: Any, pixel_mm: float) -> int:
    """Return the length (pixels) of the shelf at the beginning, 0 where it is none."""
    import numpy as np

    within = max(1, round(_STEP_WITHIN_MM / pixel_mm))
    thick = np.flatnonzero(thickness > _THICKEST_MM)
    if not thick.size:
        return 0
    rise = int(thick[0])
    before = rise
    while before > 0 and thickness[before] - thickness[before - 1] > 0.5 * pixel_mm and rise - before < within:
        before -= 1
    if (
        before * pixel_mm < _SHORTEST_MM
        or thickness[min(rise + within, len(thickness) - 1)] - thickness[before] < _STEP_MM
    ):
        return 0
    inner = upper[round(3 / pixel_mm) : before]
    return before if float(np.ptp(inner)) <= _SLOPE * before else 0
