"""Which workbook asks for a study's data, and what does a filled one say?

Two sheets: a form for the participant and the study's questions, and, where the study asks for exams, a table with a
row for each exam. What is required, allowed and plausible stands in the sheet.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from doseatlas.sheets import Field, Form, Problem, Sheet, Table, read_workbook, write_workbook
from doseatlas.store.mart_schema import EXAM_COLUMNS
from doseatlas.studies.check import is_number
from doseatlas.studies.schema import Study, StudyError, Variable
from doseatlas.studies.sources import ARROW_NAMES, KEYS, limits, meaning, unit

if TYPE_CHECKING:
    import pyarrow as pa

SITE, EXAMS = "site", "exams"
YES, NO = "yes", "no"
INSTRUCTIONS = (
    "Fill in the sheet 'site'{exams}. Nothing that identifies a patient is asked: give no names, numbers or dates.",
    "Type numbers as numbers: the unit stands in the heading. Leave a cell empty where a value is not known; never type"
    " 0 for unknown.",
    "Keep the columns, rows and headings as they are. No formulas, merged cells or extra sheets.",
    "A cell refuses what cannot be right. If a true value is refused, tell the coordinator of the study.",
)


class StudyWorkbook(NamedTuple):
    """What a filled workbook says; ``exams`` is ``None`` where the table is empty or the study asks for none."""

    participant: str | None
    answers: Mapping[str, str]
    exams: pa.Table | None
    problems: tuple[Problem, ...]
    problem_count: int


def write_study_workbook(study: Study, path: str | os.PathLike[str], *, participant: str | None = None) -> None:
    """Write the workbook of a study, for one participant or to be picked in the sheet.

    Raises:
        OSError: it cannot be written.
        StudyError: nobody takes part yet, so the workbook could not be told whose it is.

    """
    if not study.participants:
        raise StudyError(f"Study {study.id} has no participants; add them to the study file before making workbooks.")
    exams = f" and, in the sheet 'exams', one row for each exam of {_period(study)}" if study.exams else ""
    write_workbook(
        path,
        title=study.title,
        instructions=[study.question, *(text.format(exams=exams) for text in INSTRUCTIONS), f"Source: {study.source}"],
        sheets=_sheets(study, participant),
        tags=_tags(study),
    )


def read_study_workbook(study: Study, path: Path) -> StudyWorkbook:
    """Read a filled workbook of a study.

    Raises:
        WorkbookRefused: the file as a whole cannot be read, or is another study's.

    """
    reading = read_workbook(path, sheets=_sheets(study, None), tags=_tags(study))
    site = next(iter(reading.rows.get(SITE, ())), None)
    stated = dict(site.values) if site else {}
    participant = str(stated.pop("participant")) if "participant" in stated else None
    rows = reading.rows.get(EXAMS, ())
    exams = _arrow([dict(row.values) for row in rows], study) if rows and not reading.problems else None
    answers = {name: str(value) for name, value in stated.items()}
    return StudyWorkbook(participant, answers, exams, reading.problems, reading.problem_count)


def _tags(study: Study) -> dict[str, str]:
    return {"study": study.id, "survey form": "1"}


def _period(study: Study) -> str:
    return f"{study.period.since} to {study.period.until}" if study.period else "the study"


def _sheets(study: Study, participant: str | None) -> tuple[Sheet, ...]:
    who = Field(
        id="participant",
        heading="Who fills this in",
        kind="choice",
        choices=tuple(one.id for one in study.participants),
        value=participant,
    )
    asked = tuple(
        Field(
            id=question.id,
            heading=f"{question.text}{f' [{question.requirement}]' if question.requirement else ''}",
            kind="choice",
            choices=question.answers,
        )
        for question in study.questions
    )
    form = Form(name=SITE, fields=(who, *asked))
    return (form, Table(name=EXAMS, fields=_exam_fields(study))) if study.exams else (form,)


def _exam_fields(study: Study) -> tuple[Field, ...]:
    fields = [
        Field(id="exam", heading="Examination", kind="choice", choices=tuple(e.id for e in study.exams), required=True),
        Field(id="month", heading="Month", kind="choice", choices=_months(study), required=True),
    ]
    indications = tuple(dict.fromkeys(text for exam in study.exams for text in exam.indications))
    if indications:
        fields.append(Field(id="indication", heading="Indication", kind="choice", choices=indications, required=True))
    if any(group.patient_group for group in study.groups):
        groups = tuple(group.id for group in study.groups)
        fields.append(Field(id="patient_group", heading="Patient group", kind="choice", choices=groups, required=True))
    if "ctdi_vol_mgy" in study.columns or "dlp_mgy_cm" in study.columns:
        fields.append(Field(id="phantom_cm", heading="CTDI phantom", unit="cm", kind="whole", choices=("16", "32")))
    return (*fields, *(_variable_field(variable) for variable in study.variables))


def _variable_field(variable: Variable) -> Field:
    heading = meaning(variable.column)
    heading = heading[:1].upper() + heading[1:]
    if variable.column == "adult_protocol_on_child":
        return Field(id=variable.column, heading=heading, kind="choice", choices=(YES, NO))
    if variable.column == "sex":
        return Field(id=variable.column, heading=heading, kind="choice", choices=("F", "M", "O"))
    if not is_number(variable):
        return Field(id=variable.column, heading=heading, kind="text")
    low, high = limits(variable)
    whole = variable.column in ("phase_count", "frames")
    return Field(
        id=variable.column,
        heading=heading,
        unit=unit(variable.column) or None,
        kind="whole" if whole else "number",
        low=low,
        high=high,
    )


def _months(study: Study) -> tuple[str, ...]:
    """Return the months of the study's period."""
    if study.period is None:
        return ()
    (year, month), (last_year, last_month) = (
        (int(text[:4]), int(text[5:])) for text in (study.period.since, study.period.until)
    )
    count = 12 * (last_year - year) + last_month - month + 1
    return tuple(f"{year + (month - 1 + i) // 12:04}-{(month - 1 + i) % 12 + 1:02}" for i in range(count))


def _arrow(rows: list[dict[str, Any]], study: Study) -> pa.Table:
    """Return the rows as the mart would hold them."""
    import pyarrow as pa

    types = {column.name: ARROW_NAMES.get(column.type, "string") for column in EXAM_COLUMNS} | {
        "exam": "string",
        "indication": "string",
    }
    ids = {group.id: group.patient_group for group in study.groups}
    for row in rows:
        row["plausible"] = True
        row["patient_group"] = ids.get(row.get("patient_group", ""))
        if "adult_protocol_on_child" in row:
            row["adult_protocol_on_child"] = row["adult_protocol_on_child"] == YES
    names = dict.fromkeys((*KEYS, "indication", "plausible", *study.columns))
    return pa.Table.from_pylist(rows, pa.schema([(name, pa.type_for_alias(types[name])) for name in names]))
