"""``doseatlas dose exam`` and ``cumulative``: the dosimetry of one exam, and of one patient."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from doseatlas.cli.context import open_store
from doseatlas.cli.output import Format, FormatOption, print_rows
from doseatlas.cli.store import SinceOption, UntilOption
from doseatlas.model import StoreError

if TYPE_CHECKING:
    from doseatlas.dosimetry import Method

_BESIDE = ("effective_dose_msv", "dlp_mgy_cm", "ctdi_vol_mgy", "phantom_cm", "administered_activity_mbq", "kap_gy_cm2")
"""What is shown of the other exams of a study, such as the CT of a PET/CT."""


def exam(
    exam_id: Annotated[str, typer.Argument(help="The exam's key, as the report and the mart show it.")],
    form: FormatOption = Format.table,
) -> None:
    """Show what is derived from one exam: corrected values, SSDE, effective and skin dose, and what weakens them."""
    from doseatlas.dosimetry import (
        CORRECTED_COLUMNS,
        DOSIMETRY_COLUMNS,
        ENTRANCE_COLUMNS,
        SKIN_DOSE_COLUMNS,
        flag_meanings,
    )
    from doseatlas.store import exams_of_study, methods_of_exam

    with open_store() as store:
        row, methods = store.mart_row(exam_id), methods_of_exam(store, exam_id)
        beside = {kind: store.mart_row(key) or {} for kind, key in exams_of_study(store, exam_id).items()}
    if row is None:
        raise StoreError(f"The store holds no exam {exam_id!r}; the report and the mart (exam_id) name them.")
    methods_of = {one.quantity: one for one in methods}
    pairs = {corrected: (stated, relative) for stated, (corrected, relative) in CORRECTED_COLUMNS.items()}
    shown = {relative for _, relative in CORRECTED_COLUMNS.values()}
    rows: list[tuple[str, object, str]] = []
    for column in (*DOSIMETRY_COLUMNS, *ENTRANCE_COLUMNS, *SKIN_DOSE_COLUMNS):
        if column.name in pairs and column.name in row:
            stated, relative = pairs[column.name]
            rows += _pair(row, stated, column.name, relative, methods_of.pop(column.name, None))
        elif column.type != "list<string>" and column.name in row and column.name not in shown:
            rows.append((column.name, row[column.name], column.meaning))
    if "pregnancy_status" in row:
        rows.insert(0, ("pregnancy_status", row["pregnancy_status"], "as stated; the dose to a foetus is not computed"))
    flags = row.get("dosimetry_flags", [])
    assert isinstance(flags, list)
    rows += [(f"method of {one.quantity}", one.method, one.source) for one in methods if one.quantity in methods_of]
    rows += [
        (f"{name} of the {kind} in the same study", other[name], f"exam {other['exam_id']}; counted on its own")
        for kind, other in beside.items()
        for name in _BESIDE
        if name in other
    ]
    rows += [("flag", flag, flag_meanings().get(flag.rpartition(":")[2], "")) for flag in flags]
    print_rows(("quantity", "value", "meaning or source"), rows, form)


def _pair(
    row: Mapping[str, object], stated: str, corrected: str, relative: str, how: Method | None
) -> list[tuple[str, object, str]]:
    """Return a displayed value, the corrected one with the certificate, and its uncertainty in the same unit."""
    value, uncertainty = row[corrected], row[relative]
    assert isinstance(value, float | int)
    assert isinstance(uncertainty, float | int)
    return [
        (stated, row[stated], "as stated"),
        (corrected, value, f"{how.method}; {how.source}" if how else ""),
        (f"uncertainty of {corrected}", uncertainty * value, f"standard uncertainty (k = 1), {uncertainty:.1%}"),
    ]


def cumulative(
    patient: Annotated[
        str,
        typer.Argument(help="The patient's pseudonym (the ID, where identity is kept plain), or an exam's key."),
    ],
    since: SinceOption = None,
    until: UntilOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Add up a patient's effective doses over the years, with the list of exams.

    It is a sum of doses of reference persons: a record, not a risk, and no reason against the next exam.
    """
    from doseatlas.dosimetry import Estimate
    from doseatlas.store import patient_doses, patient_named

    with open_store() as store:
        found = patient_doses(
            store,
            patient_named(store, patient),
            since=since.date() if since else None,
            until=until.date() if until else None,
        )
    rows: list[tuple[object, ...]] = []
    for one in sorted((*found.exams, *found.without_estimate), key=lambda one: (one.day, one.exam_id)):
        day = None if one.day == dt.date.min else one.day.isoformat()
        if isinstance(one.dose, Estimate):
            known = (one.dose.value, one.dose.standard_uncertainty, one.dose.coefficient_set)
            rows.append((day, one.exam_id, one.procedure, *known))
        else:
            rows.append((day, one.exam_id, one.procedure, None, None, one.dose.message))
    rows += [(str(year), "sum of the year", None, value, None, None) for year, value in found.by_year_msv.items()]
    rows.append((None, "sum", None, found.total_msv, found.standard_uncertainty_msv, None))
    print_rows(("date", "exam", "procedure", "effective dose mSv", "uncertainty mSv", "coefficients"), rows, form)
    if form is Format.table and found.without_estimate:
        typer.echo(f"Not in the sum, as they have no estimate: {len(found.without_estimate)} exams.")
