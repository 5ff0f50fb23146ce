"""Where does the variation of dose arise: between countries, facilities, devices, protocols, or patients?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from doseatlas.analysis.areas import NOWHERE, Places
from doseatlas.analysis.drl.bootstrap import FEWEST_UNITS, Draws, drawn_units, interval
from doseatlas.analysis.mart import chosen, countable
from doseatlas.analysis.results import Selection
from doseatlas.analysis.tables import quantities
from doseatlas.analysis.variation.records import Component, ComponentName, Decomposition
from doseatlas.analysis.variation.variance import CellSums, Variances, estimate

if TYPE_CHECKING:
    import ibis
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

LEVELS: tuple[ComponentName, ...] = ("country", "facility", "device", "protocol")
FEWEST_EXAMS = 30
VARIANCE_REPLICATES = 200


class Cells(NamedTuple):
    """The innermost classes of one decomposition and, level by level, to which class of it each belongs."""

    sums: CellSums
    names: tuple[ComponentName, ...]
    classes: list[Ints]


def decompose(
    table: ibis.Table,
    selection: Selection,
    quantity: str,
    *,
    places: Places = NOWHERE,
    folder_area: str = "",
    draws: Draws = Draws(VARIANCE_REPLICATES),  # noqa: B008 (immutable)
) -> tuple[Decomposition, ...]:
    """Return the decomposition of a quantity for each exam, group and phantom with at least 30 exams.

    Args:
        table: exams, as ``mart_table`` gives them.
        selection: which of them are meant.
        quantity: one of the dose quantities.
        places: which facility lies in which country; else all are in ``folder_area``.
        folder_area: the country of facilities that the sheet does not name.
        draws: the intervals draw the classes of the outermost level that has at least 5.

    Raises:
        ValueError: there is no such quantity.

    """
    if quantity not in {one.name for one in quantities()}:
        raise ValueError(f"{quantity!r} is no dose quantity; known: {', '.join(q.name for q in quantities())}")
    import itertools

    rows = cell_sums(countable(chosen(table, selection)), quantity)
    keys = ["procedure", "patient_group", "phantom_cm", "facility", "device", "protocol"]
    ordered = rows.order_by(keys).to_pyarrow().to_pylist()
    found = itertools.groupby(ordered, lambda row: (row["procedure"], row["patient_group"], row["phantom_cm"]))
    done = (_decomposition(key, quantity, list(of_key), places, folder_area, draws) for key, of_key in found)
    return tuple(one for one in done if one is not None)


def cell_sums(exams: ibis.Table, quantity: str) -> ibis.Table:
    """Return the sums of each exam, group, phantom, facility, device and protocol.

    ``n`` exams and sums ``y``, ``yy`` over all of them; ``weighed`` exams with a weight and sums ``wy``, ``wyy``,
    ``x``, ``xx``, ``xy`` over those, y being the logarithm of the dose and x that of the weight.
    """
    positive = exams.filter(exams[quantity] > 0)
    wide = positive.select(
        "procedure",
        "patient_group",
        "facility",
        phantom_cm=positive.phantom_cm.fill_null(0),
        device=positive.device.fill_null("unknown device"),
        protocol=positive.protocol.fill_null("(no protocol stated)"),
        y=positive[quantity].log(),
        x=positive.weight_kg.nullif(0.0).log(),
    )
    weighed = wide.x.notnull()
    return wide.group_by(["procedure", "patient_group", "phantom_cm", "facility", "device", "protocol"]).agg(
        n=wide.count(),
        y=wide.y.sum(),
        yy=(wide.y**2).sum(),
        weighed=wide.x.count(),
        wy=wide.y.sum(where=weighed),
        wyy=(wide.y**2).sum(where=weighed),
        x=wide.x.sum(),
        xx=(wide.x**2).sum(),
        xy=(wide.x * wide.y).sum(),
    )


def _decomposition(
    key: tuple[str, str, int],
    quantity: str,
    rows: list[dict[str, Any]],
    places: Places,
    folder_area: str,
    draws: Draws,
) -> Decomposition | None:
    exams = sum(row["n"] for row in rows)
    weighed = sum(row["weighed"] for row in rows)
    by_size = weighed >= exams / 2
    cells = _cells([row for row in rows if row["weighed"] or not by_size], places, folder_area, by_size)
    if cells.sums.n.sum() < FEWEST_EXAMS:
        return None
    found = estimate(cells.sums, cells.classes)
    if found is None:
        return None
    parts = _components(found, cells, by_size)
    ranges = _ranges(cells, by_size, [part.name for part in parts], draws)
    return Decomposition(
        procedure=key[0],
        patient_group=key[1],
        quantity=quantity,  # type: ignore[arg-type]
        phantom_cm=key[2] or None,
        exams=exams,
        without_weight=exams - weighed if by_size else 0,
        size_exponent=found.slope if by_size else None,
        components=tuple(_with_range(part, ranges.get(part.name)) for part in parts),
        not_separable=tuple(name for name in LEVELS if name not in cells.names),
    )


def _cells(rows: list[dict[str, Any]], places: Places, folder_area: str, by_size: bool) -> Cells:
    """Return sums and classes; a level that has one class, or the classes of the level outside it, is left out."""
    import numpy as np

    columns = ("weighed", "wy", "wyy", "x", "xx", "xy") if by_size else ("n", "y", "yy")
    sums = [np.array([row[name] for row in rows], dtype=np.float64) for name in columns]
    sums += [np.zeros(len(rows))] * (6 - len(columns))
    paths = [
        (places.area(row["facility"], folder_area, regional=False), row["facility"], row["device"], row["protocol"])
        for row in rows
    ]
    names: list[ComponentName] = []
    classes: list[Ints] = []
    count = 1
    for depth, name in enumerate(LEVELS, start=1):
        numbers = {path: i for i, path in enumerate(sorted({path[:depth] for path in paths}))}
        if len(numbers) > count:
            names.append(name)
            classes.append(np.array([numbers[path[:depth]] for path in paths], np.int64))
            count = len(numbers)
    return Cells(CellSums(*sums), tuple(names), classes)


def _components(found: Variances, cells: Cells, by_size: bool) -> list[Component]:
    named: list[tuple[ComponentName, int | None, float]] = []
    if by_size:
        named.append(("patient size", None, found.size))
    for name, of_cell, variance in zip(cells.names, cells.classes, found.levels, strict=True):
        named.append((name, int(of_cell.max()) + 1, variance))
    named.append(("patient and rest", None, found.rest))
    total = sum(max(0.0, variance) for _, _, variance in named)
    return [
        Component(
            name=name,
            classes=classes,
            variance=max(0.0, variance),
            share=max(0.0, variance) / total if total else 0.0,
            typical_factor=math.exp(math.sqrt(max(0.0, variance))),
            truncated=variance < 0,
        )
        for name, classes, variance in named
    ]


def _ranges(
    cells: Cells, by_size: bool, names: Sequence[ComponentName], draws: Draws
) -> dict[ComponentName, tuple[float, float]]:
    """Return the bootstrap intervals of the shares, drawing classes of the outermost level that has at least 5."""
    import numpy as np

    level = next((of_cell for of_cell in cells.classes if of_cell.max() + 1 >= FEWEST_UNITS), None)
    if level is None:
        return {}
    members = np.split(np.argsort(level, kind="stable"), np.cumsum(np.bincount(level))[:-1])
    shares: dict[ComponentName, list[float]] = {name: [] for name in names}
    for drawn in _redrawn(cells, members, draws):
        found = estimate(drawn.sums, drawn.classes)
        if found is not None:
            for part in _components(found, drawn, by_size):
                shares[part.name].append(part.share)
    return {name: interval(np.array(values)) for name, values in shares.items() if values}


def _redrawn(cells: Cells, members: list[Ints], draws: Draws) -> Iterator[Cells]:
    """Yield the cells of drawn classes; a class drawn twice is two classes, at its level and below."""
    import numpy as np

    for units in drawn_units(len(members), draws):
        chosen = np.concatenate([members[unit] for unit in units])
        copy = np.repeat(np.arange(len(units)), [len(members[unit]) for unit in units])
        classes = []
        for of_cell in cells.classes:
            coarse = of_cell.max() + 1 < len(members)
            codes = of_cell[chosen] if coarse else of_cell[chosen] + (int(of_cell.max()) + 1) * copy
            classes.append(np.unique(codes, return_inverse=True)[1].astype(np.int64))
        yield Cells(CellSums(*(part[chosen] for part in cells.sums)), cells.names, classes)


def _with_range(part: Component, found: tuple[float, float] | None) -> Component:
    import msgspec

    if found is None:
        return part
    return msgspec.structs.replace(part, low=found[0], high=found[1])
