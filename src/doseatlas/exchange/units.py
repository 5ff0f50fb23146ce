"""Are a facility's doses in the unit that their column's name states? Judged over all months and month by month.

Exams and summaries are judged alike: by the median of each procedure, which must lie in the range of
``tables/unit_checks.csv``, and by DLP over CTDIvol, which must be a length. A few exams may be unusual for other
reasons than their unit, so fewer than 5 are held against ten times the range; a 0 is 0 in any unit and says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from doseatlas.exchange.sketch import Weighted, quantile, together
from doseatlas.exchange.tables import unit_checks

FEWEST_FOR_UNIT = 5
WIDER_FOR_FEW = 10.0
IMPLIED_LENGTH_CM = (1.0, 1000.0)  # DLP / CTDIvol of a procedure's median exam, over all its phases


class Months(NamedTuple):
    """What a facility gave of one procedure and quantity: the values of each month."""

    facility: str
    procedure: str
    quantity: str
    values: Mapping[str, Weighted]


class _Median(NamedTuple):
    value: float
    n: int


def unit_findings(given: Iterable[Months]) -> Iterator[str]:
    """Yield a finding for each facility, procedure and quantity that cannot be in the unit stated."""
    every = sorted(given, key=lambda one: (one.facility, one.procedure, one.quantity))
    several = len({one.facility for one in every}) > 1
    for one in every:
        check = unit_checks()[one.quantity]
        by_month = _positive(one.values)
        months = _outside({month: _median([part]) for month, part in by_month.items()}, check.low, check.high)
        if months:
            wrong = _median([by_month[month] for month in months])
            others = [part for month, part in by_month.items() if month not in months]
            usual = _median(others).value if others else None
            yield _unit_finding(one, wrong, usual, months, of=f" of {one.facility}" if several else "")
    yield from _length_findings(every, several=several)


def _length_findings(every: Sequence[Months], *, several: bool) -> Iterator[str]:
    """Yield a finding where DLP and CTDIvol do not fit each other: DLP over CTDIvol is a length in cm."""
    given = {(one.facility, one.procedure, one.quantity): _positive(one.values) for one in every}
    for (facility, procedure, quantity), dlp in given.items():
        ctdi_vol = given.get((facility, procedure, "ctdi_vol_mgy"))
        if quantity != "dlp_mgy_cm" or ctdi_vol is None:
            continue
        lengths = _lengths(dlp, ctdi_vol)
        months = _outside(lengths, *IMPLIED_LENGTH_CM)
        if months:
            length_cm = median(lengths[month].value for month in months)
            of = f" of {facility}" if several else ""
            yield (
                f"columns dlp_mgy_cm and ctdi_vol_mgy, {procedure}{of}: their ratio is a scan of {length_cm:.3g} cm in"
                f" {_named(months)}; one of them is in another unit."
            )


def _unit_finding(one: Months, found: _Median, usual: float | None, months: Sequence[str], *, of: str) -> str:
    """Return what is told. The unit that values look to be in is named where they would be near the ``usual`` ones."""
    check = unit_checks()[one.quantity]
    hint = ""
    for factor, text in (
        (check.factor, f" It looks like {check.looks_like}: multiply by {check.factor:g}."),
        (1 / check.factor, f" It looks too large by {check.factor:g}."),
    ):
        meant = found.value * factor
        near = usual is None or usual / WIDER_FOR_FEW <= meant <= usual * WIDER_FOR_FEW
        if near and check.low <= meant <= check.high:
            hint = text
    return (
        f"column {one.quantity}, {one.procedure}{of}: the median of {found.n} exams in {_named(months)} is"
        f" {found.value:.4g}; medians lie from {check.low:g} to {check.high:g}. Check the unit.{hint}"
    )


def _positive(values: Mapping[str, Weighted]) -> dict[str, Weighted]:
    found = {}
    for month, part in sorted(values.items()):
        above = part.values > 0
        if above.any():
            found[month] = Weighted(part.values[above], part.weights[above])
    return found


def _median(parts: Sequence[Weighted]) -> _Median:
    sample = together(parts)
    return _Median(quantile(sample, 0.5), round(float(sample.weights.sum())))


def _lengths(dlp: Mapping[str, Weighted], ctdi_vol: Mapping[str, Weighted]) -> dict[str, _Median]:
    """Return DLP over CTDIvol, in cm, of the months that have both: the ratio of their medians."""
    found = {}
    for month in dlp.keys() & ctdi_vol.keys():
        above, below = _median([dlp[month]]), _median([ctdi_vol[month]])
        found[month] = _Median(above.value / below.value, min(above.n, below.n))
    return found


def _outside(by_month: Mapping[str, _Median], low: float, high: float) -> list[str]:
    """Return the months whose median is outside a range, widened for months of few exams.

    Where the middle one of all months is outside it, each exam being counted, there is no doubt left about the unit:
    the range is then not widened.
    """
    middle, n = 0.0, 0
    half = sum(one.n for one in by_month.values()) / 2
    for one in sorted(by_month.values()):
        n += one.n
        if n >= half:
            middle = one.value
            break
    is_sure = 2 * half >= FEWEST_FOR_UNIT and not low <= middle <= high
    found = []
    for month, one in sorted(by_month.items()):
        wider = 1.0 if is_sure or one.n >= FEWEST_FOR_UNIT else WIDER_FOR_FEW
        if not low / wider <= one.value <= high * wider:
            found.append(month)
    return found


def _named(months: Sequence[str]) -> str:
    return ", ".join(months) if len(months) <= 3 else f"{len(months)} months from {months[0]} to {months[-1]}"
