"""What should the reader of a report look at first? The rules are in ``docs/statistics.md``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from doseatlas.analysis.outlier import Outliers
from doseatlas.analysis.results import (
    AboveLevel,
    CountOf,
    DataQuality,
    ExamsStandOut,
    FewCounted,
    Finding,
    HighDevice,
    Outlier,
    Standing,
    TypicalValue,
)
from doseatlas.analysis.tables import quantities

MOST_FINDINGS = 3
FEWEST_COUNTED = 0.9  # part of the exams; with fewer, the figures may not be those of the facility
SURE = 0.95
LEAST_DEVICE_RATIO = 1.25


def standing(typical: Sequence[TypicalValue]) -> Standing:
    """Return how many procedures (once for each patient group) are above their level, within it, or not compared."""
    by_procedure: dict[tuple[str, str], list[TypicalValue]] = defaultdict(list)
    for value in typical:
        by_procedure[value.procedure, value.patient_group].append(value)
    found = Counter(_stand(values) for values in by_procedure.values())
    return Standing(**found)


def _stand(values: Sequence[TypicalValue]) -> str:
    verdicts = {value.verdict for value in values if value.reference is not None}
    if "above" in verdicts:
        return "above"
    if "within" in verdicts:
        return "within"
    return "too_few" if verdicts else "no_level"


def what_to_look_at(
    typical: Sequence[TypicalValue], device_values: Sequence[TypicalValue], outliers: Outliers, quality: DataQuality
) -> tuple[Finding, ...]:
    """Return at most three findings, the most pressing first: one of each kind, then more procedures above a level."""
    above = _above_level(typical)
    ranked: Iterator[Finding] = chain(
        _few_counted(quality),
        above[:1],
        _high_device(typical, device_values),
        _exams_stand_out(outliers),
        above[1:],
    )
    return tuple(islice(ranked, MOST_FINDINGS))


def first_reasons(outliers: Sequence[Outlier]) -> tuple[CountOf, ...]:
    """Return how many of the exams have which likeliest reason, the most frequent first."""
    counts = Counter(outlier.reasons[0] for outlier in outliers if outlier.reasons)
    return tuple(
        CountOf(value=reason, count=count)
        for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def _few_counted(quality: DataQuality) -> Iterator[FewCounted]:
    if quality.counted < FEWEST_COUNTED * quality.exams:
        yield FewCounted(exams=quality.exams, counted=quality.counted)


def _above_level(typical: Sequence[TypicalValue]) -> list[AboveLevel]:
    """Return the procedures above a level, each by its largest ratio: the sure ones first, then the largest ratio."""
    worst: dict[tuple[str, str], TypicalValue] = {}
    for value in sorted(typical, key=_pressing):
        if value.verdict == "above":
            worst.setdefault((value.procedure, value.patient_group), value)
    return [AboveLevel(value=value) for value in worst.values()]


def _pressing(value: TypicalValue) -> tuple[bool, float]:
    return (value.probability_above or 0) < SURE, -(value.ratio or 0)


def _high_device(typical: Sequence[TypicalValue], device_values: Sequence[TypicalValue]) -> Iterator[HighDevice]:
    """Yield the device that is furthest above all devices together, where that is clear.

    Clear: both have enough exams, another device has them too, the 95 % intervals of the medians do not touch, and
    the ratio of the medians is at least 1.25.
    """
    together = {_what(value): value for value in typical}
    derived = {quantity.name for quantity in quantities() if quantity.derived}  # they follow from the others
    enough = [value for value in device_values if value.n >= value.minimum_n and value.quantity not in derived]
    devices = Counter(_what(value) for value in enough)
    found = []
    for value in enough:
        pooled = together.get(_what(value))
        if pooled is None or devices[_what(value)] < 2 or value.low is None or pooled.high is None:
            continue
        if value.low > pooled.high and value.median >= LEAST_DEVICE_RATIO * pooled.median:
            found.append(HighDevice(value=value, all_devices=pooled, ratio=value.median / pooled.median))
    yield from sorted(found, key=lambda finding: -finding.ratio)[:1]


def _what(value: TypicalValue) -> tuple[str, str, str, int | None]:
    return value.procedure, value.patient_group, value.quantity, value.phantom_cm


def _exams_stand_out(outliers: Outliers) -> Iterator[ExamsStandOut]:
    reasons = first_reasons(outliers.worst)
    if reasons:
        yield ExamsStandOut(count=outliers.total, listed=len(outliers.worst), reason=reasons[0])
