"""How does a coordinated study's report become one HTML file that opens offline, and a JSON file beside it?

The page has the look of the facility's report (``page.css``), no script, and a content security policy that forbids
every load. What it shows was computed by ``doseatlas.studies``.
"""

from __future__ import annotations

import base64
import hashlib
import os
from functools import cache

import msgspec
from jinja2 import Environment
from markupsafe import Markup

from doseatlas.report import study_charts, words
from doseatlas.report.atomic import written_whole
from doseatlas.report.templating import environment, resource
from doseatlas.studies import LeftOut, StudyReport, VariationRow

MOST_PICTURES = 40


def write_study_html(report: StudyReport, path: str | os.PathLike[str]) -> None:
    """Write a study's report as one HTML file; the file is there whole, or not at all.

    Raises:
        OSError: the file cannot be written.

    """
    with written_whole(path) as file:
        file.write(study_html(report).encode())


def write_study_json(report: StudyReport, path: str | os.PathLike[str]) -> None:
    """Write the same figures as JSON, one key a field of :class:`~doseatlas.studies.StudyReport`.

    Raises:
        OSError: the file cannot be written.

    """
    with written_whole(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def study_html(report: StudyReport) -> str:
    """Return a study's report as an HTML page."""
    style = resource("page.css") + resource("study.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    mapped = _mapped(report)
    return (
        _environment()
        .get_template("study.html")
        .render(
            report=report,
            chapters=_chapters(report),
            pictures=mapped[:MOST_PICTURES],
            not_pictured=len(mapped[MOST_PICTURES:]),
            answers=_answers(report),
            style=Markup(style),
            policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'",
        )
    )


def _chapters(report: StudyReport) -> list[tuple[str, list[VariationRow]]]:
    """Return the rows of variation by what they compare: quantity with its unit, and sites or countries."""
    chapters: dict[str, list[VariationRow]] = {}
    for row in report.variation:
        meaning = words.quantity_meaning(row.quantity)
        title = f"{meaning[:1].upper()}{meaning[1:]} ({words.unit(row.quantity)}) between {row.of}"
        chapters.setdefault(title, []).append(row)
    return list(chapters.items())


def _mapped(report: StudyReport) -> list[VariationRow]:
    """Return the rows with countries to show; one that compares sites shows the same as its sister of countries."""
    rows: dict[tuple[object, ...], VariationRow] = {}
    for row in report.variation:
        if row.countries:
            rows.setdefault((row.exam, row.group, row.quantity, row.phantom_cm), row)
    return list(rows.values())


def _answers(report: StudyReport) -> list[list[object]]:
    """Return the answers question by question."""
    questions: dict[tuple[str, str], list[object]] = {}
    for row in report.answers:
        questions.setdefault((row.question, row.of), []).append(row)
    return list(questions.values())


def _left_out(one: LeftOut) -> str:
    """Return one reason with how much it left out. Most of the exams may be those of sites that stay."""
    sites = words.plural(one.sites, "site", "sites")
    if not one.exams:
        return f"{sites}: {one.reason}"
    leaving = f"; {sites} {'has' if one.sites == 1 else 'have'} no others" if one.sites else ""
    return f"{words.plural(one.exams, 'exam', 'exams')}: {one.reason}{leaving}"


def _percent(share: float) -> str:
    """Return a share in whole percent."""
    return f"{100 * share:.0f}{words.NO_BREAK_SPACE}%"


def _fold(value: float | None) -> str:
    """Return a ratio with one decimal, whole from 10 on."""
    return "–" if value is None else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


@cache
def _environment() -> Environment:
    made = environment()
    made.globals.update(
        strip=study_charts.sites_strip,
        dots=study_charts.country_dots,
        map=study_charts.variation_map,
        plural=words.plural,
    )
    made.filters.update(
        count=words.count,
        dose=words.dose,
        fold=_fold,
        left_out=_left_out,
        long_date=words.long_date,
        percent=_percent,
        quantity_name=words.quantity_name,
        unit=words.unit,
    )
    return made
