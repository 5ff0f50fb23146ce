"""What do units with a high dose do otherwise than those with a low one? The rows of ``tables/drivers.csv``.

Units are devices of facilities; their typical values are set against their typical habits. Where a habit is a factor of
the dose (DLP is CTDIvol times length), the covariance of the logarithms gives its exact part of the variance, and the
parts add up to one with a remainder. What goes with the dose need not cause it: a driver is where to look.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from doseatlas.analysis.drl.bootstrap import Draws, drawn_units, interval
from doseatlas.analysis.mart import chosen, countable
from doseatlas.analysis.results import DoseQuantity, Selection
from doseatlas.analysis.variation.records import Driver
from doseatlas.model import TableError

if TYPE_CHECKING:
    import ibis
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

FIRST_YEAR, LAST_YEAR = 1950, 2100
FEWEST_UNITS = 8
FEWEST_EXAMS = 10
DRIVER_REPLICATES = 500
GROUP = ("procedure", "patient_group", "phantom_cm")


class DriverRow(NamedTuple):
    """A habit of units: a column of the mart, and how it is set against the dose."""

    name: str
    quantities: frozenset[str]
    column: str
    kind: Literal["factor", "number", "class"]
    source: str


@cache
def driver_rows() -> tuple[DriverRow, ...]:
    """Return the habits that are looked at."""
    text = files("doseatlas.analysis").joinpath("tables", "drivers.csv").read_text(encoding="utf-8")
    found = []
    for row in csv.DictReader(text.splitlines()):
        named = frozenset(row["quantities"].split())
        if row["kind"] not in ("factor", "number", "class") or not named <= set(get_args(DoseQuantity)):
            raise TableError(f"drivers.csv: the row {row['name']!r} has a wrong kind or quantity; correct it")
        found.append(DriverRow(row["name"], named, row["column"], row["kind"], row["source"]))  # type: ignore[arg-type]
    return tuple(found)


def load_device_years(path: Path) -> dict[str, int]:
    """Read when devices were installed, which no dose object states: a UTF-8 CSV with facility, device and year.

    Returns:
        The year of each unit, "facility / device" as :func:`drivers` names them.

    Raises:
        TableError: the file cannot be read, lacks a column, names a device twice, or states what is no year.

    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read as a UTF-8 CSV ({error}).") from error
    reader = csv.DictReader(text.splitlines())
    missing = {"facility", "device", "year"} - set(reader.fieldnames or ())
    if missing:
        raise TableError(f"{path}: missing columns {', '.join(sorted(missing))}. Add them to the first line.")
    found: dict[str, int] = {}
    for row in reader:
        facility, device, year = ((row[name] or "").strip() for name in ("facility", "device", "year"))
        unit = f"{facility} / {device}"
        place = f"{path}, line {reader.line_num}"
        if not facility or not device or unit in found:
            raise TableError(f"{place}: the device {unit!r} is not named whole or stands twice.")
        if not (year.isascii() and year.isdigit() and FIRST_YEAR <= int(year) <= LAST_YEAR):
            raise TableError(f"{place}, column year: {year!r} is no year of installation; write it as 2019.")
        found[unit] = int(year)
    return found


def drivers(
    table: ibis.Table,
    selection: Selection,
    quantity: DoseQuantity,
    *,
    device_years: Mapping[str, int] | None = None,
    draws: Draws = Draws(DRIVER_REPLICATES),  # noqa: B008 (immutable)
) -> tuple[Driver, ...]:
    """Return the drivers of a quantity for each exam, group and phantom, the strongest first.

    Units with fewer than 10 exams, and groups with fewer than 8 units stating a habit, are left out. ``device_years``
    gives the year of installation of units ("facility / device"), which the mart does not hold.
    """
    import itertools

    exams = countable(chosen(table, selection))
    rows = habits(exams, quantity).order_by([*GROUP, "unit"]).to_pyarrow().to_pylist()
    classes = _usual_classes(exams, quantity)
    found: list[Driver] = []
    for key, of_key in itertools.groupby(rows, lambda row: tuple(row[name] for name in GROUP)):
        units = [
            row | classes[*key, row["unit"]] | {"device_year": (device_years or {}).get(row["unit"])} for row in of_key
        ]
        ranked = sorted(_drivers(units, quantity, key, draws), key=lambda one: -one.explained)
        found += ranked
    return tuple(found)


def habits(exams: ibis.Table, quantity: DoseQuantity) -> ibis.Table:
    """Return one row a unit and :data:`GROUP`: ``unit``, ``n``, ``dose`` (median), and the mean of its numbers."""
    stated = _stated(exams, quantity)
    figures = {
        row.column: stated[row.column].cast("float64").mean()
        for row in driver_rows()
        if quantity in row.quantities and row.kind != "class" and row.column in stated.columns
    }
    grouped = stated.group_by([*GROUP, "unit"]).agg(n=stated.count(), dose=stated[quantity].quantile(0.5), **figures)
    return grouped.filter(grouped.n >= FEWEST_EXAMS)


def class_counts(exams: ibis.Table, quantity: DoseQuantity, column: str) -> ibis.Table:
    """Return how many exams of each unit and :data:`GROUP` are of each class of a column."""
    stated = _stated(exams, quantity)
    known = stated.filter(stated[column].notnull())
    return known.group_by([*GROUP, "unit", column]).agg(n=known.count())


def _stated(exams: ibis.Table, quantity: DoseQuantity) -> ibis.Table:
    return exams.filter(exams[quantity] > 0).mutate(
        unit=exams.facility + " / " + exams.device.fill_null("unknown device"), phantom_cm=exams.phantom_cm.fill_null(0)
    )


def _usual_classes(exams: ibis.Table, quantity: DoseQuantity) -> dict[tuple[Any, ...], dict[str, str]]:
    """Return the most frequent class of each column for each unit; of equally frequent ones the first by name."""
    found: dict[tuple[Any, ...], dict[str, str]] = defaultdict(dict)
    for row in driver_rows():
        if row.kind == "class" and quantity in row.quantities:
            counts = class_counts(exams, quantity, row.column)
            for count in counts.order_by(counts.n.desc(), row.column).to_pyarrow().to_pylist():
                unit = (*(count[name] for name in GROUP), count["unit"])
                found[unit].setdefault(row.column, count[row.column])
    return found


def _drivers(
    units: Sequence[Mapping[str, Any]], quantity: DoseQuantity, key: tuple[Any, ...], draws: Draws
) -> Iterator[Driver]:
    import numpy as np

    procedure, group, phantom_cm = key
    for row in driver_rows():
        known = [unit for unit in units if unit.get(row.column) not in (None, 0.0)]
        if quantity not in row.quantities or len(known) < FEWEST_UNITS:
            continue
        y = np.log(np.array([unit["dose"] for unit in known], dtype=np.float64))
        x = _values(row, known)
        explained, slope = _explained(row.kind, x, y)
        if explained is None:
            continue
        drawn = [_explained(row.kind, x[i], y[i])[0] for i in drawn_units(len(known), draws)]
        stated = np.array([share for share in drawn if share is not None])
        ranged = interval(stated) if len(stated) and row.kind != "class" else None
        yield Driver(
            procedure=procedure,
            patient_group=group,
            quantity=quantity,
            phantom_cm=phantom_cm or None,
            name=row.name,
            kind=row.kind,
            units=len(known),
            explained=explained,
            low=ranged and ranged.low,
            high=ranged and ranged.high,
            direction="" if row.kind == "class" else "more" if slope > 0 else "less",
        )


def _values(row: DriverRow, units: Sequence[Mapping[str, Any]]) -> Floats:
    import numpy as np

    values = [unit[row.column] for unit in units]
    if row.kind == "class":
        return np.unique(np.array(values, dtype=str), return_inverse=True)[1].astype(np.float64)
    x = np.array(values, dtype=np.float64)
    return np.log(x) if row.column != "device_year" else x


def _explained(kind: str, x: Floats, y: Floats) -> tuple[float | None, float]:
    """Return the share of the variance of ``y`` that goes with ``x``, and the slope; ``None``: nothing varies."""
    import numpy as np

    total = float(((y - y.mean()) ** 2).sum())
    if total == 0:
        return None, 0.0
    if kind == "class":
        classes, code = np.unique(x, return_inverse=True)
        if not 1 < len(classes) < len(y):
            return None, 0.0
        mean = np.bincount(code, y) / np.bincount(code)
        within = float(((y - mean[code]) ** 2).sum())
        return 1 - within / (len(y) - len(classes)) * (len(y) - 1) / total, 0.0
    spread = float(((x - x.mean()) ** 2).sum())
    if spread == 0:
        return (0.0, 0.0) if kind == "factor" else (None, 0.0)
    covariance = float(((x - x.mean()) * (y - y.mean())).sum())
    share = covariance / total if kind == "factor" else covariance**2 / (spread * total)
    return share, covariance / spread
