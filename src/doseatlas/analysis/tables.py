"""Which quantities are counted, how many exams are enough, and why can an exam stand out? The tables that say so.

Each table is a CSV file in ``tables`` with its source beside every row; this module checks and types them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple, TypeVar, get_args

from doseatlas.analysis.results import DoseQuantity
from doseatlas.model import TableError

Comparison = Literal["differs", "is true", "times", "more by", "otherwise"]
_Row = TypeVar("_Row")


class Quantity(NamedTuple):
    """A dose quantity: a column of the mart. ``symbol``, ``meaning`` and ``unit`` are how people read it.

    ``phantom_matters``: values on the 16 cm and the 32 cm CTDI phantom are never pooled.
    ``stands_out``: an exam can be an outlier in it. ``derived``: it follows from another quantity. ``has_levels``:
    reference levels are set in it.
    """

    name: DoseQuantity
    phantom_matters: bool
    stands_out: bool
    derived: bool
    has_levels: bool
    symbol: str
    meaning: str
    unit: str
    source: str


class MinimumSample(NamedTuple):
    """The sample a typical value needs, by shell patterns on the procedure's and the patient group's id."""

    procedure_pattern: str
    patient_group_pattern: str
    minimum_n: int
    source: str


class Reason(NamedTuple):
    """Why an exam can stand out: a column of the mart set against the median of the exam's peers.

    ``comparison`` is ``times`` or ``more by`` (at least ``threshold``), ``differs``, ``is true`` or ``otherwise``
    (no other reason holds). The dose goes about as the column to the power ``exponent``.
    """

    name: str
    quantities: frozenset[str]
    column: str
    comparison: Comparison
    threshold: float
    exponent: float
    detail: str
    why: str


@cache
def quantities() -> tuple[Quantity, ...]:
    """Return the dose quantities in the order in which they are shown."""
    return _load(
        "quantities.csv",
        ("quantity", "phantom_matters", "stands_out", "derived", "has_levels", "symbol", "meaning", "unit", "source"),
        lambda row: Quantity(
            _one_of(row["quantity"], get_args(DoseQuantity)),
            _yes(row["phantom_matters"]),
            _yes(row["stands_out"]),
            _yes(row["derived"]),
            _yes(row["has_levels"]),
            row["symbol"],
            row["meaning"],
            row["unit"],
            row["source"],
        ),
    )


def stated_quantities() -> tuple[Quantity, ...]:
    """Return the quantities that devices state, in order: what registries exchange."""
    return tuple(quantity for quantity in quantities() if not quantity.derived)


def level_quantities() -> tuple[Quantity, ...]:
    """Return the quantities in which reference levels are set (ICRP Publication 135), in order."""
    return tuple(quantity for quantity in quantities() if quantity.has_levels)


@cache
def minimum_samples() -> tuple[MinimumSample, ...]:
    """Return the rules for minimum samples; the first that fits counts."""
    return _load(
        "minimum_samples.csv",
        ("procedure_pattern", "patient_group_pattern", "minimum_n", "source"),
        lambda row: MinimumSample(
            row["procedure_pattern"], row["patient_group_pattern"], int(row["minimum_n"]), row["source"]
        ),
    )


@cache
def reasons() -> tuple[Reason, ...]:
    """Return the reasons why an exam can stand out, those that leave least doubt first."""
    return _load(
        "reasons.csv",
        ("name", "quantities", "column", "comparison", "threshold", "exponent", "detail", "why"),
        lambda row: Reason(
            row["name"],
            frozenset(row["quantities"].split()),
            row["column"],
            _one_of(row["comparison"], get_args(Comparison)),
            float(row["threshold"] or 0),
            float(row["exponent"] or 0),
            row["detail"],
            row["why"],
        ),
    )


@cache
def minimum_sample(procedure: str, patient_group: str) -> MinimumSample:
    """Return the rule for how many exams a typical value of this procedure and patient group needs."""
    return next(
        rule
        for rule in minimum_samples()
        if fnmatchcase(procedure, rule.procedure_pattern) and fnmatchcase(patient_group, rule.patient_group_pattern)
    )


def _load(name: str, columns: tuple[str, ...], build: Callable[[dict[str, str]], _Row]) -> tuple[_Row, ...]:
    text = files(__package__).joinpath("tables", name).read_text(encoding="utf-8")
    reader = csv.DictReader(text.splitlines())
    if tuple(reader.fieldnames or ()) != columns:
        raise TableError(f"{name}: the columns must be {', '.join(columns)}; found {reader.fieldnames}")
    rows = []
    for number, row in enumerate(reader, start=2):
        try:
            rows.append(build(row))
        except (ValueError, TypeError, AttributeError) as error:
            raise TableError(f"{name}, line {number}: {error}; correct this row") from error
    return tuple(rows)


def _yes(text: str) -> bool:
    return _one_of(text, ("yes", "no")) == "yes"


def _one_of(text: str, allowed: tuple[_Row, ...]) -> _Row:
    for choice in allowed:
        if choice == text:
            return choice
    raise ValueError(f"{text!r} is none of {', '.join(map(str, allowed))}")
