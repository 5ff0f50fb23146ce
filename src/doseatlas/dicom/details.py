"""Which event does a part of the irradiation details belong to? By X-ray source and time (TID 10043 to 10055).

An enhanced report (TID 10040) states what happened twice: a summary of each event, and details that know no events but
periods of time. A part of the details (technique, filtration, output, field) belongs to the events of its source that
it overlaps in time. Settings hold for each of them; what adds up (charge, air kerma) is taken only where the part lies
within one event. What the summary states itself goes first, and doses come from the summary alone, apart from the air
kerma at the output measurement point, which has a field of its own. Tables over time, matrices and coordinates are not
read, and a note says so.
"""

from __future__ import annotations

import datetime as dt
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from doseatlas.dicom.content import ContentItem
from doseatlas.dicom.header import instant_of
from doseatlas.dicom.measures import Stated
from doseatlas.dicom.notes import Notes
from doseatlas.dicom.record import record_values
from doseatlas.dicom.statements import Statements
from doseatlas.dicom.templates import containers, dose_maxima

_STARTED, _ENDED, _SOURCE = ("111526", "DCM"), ("111527", "DCM"), ("113832", "DCM")
_OF_THE_EVENT = {"event_uid", "started_at", "comment"}
_OWN_DOSE = "output_air_kerma_mgy"
_MOST_COMPARISONS = 200_000  # bounds the work that a hostile report can ask for
_NOT_READ = ("TABLE", "SCOORD3D", "SCOORD")
_SHOWN = 6


class _Period(NamedTuple):
    """When and by which X-ray source; UTC where the report states offsets, else as stated."""

    started: dt.datetime
    ended: dt.datetime
    source: frozenset[str]


class _Part(NamedTuple):
    period: _Period
    stated: list[Stated]


def add_details(
    values: Sequence[dict[str, object]],
    events: Sequence[ContentItem],
    details: Sequence[ContentItem],
    statements: Statements,
    notes: Notes,
) -> None:
    """Add to the values of each event what the details state of it; ``values`` and ``events`` go together."""
    parts = [part for node in details for part in _parts(node, statements, notes)]
    periods = [(period, number) for number, node in enumerate(events) if (period := _period(node)) is not None]
    periods.sort(key=lambda pair: pair[0].started)
    found: list[list[Stated]] = [[] for _ in events]
    filters: list[list[Stated]] = [[] for _ in events]
    done = 0
    for part, numbers in _matching(parts, periods):
        done += 1
        if not numbers:
            notes.add("details-unattached", "A part of the irradiation details overlaps no event and is not used")
        for number in numbers:
            stated = part.stated if len(numbers) == 1 else _settings(part, notes)
            found[number] += _without_filters_behind(filters[number], stated, notes)
    if done < len(parts):
        notes.add("details-unattached", "The irradiation details overlap too many events; the rest is not used")
    for known, stated in zip(values, found, strict=True):
        known |= {name: value for name, value in record_values(stated).items() if name not in known}


def _parts(node: ContentItem, statements: Statements, notes: Notes) -> Iterator[_Part]:
    for child in node.children:
        known = containers().get(child.concept) if child.concept else None
        if child.value_type != "CONTAINER" or (known is not None and known.level == "aside"):
            continue
        if unread := [one.meaning or one.value_type for one in child.children if one.value_type in _NOT_READ]:
            for what in unread[:_SHOWN]:
                notes.add("details-not-read", "Tables, matrices and coordinates of the details are not read", what)
        stated = [
            (field, value)
            for field, value in statements.below(child, "event")
            if field.name not in _OF_THE_EVENT and (field.name == _OWN_DOSE or field.name not in dose_maxima())
        ]
        period = _period(child)
        if stated and period is not None:
            yield _Part(period, stated)
        elif stated:
            notes.add("details-unattached", "A part of the irradiation details states no period and is not used")


def _period(node: ContentItem) -> _Period | None:
    texts = {child.concept: child.text for child in node.children if child.concept in (_STARTED, _ENDED, _SOURCE)}
    started = _moment(texts.get(_STARTED))
    if started is None:
        return None
    source = frozenset(re.findall(r"\w+", (texts.get(_SOURCE) or "").casefold())) - {"and"}
    return _Period(started, max(started, _moment(texts.get(_ENDED)) or started), source)


def _moment(text: str | None) -> dt.datetime | None:
    """A moment that compares with every other: with an offset in UTC, without one as it stands."""
    try:
        moment = dt.datetime.fromisoformat(instant_of(text) or "")
        return moment if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def _matching(parts: Sequence[_Part], periods: Sequence[tuple[_Period, int]]) -> Iterator[tuple[_Part, list[int]]]:
    """Give each part with the numbers of the events that it belongs to, until the comparisons allowed are used up."""
    starts = [period.started for period, _ in periods]
    latest_end = list(accumulate((period.ended for period, _ in periods), max))
    left = _MOST_COMPARISONS
    for part in parts:
        numbers = []
        place = bisect_right(starts, part.period.ended) - 1
        while place >= 0 and latest_end[place] >= part.period.started and left:
            event, number = periods[place]
            if _same_source(part.period, event) and _overlap(part.period, event):
                numbers.append(number)
            place -= 1
            left -= 1
        if not left:
            return
        yield part, numbers[::-1]


def _same_source(part: _Period, event: _Period) -> bool:
    return not part.source or not event.source or part.source <= event.source


def _overlap(one: _Period, other: _Period) -> bool:
    """Whether periods share more than the moment at which one ends and the other begins."""
    return (
        one.started == other.started
        or max(one.started, other.started) < min(one.ended, other.ended)
        or (one.started == one.ended and other.started <= one.started < other.ended)
        or (other.started == other.ended and one.started <= other.started < one.ended)
    )


def _settings(part: _Part, notes: Notes) -> list[Stated]:
    """What of a part holds for each of several events: not what adds up."""
    kept = [(field, value) for field, value in part.stated if field.several != "sum"]
    if len(kept) < len(part.stated):
        about = "Charge or air kerma of the irradiation details belongs to several events together and is not used"
        notes.add("details-unattached", about)
    return kept


def _without_filters_behind(first: list[Stated], stated: Sequence[Stated], notes: Notes) -> list[Stated]:
    """What is added to an event: filters of a later period are not filters behind those of the first, kept here."""
    filters = [one for one in stated if one[0].name == "filters"]
    if not filters or not first:
        first += filters
        return list(stated)
    if filters != first:
        notes.add("details-vary", "The filtration changes within an event; the first is given")
    return [one for one in stated if one[0].name != "filters"]
