"""How do funnel plots and control charts become one HTML file that opens offline, prints, and runs nothing?

The page has the look of the facility's report (``page.css``), no script, and a content security policy that forbids
every load. It draws at most 40 pictures, those with most to say first, and names the others.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import math
import os
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from jinja2 import Environment
from markupsafe import Markup

from doseatlas.analysis import DoseValues, Selection
from doseatlas.analysis.compare import ControlChart, Funnel, UnitKind
from doseatlas.report import words
from doseatlas.report.atomic import written_whole
from doseatlas.report.control_picture import control_picture, told
from doseatlas.report.funnel_chart import MARKS, MOST_LABELLED, funnel_picture, signalled
from doseatlas.report.printable import printable_text
from doseatlas.report.templating import environment, resource

MOST_PICTURES = 40
MOST_NAMED = 500
MANY: dict[UnitKind, str] = {"facility": "facilities", "device": "devices", "protocol": "protocols"}


class PageSubject(NamedTuple):
    """What a page is about and when it was made: which exams, what is compared, which dose values are counted."""

    by: UnitKind
    selection: Selection
    dose_values: DoseValues
    version: str
    generated_at: dt.datetime


class Card(NamedTuple):
    """One picture with its title, what it says in sentences, and the rows of the table beside it."""

    title: str
    said: Sequence[str]
    picture: Markup
    rows: Sequence[Sequence[str]] = ()
    more: int = 0


def write_funnels_html(funnels: Sequence[Funnel], path: str | os.PathLike[str], subject: PageSubject) -> None:
    """Write the funnel plots as one HTML file; the file is there whole, or not at all.

    Raises:
        OSError: the file cannot be written.

    """
    with written_whole(path) as file:
        file.write(funnels_html(funnels, subject).encode())


def write_changes_html(charts: Sequence[ControlChart], path: str | os.PathLike[str], subject: PageSubject) -> None:
    """Write the control charts with a signal or a change as one HTML file; the file is there whole, or not at all.

    Raises:
        OSError: the file cannot be written.

    """
    with written_whole(path) as file:
        file.write(changes_html(charts, subject).encode())


def funnels_html(funnels: Sequence[Funnel], subject: PageSubject) -> str:
    """Return a page of funnel plots, those with most units beyond the 99.8 % limits first."""
    ordered = sorted(funnels, key=_most_signals)
    values = sum(len(one.points) for one in ordered)
    return _page(
        "funnel",
        f"Funnel plots: {MANY[subject.by]}",
        f"Beyond the 99.8{words.NO_BREAK_SPACE}% limits: {words.count(_signals(ordered))} of "
        f"{words.plural(values, 'typical value', 'typical values')} "
        f"in {words.plural(len(ordered), 'funnel', 'funnels')}"
        if ordered
        else "No funnel",
        [_funnel_card(one) for one in ordered[:MOST_PICTURES]],
        [f"{_funnel_title(one)} ({words.count(_signals([one]))})" for one in ordered[MOST_PICTURES:]],
        subject,
    )


def changes_html(charts: Sequence[ControlChart], subject: PageSubject) -> str:
    """Return a page of the control charts with a change or a signal, the largest changes first."""
    ordered = sorted((one for one in charts if one.change or one.first_signal), key=_largest_change)
    changed = sum(one.change is not None for one in ordered)
    return _page(
        "changes",
        f"Changes of dose: {MANY[subject.by]}",
        f"Of {words.plural(len(charts), 'series', 'series')}, {words.count(changed)} changed; "
        f"{words.count(len(ordered) - changed)} more gave a signal"
        if charts
        else "No series",
        [Card(_chart_title(one), told(one), control_picture(one)) for one in ordered[:MOST_PICTURES]],
        [_chart_title(one) for one in ordered[MOST_PICTURES:]],
        subject,
    )


def _page(kind: str, title: str, lead: str, cards: Sequence[Card], others: Sequence[str], subject: PageSubject) -> str:
    style = resource("page.css") + resource("compare.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        _environment()
        .get_template("compare.html")
        .render(
            kind=kind,
            title=title,
            lead=lead,
            scope=_scope(subject.selection),
            cards=cards,
            others=others[:MOST_NAMED],
            not_named=len(others[MOST_NAMED:]),
            one=subject.by,
            many=MANY[subject.by],
            subject=subject,
            most_labelled=MOST_LABELLED,
            style=Markup(style),
            policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'",
        )
    )


def _scope(wanted: Selection) -> str:
    """Return in words which exams were looked at."""
    parts = [
        wanted.facility and f"facility {printable_text(wanted.facility)}",
        wanted.device and f"device {printable_text(wanted.device)}",
        wanted.procedure and words.procedure_name(wanted.procedure),
        wanted.patient_group and words.group_name(wanted.patient_group),
        wanted.since and f"from {words.long_date(wanted.since)}",
        wanted.until and f"to {words.long_date(wanted.until)}",
    ]
    return ", ".join(part for part in parts if part) or "all exams"


def _funnel_card(funnel: Funnel) -> Card:
    outside = signalled(funnel)
    said = [
        f"{words.plural(len(funnel.points), 'unit', 'units')}, centre "
        f"{words.dose_with_unit(funnel.centre, funnel.quantity)}, usual spread between units "
        f"{words.ratio(math.exp(funnel.spread_between))}-fold either way."
    ]
    if funnel.not_shown:
        said.append(f"{words.plural(funnel.not_shown, 'unit', 'units')} of too few exams not shown.")
    if not outside:
        said.append("None lies outside its limits.")
    rows = [
        (
            str(number),
            MARKS[point.signal][1],
            printable_text(point.unit),
            words.count(point.n),
            words.dose(point.median),
            f"{point.z:+.1f}".replace("-", "\N{MINUS SIGN}"),
            point.signal,
        )
        for number, point in enumerate(outside[:MOST_LABELLED], start=1)
    ]
    return Card(_funnel_title(funnel), said, funnel_picture(funnel), rows, max(0, len(outside) - MOST_LABELLED))


def _funnel_title(funnel: Funnel) -> str:
    what = words.quantity_name(funnel.quantity, funnel.phantom_cm)
    title = f"{words.procedure_name(funnel.procedure)}, {words.group_name(funnel.patient_group)}: {what}"
    return printable_text(title)


def _chart_title(chart: ControlChart) -> str:
    return f"{printable_text(chart.unit)}: {words.quantity_meaning(chart.quantity)}"


def _signals(funnels: Sequence[Funnel]) -> int:
    return sum(point.signal in ("high", "low") for one in funnels for point in one.points)


def _most_signals(funnel: Funnel) -> tuple[object, ...]:
    order = words.reference_order(funnel.procedure, funnel.patient_group)
    return -_signals([funnel]), -len(signalled(funnel)), order, funnel.quantity, funnel.phantom_cm or 0


def _largest_change(chart: ControlChart) -> tuple[object, ...]:
    size = abs(math.log(chart.change.factor)) if chart.change else 0.0
    return chart.change is None, -size, chart.unit, chart.quantity


@cache
def _environment() -> Environment:
    made = environment()
    made.filters.update(count=words.count, long_date=words.long_date)
    return made
