"""Does a submission hold what the schema says, and can it be right? Every finding says what, where and what to do."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from doseatlas.analysis import stated_quantities
from doseatlas.exchange.package import MOST_ROWS, MOST_UNPACKED_BYTES, Submission
from doseatlas.exchange.records import Agreement, SubmissionRefused
from doseatlas.exchange.sketch import SketchError, quantile, read_sketch, together
from doseatlas.exchange.tables import arrow_schema, unit_checks
from doseatlas.reference import patient_groups, plausible_ranges, procedures

if TYPE_CHECKING:
    import pyarrow as pa

MOST_FINDINGS = 100
FEWEST_FOR_UNIT = 5  # a median of fewer exams may be unusual for other reasons than its unit
IMPLIED_LENGTH_CM = (1.0, 1000.0)  # DLP / CTDIvol of a procedure's median exam, over all its phases


def checked_table(submission: Submission, agreement: Agreement, now: dt.datetime) -> pa.Table:
    """Return the rows of a submission.

    Raises:
        SubmissionRefused: with every finding, if there is one.

    """
    manifest = submission.manifest
    if manifest.kind == "withdrawal" or manifest.kind not in agreement.kinds:
        raise SubmissionRefused("kind-not-agreed", f"This registry does not take {manifest.kind}.")
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
        stated = table.filter(pc.is_valid(column)).group_by("procedure")
        medians = stated.aggregate([(quantity.name, "approximate_median"), (quantity.name, "count")])
        for row in medians.to_pylist():
            value, n = row[f"{quantity.name}_approximate_median"], row[f"{quantity.name}_count"]
            yield from _of_unit(quantity.name, row["procedure"], value, n)
    yield from _of_length(table)


def _of_unit(quantity: str, procedure: str, median: float | None, n: int) -> Iterator[str]:
    """Yield a finding where the median of a procedure cannot be in the unit that the column's name states."""
    check = unit_checks()[quantity]
    if n < FEWEST_FOR_UNIT or median is None or check.low <= median <= check.high:
        return
    hint = ""
    if check.low <= median * check.factor <= check.high:
        hint = f" It looks like {check.looks_like}: multiply by {check.factor:g}."
    elif check.low <= median / check.factor <= check.high:
        hint = f" It looks too large by {check.factor:g}."
    yield (
        f"column {quantity}, {procedure}: the median of {n} exams is {median:.4g}; medians lie from {check.low:g} to"
        f" {check.high:g}. Check the unit.{hint}"
    )


def _of_length(table: pa.Table) -> Iterator[str]:
    """Yield a finding where DLP and CTDIvol of a procedure do not fit each other: DLP / CTDIvol is a length in cm."""
    import pyarrow.compute as pc

    both = table.filter(pc.and_(pc.is_valid(table["dlp_mgy_cm"]), pc.greater(table["ctdi_vol_mgy"], 0.0)))
    length = pc.divide(both["dlp_mgy_cm"], both["ctdi_vol_mgy"])
    grouped = both.append_column("length_cm", length).group_by("procedure")
    for row in grouped.aggregate([("length_cm", "approximate_median"), ("length_cm", "count")]).to_pylist():
        length_cm = row["length_cm_approximate_median"]
        low, high = IMPLIED_LENGTH_CM
        if row["length_cm_count"] >= FEWEST_FOR_UNIT and length_cm is not None and not low <= length_cm <= high:
            yield (
                f"columns dlp_mgy_cm and ctdi_vol_mgy, {row['procedure']}: their ratio is a scan of {length_cm:.3g} cm;"
                " one of them is in another unit."
            )


def _of_summaries(table: pa.Table) -> Iterator[str]:
    matters = {quantity.name: quantity.phantom_matters for quantity in stated_quantities()}
    seen: set[tuple[Any, ...]] = set()
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
        yield from _of_unit(row["quantity"], row["procedure"], quantile(together([kept]), 0.5), row["n"])


def _shown(value: object) -> str:
    return repr(str(value)[:60])
