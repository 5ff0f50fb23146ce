"""How much of the body lies outside the field of view? From an ellipse through the part of the contour that is inside.

A conic is fitted by least squares to the uncut contour (compare Fitzgibbon A, Pilu M, Fisher RB, IEEE Trans. Pattern
Anal. Mach. Intell. 21 (1999) 476-480; that it is an ellipse is checked here, not imposed). No ellipse, or a poor one:
no answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from doseatlas.dosimetry.body_kernel import outline, view

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_EVERY = 3  # rows and columns, enough for five unknowns
_FEWEST_POINTS = 20
_MARGIN = 3  # pixels between the contour that is used and the edge of the view
_ROUGHNESS = 0.03  # of the mean radius
_LARGEST_SHARE = 0.5
_LINES_A_ROW = 4


def missing_pixels(body: Any, image: Any, padding: float, circle_radius: float | None) -> float | None:
    """Return the area (pixels) of the ellipse outside the field of view; ``None`` where the contour is no ellipse.

    Args:
        body: image of the patient, as ``body_kernel`` paints it.
        image: stored values.
        padding: stored value below which a pixel is outside the field of view.
        circle_radius: radius (pixels) of a round field of view, ``None`` where it is the whole image.

    """
    import numpy as np

    ends = _view(image, padding, circle_radius)
    x, y = outline(body, ends, _EVERY, _MARGIN)
    if x.size < _FEWEST_POINTS:
        return None
    # Centred and scaled, so that the five unknowns are of one size.
    scale = max(body.shape) / 2
    u, v = (x - x.mean()) / scale, (y - y.mean()) / scale
    terms = np.stack([u * u, u * v, v * v, u, v])
    try:
        # Normal equations, well conditioned as centred and scaled; einsum, as a product of matrices may start threads.
        a, b, c, d, e = np.linalg.solve(np.einsum("ik,jk->ij", terms, terms), terms.sum(axis=1)).tolist()
    except np.linalg.LinAlgError:
        return None
    determinant = 4 * a * c - b * b
    if determinant <= 0 or a <= 0:
        return None
    gradient = np.hypot(2 * a * u + b * v + d, b * u + 2 * c * v + e)
    residual = (a * u * u + b * u * v + c * v * v + d * u + e * v - 1) / np.maximum(gradient, 1e-9)
    middle_u, middle_v = (b * e - 2 * c * d) / determinant, (b * d - 2 * a * e) / determinant
    level = 1 + a * middle_u**2 + b * middle_u * middle_v + c * middle_v**2
    area = 2 * np.pi * level / np.sqrt(determinant) * scale**2
    if float(np.sqrt(np.mean(residual**2))) * scale > _ROUGHNESS * np.sqrt(area / np.pi):
        return None
    inside = _inside_view((a, b, c, d, e), scale, (float(x.mean()), float(y.mean())), ends)
    missing = float(area - inside)
    return None if missing > _LARGEST_SHARE * area else max(0.0, missing)


def _view(image: Any, padding: float, circle_radius: float | None) -> Floats:
    """Return for each row where the field of view begins and ends (in pixels, ends exclusive)."""
    import numpy as np

    ends = np.asarray(view(image, padding))
    if circle_radius is not None:
        rows, columns = image.shape
        middle = (columns - 1) / 2
        half = np.sqrt(np.maximum(0.0, circle_radius**2 - (np.arange(rows) - (rows - 1) / 2) ** 2))
        ends[:, 0], ends[:, 1] = np.maximum(ends[:, 0], middle - half), np.minimum(ends[:, 1], middle + half + 1)
    return ends


def _inside_view(conic: tuple[float, ...], scale: float, middle: tuple[float, float], ends: Floats) -> float:
    """Return the area (pixels) of the ellipse inside the view, from its chords along several lines a row."""
    import numpy as np

    a, b, c, d, e = conic
    total = 0.0
    for line in range(_LINES_A_ROW):
        v = (np.arange(len(ends)) + (line + 0.5) / _LINES_A_ROW - 0.5 - middle[1]) / scale
        linear, constant = b * v + d, c * v * v + e * v - 1
        half = np.sqrt(np.maximum(0.0, linear**2 - 4 * a * constant)) / (2 * a)
        centre = -linear / (2 * a)
        # Pixel x reaches from x - 0.5 to x + 0.5, so a view from begin to end (exclusive) lies between these minus 0.5.
        left = np.maximum((centre - half) * scale + middle[0], ends[:, 0] - 0.5)
        right = np.minimum((centre + half) * scale + middle[0], ends[:, 1] - 0.5)
        total += float(np.maximum(0.0, right - left).sum()) / _LINES_A_ROW
    return total
