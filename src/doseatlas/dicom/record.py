"""How do the values found in one part of an object become one record? By the rules for several values of one field."""

from __future__ import annotations

import math
from collections.abc import Iterable

from doseatlas.dicom.measures import Stated
from doseatlas.dicom.templates import Field


def record_values(found: Iterable[Stated]) -> dict[str, object]:
    """Return the value of each field name.

    Of several values under one concept the first counts, or their sum or their mean, or all of them, as its row in the
    table says; of two concepts of one field, the one that comes first in the table.
    """
    first: dict[int, Stated] = {}
    several: dict[int, list[object]] = {}
    for stated in found:
        field = stated[0]
        rank = field.rank
        if rank not in first:
            first[rank] = stated
        elif field.several != "first":
            if rank not in several:
                several[rank] = [first[rank][1]]
            several[rank].append(stated[1])
    values: dict[str, object] = {}
    for rank in sorted(first, reverse=True):
        field, value = first[rank]
        values[field.name] = _united(field, several[rank]) if rank in several else value
    return values


def _united(field: Field, values: list[object]) -> object:
    """Return several values as one; a sum or a mean is rounded to undo binary rounding only."""
    if field.several == "all":
        return tuple(part for value in values for part in value)  # type: ignore[attr-defined]
    total = math.fsum(values)  # type: ignore[arg-type]
    result = float(f"{total if field.several == 'sum' else total / len(values):.10g}")
    return int(result) if field.form == "integer" else result
