"""Does a submission hold what the schema says, and can it be right? Every finding says what, where and what to do."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from doseatlas.analysis import stated_quantities
from doseatlas.exchange.package import MOST_ROWS, MOST_UNPACKED_BYTES, Submission
from doseatlas.exchange.records import Agreement, SubmissionRefused
from doseatlas.exchange.sketch import SketchError, Weighted, quantile, read_sketch, together
from doseatlas.exchange.tables import MOST_EFFECTIVE_MSV, arrow_schema, coefficient_sets
from doseatlas.exchange.units import Months, unit_findings
from doseatlas.reference import patient_groups, plausible_ranges, procedures

if TYPE_CHECKING:
    import pyarrow as pa

MOST_FINDINGS = 100


def checked_table(submission: Submission, agreement: Agreement, now: dt.datetime) -> pa.Table:
    """Return the rows of a submission.

    Raises:
        SubmissionRefused: with every finding, if there is one.

    """
    manifest = submission.manifest
    if manifest.kind == "withdrawal" or manifest.kind not in agreement.kinds:
        raise SubmissionRefused("kind-not-agreed", f"This registry does not take {manifest.kind}.")
    if manifest.dose_values != agreement.dose_values:
        raise SubmissionRefused(
            "dose-values-not-agreed",
            f"These are {manifest.dose_values} doses; this registry takes {agreement.dose_values} ones. Export them by"
            " the agreement in force.",
        )
    findings = list(_of_months(submission, now))
    table = _table(submission)
    findings += _of_columns(submission, table, agreement)
    if not findings:
        findings += _of_exams(table) if manifest.kind == "exams" else _of_summaries(table)
    if findings:
        raise SubmissionRefused(
            "not-valid",
            f"{len(findings)} finding{'s' if len(findings) > 1 else ''}, the first: {findings[0]} Nothing is kept.",
            tuple(findings[:MOST_FINDINGS]),
        )
    return table


def _of_months(submission: Submission, now: dt.datetime) -> Iterator[str]:
    this_month = f"{now.astimezone(dt.UTC):%Y-%m}"
    for month in submission.manifest.months:
        if month > this_month:
            yield f"month {month} lies in the future (now {this_month}); check the clock of the device or the export."
    if submission.manifest.made_at > now + dt.timedelta(days=1):
        yield f"made at {submission.manifest.made_at:%Y-%m-%d %H:%M}, which lies in the future; check the clock there."


def _table(submission: Submission) -> pa.Table:
    """Return the data, whose unpacked size is checked before they are read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(io.BytesIO(submission.data)) as file:
            about = file.metadata
            unpacked = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
            if unpacked > MOST_UNPACKED_BYTES or about.num_rows > MOST_ROWS:
                raise SubmissionRefused(
                    "too-large", f"{about.num_rows} rows of {unpacked / 2**30:.1f} GiB unpacked; send fewer months."
                )
            return file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SubmissionRefused("not-whole", f"The data are no whole Parquet file ({error}).") from error


def _of_columns(submission: Submission, table: pa.Table, agreement: Agreement) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    manifest = submission.manifest
    wanted = arrow_schema("exams" if manifest.kind == "exams" else "summaries")
    if not table.schema.equals(wanted):
        stated = {field.name: field.type for field in table.schema}
        for field in wanted:
            if field.name not in stated:
                yield f"column {field.name}: missing."
            elif stated[field.name] != field.type:
                yield f"column {field.name}: is {stated[field.name]}, must be {field.type}."
        for name in stated:
            if name not in wanted.names:
                yield f"column {name}: is not of the schema and may not be sent."
        if sorted(table.schema.names) == sorted(wanted.names) and table.schema.names != wanted.names:
            yield "the columns are not in the order of the schema."
        return
    if table.num_rows != manifest.rows:
        yield f"{table.num_rows} rows; the manifest says {manifest.rows}."
    for name, known in (
        ("month", list(manifest.months)),
        ("procedure", [one.id for one in procedures()]),
        ("patient_group", [one.id for one in patient_groups()]),
    ):
        unknown = table.filter(pc.invert(pc.is_in(table[name], pa.array(known, pa.string()))))
        if unknown.num_rows:
            what = "is not among the manifest's months" if name == "month" else "is not known"
            yield f"column {name}: {_shown(unknown[name][0])} {what} ({unknown.num_rows} rows)."
    for facility in table["facility"].unique().to_pylist():
        own = facility == manifest.sender
        of_nation = submission.sender.sends == "many" and str(facility).startswith(f"{manifest.sender}/")
        if not own and not of_nation:
            yield f"column facility: {_shown(facility)} is not {manifest.sender!r}, who signed."
    if manifest.kind == "exams" and not agreement.exact_ages:
        for name in ("age_years", "weight_kg"):
            if table[name].null_count < table.num_rows:
                yield f"column {name}: the agreement asks for bands only; it must be empty."


def _of_exams(table: pa.Table) -> Iterator[str]:
    import pyarrow.compute as pc

    if table.num_rows and not pc.all(table["plausible"].fill_null(False)).as_py():
        yield "column plausible: must be true; implausible exams are not sent."
    phantoms = {value for value in table["phantom_cm"].unique().to_pylist() if value is not None}
    if phantoms - {16, 32}:
        yield f"column phantom_cm: {sorted(phantoms - {16, 32})} is neither 16 nor 32."
    for quantity in stated_quantities():
        column = table[quantity.name]
        span = plausible_ranges()[quantity.name]
        inside = pc.and_(pc.greater_equal(column, span.low), pc.less_equal(column, span.high))
        outside = table.num_rows - column.null_count - (pc.sum(inside.cast("int64")).as_py() or 0)
        if outside:
            yield f"column {quantity.name}: {outside} values are outside {span.low:g} to {span.high:g} {span.unit}."
    yield from _of_effective_dose(table)
    yield from unit_findings(_months_of_exams(table))


def _of_effective_dose(table: pa.Table) -> Iterator[str]:
    import pyarrow.compute as pc

    dose, sets = table["effective_dose_msv"], table["effective_dose_set"]
    inside = pc.and_(pc.greater_equal(dose, 0.0), pc.less_equal(dose, MOST_EFFECTIVE_MSV))
    outside = table.num_rows - dose.null_count - (pc.sum(inside.cast("int64")).as_py() or 0)
    if outside:
        yield f"column effective_dose_msv: {outside} values are outside 0 to {MOST_EFFECTIVE_MSV:g} mSv."
    for name in sorted({name for name in sets.unique().to_pylist() if name is not None} - coefficient_sets()):
        known = ", ".join(sorted(coefficient_sets()))
        yield f"column effective_dose_set: {_shown(name)} is not known; known are {known}."
    alone = pc.sum(pc.xor(pc.is_valid(dose), pc.is_valid(sets)).cast("int64")).as_py()
    if alone:
        yield f"columns effective_dose_msv and effective_dose_set: {alone} rows have one without the other."


def _months_of_exams(table: pa.Table) -> Iterator[Months]:
    """Yield the values of each procedure and quantity, month by month."""
    import numpy as np
    import pyarrow.compute as pc

    for quantity in stated_quantities():
        stated = table.filter(pc.is_valid(table[quantity.name]))
        grouped = stated.group_by(["facility", "procedure", "month"]).aggregate([(quantity.name, "list")])
        lists = grouped[f"{quantity.name}_list"].combine_chunks()
        flat, offsets = lists.values.to_numpy(zero_copy_only=False), lists.offsets.to_numpy()
        by_procedure: dict[tuple[str, str], dict[str, Weighted]] = {}
        for i, row in enumerate(grouped.select(["facility", "procedure", "month"]).to_pylist()):
            values = np.sort(flat[offsets[i] : offsets[i + 1]])
            of_procedure = by_procedure.setdefault((row["facility"], row["procedure"]), {})
            of_procedure[row["month"]] = Weighted(values, np.ones(len(values)))
        for (facility, procedure), months in by_procedure.items():
            yield Months(facility, procedure, quantity.name, months)


def _of_summaries(table: pa.Table) -> Iterator[str]:
    matters = {quantity.name: quantity.phantom_matters for quantity in stated_quantities()}
    seen: set[tuple[Any, ...]] = set()
    given: dict[tuple[str, str, str], dict[str, list[Weighted]]] = {}
    for number, row in enumerate(table.to_pylist(), start=1):
        key = tuple(row[name] for name in ("facility", "month", "procedure", "patient_group", "quantity", "phantom_cm"))
        if row["quantity"] not in matters:
            yield f"row {number}, column quantity: {_shown(row['quantity'])} is not known."
            continue
        if row["phantom_cm"] not in ((0, 16, 32) if matters[row["quantity"]] else (0,)):
            yield f"row {number}, column phantom_cm: {row['phantom_cm']} does not fit {row['quantity']}."
        if key in seen:
            yield f"row {number}: the same facility, month, procedure, group, quantity and phantom stood before."
        seen.add(key)
        try:
            kept = read_sketch(row["sketch"] or b"", row["n"] or 0)
        except SketchError as error:
            yield f"row {number}, column sketch: {error}."
            continue
        if kept.values.max() > plausible_ranges()[row["quantity"]].high:
            yield f"row {number}, column sketch: values of {row['quantity']} are out of physical range."
        months = given.setdefault((row["facility"], row["procedure"], row["quantity"]), {})
        months.setdefault(row["month"], []).append(_middle(kept))
    yield from unit_findings(
        Months(*key, {month: together(parts) for month, parts in months.items()}) for key, months in given.items()
    )


def _middle(sample: Weighted) -> Weighted:
    """Return the median of a sketch, weighing what the sketch does: enough for its unit, and small to keep."""
    import numpy as np

    return Weighted(np.array([quantile(together([sample]), 0.5)]), np.array([sample.weights.sum()]))


def _shown(value: object) -> str:
    return repr(str(value)[:60])
