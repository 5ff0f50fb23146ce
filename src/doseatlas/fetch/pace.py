"""How fast may an archive be asked? So many objects a minute, evenly, whatever they take."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Waits before objects are taken. A rate of 0 does not wait.

    Args:
        objects_per_minute: the rate.
        now: a monotonic clock, in seconds.
        sleep: waits for seconds.

    """

    def __init__(
        self,
        objects_per_minute: int,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._seconds = 60 / objects_per_minute if objects_per_minute else 0.0
        self._now = now
        self._sleep = sleep
        self._free_at = now()

    def wait_for(self, objects: int) -> None:
        """Wait until objects may be taken; they then use up their share of the time that follows."""
        now = self._now()
        if self._free_at > now:
            self._sleep(self._free_at - now)
        self._free_at = max(self._free_at, now) + objects * self._seconds
