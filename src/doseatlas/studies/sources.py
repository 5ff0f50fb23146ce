"""Which exams of a source belong to a study, and why do the others not? Marts and workbooks through one rule.

Each exam that is left out is counted under the first reason that holds, in the order of :func:`_reasons`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from doseatlas.analysis import mart_table, quantities
from doseatlas.reference import plausible_ranges
from doseatlas.store.mart_schema import EXAM_COLUMNS
from doseatlas.studies.results import LeftOut
from doseatlas.studies.schema import Study, StudyError, StudyGroup, Variable

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

MOST_FILE_BYTES = 4 * 2**30
ARROW_NAMES = {"string": "string", "int32": "int32", "float64": "double", "date": "date32", "bool": "bool"}
KEYS = ("exam", "patient_group", "month", "phantom_cm")
"""What every collected exam states beside the variables asked."""


def mart_exams(path: Path) -> ibis.Table:
    """Return the exams of a mart's folder, or of one Parquet file with the mart's columns.

    Raises:
        StudyError: it is neither, or the file is damaged or lacks a column that no mart lacks.
        StoreError: a file of the mart is damaged.

    """
    if path.is_dir():
        folder = path / "mart" if (path / "mart" / "exams").is_dir() else path
        if not (folder / "exams").is_dir():
            raise StudyError(
                f"{path}: no mart is there (no folder 'exams'). Name the mart's folder or its data folder."
            )
        return mart_table(folder)
    import ibis

    return ibis.memtable(_mart_file(path))


def _mart_file(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {column.name: column.type for column in EXAM_COLUMNS if column.type in ARROW_NAMES}
    try:
        with pq.ParquetFile(path) as file:
            unpacked = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
            if unpacked > MOST_FILE_BYTES:
                raise StudyError(f"{path}: {unpacked / 2**30:.0f} GiB unpacked; send it in several files.")
            there = set(file.schema_arrow.names)
            missing = {"facility", "month", "procedure", "patient_group", "plausible"} - there
            if missing:
                raise StudyError(f"{path}: no mart file: the columns {', '.join(sorted(missing))} are missing.")
            stated = file.read([name for name in types if name in there])
        schema = pa.schema([(name, pa.type_for_alias(ARROW_NAMES[type_])) for name, type_ in types.items()])
        columns = [
            stated[field.name].cast(field.type) if field.name in there else pa.nulls(stated.num_rows, field.type)
            for field in schema
        ]
        return pa.Table.from_arrays(columns, schema=schema)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StudyError(f"{path}: not a whole Parquet file of a mart ({error}). Export it again.") from error


def of_mart(exams: ibis.Table, study: Study) -> ibis.Table:
    """Return a mart's exams with ``exam``, the study's name for what was done (null: not of the study).

    ``other_indication``: the RIS stated an indication, and it is none of the exam's. An exam that has words is judged
    by them alone, wherever they stand: a protocol named for COVID-19 says enough where the indication says "fever".
    """
    import ibis

    stated = exams.indication if "indication" in exams.columns else ibis.null("string")
    indication = stated.fill_null("").lower()
    text = (exams.procedure_text.fill_null("") + " " + exams.protocol.fill_null("")).lower() + " " + indication
    cases = []
    others = [ibis.literal(False)]
    for exam in sorted(study.exams, key=lambda exam: not exam.words):  # those with words are the more special ones
        fits = exams.procedure.isin(exam.procedures)
        terms = [indication.contains(word.lower()) for word in (*exam.indications, *exam.indication_words)]
        if exam.words:
            fits = fits & ibis.or_(*(text.contains(word.lower()) for word in exam.words), *terms)
        cases.append((fits, ibis.literal(exam.id)))
        if terms and not exam.words:
            others.append((ibis.cases(*cases) == exam.id) & (indication.strip() != "") & ~ibis.or_(*terms))
    return exams.mutate(exam=ibis.cases(*cases), other_indication=ibis.or_(*others).fill_null(False))


def of_workbook(exams: ibis.Table, study: Study) -> ibis.Table:
    """Return a workbook's exams with ``other_indication``: the one picked is not among those of the exam."""
    import ibis

    asked = [
        (exams.exam == exam.id) & exams.indication.notnull() & ~exams.indication.isin(exam.indications)
        for exam in study.exams
        if exam.indications
    ]
    return exams.mutate(other_indication=ibis.or_(ibis.literal(False), *asked))


def sorted_out(exams: ibis.Table, study: Study) -> tuple[pa.Table, tuple[LeftOut, ...], int]:
    """Return the exams that count with the columns asked, why others were left out, and how many there were.

    ``exams`` has ``exam``, ``other_indication``, ``month``, ``plausible``, ``patient_group``, ``phantom_cm`` and the
    study's variables.
    """
    import ibis

    grouped = exams.mutate(patient_group=_group(exams, study.groups))
    judged = grouped.mutate(left_out=ibis.cases(*_reasons(grouped, study), else_=ibis.null("string")))
    counts = judged.group_by("left_out").agg(exams=judged.count()).to_pyarrow().to_pylist()
    kept = judged.filter(judged.left_out.isnull()).select(*dict.fromkeys((*KEYS, *study.columns))).to_pyarrow()
    left_out = tuple(
        LeftOut(reason=row["left_out"], exams=row["exams"])
        for row in sorted(counts, key=lambda row: -row["exams"])
        if row["left_out"] is not None
    )
    return kept, left_out, sum(row["exams"] for row in counts)


def exam_schema(study: Study) -> pa.Schema:
    """Return the columns of a study's collected exams, without participant and country."""
    import pyarrow as pa

    types = {column.name: ARROW_NAMES.get(column.type, "string") for column in EXAM_COLUMNS} | {"exam": "string"}
    return pa.schema([(name, pa.type_for_alias(types[name])) for name in dict.fromkeys((*KEYS, *study.columns))])


def _group(exams: ibis.Table, groups: tuple[StudyGroup, ...]) -> Any:
    """Return the study's group of each exam, null where it is in none."""
    import ibis

    cases = []
    for group in groups:
        if group.patient_group is not None:
            fits = exams.patient_group == group.patient_group
        else:
            value = exams[group.parameter]
            fits = (value >= group.low) & (value < group.high)
        cases.append((fits, ibis.literal(group.id)))
    return ibis.cases(*cases)


def _reasons(exams: ibis.Table, study: Study) -> list[tuple[Any, str]]:
    """Return why an exam is left out, first reason first."""
    import ibis

    period = study.period
    since, until = (period.since, period.until) if period else ("0000-00", "9999-12")
    reasons: list[tuple[Any, str]] = [
        (exams.exam.isnull(), "not an examination of the study"),
        (~exams.month.fill_null("").between(since, until), "outside the study's period, or undated"),
        (~exams.plausible.fill_null(False), "flagged as implausible"),
        (exams.other_indication, "indication is not of this examination"),
    ]
    parameters = {group.parameter for group in study.groups if group.parameter}
    for parameter in sorted(parameters):
        reasons.append((exams[parameter].isnull(), f"{meaning(parameter)} not stated"))
    reasons.append((exams.patient_group.isnull(), "in no patient group of the study"))
    for phantom in sorted({exam.phantom_cm for exam in study.exams if exam.phantom_cm}):
        fixed = exams.exam.isin([exam.id for exam in study.exams if exam.phantom_cm == phantom])
        reasons.append((fixed & exams.phantom_cm.isnull(), "CTDI phantom not stated, or several"))
        reasons.append((fixed & (exams.phantom_cm != ibis.literal(phantom)), f"CTDI phantom not {phantom} cm"))
    for variable in study.variables:
        if variable.required:
            reasons.append((exams[variable.column].isnull(), f"{meaning(variable.column)} not stated"))
    return [*reasons, *(_outside(exams, variable) for variable in study.variables if limits(variable) != (None, None))]


def _outside(exams: ibis.Table, variable: Variable) -> tuple[Any, str]:
    """Return which exams are outside a variable's limits, and what that is called."""
    import ibis

    value = exams[variable.column]
    low, high = limits(variable)
    outside = [value < low] if low is not None else []
    outside += [value > high] if high is not None else []
    if value.type().is_floating():
        # Parquet's statistics leave NaN out, so an engine that trusts them would take NaN to be in range.
        outside.append(value.isnan())
    allowed = f"below {low:g}" if high is None else f"above {high:g}" if low is None else f"outside {low:g} to {high:g}"
    told = f"{meaning(variable.column)} {allowed} {unit(variable.column)}".rstrip()
    return ibis.or_(*outside).fill_null(False), told


def limits(variable: Variable) -> tuple[float | None, float | None]:
    """Return the plausible range of a variable: the study's, else that of ``reference``; ``None``: no limit."""
    known = plausible_ranges().get(variable.column)
    low = variable.low if variable.low is not None else known.low if known else None
    high = variable.high if variable.high is not None else known.high if known else None
    return low, high


_MEANINGS = {
    "phase_count": ("number of scan phases", ""),
    "scan_length_mm": ("scan length", "mm"),
    "kvp": ("tube voltage", "kV"),
    "ssde_mgy": ("SSDE", "mGy"),
    "frames": ("number of frames", ""),
    "compressed_thickness_mm": ("compressed thickness", "mm"),
    "age_years": ("age", "years"),
    "weight_kg": ("weight", "kg"),
    "height_cm": ("height", "cm"),
    "sex": ("sex", ""),
    "manufacturer": ("maker of the device", ""),
    "model": ("model of the device", ""),
    "adult_protocol_on_child": ("protocol for adults used on a child", ""),
}


def meaning(column: str) -> str:
    """Return what a variable is called in words."""
    return next((q.symbol for q in quantities() if q.name == column), None) or _MEANINGS[column][0]


def unit(column: str) -> str:
    """Return the unit of a variable; empty where it has none."""
    return next((q.unit for q in quantities() if q.name == column), None) or _MEANINGS.get(column, ("", ""))[1]
