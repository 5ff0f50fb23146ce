"""How much more kerma is at the skin than without a patient? Backscatter of water by beam and field.

The polynomial in tube voltage and half-value layer of Benmakhlouf, Bouchard, Fransson and Andreo, Phys Med Biol 58
(2013) 247, eq. 8, for square fields (``tables/backscatter.csv``), with a cubic spline between their sides that begins
with 1 for no field. It is the ratio of water kerma at the surface of a water phantom to that without the phantom. The
ratio of air kerma, which entrance surface air kerma asks for, differs by at most 0.43 % (spectra at 60 to 120 kV:
Phys Med Biol 47 (2002) 1205).
"""

from __future__ import annotations

import csv
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from doseatlas.dosimetry.tables import TABLES

Floats = npt.NDArray[np.float64]

SIDES_CM = (5.0, 10.0, 20.0, 25.0, 35.0)
"""Of the square fields of the polynomial."""
BACKSCATTER_KV = (50.0, 150.0)
BACKSCATTER_MM_AL = (1.78, 12.48)
"""Half-value layers of the beams that the polynomial was fitted to."""
KNOTS_CM = (10.0, 20.0)
"""Where the cubic of backscatter over side changes."""


def backscatter(kv: Floats, hvl_mm_al: Floats, limits: tuple[float, float] = BACKSCATTER_KV) -> Floats:
    """Return the backscatter factors (n, 5) for square fields of :data:`SIDES_CM` (Benmakhlouf et al. 2013, eq. 8)."""
    kv = np.clip(kv, *limits)
    powers, coefficients = _backscatter_table()
    return np.column_stack([hvl_mm_al**hvl_power * kv**kv_power for hvl_power, kv_power in powers]) @ coefficients


@lru_cache(maxsize=4096)
def backscatter_of_field(kv: float, hvl_mm_al: float, side_cm: float) -> float:
    """Return the backscatter factor of one beam and square field; beyond the ranges, that of the nearest end."""
    layer = np.clip(np.array([hvl_mm_al]), *BACKSCATTER_MM_AL)
    nodes = np.concatenate(([1.0], backscatter(np.array([kv]), layer)[0]))
    side = min(max(side_cm, 0.0), SIDES_CM[-1])
    terms = [side**power for power in range(4)] + [max(side - knot, 0.0) ** 3 for knot in KNOTS_CM]
    return float(np.array(terms) @ side_spline((0.0, *SIDES_CM)) @ nodes)


@cache
def side_spline(nodes: tuple[float, ...]) -> Floats:
    """Return the matrix from values at the nodes to the coefficients of the not-a-knot cubic spline through them.

    Such a spline has no third derivative's jump at its second and its last but one node; 10 and 20 cm are what remains
    of the nodes from 0 to 35 cm, and 20 cm of those from 5 to 35 cm.
    """
    knots = [knot for knot in KNOTS_CM if knot in nodes[2:-2]]
    at = np.array(nodes)
    terms = np.column_stack([at**power for power in range(4)] + [np.maximum(at - knot, 0) ** 3 for knot in knots])
    matrix = np.zeros((4 + len(KNOTS_CM), len(nodes)))
    matrix[[0, 1, 2, 3, *(4 + KNOTS_CM.index(knot) for knot in knots)]] = np.linalg.inv(terms)
    return matrix


@cache
def _backscatter_table() -> tuple[tuple[tuple[int, int], ...], Floats]:
    with (TABLES / "backscatter.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    powers = tuple((int(row["hvl_power"]), int(row["kv_power"])) for row in rows)
    return powers, np.array([[float(row[f"side_{side:g}_cm"]) for side in SIDES_CM] for row in rows])
