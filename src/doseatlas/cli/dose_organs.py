"""``doseatlas dose organs``: the absorbed doses of organs in one nuclear medicine exam."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from doseatlas.cli.context import open_store
from doseatlas.cli.output import Format, FormatOption, print_rows
from doseatlas.model import StoreError


def organs(
    exam_id: Annotated[str, typer.Argument(help="The exam's key, as the report and the mart show it.")],
    table: Annotated[
        Path | None, typer.Option(help="CSV of coefficients to use instead of those shipped (docs/dosimetry.md).")
    ] = None,
    form: FormatOption = Format.table,
) -> None:
    """Show the organ doses of a nuclear medicine exam, each with its coefficient set and source.

    Organs without a coefficient are not shown; an exam whose agent has none says so.
    """
    from doseatlas.dosimetry import Estimate, nuclear_agent, organ_dose, organs_known
    from doseatlas.reference import coefficients

    with open_store() as store:
        row, exam = store.mart_row(exam_id), store.exams_by_id([exam_id]).get(exam_id)
    if row is None or exam is None:
        raise StoreError(f"The store holds no exam {exam_id!r}; the report and the mart (exam_id) name them.")
    if exam.kind != "nuclear":
        raise StoreError(f"The exam {exam_id} is of kind {exam.kind}; organ doses are of nuclear medicine.")
    stated = exam.totals.radiopharmaceutical
    procedure = row.get("procedure")
    known = nuclear_agent(stated, exam.totals.radionuclide, procedure if isinstance(procedure, str) else None)
    agent = known.agent if known else None
    rows = coefficients.organ_coefficients(table)
    found = organs_known(agent, rows) if agent else ()
    if not found:
        there = ", ".join(sorted({one.agent for one in rows}))
        raise StoreError(
            f"There is no organ coefficient of {agent or stated or 'an agent that is not stated'}. Known "
            f"agents: {there}. Give a table of your own with --table."
        )
    activity, relative = (
        _number(row, f"administered_activity_{name}") for name in ("corrected_mbq", "relative_uncertainty")
    )
    shown: list[tuple[object, ...]] = []
    for name, organ in found:
        dose = organ_dose(
            activity,
            agent,
            organ,
            exam.patient.age_years,
            name,
            table=rows,
            activity_relative_uncertainty=relative or 0.0,
        )
        if isinstance(dose, Estimate):
            flags = "; ".join(flag.message for flag in dose.flags)
            shown.append((organ, dose.value, dose.standard_uncertainty, name, dose.source, flags or None))
        else:
            shown.append((organ, None, None, name, None, dose.message))
    print_rows(("organ", "dose mGy", "uncertainty mGy", "coefficients", "source", "remark"), shown, form)


def _number(row: dict[str, object], name: str) -> float | None:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else None
