"""How does each device stand: how many exams, and how many of its typical values have which verdict?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from doseatlas.analysis.mart import countable
from doseatlas.analysis.results import DeviceSummary, TypicalValue

if TYPE_CHECKING:
    import ibis


def devices_of(exams: ibis.Table, device_values: Sequence[TypicalValue]) -> tuple[DeviceSummary, ...]:
    """Return one summary a device, most exams first; ``device_values`` are the typical values of each device."""
    named = exams.mutate(device=exams.device.fill_null("unknown device"))
    all_exams, counted = (
        {
            row["device"]: row["exams"]
            for row in table.group_by("device").agg(exams=table.count()).to_pyarrow().to_pylist()
        }
        for table in (named, countable(named))
    )
    verdicts = Counter((value.device, value.verdict) for value in device_values)
    summaries = (
        DeviceSummary(
            device=device,
            exams=number,
            counted=counted.get(device, 0),
            above=verdicts[device, "above"],
            within=verdicts[device, "within"],
            too_few=verdicts[device, "too few"],
            no_level=verdicts[device, "no reference level"],
        )
        for device, number in all_exams.items()
    )
    return tuple(sorted(summaries, key=lambda summary: (-summary.exams, summary.device)))
