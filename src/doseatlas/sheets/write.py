"""How is a survey workbook made? Drop-downs, units and limits stand in the sheet, so that Excel stops most slips."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from doseatlas.sheets.fields import Field, Form, Sheet, Table

LISTS_SHEET = "lists"
TAGS_SHEET = "about this file"
FIRST_TABLE_ROW = 3  # of data, as Excel counts
FIRST_FORM_ROW = 2
_LINE_POINTS = 15  # height of a row of one line
_FRONT_CHARACTERS = 95  # that surely fit into a line of the first sheet


def write_workbook(
    path: str | os.PathLike[str],
    *,
    title: str,
    instructions: Sequence[str],
    sheets: Sequence[Sheet],
    tags: Mapping[str, str],
) -> None:
    """Write a workbook to fill in.

    Args:
        path: where it is written.
        title: heading of the first sheet.
        instructions: its sentences.
        sheets: what is asked.
        tags: what reading it back must find unchanged, such as the id of the study.

    Raises:
        OSError: the file cannot be written.

    """
    import xlsxwriter

    # Texts of a study could begin with '=' or 'http': they are written as text, never as a formula or link.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "in_memory": True}
    with xlsxwriter.Workbook(os.fspath(path), options) as book:
        styles = {
            "title": book.add_format({"bold": True, "font_size": 16}),
            "text": book.add_format({"text_wrap": True, "valign": "top"}),
            "head": book.add_format({"bold": True, "bg_color": "#0F5C73", "font_color": "white", "text_wrap": True}),
            "hint": book.add_format({"italic": True, "font_color": "#55636D", "text_wrap": True, "valign": "top"}),
            "open": book.add_format({"locked": False}),
            # As text: a spreadsheet program would make a date of a month such as 2025-03.
            "words": book.add_format({"locked": False, "num_format": "@"}),
            "answer": book.add_format({"locked": False, "bg_color": "#F4F7F8", "border": 1, "border_color": "#D9E0E4"}),
        }
        front = book.add_worksheet("read me")
        front.set_column(0, 0, 100, styles["text"])
        front.write_string(0, 0, title, styles["title"])
        for number, sentence in enumerate(instructions, start=2):
            # Not every program makes a row as high as its wrapped text, in print least of all.
            front.set_row(number, _LINE_POINTS * max(1, math.ceil(len(sentence) / _FRONT_CHARACTERS)))
            front.write_string(number, 0, sentence, styles["text"])
        front.protect()
        _lay_out_print(front)
        made = [(book.add_worksheet(sheet.name), sheet) for sheet in sheets]
        lists = _Lists(book.add_worksheet(LISTS_SHEET))
        for page, sheet in made:
            if isinstance(sheet, Table):
                _write_table(page, sheet, styles, lists)
            else:
                _write_form(page, sheet, styles, lists)
            page.protect("", {"insert_rows": True, "delete_rows": True, "sort": True, "format_columns": True})
            _lay_out_print(page)
        about = book.add_worksheet(TAGS_SHEET)
        for number, (name, value) in enumerate(tags.items()):
            about.write_string(number, 0, name)
            about.write_string(number, 1, value)
        for page in (lists.page, about):
            page.very_hidden()
            page.protect()


def _lay_out_print(page: Any) -> None:
    """Print all columns on one page, and as many pages long as it takes."""
    page.set_landscape()
    page.fit_to_pages(1, 0)


class _Lists:
    """The hidden sheet with the members of drop-downs, one list a column."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self._columns: dict[tuple[str, ...], int] = {}

    def reference(self, choices: tuple[str, ...]) -> str:
        """Return the range that holds these choices, writing them where they are new."""
        from xlsxwriter.utility import xl_col_to_name

        if choices not in self._columns:
            self._columns[choices] = len(self._columns)
            for number, choice in enumerate(choices):
                self.page.write_string(number, self._columns[choices], choice)
        column = xl_col_to_name(self._columns[choices], True)
        return f"='{LISTS_SHEET}'!{column}$1:{column}${len(choices)}"


def _write_table(page: Any, sheet: Table, styles: Mapping[str, Any], lists: _Lists) -> None:
    last = FIRST_TABLE_ROW - 1 + sheet.rows - 1
    page.set_row(0, 32)
    page.freeze_panes(FIRST_TABLE_ROW - 1, 0)
    for column, field in enumerate(sheet.fields):
        page.set_column(column, column, 18, styles["words" if field.kind in ("text", "choice") else "open"])
        page.write_string(0, column, field.title, styles["head"])
        page.write_string(1, column, field.help or field.limits, styles["hint"])
        rule = _rule(field, lists)
        if rule:
            page.data_validation(FIRST_TABLE_ROW - 1, column, last, column, rule)


def _write_form(page: Any, sheet: Form, styles: Mapping[str, Any], lists: _Lists) -> None:
    page.set_column(0, 0, 70, styles["text"])
    page.set_column(1, 1, 26, styles["text"])
    page.set_column(2, 2, 34)
    for column, heading in enumerate(("what is asked", "what is allowed", "your answer")):
        page.write_string(0, column, heading, styles["head"])
    for row, field in enumerate(sheet.fields, start=FIRST_FORM_ROW - 1):
        page.write_string(row, 0, field.title, styles["text"])
        page.write_string(row, 1, field.help or field.limits, styles["hint"])
        if field.value is None:
            page.write_blank(row, 2, None, styles["answer"])
        else:
            page.write_string(row, 2, field.value, styles["answer"])
        rule = _rule(field, lists)
        if rule:
            page.data_validation(row, 2, row, 2, rule)


def _rule(field: Field, lists: _Lists) -> dict[str, Any] | None:
    """Return what Excel allows in a cell, in its own terms; ``None`` for free text."""
    told = {"error_title": field.heading[:32], "error_message": f"{field.title}: {field.limits}."[:255]}
    if field.choices:
        return {"validate": "list", "source": lists.reference(field.choices), **told}
    if field.kind == "text":
        return None
    kind = "integer" if field.kind == "whole" else "decimal"
    if field.low is not None and field.high is not None:
        return {"validate": kind, "criteria": "between", "minimum": field.low, "maximum": field.high, **told}
    return {"validate": kind, "criteria": ">=", "value": -1e300 if kind == "decimal" else -(2**31), **told}
