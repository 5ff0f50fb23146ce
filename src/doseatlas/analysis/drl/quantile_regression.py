"""Which line has a given share of the points below it? Linear quantile regression.

The line minimises the sum of check losses (Koenker and Bassett, Econometrica 46 (1978) 33-50). The minimum is a linear
programme, solved by the primal-dual interior point method with Mehrotra's correction of Portnoy and Koenker
(Statistical Science 12 (1997) 279-300) and then moved to the exact corner next to it, which passes through two points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

MOST_STEPS = 60
GAP = 1e-10
_STEP_SHARE = 0.9995  # of the way to the boundary


class Line(NamedTuple):
    """y = intercept + slope x."""

    intercept: float
    slope: float


def fit_quantile_line(x: Floats, y: Floats, probability: float) -> Line:
    """Return the line below which a share ``probability`` of the points lies.

    Raises:
        ValueError: fewer than two different x, so that no line is determined.

    """
    import numpy as np

    if len(np.unique(x)) < 2:
        raise ValueError("a line needs points at two or more different x")
    # Centred and scaled, so that the stopping rule means the same for any unit.
    centre, spread = x.mean(), x.std()
    level, size = float(np.median(y)), float(np.abs(y - np.median(y)).max()) or 1.0
    design = np.column_stack([np.ones(len(x)), (x - centre) / spread])
    response = (y - level) / size
    coefficients = _exact(design, response, probability, _interior_point(design, response, probability))
    slope = size * coefficients[1] / spread
    return Line(float(level + size * coefficients[0] - slope * centre), float(slope))


def check_loss(residuals: Floats, probability: float) -> float:
    """Return the sum that quantile regression minimises."""
    import numpy as np

    return float(np.where(residuals >= 0, probability * residuals, (probability - 1) * residuals).sum())


def _interior_point(design: Floats, response: Floats, probability: float) -> Floats:
    """Solve min c'x, design' x = b, 0 <= x <= 1 with c = -response; its dual variables are minus the coefficients."""
    import numpy as np

    n = len(response)
    c = -response
    x = np.full(n, 1 - probability)
    s = 1 - x
    b = design.T @ x
    dual = np.linalg.lstsq(design, c, rcond=None)[0]
    r = c - design @ dual
    r[r == 0] = 1e-3
    z = np.where(r > 0, r, 0.0) + 1e-3
    w = z - r
    for _ in range(MOST_STEPS):
        if c @ x - dual @ b + w.sum() < GAP * n:
            break
        q = 1 / (z / x + w / s)
        r = z - w
        root = np.sqrt(q)
        scaled = design * root[:, None]
        right = root * r
        d_dual = np.linalg.lstsq(scaled, right, rcond=None)[0]
        dx = q * (design @ d_dual - r)
        dz, dw = -z * (1 + dx / x), -w * (1 - dx / s)
        primal, dual_step = _step(x, dx, s, -dx), _step(z, dz, w, dw)
        if min(primal, dual_step) < 1:
            mu = z @ x + w @ s
            g = (z + dual_step * dz) @ (x + primal * dx) + (w + dual_step * dw) @ (s - primal * dx)
            mu = mu * (g / mu) ** 3 / (2 * n)
            dxdz, dsdw = dx * dz / x, -dx * dw / s
            xi = mu * (1 / x - 1 / s)
            d_dual = np.linalg.lstsq(scaled, right + root * (dxdz - dsdw - xi), rcond=None)[0]
            dx = q * (design @ d_dual + xi - r - dxdz + dsdw)
            dz = mu / x - z - z * dx / x - dxdz
            dw = mu / s - w + w * dx / s - dsdw
            primal, dual_step = _step(x, dx, s, -dx), _step(z, dz, w, dw)
        x, s = x + primal * dx, s - primal * dx
        dual, z, w = dual + dual_step * d_dual, z + dual_step * dz, w + dual_step * dw
    return np.asarray(-dual, dtype=np.float64)


def _step(one: Floats, d_one: Floats, other: Floats, d_other: Floats) -> float:
    """Return how far both may move and stay above 0, at most 1."""
    longest = 1.0
    for value, change in ((one, d_one), (other, d_other)):
        falling = change < 0
        if falling.any():
            longest = min(longest, _STEP_SHARE * float((-value[falling] / change[falling]).min()))
    return longest


def _exact(design: Floats, response: Floats, probability: float, near: Floats) -> Floats:
    """Return the corner next to a point: the best line through two of the points nearest to it, if it is better."""
    import numpy as np

    best, loss = near, check_loss(response - design @ near, probability)
    nearest = np.argsort(np.abs(response - design @ near))[:8]
    for i, first in enumerate(nearest):
        for second in nearest[i + 1 :]:
            pair = design[[first, second]]
            if abs(np.linalg.det(pair)) > 1e-12:
                corner = np.asarray(np.linalg.solve(pair, response[[first, second]]), dtype=np.float64)
                of_corner = check_loss(response - design @ corner, probability)
                if of_corner <= loss:
                    best, loss = corner, of_corner
    return best
