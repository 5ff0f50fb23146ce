"""Workbooks as they come back: every slip is named by its cell with what to type, and no file can do harm."""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.sheets import Field, Form, Table, WorkbookReading, WorkbookRefused, read_workbook, write_workbook

SHEETS = (
    Form(
        name="site",
        fields=(
            Field(id="who", heading="Who fills this in", kind="choice", choices=("A", "B"), value="A", required=True),
            Field(id="beds", heading="Beds", kind="whole", low=1, high=5000),
        ),
    ),
    Table(
        name="exams",
        fields=(
            Field(id="exam", heading="Examination", kind="choice", choices=("head", "chest"), required=True),
            Field(id="dlp", heading="DLP", unit="mGy·cm", kind="number", low=1, high=8000),
            Field(id="phases", heading="Phases", kind="whole", low=1, high=8),
            Field(id="phantom", heading="CTDI phantom", unit="cm", kind="whole", choices=("16", "32")),
            Field(id="remark", heading="Remark", kind="text"),
        ),
    ),
)
LINE_POINTS = 15  # the height that a row has in Excel where none is stated
TAGS = {"study": "a-study", "survey form": "1"}
Edit = Callable[[Any], None]


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    path = tmp_path / "survey.xlsx"
    write_workbook(path, title="A survey", instructions=["Fill it in."], sheets=SHEETS, tags=TAGS)
    return path


def filled(path: Path, edit: Edit) -> Path:
    book = openpyxl.load_workbook(path)
    edit(book)
    book.save(path)
    return path


def read(path: Path) -> WorkbookReading:
    return read_workbook(path, sheets=SHEETS, tags=TAGS)


def with_row(*values: object) -> Edit:
    def edit(book: Any) -> None:
        for column, value in enumerate(values, start=1):
            book["exams"].cell(3, column, value)

    return edit


def only_problem(path: Path) -> str:
    problems = read(path).problems
    assert len(problems) == 1, problems
    return str(problems[0])


def test_a_workbook_carries_drop_downs_units_and_limits(blank: Path) -> None:
    book = openpyxl.load_workbook(blank)
    page = book["exams"]
    assert [cell.value for cell in page[1]] == ["Examination", "DLP (mGy·cm)", "Phases", "CTDI phantom (cm)", "Remark"]
    assert page["B2"].value == "number, 1 to 8000"
    rules = {str(rule.sqref).split(":")[0]: rule for rule in page.data_validations.dataValidation}
    assert rules["A3"].type == "list"
    assert (rules["B3"].type, rules["B3"].formula1, rules["B3"].formula2) == ("decimal", "1", "8000")
    assert book["lists"].sheet_state == "veryHidden"


def test_in_print_no_line_covers_another_and_no_column_falls_off_the_page(tmp_path: Path) -> None:
    path, long = tmp_path / "survey.xlsx", "What is asked of a site, and why it is asked. " * 9
    write_workbook(path, title="A survey", instructions=["Fill it in.", long], sheets=SHEETS, tags=TAGS)
    book = openpyxl.load_workbook(path)
    height = book["read me"].row_dimensions[4].height
    assert height >= LINE_POINTS * len(long) / book["read me"].column_dimensions["A"].width
    for page in book.worksheets:
        if page.sheet_state == "visible":
            assert page.page_setup.orientation == "landscape"
            assert page.sheet_properties.pageSetUpPr.fitToPage
            assert (page.page_setup.fitToWidth, page.page_setup.fitToHeight) in ((1, 0), (None, 0))


def test_what_is_typed_comes_back_by_field_with_its_row(blank: Path) -> None:
    def edit(book: Any) -> None:
        book["site"]["C3"] = 700
        for line, row in ((3, ("head", 812.5, 2, 16, "first")), (7, ("CHEST", 300, None, "32", None))):
            for column, value in enumerate(row, start=1):
                book["exams"].cell(line, column, value)

    reading = read(filled(blank, edit))
    assert reading.problems == ()
    assert dict(reading.rows["site"][0].values) == {"who": "A", "beds": 700}
    assert [(row.number, dict(row.values)) for row in reading.rows["exams"]] == [
        (3, {"exam": "head", "dlp": 812.5, "phases": 2, "phantom": 16, "remark": "first"}),
        (7, {"exam": "chest", "dlp": 300.0, "phantom": 32}),
    ]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("12,5", "has a comma; type '12.5' with a decimal point, as a number"),
        ("812", "is text; format the cell as a number and type it again"),
        ("812 mGycm", "has a unit or text in the cell; the unit stands in the heading (it is mGy·cm)"),
        ("812,5 Gy·cm", "has a unit or text in the cell"),
        # One group of three digits: thousands in one country, decimals in another, and a factor of 1,000 between them.
        ("12,500", "'12,500' can mean 12500 or 12.5; type 12500 or 12.5, whichever it is, as a number"),
        ("12.500", "'12.500' can mean 12500 or 12.5; type 12500 or 12.5, whichever it is, as a number"),
        ("1,234", "can mean 1234 or 1.234; type 1234 or 1.234"),
        ("-1,200", "can mean -1200 or -1.2; type -1200 or -1.2"),
        ("1,234,567", "has marks between thousands; type '1234567', as a number"),
        ("1 234", "has marks between thousands; type '1234', as a number"),
        ("1\u202f234", "has marks between thousands; type '1234', as a number"),
        ("1'234", "has marks between thousands; type '1234', as a number"),
        ("1.234,5", "has marks between thousands; type '1234.5', as a number"),
        ("1,234.5", "has marks between thousands; type '1234.5', as a number"),
        ("0,500", "has a comma; type '0.500' with a decimal point"),
        ("0.500", "is text; format the cell as a number"),
        ("1234,567", "has a comma; type '1234.567' with a decimal point"),
        ("about 800", "is not a number"),
        ("n/a", "is not a number"),
        ("=400*2", "holds a formula; type its result as a value"),
        ("#REF!", "holds the error #REF!"),
        (True, "'True' is not a number"),
        (dt.datetime(2025, 5, 1), "has become a date; format the cell as a number"),
        (0.4, "0.4 mGy·cm is outside 1 to 8000 mGy·cm; check the value and its unit"),
        (1e9, "is outside 1 to 8000 mGy·cm"),
    ],
)
def test_a_slip_in_a_number_cell_is_named_with_what_to_type(blank: Path, value: object, told: str) -> None:
    problem = only_problem(filled(blank, with_row("head", value)))
    assert problem.startswith("sheet 'exams', cell B3: DLP ")
    assert told in problem


def test_a_fraction_where_a_whole_number_is_asked_is_named(blank: Path) -> None:
    assert "cell C3: Phases 1.5 is not a whole number" in only_problem(filled(blank, with_row("head", 500, 1.5)))


def test_a_choice_that_is_not_offered_is_named_with_those_that_are(blank: Path) -> None:
    assert "cell A3: Examination 'knee' is none of: head, chest" in only_problem(filled(blank, with_row("knee", 500)))


def test_a_whole_number_that_is_not_offered_is_named(blank: Path) -> None:
    assert "CTDI phantom 20 is none of 16, 32" in only_problem(filled(blank, with_row("head", 500, 1, 20)))


def test_a_month_that_the_program_made_a_date_of_is_still_that_month(tmp_path: Path) -> None:
    months = Field(id="month", heading="Month", kind="choice", choices=("2025-03", "2025-04"))
    sheets = (Table(name="exams", fields=(months,)),)
    path = tmp_path / "survey.xlsx"
    write_workbook(path, title="A survey", instructions=[], sheets=sheets, tags=TAGS)
    assert openpyxl.load_workbook(path)["exams"].column_dimensions["A"].number_format == "@"
    filled(path, with_row(dt.datetime(2025, 4, 1)))
    assert read_workbook(path, sheets=sheets, tags=TAGS).rows["exams"][0].values == {"month": "2025-04"}


def test_a_required_cell_that_is_empty_is_named(blank: Path) -> None:
    assert "cell A3: Examination is missing" in only_problem(filled(blank, with_row(None, 500)))


def test_merged_cells_are_named(blank: Path) -> None:
    def edit(book: Any) -> None:
        with_row("head", 500)(book)
        book["exams"].merge_cells("A3:A9")

    assert only_problem(filled(blank, edit)) == (
        "sheet 'exams', cell A3:A9: these cells are merged; unmerge them and fill each one"
    )


def test_a_hidden_sheet_is_named_whether_it_is_ours_or_not(blank: Path) -> None:
    def edit(book: Any) -> None:
        with_row("head", 500)(book)
        book["exams"].sheet_state = "hidden"
        book.create_sheet("patients").sheet_state = "hidden"

    told = [str(problem) for problem in read(filled(blank, edit)).problems]
    assert told == [
        "sheet 'patients': this hidden sheet is not part of the survey; move its data and delete it",
        "sheet 'exams': the sheet is hidden; unhide it, look at it, and send it again",
    ]


def test_a_moved_column_is_named_and_nothing_is_read_under_the_wrong_heading(blank: Path) -> None:
    def edit(book: Any) -> None:
        with_row("head", 500)(book)
        book["exams"].insert_cols(2)

    reading = read(filled(blank, edit))
    assert reading.rows["exams"] == ()
    assert "cell B1: the heading must be 'DLP (mGy·cm)'" in str(reading.problems[0])


def test_a_value_beside_the_columns_is_named_and_not_lost_in_silence(blank: Path) -> None:
    problem = only_problem(filled(blank, with_row("head", 500, 1, 16, "", "Mr X")))
    assert problem == "sheet 'exams', cell F3: this column is not asked for; it must be empty"


def test_a_missing_sheet_is_named(blank: Path) -> None:
    def edit(book: Any) -> None:
        del book["exams"]

    assert "the sheet is missing" in only_problem(filled(blank, edit))


def test_another_surveys_workbook_and_a_foreign_one_are_refused(tmp_path: Path, blank: Path) -> None:
    with pytest.raises(WorkbookRefused, match="study is 'a-study'; this survey's is 'another'"):
        read_workbook(blank, sheets=SHEETS, tags={"study": "another"})
    foreign = tmp_path / "foreign.xlsx"
    openpyxl.Workbook().save(foreign)
    with pytest.raises(WorkbookRefused, match="not a workbook of this survey"):
        read(foreign)


def test_macros_are_refused(blank: Path) -> None:
    with zipfile.ZipFile(blank, "a") as archive:
        archive.writestr("xl/vbaProject.bin", b"code")
    with pytest.raises(WorkbookRefused, match="macros"):
        read(blank)


def test_a_file_of_200_megabytes_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    large = tmp_path / "large.xlsx"
    with large.open("wb") as file:
        file.truncate(200 * 2**20)  # a sparse file: only its size is real
    with pytest.raises(WorkbookRefused, match="200 MiB; a workbook of a survey has at most 20 MiB"):
        read(large)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(tmp_path: Path, blank: Path) -> None:
    with zipfile.ZipFile(blank, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/media/a.bin", "w") as part:
        for _ in range(201):
            part.write(bytes(2**20))
    with pytest.raises(WorkbookRefused, match="200 MiB are read"):
        read(blank)


def test_an_old_or_encrypted_workbook_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "old.xls"
    old.write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(1000))
    with pytest.raises(WorkbookRefused, match="old Excel format"):
        read(old)


def test_xml_that_declares_entities_is_refused(tmp_path: Path, blank: Path) -> None:
    evil = tmp_path / "evil.xlsx"
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    with zipfile.ZipFile(blank) as source, zipfile.ZipFile(evil, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "xl/worksheets/sheet2.xml":
                begin = content.index(b"?>") + 2
                content = content[:begin] + bomb + content[begin:]
            target.writestr(name, content)
    with pytest.raises(WorkbookRefused, match="declares a document type"):
        read(evil)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_half_a_workbook_is_refused(blank: Path, share: float) -> None:
    content = blank.read_bytes()
    blank.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WorkbookRefused, match="not a whole"):
        read(blank)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=5), st.integers(0, 255))
def test_a_damaged_workbook_is_refused_or_read_but_never_raises_anything_else(
    damaged: Path, places: list[int], byte: int
) -> None:
    content = bytearray(damaged.read_bytes())
    for place in places:
        content[place % len(content)] = byte
    other = damaged.with_name("other.xlsx")
    other.write_bytes(content)
    try:
        read(other)
    except WorkbookRefused:
        return


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damaged") / "survey.xlsx"
    write_workbook(path, title="A survey", instructions=[], sheets=SHEETS, tags=TAGS)
    return path


def test_a_text_that_looks_like_a_formula_or_link_is_written_as_text(tmp_path: Path) -> None:
    path = tmp_path / "survey.xlsx"
    sheets = (Form(name="site", fields=(Field(id="a", heading="=1+1", kind="text", value="http://a.b"),)),)
    write_workbook(path, title="=cmd()", instructions=["@SUM(A1)"], sheets=sheets, tags=TAGS)
    book = openpyxl.load_workbook(path)
    assert book["site"]["A2"].data_type == book["read me"]["A1"].data_type == "s"
    assert read_workbook(path, sheets=sheets, tags=TAGS).rows["site"][0].values == {"a": "http://a.b"}


def test_a_hopeless_workbook_tells_how_many_problems_there_are_and_lists_the_first(blank: Path) -> None:
    def edit(book: Any) -> None:
        for line in range(3, 400):
            book["exams"].cell(line, 1, "head")
            book["exams"].cell(line, 2, "1,5")

    reading = read(filled(blank, edit))
    assert (len(reading.problems), reading.problem_count) == (200, 397)
