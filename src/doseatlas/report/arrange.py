"""In which order are the figures read? Chapters by kind of exam, a block a procedure and patient group, in it each
quantity with its histogram, months and devices; and the same figures by device."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple, TypeVar

from doseatlas.analysis import DeviceSummary, Distribution, FacilityReport, MonthlyValue, TypicalValue
from doseatlas.report import words
from doseatlas.report.sentences import subject

Key = tuple[str, str, str, int | None]
Row = TypeVar("Row", TypicalValue, MonthlyValue)
MOST_TRENDS = 12
FEWEST_MONTHS = 3


class QuantityBlock(NamedTuple):
    """One typical value with all that belongs to it."""

    value: TypicalValue
    distribution: Distribution | None
    months: tuple[MonthlyValue, ...]
    devices: tuple[TypicalValue, ...]


class ProcedureBlock(NamedTuple):
    """A procedure in one patient group; ``anchor`` is its place on the page."""

    anchor: str
    title: str
    procedure: str
    patient_group: str
    quantities: tuple[QuantityBlock, ...]

    @property
    def n(self) -> int:
        """The exams of its most often stated quantity."""
        return max(block.value.n for block in self.quantities)


class Chapter(NamedTuple):
    """The procedures of one kind of exam."""

    title: str
    blocks: tuple[ProcedureBlock, ...]


class DeviceBlock(NamedTuple):
    """A device with its typical values; ``anchor`` is its place on the page."""

    anchor: str
    summary: DeviceSummary
    values: tuple[TypicalValue, ...]


def chapters(report: FacilityReport) -> tuple[Chapter, ...]:
    """Return every typical value of the report, in the order of the reference tables."""
    histograms = {_key(one): one for one in report.distributions}
    months = _by_key(report.trends)
    devices = _by_key(report.device_values)
    ordered = sorted(report.typical_values, key=_place)
    blocks = [
        ProcedureBlock(
            f"p{number}",
            subject(procedure, group),
            procedure,
            group,
            tuple(
                QuantityBlock(
                    value,
                    histograms.get(_key(value)),
                    tuple(months[_key(value)]),
                    tuple(sorted(devices[_key(value)], key=lambda one: (-one.median, one.device or ""))),
                )
                for value in values
            ),
        )
        for number, ((procedure, group), values) in enumerate(groupby(ordered, _procedure), start=1)
    ]
    by_kind = {
        kind: [block for block in blocks if words.procedure_kind(block.procedure) == kind] for kind in words.KINDS
    }
    return tuple(Chapter(words.KINDS[kind], tuple(found)) for kind, found in by_kind.items() if found)


def devices(report: FacilityReport) -> tuple[DeviceBlock, ...]:
    """Return each device, most exams first, with its typical values in the order of the reference tables."""
    values: dict[str | None, list[TypicalValue]] = defaultdict(list)
    for value in sorted(report.device_values, key=_place):
        values[value.device].append(value)
    return tuple(
        DeviceBlock(f"d{number}", summary, tuple(values[summary.device]))
        for number, summary in enumerate(report.devices, start=1)
    )


def main_trends(found: Iterable[Chapter]) -> tuple[tuple[ProcedureBlock, QuantityBlock], ...]:
    """Return the trends of the procedures with most exams, each by its first quantity."""
    blocks = sorted((block for chapter in found for block in chapter.blocks), key=lambda block: -block.n)
    with_months = [(block, block.quantities[0]) for block in blocks if len(block.quantities[0].months) >= FEWEST_MONTHS]
    return tuple(with_months[:MOST_TRENDS])


def _procedure(value: TypicalValue) -> tuple[str, str]:
    return value.procedure, value.patient_group


def _place(value: TypicalValue) -> tuple[int, int, str, str]:
    return words.reference_order(value.procedure, value.patient_group)


def _key(one: TypicalValue | Distribution | MonthlyValue) -> Key:
    return one.procedure, one.patient_group, one.quantity, one.phantom_cm


def _by_key(rows: Iterable[Row]) -> dict[Key, list[Row]]:
    found: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        found[_key(row)].append(row)
    return found
