"""Which concept of which template becomes which field? The tables of dose reports (DICOM PS3.16, TID 10001 ff).

A concept is known by its scheme and code value, whatever words stand beside it. ``tables/concepts.csv`` has a row for
each quantity, ``tables/containers.csv`` one for each part of a report, ``tables/coded_values.csv`` one for each coded
answer that is not kept as its own words.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Literal, NamedTuple

from doseatlas.dicom.table import rows
from doseatlas.model import Kind

Concept = tuple[str, str]
"""(code value, coding scheme designator)"""

Form = Literal["number", "integer", "code", "coded", "text", "uid", "time", "laterality", "spread"]
"""``spread`` is a number in the unit of the value that it qualifies, or in per cent of that value."""
Several = Literal["first", "sum", "mean", "all"]

CODE_BESIDE = {
    "acquisition_type": "acquisition_code",
    "target_region": "target_region_code",
    "organ": "organ_code",
    "procedure_reported": "procedure_reported_code",
}
"""Coded fields whose code is kept too, and the field that keeps it."""

_AGD = {"L": "agd_left_mgy", "R": "agd_right_mgy", "B": "agd_both_mgy"}
_DERIVED = 10_000  # ranks of fields that are derived from a row lie beyond those of the table
_SNOMED_RT = ("SRT", "SNM3", "99SDM")  # PS3.16 table 8-1: three designators of one scheme


class Field(NamedTuple):
    """What becomes of a concept: the field, the form of its value, our unit, and what is done with several values.

    ``rank`` is its place in the table: where two concepts state one field, that of the lower rank counts.
    """

    rank: int
    name: str
    form: Form
    unit: str
    several: Several
    meaning: str


@cache
def fields(level: str) -> dict[Concept, Field]:
    """Return the concepts of one level: event, filter, total, plane, estimate, patient, device or document."""
    return {
        (row["code"], scheme): Field(
            rank,
            row["field"],
            row["form"],  # type: ignore[arg-type]
            row["unit"],
            row["several"],  # type: ignore[arg-type]
            row["meaning"],
        )
        for rank, row in enumerate(rows("concepts.csv"))
        if row["level"] == level
        for scheme in _schemes(row["scheme"])
    }


class Container(NamedTuple):
    """What a container holds: a level of :func:`fields`, ``root``, ``details`` of events, ``aside`` (not looked into).

    ``kind`` is the kind of examination that it proves, empty where it may belong to several.
    """

    level: str
    kind: Kind | None


@lru_cache(maxsize=1)
def containers() -> dict[Concept, Container]:
    """Return the containers known, by concept."""
    return {
        (row["code"], row["scheme"]): Container(row["level"], row["kind"] or None)  # type: ignore[arg-type]
        for row in rows("containers.csv")
    }


@lru_cache(maxsize=1)
def field_units() -> dict[str, str]:
    """Return our unit of each field that holds a number."""
    found = {row["field"]: row["unit"] for row in rows("concepts.csv") if row["unit"]}
    return {**found, "agd_left_mgy": "mGy", "agd_right_mgy": "mGy", "agd_both_mgy": "mGy"}


@lru_cache(maxsize=1)
def dose_maxima() -> dict[str, float]:
    """Return the fields that are doses and the value beyond which each is impossible (``tables/impossible.csv``)."""
    return {row["field"]: float(row["maximum"]) for row in rows("impossible.csv")}


@lru_cache(maxsize=1)
def coded_values() -> dict[tuple[str, str, str], str]:
    """Return our value for a coded answer, by (field, code value, scheme)."""
    return {
        (row["field"], row["code"], scheme): row["value"]
        for row in rows("coded_values.csv")
        for scheme in _schemes(row["scheme"])
    }


@cache
def code_beside(field: Field) -> Field:
    """Return the field that keeps the code of a coded field."""
    return field._replace(rank=field.rank + _DERIVED, name=CODE_BESIDE[field.name])


@cache
def agd_field(field: Field, side: str) -> Field:
    """Return the field of the accumulated glandular dose of one side: L, R or B (both)."""
    return field._replace(rank=field.rank + _DERIVED * (1 + "LRB".index(side)), name=_AGD[side])


def _schemes(stated: str) -> tuple[str, ...]:
    return _SNOMED_RT if stated == "SRT" else (stated,)
