"""How do totals of several objects add up? (What events add up to: :func:`doseatlas.dicom.sum_events`.)"""

from __future__ import annotations

from collections.abc import Sequence

from doseatlas.dicom import common_text, sum_stated
from doseatlas.model import Totals

TEXTS = ("radionuclide", "radiopharmaceutical")
NUMBERS = tuple(name for name in Totals.__struct_fields__ if name not in TEXTS)


def add_totals(parts: Sequence[Totals]) -> Totals:
    """Return totals of parts that share no event: numbers add up; texts stay where all parts that state one agree."""
    numbers = {name: sum_stated(getattr(part, name) for part in parts) for name in NUMBERS}
    for name in ("event_count", "radiographic_frames"):
        if (count := numbers[name]) is not None:
            numbers[name] = int(count)
    texts = {name: common_text(getattr(part, name) for part in parts) for name in TEXTS}
    return Totals(**numbers, **texts)  # type: ignore[arg-type]
