"""How far apart are the typical values of sites, or of countries, for one exam and one group of patients?

Fold variation is the largest over the smallest typical value (``docs/studies.md``), with the interval that
``analysis.variation`` gives everywhere.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from math import isnan
from typing import TYPE_CHECKING, NamedTuple

from doseatlas.analysis.variation import spread_of
from doseatlas.studies.results import PlaceValue, SiteValue, VariationRow
from doseatlas.studies.schema import Study, Variation
from doseatlas.studies.values import Value

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DRAWS = 2000


class Place(NamedTuple):
    """A site or a country: its value, and values drawn anew from its exams."""

    name: str
    sites: int
    n: int
    value: float
    drawn: npt.NDArray[np.float64]


def variation_rows(values: Sequence[Value], study: Study, asked: Variation) -> Iterator[VariationRow]:
    """Yield a row for each exam, group and CTDI phantom of the values that count."""
    order = {exam.id: i for i, exam in enumerate(study.exams)}, {group.id: i for i, group in enumerate(study.groups)}
    counted = [value for value in values if value.counts and (not asked.exams or value.exam in asked.exams)]
    counted.sort(key=lambda v: (order[0][v.exam], order[1][v.patient_group], v.phantom_cm, v.participant))
    for _, cell in groupby(counted, key=lambda v: (v.exam, v.patient_group, v.phantom_cm)):
        yield _row(list(cell), study, asked)


def _row(cell: list[Value], study: Study, asked: Variation) -> VariationRow:
    import numpy as np

    first, shown = cell[0], study.disclosure
    exams = sum(value.n for value in cell)
    countries, hidden = _countries(cell, study)
    places = _sites(cell, study) if asked.of == "sites" else countries
    row = VariationRow(
        exam=first.exam,
        exam_name=next(exam.name for exam in study.exams if exam.id == first.exam),
        group=first.patient_group,
        group_name=next(group.name for group in study.groups if group.id == first.patient_group),
        quantity=asked.quantity,
        phantom_cm=first.phantom_cm or None,
        of=asked.of,
    )
    reason = suppression(len(cell), exams, study)
    if not reason and not places:
        reason = f"no country has {shown.minimum_sites} sites, and sites are hidden"
    if reason:
        return _replace(row, suppressed=reason)
    drawn = np.stack([place.drawn for place in places], axis=1)
    found = spread_of(np.array([place.value for place in places]), np.log(drawn) if (drawn > 0).all() else None)
    low, high = places[found.lowest], places[found.highest]
    named = shown.sites == "codes" if asked.of == "sites" else shown.countries == "shown"
    return _replace(
        row,
        places=len(places),
        exams=sum(place.n for place in places),
        countries_hidden=hidden,
        smallest=low.value,
        p25=found.p25,
        median=found.median,
        p75=found.p75,
        largest=high.value,
        fold=None if isnan(found.fold) or len(places) < 2 else found.fold,
        fold_low=found.fold_low,
        fold_high=found.fold_high,
        quartile_ratio=None if isnan(found.quartile_ratio) or len(places) < 2 else found.quartile_ratio,
        smallest_place=low.name if named else None,
        largest_place=high.name if named else None,
        sites=_shown_sites(cell, study),
        countries=_shown_countries(countries) if shown.countries == "shown" else (),
    )


def suppression(sites: int, exams: int, study: Study) -> str | None:
    """Return why a cell may not be shown, ``None`` where it may."""
    if sites < study.disclosure.minimum_sites:
        return f"fewer than {study.disclosure.minimum_sites} sites"
    if exams < study.disclosure.minimum_exams:
        return f"fewer than {study.disclosure.minimum_exams} exams"
    return None


def site_code(study: Study, participant: str) -> str:
    """Return the code of a site: its number in the study file."""
    number = next(i for i, one in enumerate(study.participants, start=1) if one.id == participant)
    return f"S{number:0{len(str(len(study.participants)))}}"


def _sites(cell: Sequence[Value], study: Study) -> list[Place]:
    return [
        Place(site_code(study, value.participant), 1, value.n, value.value, _drawn(value, study.rules.typical))
        for value in cell
    ]


def _countries(cell: Sequence[Value], study: Study) -> tuple[list[Place], int]:
    """Return the value of each country, and how many countries are left out.

    The value is the median of its sites' values, or that of all their exams together. Where sites are hidden, a country
    of few sites would show them, or the only one exactly: it is left out.
    """
    import numpy as np

    places: list[Place] = []
    hidden = 0
    least = study.disclosure.minimum_sites if study.disclosure.sites == "hidden" else 1
    for country, group in groupby(sorted(cell, key=lambda value: value.country), key=lambda value: value.country):
        members = list(group)
        if len(members) < least:
            hidden += 1
            continue
        if study.rules.country_value == "pooled exams":
            pooled = np.sort(np.concatenate([value.ordered for value in members]))
            typical = np.median(pooled) if study.rules.typical == "median" else pooled.mean()
            one = members[0]._replace(ordered=pooled, n=len(pooled), value=float(typical), participant=country)
            drawn = _drawn(one, study.rules.typical)
        else:
            typical = np.median([value.value for value in members])
            drawn = np.median([_drawn(value, study.rules.typical) for value in members], axis=0)
        places.append(Place(country, len(members), sum(value.n for value in members), float(typical), drawn))
    return places, hidden


def _drawn(value: Value, typical: str) -> npt.NDArray[np.float64]:
    """Return typical values of samples drawn anew from a site's exams, from a seed of its own.

    The rank of a sample's median among n exams is Beta((n + 1)/2, (n + 1)/2) distributed (David and Nagaraja, Order
    Statistics, 3rd ed., section 2.1), so medians are drawn as values at such ranks. A mean is drawn as normal, by the
    central limit theorem.
    """
    import numpy as np

    name = f"{value.participant} {value.exam} {value.patient_group} {value.phantom_cm}"
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if typical == "mean":
        spread = value.ordered.std(ddof=1) / np.sqrt(value.n) if value.n > 1 else 0.0
        return rng.normal(value.value, spread, DRAWS)
    ranks = rng.beta((value.n + 1) / 2, (value.n + 1) / 2, DRAWS) * (value.n - 1)
    return np.interp(ranks, np.arange(value.n), value.ordered)


def _shown_sites(cell: Sequence[Value], study: Study) -> tuple[SiteValue, ...]:
    if study.disclosure.sites == "hidden":
        return ()
    country_shown = study.disclosure.countries == "shown"
    return tuple(
        SiteValue(
            site=site_code(study, value.participant),
            country=value.country if country_shown else "",
            n=value.n,
            value=value.value,
        )
        for value in cell
    )


def _shown_countries(countries: Sequence[Place]) -> tuple[PlaceValue, ...]:
    return tuple(PlaceValue(country=one.name, sites=one.sites, n=one.n, value=one.value) for one in countries)


def _replace(row: VariationRow, **changes: object) -> VariationRow:
    import msgspec

    return msgspec.structs.replace(row, **changes)
