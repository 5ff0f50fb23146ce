"""Axial CT images of water phantoms whose water-equivalent diameter is known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SIDE, PIXEL_MM = 512, 0.9
SUPERSAMPLING = 3
INTERCEPT = -1024.0


class Ellipse(NamedTuple):
    """Half axes and middle in mm, and HU."""

    a_mm: float
    b_mm: float
    hu: float = 0.0
    x_mm: float = 0.0
    y_mm: float = 0.0


class Table(NamedTuple):
    """A table top: distance of its highest row from the middle, thickness, half width, HU; curved up at its sides."""

    top_mm: float
    thickness_mm: float
    half_width_mm: float = 210.0
    hu: float = 100.0
    shell_mm: float | None = None
    curvature_per_mm: float = 0.0


def hounsfield(
    parts: Sequence[Ellipse], table: Table | None = None, noise_hu: float = 10.0, blur: bool = False
) -> npt.NDArray[np.float64]:
    """Return an image of ellipses (later ones replace earlier ones), each pixel the mean over its area."""
    fine = (np.arange(SIDE * SUPERSAMPLING) + 0.5) / SUPERSAMPLING * PIXEL_MM - SIDE * PIXEL_MM / 2
    x, y = np.meshgrid(fine, fine)
    image = np.full(x.shape, -1000.0)
    for part in parts:
        image[((x - part.x_mm) / part.a_mm) ** 2 + ((y - part.y_mm) / part.b_mm) ** 2 <= 1] = part.hu
    image = image.reshape(SIDE, SUPERSAMPLING, SIDE, SUPERSAMPLING).mean((1, 3))
    if blur:
        kernel = np.exp(-(np.arange(-4, 5) ** 2) / (2 * 1.2**2))
        kernel /= kernel.sum()
        for axis in (0, 1):
            image = np.apply_along_axis(np.convolve, axis, image, kernel, "same")
    if table is not None:
        coarse = (np.arange(SIDE) + 0.5) * PIXEL_MM - SIDE * PIXEL_MM / 2
        x, y = np.meshgrid(coarse, coarse)
        top = table.top_mm - table.curvature_per_mm * x**2
        inside = (y >= top) & (y < top + table.thickness_mm) & (np.abs(x) < table.half_width_mm)
        if table.shell_mm is not None:
            core = (y >= top + table.shell_mm) & (y < top + table.thickness_mm - table.shell_mm)
            inside &= ~(core & (np.abs(x) < table.half_width_mm - table.shell_mm))
        image[inside] = np.maximum(image[inside], table.hu)
    return np.asarray(image + np.random.default_rng(1).normal(0, noise_hu, image.shape))


def stored(hu: npt.NDArray[np.float64], padding: int | None = None) -> npt.NDArray[np.int16]:
    """Return stored values of a scanner: clipped HU less the intercept; outside a round field the padding value."""
    values = np.round(np.clip(hu, -1024, 3071) - INTERCEPT).astype(np.int16)
    if padding is not None:
        y, x = np.ogrid[:SIDE, :SIDE]
        values[(x - (SIDE - 1) / 2) ** 2 + (y - (SIDE - 1) / 2) ** 2 > (SIDE / 2) ** 2] = padding
    return values
