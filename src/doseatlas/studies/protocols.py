"""Do scan phases, and protocols for adults used on children, explain the dose? Two comparisons within a study.

Both pool the exams of all sites, as the published studies do; sites and exams of each cell are counted beside.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec

from doseatlas.studies.results import AdultProtocolRow, PhaseRow
from doseatlas.studies.schema import AdultProtocol, Phases, Study
from doseatlas.studies.values import CELL, with_phantom
from doseatlas.studies.variation import suppression

if TYPE_CHECKING:
    import ibis


def phase_rows(exams: ibis.Table, study: Study, asked: Phases) -> Iterator[PhaseRow]:
    """Yield a row for each group and number of phases of an exam: median dose and its ratio to the reference."""
    stated = with_phantom(exams, asked.quantity).filter(lambda t: (t.exam == asked.exam) & t.phase_count.notnull())
    counts = stated.group_by(*CELL, "phase_count").agg(
        exams=stated.count(), sites=stated.participant.nunique(), median=stated[asked.quantity].quantile(0.5)
    )
    rows = sorted(counts.to_pyarrow().to_pylist(), key=lambda row: _order(row, study))
    for _, members in groupby(rows, key=lambda row: (row["patient_group"], row["phantom_cm"])):
        group = list(members)
        known = {row["phase_count"]: row for row in group}
        reference = known.get(asked.reference_phases)
        usable = reference is not None and not suppression(reference["sites"], reference["exams"], study)
        total = sum(row["exams"] for row in group)
        for row in group:
            named = PhaseRow(
                **_names(row, study, asked.quantity),
                phases=row["phase_count"],
                reference_phases=asked.reference_phases,
                suppressed=suppression(row["sites"], row["exams"], study),
            )
            if named.suppressed:
                yield named
                continue
            yield msgspec.structs.replace(
                named,
                sites=row["sites"],
                exams=row["exams"],
                share=row["exams"] / total,
                median=row["median"],
                ratio=row["median"] / reference["median"] if usable and reference else None,
            )


def adult_protocol_rows(exams: ibis.Table, study: Study, asked: AdultProtocol) -> Iterator[AdultProtocolRow]:
    """Yield a row for each exam and group: how many had a protocol for adults, and the ratio of the medians."""
    stated = with_phantom(exams, asked.quantity).filter(lambda t: t.adult_protocol_on_child.notnull())
    if asked.exams:
        stated = stated.filter(stated.exam.isin(asked.exams))
    adult, dose = stated.adult_protocol_on_child, stated[asked.quantity]
    counts = stated.group_by(CELL).agg(
        exams=stated.count(),
        adult_protocol=adult.sum(),
        sites=stated.participant.nunique(),
        sites_using=stated.participant.nunique(where=adult),
        sites_without=stated.participant.nunique(where=~adult),
        with_adult=dose.quantile(0.5, where=adult),
        without=dose.quantile(0.5, where=~adult),
    )
    for row in sorted(counts.to_pyarrow().to_pylist(), key=lambda row: _order(row, study)):
        yield _adult_protocol_row(row, study, asked.quantity)


def _adult_protocol_row(row: dict[str, Any], study: Study, quantity: str) -> AdultProtocolRow:
    """Return the row of a cell. Either part of it, adult protocol or other, is a cell that may be too small to show."""
    names = _names(row, study, quantity)
    reason = suppression(row["sites"], row["exams"], study)
    if reason:
        return AdultProtocolRow(**names, suppressed=reason)
    used, counts = int(row["adult_protocol"] or 0), {"exams": row["exams"], "sites": row["sites"]}
    others = row["exams"] - used
    too_few = (suppression(row["sites_using"], used, study) if used else None) or (
        suppression(row["sites_without"], others, study) if others else None
    )
    if too_few:
        return AdultProtocolRow(**names, **counts, split_suppressed=too_few)
    return AdultProtocolRow(
        **names,
        **counts,
        adult_protocol=used,
        share=used / row["exams"],
        sites_using=row["sites_using"],
        ratio=row["with_adult"] / row["without"] if used and others and row["without"] else None,
    )


def _order(row: dict[str, Any], study: Study) -> tuple[int, int, int, int]:
    exams, groups = [exam.id for exam in study.exams], [group.id for group in study.groups]
    place = exams.index(row["exam"]), groups.index(row["patient_group"])
    return (*place, row["phantom_cm"], row.get("phase_count", 0))


def _names(row: dict[str, Any], study: Study, quantity: str) -> dict[str, Any]:
    """Return the fields that say which cell a row is of."""
    return {
        "exam": row["exam"],
        "exam_name": next(exam.name for exam in study.exams if exam.id == row["exam"]),
        "group": row["patient_group"],
        "group_name": next(group.name for group in study.groups if group.id == row["patient_group"]),
        "quantity": quantity,
        "phantom_cm": row["phantom_cm"] or None,
    }
