from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doseatlas.analysis import FacilityReport
from doseatlas.report.printable import LONGEST_TEXT, printable, printable_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("CT Thorax – Übersicht 胸部", "CT Thorax – Übersicht 胸部"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("nul\x00bell\x07esc\x1b[31m", "nul�bell�esc�[31m"),
        ("turned\u202etxet", "turned�txet"),
        ("half a pair \ud800", "half a pair �"),
    ],
)
def test_what_cannot_be_printed_is_replaced_and_shows(text: str, shown: str) -> None:
    assert printable_text(text) == shown


@settings(deadline=None)
@given(st.text(st.characters()))
def test_any_text_becomes_one_line_that_can_be_written(text: str) -> None:
    shown = printable_text(text)
    shown.encode()  # a lone surrogate would raise
    assert len(shown) == min(len(text), LONGEST_TEXT)
    assert not set(shown) & set("\r\n\x00\x1b")


def test_a_name_of_a_megabyte_is_cut_with_a_sign() -> None:
    shown = printable_text("x" * 1_000_000)
    assert len(shown) == LONGEST_TEXT
    assert shown.endswith("…")


def test_figures_are_untouched(report: FacilityReport) -> None:
    assert printable(report) == report
