"""Every code that a note of an exam or a refusal can bear is documented, and nothing that does not occur."""

from __future__ import annotations

import ast
import csv
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import doseatlas
from doseatlas.dicom.notes import Notes

SOURCE = Path(doseatlas.__file__).parent
ROOMS = ("dicom", "standardise", "store")  # those that put notes into exams, and refuse objects
DOCS = Path(__file__).resolve().parents[2] / "docs"
FIRST = {"UnreadableObject", "add"}  # calls whose first argument is a code
NAMED = {"Note", "Refusal"}  # calls with an argument code=


def _texts(node: ast.expr) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def codes_used() -> set[str]:
    """The literal codes in the calls that make notes and refusals."""
    used: set[str] = set()
    for path in (path for room in ROOMS for path in (SOURCE / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in NAMED:
                used |= {text for keyword in node.keywords if keyword.arg == "code" for text in _texts(keyword.value)}
            elif name in FIRST and len(node.args) > 1:
                used |= set(_texts(node.args[0]))
            elif name == "_refused" and len(node.args) > 2:
                used |= set(_texts(node.args[1]))
    return used


def documented() -> dict[str, dict[str, str]]:
    table = files("doseatlas.reference") / "data" / "note_codes.csv"
    return {row["code"]: row for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())}


def test_every_code_in_the_source_is_documented() -> None:
    used = codes_used()
    assert {"total-from-events", "impossible-value", "merged", "truncated", "nested-archive"} <= used
    assert used - documented().keys() == set()


def test_every_code_of_reading_that_is_documented_occurs() -> None:
    ours = {code for code, row in documented().items() if row["room"] == "dicom"}
    text = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "dicom").glob("*.py"))
    assert [code for code in sorted(ours) if f'"{code}"' not in text] == []


def test_the_page_on_notes_lists_every_code_with_its_meaning() -> None:
    page = (DOCS / "notes.md").read_text(encoding="utf-8")
    for code, row in documented().items():
        assert f"| `{code}` | {row['meaning']} |" in page


def test_one_thing_met_often_is_one_note_with_its_count_and_some_values() -> None:
    notes = Notes()
    for number in range(5):
        notes.add("unit-unknown", "The unit is not known", f"{number} furlong")
    notes.add("truncated", "Something else")
    first, second = notes.collected()
    assert first.message == "The unit is not known (0 furlong, 1 furlong, 2 furlong, ...), 5 times."
    assert second.message == "Something else."
