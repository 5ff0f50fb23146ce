"""What may be sent to a registry, in which bands, and which medians betray a wrong unit? The tables that say so.

Each is a CSV file in ``tables``; the columns of a submission are its documented schema (``docs/registry.md``).
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from doseatlas.model import TableError
from doseatlas.reference import coefficients

if TYPE_CHECKING:
    import pyarrow as pa

MOST_EFFECTIVE_MSV = 1000.0
"""Bound set by this project, beyond any exam whose doses are plausible; an effective dose above it is a mistake."""

Kind = Literal["exams", "summaries"]
Row = TypeVar("Row")


class Column(NamedTuple):
    """One column of a submission; ``sent`` is ``always`` or ``agreed`` (null unless the agreement says exact_ages)."""

    name: str
    type: str
    sent: str
    meaning: str


class Band(NamedTuple):
    """A band of age (years) or weight (kg): low included, high not; ``high`` ``None``: no end."""

    parameter: str
    low: float
    high: float | None

    @property
    def name(self) -> str:
        """How the band is written."""
        return f"{self.low:g}+" if self.high is None else f"{self.low:g}-{self.high:g}"


class UnitCheck(NamedTuple):
    """The range of the median of a facility's exams of one procedure; outside, the unit is taken to be wrong."""

    low: float
    high: float
    factor: float
    looks_like: str


@cache
def columns(kind: Kind) -> tuple[Column, ...]:
    """Return the columns of a submission of exams or of summaries, in their order."""
    name = {"exams": "exam_columns.csv", "summaries": "summary_columns.csv"}[kind]
    return _rows(name, lambda row: Column(row["column"], row["type"], row["sent"], row["meaning"]))


def arrow_schema(kind: Kind) -> pa.Schema:
    """Return the columns as an Arrow schema."""
    import pyarrow as pa

    return pa.schema([(column.name, pa.type_for_alias(column.type)) for column in columns(kind)])


@cache
def bands(parameter: str) -> tuple[Band, ...]:
    """Return the bands of ``age_years`` or ``weight_kg``, from the lowest."""
    every = _rows(
        "bands.csv", lambda row: Band(row["parameter"], float(row["low"]), float(row["high"]) if row["high"] else None)
    )
    return tuple(band for band in every if band.parameter == parameter)


@cache
def unit_checks() -> dict[str, UnitCheck]:
    """Return the ranges of medians by quantity."""
    rows = _rows(
        "unit_checks.csv",
        lambda row: (
            row["quantity"],
            UnitCheck(float(row["low"]), float(row["high"]), float(row["factor"]), row["looks_like"]),
        ),
    )
    return dict(rows)


@cache
def coefficient_sets() -> frozenset[str]:
    """Return the ids of the coefficient sets that an effective dose may be of."""
    return frozenset(
        {row.set for row in coefficients.ct_coefficients()}
        | {row.set for row in coefficients.nuclear_coefficients()}
        | {row.set for row in coefficients.kap_coefficients().values()}
    )


def _rows(name: str, build: Callable[[dict[str, str]], Row]) -> tuple[Row, ...]:
    text = files("doseatlas.exchange").joinpath("tables", name).read_text(encoding="utf-8")
    rows = []
    for line, row in enumerate(csv.DictReader(text.splitlines()), start=2):
        try:
            rows.append(build(row))
        except (ValueError, KeyError, TypeError) as error:
            raise TableError(f"{name}, line {line}: {error}; correct this row") from error
    return tuple(rows)
