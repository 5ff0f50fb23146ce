"""Which quantiles over facilities can be shown without giving a facility's own figure back to the others?

A quantile of few values is one of them, or lets the others be worked out: of three values p25, median and p75 give all
three. So quantiles of fewer than 20 facilities are not of their values, but of the running means of three neighbours in
order: each figure is a sum over three or four facilities, and a facility that knows its own value is left with two
unknowns at least. Over fewer than 6 facilities only the median is shown, as the quartiles would overlap so far that
their difference is a single value. ``tests/exchange/test_disclosure.py`` shows for each number of facilities that
neither an outsider nor one of them can solve the published figures for any other. From 20 facilities on (ICRP 135
takes a national survey from 20 to 30) the quantiles are the plain ones: a figure may then be one facility's, but of 20
whose order nobody knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

NEIGHBOURS = 3
"""Values that are averaged; so many facilities are the fewest that anything is shown of."""
QUARTILES_FROM = 6
PLAIN_FROM = 20
DIGITS = 3
"""To which figures are shown: within 0.5 %, far inside their intervals."""
MOST_OF_ONE = 0.5
"""Of the exams of all facilities together; with more from one, the pooled p75 would be nearly that facility's own."""


def averaged_over(facilities: int) -> int:
    """Return how many neighbouring values each quantile of so many facilities is averaged over; 1: none."""
    return 1 if facilities >= PLAIN_FROM else NEIGHBOURS


def shown_quantile(values: Sequence[float], probability: float) -> float | None:
    """Return a quantile of facilities' values as it may be shown, ``None`` where it may not.

    It is that of definition 7 of Hyndman and Fan, of the values or of their running means (:func:`averaged_over`).
    """
    import numpy as np

    needed = NEIGHBOURS if probability == 0.5 else QUARTILES_FROM
    if len(values) < needed:
        return None
    return rounded(float(quantile_weights(len(values), probability) @ np.sort(np.asarray(values, np.float64))))


def quantile_weights(facilities: int, probability: float) -> Floats:
    """Return the weights with which the values by rising size make up a quantile; of at least 3 facilities."""
    import numpy as np

    beside = averaged_over(facilities) // 2
    position = (facilities - 1) * probability
    below = math.floor(position)
    weights = np.zeros(facilities)
    for place, part in ((below, 1 - (position - below)), (below + 1, position - below)):
        if part:
            weights[place - beside : place + beside + 1] += part / (2 * beside + 1)
    return weights


def rounded(value: float) -> float:
    """Return a figure to three significant digits."""
    return float(f"{value:.{DIGITS}g}")
