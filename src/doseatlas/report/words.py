"""How is a figure of the report said? One way for the page, the spreadsheet, the CSV files and the terminal.

Names of procedures and patient groups are those of ``reference``, names and units of quantities those of ``analysis``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import cache

from doseatlas.analysis import Quantity, ReferenceLevel, Verdict, quantities
from doseatlas.reference import note_meanings, patient_groups, procedures

NARROW_SPACE = "\u202f"
NO_BREAK_SPACE = "\u00a0"
KINDS: Mapping[str, str] = {
    "ct": "Computed tomography",
    "projection": "Radiography, fluoroscopy and interventions",
    "mammography": "Mammography",
    "nuclear": "Nuclear medicine",
    "": "Other procedures",
}
VERDICT_MARKS: Mapping[Verdict, str] = {"above": "▲", "within": "●", "too few": "○", "no reference level": "–"}
VERDICT_WORDS: Mapping[Verdict, str] = {
    "above": "above",
    "within": "within",
    "too few": "too few exams",
    "no reference level": "no DRL",
}


@cache
def _procedures() -> dict[str, tuple[int, str, str]]:
    return {one.id: (rank, one.name, one.kind) for rank, one in enumerate(procedures())}


@cache
def _patient_groups() -> dict[str, tuple[int, str]]:
    return {one.id: (rank, one.name) for rank, one in enumerate(patient_groups())}


@cache
def _quantities() -> dict[str, Quantity]:
    return {quantity.name: quantity for quantity in quantities()}


def procedure_name(procedure: str) -> str:
    """Return the name of a standard procedure; an id that is not known stays as it is."""
    return _procedures()[procedure][1] if procedure in _procedures() else procedure


def procedure_kind(procedure: str) -> str:
    """Return the kind of a standard procedure (a key of :data:`KINDS`)."""
    return _procedures()[procedure][2] if procedure in _procedures() else ""


def reference_order(procedure: str, patient_group: str) -> tuple[int, int, str, str]:
    """Return the place of a procedure and group in the order of the reference tables; unknown ones come last."""
    last = (len(_procedures()), "", "")
    group = _patient_groups().get(patient_group, (len(_patient_groups()), ""))
    return _procedures().get(procedure, last)[0], group[0], procedure, patient_group


def group_name(patient_group: str) -> str:
    """Return the name of a patient group; an id that is not known stays as it is."""
    return _patient_groups()[patient_group][1] if patient_group in _patient_groups() else patient_group


def quantity_name(quantity: str, phantom_cm: int | None = None) -> str:
    """Return the short name of a quantity, with the CTDI phantom that its values are for (unclear: none, several)."""
    symbol = _quantities()[quantity].symbol
    if phantom_cm:
        return f"{symbol} ({phantom_cm}{NO_BREAK_SPACE}cm)"
    return f"{symbol} (phantom unclear)" if _quantities()[quantity].phantom_matters else symbol


def quantity_meaning(quantity: str) -> str:
    """Return what the short name of a quantity stands for."""
    return _quantities()[quantity].meaning


def unit(quantity: str) -> str:
    """Return the unit of a quantity."""
    return _quantities()[quantity].unit


def count(number: int) -> str:
    """Return a count with narrow spaces between thousands, from five digits on (ISO 80000-1)."""
    return f"{number:,}".replace(",", NARROW_SPACE) if number >= 10_000 else str(number)


def dose(value: float | None) -> str:
    """Return a dose with three significant digits, whole from 100 on, never in powers of ten."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    decimals = dose_decimals(value)
    return count(round(value)) if decimals == 0 else f"{value:.{decimals}f}"


def dose_decimals(value: float) -> int:
    """Return how many decimals three significant digits of a dose need; at most 6."""
    limit, decimals = 99.95, 0
    while abs(value) < limit and decimals < 6:
        limit, decimals = limit / 10, decimals + 1
    return decimals


def level_value(value: float) -> str:
    """Return a reference level as published, without needless zeros."""
    return f"{value:.10g}" if 1e-4 <= value < 1e10 else dose(value)


def dose_with_unit(value: float, quantity: str) -> str:
    """Return a dose and its unit, which stay on one line."""
    return f"{dose(value)}{NO_BREAK_SPACE}{unit(quantity)}"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval; a dash where there is none."""
    return "–" if low is None or high is None else f"{dose(low)} to {dose(high)}"


def ratio(value: float | None) -> str:
    """Return a ratio with two decimals, fewer from 10 on; one that is not 1 never reads as 1."""
    if value is None:
        return "–"
    text = f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"
    if text == "1.00" and value != 1:
        return ">1.00" if value > 1 else "<1.00"
    return text


def probability(value: float | None) -> str:
    """Return a probability in whole percent; nothing short of certainty reads as 0 % or 100 %."""
    if value is None:
        return "–"
    percent = min(max(round(100 * value), 0), 100)
    sign = "<" if percent == 0 else ">" if percent == 100 else ""
    return f"{sign}{ {0: 1, 100: 99}.get(percent, percent) }{NO_BREAK_SPACE}%"


def share(part: int, whole: int) -> str:
    """Return a part in percent of a whole; only none reads as 0 %, only all as 100 %."""
    if not whole:
        return "–"
    if part in (0, whole):
        return f"{100 if part else 0}{NO_BREAK_SPACE}%"
    return probability(min(max(part / whole, 0.001), 0.999))


def date(day: dt.date | None) -> str:
    """Return a date as ISO 8601 writes it."""
    return "no date" if day is None else day.isoformat()


def long_date(day: dt.date) -> str:
    """Return a date in words."""
    return f"{day.day}{NO_BREAK_SPACE}{day:%B %Y}"


def plural(number: int, one: str, many: str) -> str:
    """Return a count with its noun."""
    return f"{count(number)} {one if number == 1 else many}"


def level_name(reference: ReferenceLevel) -> str:
    """Return what kind of level it is: plain DRL for a national one, else as its publication calls it."""
    return "DRL" if reference.level == "national DRL" else reference.level


def level_label(reference: ReferenceLevel, quantity: str, drl_name: str) -> str:
    """Return the label of a reference level: kind, value, unit, and where and when it holds."""
    value = f"{level_value(reference.value)}{NO_BREAK_SPACE}{unit(quantity)}"
    return f"{level_name(reference)} {value} ({drl_name or reference.drl_set})"


def meaning(code: str) -> str:
    """Return what the code of a note or flag means; nothing for one that the table does not have."""
    return note_meanings().get(code, "")
