"""How much faster than pydicom are dose reports read? Same bytes, in turn, in one process.

pydicom's side is ``dcmread`` and a walk that touches the value of every element, which is the least that any reader
built on it must do. Ours is the whole way from bytes to a finished ``Exam``, so ours does more.
"""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from benchmarks.measure import Row, side_by_side
from doseatlas.dicom import open_object, read_bytes

LARGE_REPORT_ITEMS = 2_000


def walk_with_pydicom(data: bytes) -> int:
    """Read with pydicom and touch every value; returns the number of elements."""

    def walk(dataset: Dataset) -> int:
        count = 0
        for element in dataset:
            count += 1
            if element.VR == "SQ":
                count += sum(walk(item) for item in element.value)
            else:
                _ = element.value
        return count

    return walk(pydicom.dcmread(io.BytesIO(data), force=True))


def content_items(data: bytes) -> int:
    """Count the content items of a report."""
    content = open_object(data).content
    pending, count = [content] if content else [], 0
    while pending:
        count += 1
        pending.extend(pending.pop().children)
    return count


def measure(ct_reports: Iterable[Path], projection_reports: Iterable[Path]) -> list[Row]:
    """Measure CT reports, and angiography reports of over 2,000 content items."""
    large = [data for path in projection_reports if content_items(data := path.read_bytes()) > LARGE_REPORT_ITEMS]
    ct = [path.read_bytes() for path in ct_reports]
    return [
        _row("reading angiography reports over 2,000 content items", large, 20),
        _row("reading CT reports", ct, 10),
    ]


def _row(what: str, objects: list[bytes], bar: int) -> Row:
    times = [side_by_side(_each(read_bytes, [data]), _each(walk_with_pydicom, [data]), runs=5) for data in objects]
    ratio = statistics.median(theirs / ours for ours, theirs in times)
    ours = statistics.median(a for a, _ in times) * 1e3
    theirs = statistics.median(b for _, b in times) * 1e3
    items = statistics.median(content_items(data) for data in objects)
    return Row(
        what,
        f"{ratio:.0f} times pydicom",
        f"at least {bar} times",
        ratio >= bar,
        f"{len(objects)} reports, median of {items:.0f} content items: {ours:.2f} ms to a finished exam; "
        f"pydicom's read and walk {theirs:.1f} ms; worst ratio {min(b / a for a, b in times):.0f}",
    )


def _each(action: Callable[[bytes], object], objects: list[bytes]) -> Callable[[], None]:
    def run() -> None:
        for data in objects:
            action(data)

    return run
