"""Which level do these units give under a rule? Percentile, interval, guide values, rounding, and who was left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from doseatlas.analysis.drl.bootstrap import Draws, Interval, percentile_interval, percentile_of
from doseatlas.analysis.drl.records import ComputedLevel, GuideValue, LeftOut, Status
from doseatlas.analysis.reference_levels import ReferenceLevels

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from doseatlas.reference import DrlMethod, DrlRule

    Floats = npt.NDArray[np.float64]

LEVEL_KEYS = ("area", "procedure", "patient_group", "quantity", "phantom_cm")


class Cell(NamedTuple):
    """The units of one level: names, patients and values, by rising value."""

    key: tuple[str, str, str, Any, int]
    names: npt.NDArray[np.object_]
    patients: npt.NDArray[np.int64]
    values: Floats


class Figures(NamedTuple):
    """A percentile with its interval, and the guide values beside it, before rounding; ``None``: of no unit."""

    value: float | None
    interval: Interval | None
    guides: tuple[tuple[str, float, float], ...]
    units: int
    patients: int


NO_UNITS = Figures(None, None, (), 0, 0)


def cells(units: pa.Table) -> Iterator[Cell]:
    """Yield the units (columns: :data:`LEVEL_KEYS`, ``unit``, ``n``, ``value``) of each level, in a stable order."""
    import numpy as np

    if not units.num_rows:
        return
    code = np.zeros(units.num_rows, np.int64)
    for name in LEVEL_KEYS:
        codes, count = _codes(units[name])
        code = code * count + codes
    names = units["unit"].to_numpy(zero_copy_only=False)
    patients, values = units["n"].to_numpy(), units["value"].to_numpy()
    order = np.lexsort((_codes(units["unit"])[0], values, code))
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    firsts = units.select(LEVEL_KEYS).take(order[starts]).to_pylist()
    for first, part in zip(firsts, np.split(order, starts[1:]), strict=True):
        yield Cell(tuple(first[name] for name in LEVEL_KEYS), names[part], patients[part], values[part])


def _codes(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], int]:
    """Return the place of each value among the different values in order, and how many of these there are.

    NumPy's ``unique`` does the same, but sorts every string of a million.
    """
    import numpy as np

    encoded = column.combine_chunks().dictionary_encode()
    different = encoded.dictionary.to_numpy(zero_copy_only=False)
    place = np.empty(len(different), np.int64)
    place[np.argsort(different)] = np.arange(len(different))
    return place[encoded.indices.to_numpy()], len(different)


def levels_of_units(
    units: pa.Table, method: DrlMethod, previous: ReferenceLevels, draws: Draws
) -> Iterator[ComputedLevel]:
    """Yield the levels that a method makes of units; groups for which it has no rule have none."""
    for cell in cells(units):
        _, procedure, group, _, _ = cell.key
        rule = method.rule(procedure, group)
        if rule is not None:
            yield level_of_cell(cell, rule, previous, draws)


def level_of_cell(cell: Cell, rule: DrlRule, previous: ReferenceLevels, draws: Draws) -> ComputedLevel:
    """Return the level of one cell by its rule. Where no unit has enough patients, there is no percentile either."""
    enough = cell.patients >= rule.min_patients
    left_out = tuple(
        LeftOut(unit=str(name), patients=int(n), reason=f"fewer than {rule.min_patients} patients")
        for name, n in zip(cell.names[~enough], cell.patients[~enough], strict=True)
    )
    figures = _figures(cell.values[enough], int(cell.patients[enough].sum()), rule, draws)
    return finish(cell.key, figures, rule, previous, left_out)


def _figures(counted: Floats, patients: int, rule: DrlRule, draws: Draws) -> Figures:
    if not len(counted):
        return NO_UNITS
    return Figures(
        percentile_of(counted, rule.percentile),
        percentile_interval(counted, rule.percentile, draws),
        tuple((guide.name, guide.percentile, percentile_of(counted, guide.percentile)) for guide in rule.guides),
        len(counted),
        patients,
    )


def finish(
    key: tuple[str, str, str, Any, int],
    figures: Figures,
    rule: DrlRule,
    previous: ReferenceLevels,
    left_out: tuple[LeftOut, ...] = (),
) -> ComputedLevel:
    """Return the level as the rule publishes it: rounded, kept, or none where too few units count."""
    area, procedure, group, quantity, phantom_cm = key
    before = previous.find(procedure, group, quantity, phantom_cm or None)
    value: float | None = None
    status: Status = "too few units"
    if figures.value is not None and figures.units >= rule.min_units:
        value, status = rounded(figures.value, quantity, rule.rounding), "set"
        if before is not None and _moves_little(figures.value, before.value, rule.keep_within_percent):
            value, status = before.value, "kept"
    return ComputedLevel(
        area=area,
        procedure=procedure,
        patient_group=group,
        quantity=quantity,
        phantom_cm=phantom_cm or None,
        value=value,
        percentile=rule.percentile,
        percentile_value=figures.value,
        low=figures.interval.low if figures.interval else None,
        high=figures.interval.high if figures.interval else None,
        guides=tuple(
            GuideValue(name=name, percentile=percentile, value=rounded(guide, quantity, rule.rounding))
            for name, percentile, guide in figures.guides
        ),
        units=figures.units,
        patients=figures.patients,
        min_units=rule.min_units,
        status=status,
        previous=before.value if before else None,
        left_out=left_out,
        source=rule.source,
        note=rule.note,
    )


def rounded(value: float, quantity: str, rounding: Sequence[tuple[str, float]]) -> float:
    """Return a value rounded to its quantity's step, else to ``significant`` digits, else as it is; halves go up.

    A value that a step would make 0 is rounded to two digits instead: a level of 0 says that no dose is acceptable.
    """
    steps = dict(rounding)
    step = steps.get(quantity)
    if step is not None:
        count = (Decimal(repr(value)) / Decimal(repr(step))).quantize(Decimal(1), ROUND_HALF_UP)
        if count:
            return float(count * Decimal(repr(step)))
    digits = 2 if step is not None else int(steps.get("significant", 0))
    if not digits or value <= 0:
        return value
    place = Decimal(1).scaleb(math.floor(math.log10(value)) - digits + 1)
    return float((Decimal(repr(value)) / place).quantize(Decimal(1), ROUND_HALF_UP) * place)


def _moves_little(value: float, before: float, within_percent: float | None) -> bool:
    return within_percent is not None and abs(value / before - 1) <= within_percent / 100
