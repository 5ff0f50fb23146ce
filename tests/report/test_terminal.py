from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from doseatlas.analysis import FacilityReport
from doseatlas.report import print_summary, sentences, words


def printed(report: FacilityReport, width: int = 100, *, colour: bool = False) -> str:
    file = io.StringIO()
    print_summary(report, Console(file=file, width=width, highlight=False, force_terminal=colour, color_system=None))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_summary_fits_the_terminal(report: FacilityReport, width: int) -> None:
    lines = printed(report, width).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) < 70


def test_the_summary_says_what_the_page_says(report: FacilityReport) -> None:
    text = " ".join(printed(report, 200).split())
    assert sentences.headline(report) in text
    assert " ".join(sentences.counted(report).split()) in text
    assert str(report.outlier_count) in text
    assert "4 objects were refused" in text


def test_verdicts_are_words_and_shapes_not_only_colours(report: FacilityReport) -> None:
    text = printed(report)
    assert "▲ above" in text
    assert "● within" in text


def test_the_worst_comparison_comes_first(report: FacilityReport) -> None:
    judged = [value for value in report.typical_values if value.verdict in ("above", "within")]
    worst = max(judged, key=lambda value: value.ratio or 0)
    first = next(line for line in printed(report, 160).splitlines() if "▲" in line)
    assert words.dose(worst.median) in first
    assert words.ratio(worst.ratio) in first


def test_what_an_object_states_is_no_markup_of_the_terminal(said: Callable[..., FacilityReport]) -> None:
    text = printed(said(lambda field: f"[red]{field}[/red]\x1b[2J"), 200, colour=True)
    assert "[red]title[/red]" in text
    assert "\x1b[2J" not in text


def test_an_empty_report_says_what_to_do(empty: Callable[..., FacilityReport]) -> None:
    text = printed(empty())
    assert "doseatlas import" in text
    assert "verdict" not in text
