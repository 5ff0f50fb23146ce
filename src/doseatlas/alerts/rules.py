"""Which rules are there, and which thresholds hold for this procedure and patient group? Tables, read and checked.

A rule may have several rows: one for all exams, others for a procedure, a patient group, or both; the row that says
most about an exam counts. A site's own table (setting ``rules_file``) has the same columns; its row replaces the
shipped one for the same rule, procedure and group, and empty thresholds switch the rule off there.
"""

from __future__ import annotations

from functools import cache
from math import isfinite
from pathlib import Path
from typing import Literal, get_args

from doseatlas.model import Record, TableError
from doseatlas.reference import patient_groups, procedures, read_rows
from doseatlas.settings import AlertSettings
from doseatlas.store.mart_schema import EXAM_COLUMNS

Measure = Literal[
    "value",
    "scan-over-notification",
    "exam-over-alert",
    "drl-multiple",
    "count",
    "sum",
]
"""What of an exam is compared with the thresholds (``measures``)."""

_COLUMNS = (
    *("rule", "title", "measure", "quantity", "kinds", "procedure", "patient_group", "window_days", "thresholds"),
    *("shown_unit", "per_shown_unit", "roles", "advice", "source"),
)
_NUMBERS = {column.name for column in EXAM_COLUMNS if column.type in ("int32", "float64", "bool")} | {
    *("effective_dose_msv", "peak_skin_dose_mgy"),  # known where they were calculated
}
_DOSE_CHECK = {"dlp_mgy_cm", "ctdi_vol_mgy"}
_QUANTITIES: dict[str, set[str]] = {
    "value": _NUMBERS,
    "sum": _NUMBERS,
    "drl-multiple": _NUMBERS,
    "scan-over-notification": _DOSE_CHECK,
    "exam-over-alert": _DOSE_CHECK,
    "count": {"exam_id"},
}
_KINDS = ("ct", "projection", "mammography", "nuclear")
_MAX_NAME = 64  # characters of a rule's name, as the store takes
_SHIPPED = Path(__file__).parent / "tables" / "rules.csv"


class Rule(Record, frozen=True, kw_only=True):
    """One row: what is measured, for which exams, and above which values it fires.

    ``thresholds`` ascend, in the unit of the quantity; the rule fires when a value *exceeds* one. A value is shown
    divided by ``per_shown_unit``. ``kinds`` empty: all; ``window_days`` ``None``: all of a patient's exams.
    """

    rule: str
    title: str
    measure: Measure
    quantity: str
    kinds: tuple[str, ...]
    procedure: str | None
    patient_group: str | None
    window_days: int | None
    thresholds: tuple[float, ...]
    shown_unit: str
    per_shown_unit: float
    roles: tuple[str, ...]
    advice: str
    source: str

    def exceeded(self, value: float) -> float | None:
        """Return the highest threshold that a value exceeds."""
        return max((one for one in self.thresholds if one < value), default=None)

    def shown(self, value: float) -> str:
        """Return a value with its unit as people read it."""
        return f"{value / self.per_shown_unit:.4g} {self.shown_unit}".strip()


class Rules:
    """All rules in force."""

    def __init__(self, rows: tuple[Rule, ...]) -> None:
        self.rows = rows
        self._by_name: dict[str, list[Rule]] = {}
        for row in rows:
            self._by_name.setdefault(row.rule, []).append(row)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the rules, in the order of the table."""
        return tuple(self._by_name)

    @property
    def roles(self) -> frozenset[str]:
        """The roles that the rules are for."""
        return frozenset(role for row in self.rows for role in row.roles)

    def for_exam(self, kind: str, procedure: str | None, patient_group: str | None) -> list[Rule]:
        """Return the row of each rule that counts for an exam."""
        found = []
        for rows in self._by_name.values():
            fitting = [
                row
                for row in rows
                if row.procedure in (None, procedure)
                and row.patient_group in (None, patient_group)
                and (not row.kinds or kind in row.kinds)
            ]
            if fitting:
                found.append(max(fitting, key=lambda row: (row.procedure is not None, row.patient_group is not None)))
        return [row for row in found if row.thresholds]


def rules_in_force(settings: AlertSettings) -> Rules:
    """Return the shipped rules, with the site's own before them.

    Raises:
        TableError: the site's table does not fit its schema; the cell is named.

    """
    rows = {_key(row): row for row in shipped_rules()}
    if settings.rules_file:
        rows |= {_key(row): row for row in load_rules(Path(settings.rules_file).expanduser())}
    return Rules(tuple(rows.values()))


@cache
def shipped_rules() -> tuple[Rule, ...]:
    """Return the rules that ship."""
    return load_rules(_SHIPPED)


def load_rules(path: Path) -> tuple[Rule, ...]:
    """Read a table of rules.

    Raises:
        TableError: it does not fit its schema; the message names line and column.

    """
    rules: dict[tuple[str, str | None, str | None], Rule] = {}
    for line, row in read_rows(path, _COLUMNS, ("note",)):
        rule = _rule(_Cells(path, line, row))
        if _key(rule) in rules:
            raise TableError(f"{path}, line {line}: a second row of {rule.rule!r} for the same procedure and group.")
        rules[_key(rule)] = rule
    return tuple(rules.values())


def _key(rule: Rule) -> tuple[str, str | None, str | None]:
    return rule.rule, rule.procedure, rule.patient_group


class _Cells:
    """A row of the table, whose cells complain with their place."""

    def __init__(self, path: Path, line: int, row: dict[str, str]) -> None:
        self._path, self._line, self._row = path, line, row

    def wrong(self, column: str, why: str) -> TableError:
        return TableError(f"{self._path}, line {self._line}, column {column}: {self._row[column]!r} {why}.")

    def text(self, column: str) -> str:
        if not self._row[column]:
            raise self.wrong(column, "must not be empty")
        return self._row[column]

    def optional(self, column: str) -> str:
        return self._row[column]

    def parts(self, column: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self._row[column].split(";") if part.strip())

    def known(self, column: str, allowed: set[str]) -> str | None:
        if self._row[column] and self._row[column] not in allowed:
            raise self.wrong(column, "is not known")
        return self._row[column] or None

    def numbers(self, column: str) -> tuple[float, ...]:
        try:
            values = tuple(float(part) for part in self.parts(column))
        except ValueError:
            raise self.wrong(column, "must be numbers, divided by ';'") from None
        if not all(isfinite(value) and value >= 0 for value in values) or list(values) != sorted(set(values)):
            raise self.wrong(column, "must be ascending numbers of 0 or more")
        return values


def _rule(cells: _Cells) -> Rule:
    name = cells.text("rule")
    if len(name) > _MAX_NAME or not name.replace("-", "").isalnum() or not name.isascii():
        raise cells.wrong("rule", f"must be letters, digits and '-', at most {_MAX_NAME}")
    measure = cells.known("measure", set(get_args(Measure)))
    if measure is None:
        raise cells.wrong("measure", "must not be empty")
    quantity = cells.known("quantity", _QUANTITIES[measure])
    if quantity is None:
        raise cells.wrong("quantity", f"must be one of {', '.join(sorted(_QUANTITIES[measure]))}")
    kinds = cells.parts("kinds")
    if not set(kinds) <= set(_KINDS):
        raise cells.wrong("kinds", f"must be of {', '.join(_KINDS)}")
    window = cells.optional("window_days")
    if window and not (window.isdecimal() and 0 < int(window) < 100_000):
        raise cells.wrong("window_days", "must be a number of days, or empty for all")
    if measure == "count" and not window:
        raise cells.wrong("window_days", "must not be empty where exams are counted")
    per_shown = cells.numbers("per_shown_unit")
    if len(per_shown) != 1 or per_shown[0] == 0:
        raise cells.wrong("per_shown_unit", "must be one number above 0")
    return Rule(
        rule=name,
        title=cells.text("title"),
        measure=measure,  # type: ignore[arg-type]  # one of the literals, as checked above
        quantity=quantity,
        kinds=kinds,
        procedure=cells.known("procedure", {one.id for one in procedures()}),
        patient_group=cells.known("patient_group", {one.id for one in patient_groups()}),
        window_days=int(window) if window else None,
        thresholds=cells.numbers("thresholds"),
        shown_unit=cells.optional("shown_unit"),
        per_shown_unit=per_shown[0],
        roles=cells.parts("roles"),
        advice=cells.text("advice"),
        source=cells.text("source"),
    )
