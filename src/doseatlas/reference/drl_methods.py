"""By which rule does an authority make reference levels from patients' doses? Rules as rows of ``drl_methods.csv``.

A method is one or more rows; the first whose patterns fit a procedure and patient group is its rule there. What an
authority has not published and this table had to choose stands in the row's ``note``.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal, cast, get_args

from doseatlas.model import Record, TableError
from doseatlas.reference.procedures import DATA, number, patient_groups, plausible_ranges, procedures, read_rows

Level = Literal["local", "national", "regional"]
Unit = Literal["patient", "device", "facility", "country"]
Statistic = Literal["median", "mean"]
Curve = Literal["exponential-in-weight", "linear-in-weight"]

COLUMNS = (
    "method",
    "title",
    "authority",
    "country",
    "year",
    "level",
    "unit",
    "based_on",
    "procedures",
    "patient_groups",
    "statistic",
    "percentile",
    "min_patients",
    "min_units",
    "weight_low_kg",
    "weight_high_kg",
    "guides",
    "rounding",
    "keep_within_percent",
    "curve",
    "verified",
    "source",
    "note",
)
OF_PATIENTS = ("age_years", "weight_kg", "height_cm")
SAME_IN_A_METHOD = ("title", "authority", "country", "year", "level", "unit", "based_on", "statistic")


class Guide(Record, frozen=True, kw_only=True):
    """A value given beside the level, such as the achievable dose: another percentile of the same units."""

    name: str
    percentile: float


class DrlRule(Record, frozen=True, kw_only=True):
    """How one method makes levels for the procedures and patient groups whose ids fit the patterns.

    The level is the ``percentile`` of the units (devices, facilities, countries) with at least ``min_patients``
    patients, where ``min_units`` have so many; of pooled patients, where they come from ``min_units`` facilities.
    Patients outside the weights (``weight_high_kg`` included) are left out, and so are those without a weight.
    ``rounding`` pairs a quantity with a step in its unit, or ``significant`` with a number of digits. A level is kept
    where the new one is within ``keep_within_percent`` of it.
    """

    procedures: tuple[str, ...]
    patient_groups: tuple[str, ...]
    percentile: float
    min_patients: int
    min_units: int
    weight_low_kg: float | None = None
    weight_high_kg: float | None = None
    guides: tuple[Guide, ...] = ()
    rounding: tuple[tuple[str, float], ...] = ()
    keep_within_percent: float | None = None
    curve: Curve | None = None
    verified: str
    source: str
    note: str | None = None

    def fits(self, procedure: str, patient_group: str) -> bool:
        """Whether the rule is for this procedure and patient group."""
        return _fits(self.procedures, procedure) and _fits(self.patient_groups, patient_group)


class DrlMethod(Record, frozen=True, kw_only=True):
    """A named way to make reference levels: what an authority's rules say, procedure by procedure.

    ``statistic`` is what stands for a unit. With unit "country", the levels of method ``based_on`` do.
    """

    id: str
    title: str
    authority: str
    country: str | None = None
    year: int
    level: Level
    unit: Unit
    based_on: str | None = None
    statistic: Statistic
    rules: tuple[DrlRule, ...]

    def rule(self, procedure: str, patient_group: str) -> DrlRule | None:
        """Return the first rule that fits, or ``None`` where the method makes no such level."""
        return next((rule for rule in self.rules if rule.fits(procedure, patient_group)), None)


def load_drl_methods(path: Path) -> tuple[DrlMethod, ...]:
    """Read methods from a CSV with the columns of ``drl_methods.csv``.

    Raises:
        TableError: the file does not fit; the message names line and column.

    """
    rules: dict[str, list[DrlRule]] = {}
    heads: dict[str, dict[str, str]] = {}
    for line, row in read_rows(path, COLUMNS):
        head = heads.setdefault(row["method"], row)
        for column in SAME_IN_A_METHOD:
            if row[column] != head[column]:
                raise TableError(
                    f"{path}, line {line}, column {column}: {row[column]!r}; the rows of method {row['method']!r} must"
                    f" all say {head[column]!r}."
                )
        rules.setdefault(row["method"], []).append(_rule(path, line, row))
    methods = tuple(_method(path, head, tuple(rules[name])) for name, head in heads.items())
    for method in methods:
        if method.based_on is not None and method.based_on not in heads:
            raise TableError(f"{path}: method {method.id!r} is based on {method.based_on!r}, which is not there.")
    return methods


@cache
def drl_methods() -> tuple[DrlMethod, ...]:
    """Return the methods that ship."""
    return load_drl_methods(DATA / "drl_methods.csv")


def drl_method(name: str, methods: tuple[DrlMethod, ...] | None = None) -> DrlMethod:
    """Return a method by its id.

    Raises:
        TableError: there is none.

    """
    known = drl_methods() if methods is None else methods
    for one in known:
        if one.id == name:
            return one
    raise TableError(f"There is no DRL method {name!r}. Known: {', '.join(one.id for one in known)}.")


def _method(path: Path, head: dict[str, str], rules: tuple[DrlRule, ...]) -> DrlMethod:
    where = f"{path}, method {head['method']!r}"
    if not head["method"] or not head["title"] or not head["year"].isdecimal():
        raise TableError(f"{where}: id and title must not be empty, and {head['year']!r} must be a year.")
    unit = _one_of(where, "unit", head["unit"], get_args(Unit))
    if (unit == "country") != bool(head["based_on"]):
        raise TableError(f"{where}, column based_on: name a method exactly where the unit is 'country'.")
    return DrlMethod(
        id=head["method"],
        title=head["title"],
        authority=head["authority"],
        country=head["country"] or None,
        year=int(head["year"]),
        level=cast(Level, _one_of(where, "level", head["level"], get_args(Level))),
        unit=cast(Unit, unit),
        based_on=head["based_on"] or None,
        statistic=cast(Statistic, _one_of(where, "statistic", head["statistic"], get_args(Statistic))),
        rules=rules,
    )


def _rule(path: Path, line: int, row: dict[str, str]) -> DrlRule:
    where = f"{path}, line {line}"
    for column in ("procedures", "patient_groups", "source"):
        if not row[column]:
            raise TableError(f"{where}, column {column}: must not be empty.")

    def optional(column: str) -> float | None:
        return number(path, line, row, column) if row[column] else None

    _check_patterns(where, row)
    percentile = number(path, line, row, "percentile")
    if not 0 < percentile < 100:
        raise TableError(f"{where}, column percentile: {row['percentile']!r} is not between 0 and 100.")
    low, high = optional("weight_low_kg"), optional("weight_high_kg")
    if low is not None and high is not None and low >= high:
        raise TableError(f"{where}, column weight_high_kg: {row['weight_high_kg']!r} is not above the lowest weight.")
    return DrlRule(
        procedures=tuple(row["procedures"].split()),
        patient_groups=tuple(row["patient_groups"].split()),
        percentile=percentile,
        min_patients=int(optional("min_patients") or 1),
        min_units=max(1, int(number(path, line, row, "min_units"))),
        weight_low_kg=low,
        weight_high_kg=high,
        guides=tuple(
            Guide(name=name, percentile=percentile)
            for name, percentile in _pairs(where, "guides", row["guides"], ";").items()
        ),
        rounding=_rounding(where, row["rounding"]),
        keep_within_percent=optional("keep_within_percent"),
        curve=cast(Curve, _one_of(where, "curve", row["curve"], get_args(Curve))) if row["curve"] else None,
        verified=_one_of(where, "verified", row["verified"], ("seen", "memory")),
        source=row["source"],
        note=row["note"] or None,
    )


def _check_patterns(where: str, row: Mapping[str, str]) -> None:
    """Raise ``TableError`` where a pattern fits no procedure or patient group: a rule for nothing is a slip."""
    known = (
        ("procedures", [procedure.id for procedure in procedures()]),
        ("patient_groups", [group.id for group in patient_groups()]),
    )
    for column, ids in known:
        for pattern in row[column].split():
            if not any(fnmatchcase(name, pattern) for name in ids):
                near = get_close_matches(pattern, ids)
                hint = f"; near it: {', '.join(near)}" if near else ""
                raise TableError(f"{where}, column {column}: {pattern!r} fits no id of the reference tables{hint}.")


def _rounding(where: str, text: str) -> tuple[tuple[str, float], ...]:
    found = _pairs(where, "rounding", text, " ")
    doses = [name for name in plausible_ranges() if name not in OF_PATIENTS]
    for name in found:
        _one_of(where, "rounding", name, (*doses, "significant"))
    return tuple(found.items())


def _pairs(where: str, column: str, text: str, separator: str) -> dict[str, float]:
    """Return ``name:number`` pairs."""
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(separator))):
        name, _, value = part.partition(":")
        try:
            found[name] = float(value)
        except ValueError:
            raise TableError(f"{where}, column {column}: {part!r} is not name:number.") from None
        if not 0 < found[name] < float("inf"):
            raise TableError(f"{where}, column {column}: {part!r} must have a number above 0.")
    return found


def _one_of(where: str, column: str, text: str, allowed: tuple[str, ...]) -> str:
    if text not in allowed:
        raise TableError(f"{where}, column {column}: {text!r} is none of {', '.join(allowed)}.")
    return text


@lru_cache(maxsize=65536)
def _fits(patterns: tuple[str, ...], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
