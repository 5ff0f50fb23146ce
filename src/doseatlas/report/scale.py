"""Where on a picture does a value lie, and which round values are marked? Linear and logarithmic scales."""

from __future__ import annotations

import math
from typing import NamedTuple


class Scale(NamedTuple):
    """From values ``low`` to ``high`` onto positions ``start`` to ``stop``."""

    low: float
    high: float
    start: float
    stop: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return the position of a value; a value off the scale is held at its end."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.stop - self.start)

    def covers(self, value: float) -> bool:
        """Return whether a value is on the scale."""
        return self.low <= value <= self.high

    def ticks(self, most: int) -> tuple[float, ...]:
        """Return round values on the scale, about evenly spaced, at most ``most``."""
        return _logarithmic_ticks(self.low, self.high, most) if self.logarithmic else self._linear_ticks(most)

    def _linear_ticks(self, most: int) -> tuple[float, ...]:
        step = round_step((self.high - self.low) / most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return tuple(round(i * step, 12) for i in range(first, last + 1))[: most + 1]


def round_step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is not less than ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))


def _logarithmic_ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """Return 1, 2, 5 in each decade, fewer where that is too many, more where it leaves fewer than three."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)

    def marks(members: tuple[int, ...]) -> tuple[float, ...]:
        return tuple(m * 10.0**d for d in decades for m in members if low <= m * 10.0**d <= high)

    coarse = marks((1,))
    found = next((m for m in map(marks, ((1, 2, 5), (1, 3))) if len(m) <= most), coarse)
    if len(found) < 3:
        return next((m for m in map(marks, ((1, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5))) if len(m) <= most), found)
    return found[:: math.ceil(len(found) / most)]
