"""What does a study show? Everything its report says, computed once from the collected data.

Definitions are in ``docs/studies.md``. The exams stay in the engine; what comes back are values of sites.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from doseatlas.studies.answers import answer_rows
from doseatlas.studies.collecting import collected
from doseatlas.studies.flow import flow_steps
from doseatlas.studies.protocols import adult_protocol_rows, phase_rows
from doseatlas.studies.results import AdultProtocolRow, PhaseRow, Receipt, StudyReport
from doseatlas.studies.schema import AdultProtocol, Answers, Phases, Study, Variation
from doseatlas.studies.values import Value, site_values
from doseatlas.studies.variation import variation_rows

if TYPE_CHECKING:
    import ibis


def study_report(study: Study, data_dir: Path, *, now: dt.datetime, version: str) -> StudyReport:
    """Return everything that the report of a study shows.

    Args:
        study: the study.
        data_dir: where its data were collected.
        now: when the report is made.
        version: of the software.

    Raises:
        StudyError: a file of the collected data is damaged or not of this study.

    """
    found, data_version = collected(study, data_dir)
    receipts = {name: receipt for name, (_, receipt) in found.items()}
    exams = _exams({file: receipt.country for file, receipt in found.values() if receipt.counted})
    asked = [result for result in study.results if isinstance(result, Variation)]
    values = {q: site_values(exams, study, q) if exams is not None else () for q in _quantities(study)}
    variation = tuple(row for result in asked for row in variation_rows(values[result.quantity], study, result))
    phases, adults = _protocols(exams, study)
    answers = tuple(
        row for result in study.results if isinstance(result, Answers) for row in answer_rows(study, receipts, result)
    )
    reasons = [row.suppressed for rows in (variation, phases, adults) for row in rows]
    reasons += [row.split_suppressed for row in adults]
    return StudyReport(
        study=study.id,
        study_version=hashlib.sha256(msgspec.json.encode(study)).hexdigest()[:16],
        data_version=data_version,
        title=study.title,
        question=study.question,
        source=study.source,
        since=study.period.since if study.period else None,
        until=study.period.until if study.period else None,
        generated_at=now,
        version=version,
        minimum_exams=study.rules.minimum_exams,
        typical=study.rules.typical,
        dose_values=study.rules.dose_values,
        country_value=study.rules.country_value,
        disclosure_exams=study.disclosure.minimum_exams,
        disclosure_sites=study.disclosure.minimum_sites,
        flow=flow_steps(study, receipts, _analysed(values, receipts)),
        variation=variation,
        phases=phases,
        adult_protocol=adults,
        answers=answers,
        suppressed=sum(reason is not None for reason in reasons),
    )


def _quantities(study: Study) -> tuple[str, ...]:
    """Return the quantities that results are about."""
    return tuple(dict.fromkeys(result.quantity for result in study.results if not isinstance(result, Answers)))


def _exams(countries: Mapping[Path, str]) -> ibis.Table | None:
    """Return the collected exams of all files, each with its file's country; ``None`` where there are none."""
    import ibis
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not countries:
        return None
    tables = []
    for file, country in countries.items():
        table = pq.read_table(file)
        place = table.schema.get_field_index("country")
        tables.append(table.set_column(place, "country", pa.array([country] * table.num_rows, pa.string())))
    return ibis.memtable(pa.concat_tables(tables, promote_options="default"))


def _protocols(exams: ibis.Table | None, study: Study) -> tuple[tuple[PhaseRow, ...], tuple[AdultProtocolRow, ...]]:
    if exams is None:
        return (), ()
    phases = tuple(row for r in study.results if isinstance(r, Phases) for row in phase_rows(exams, study, r))
    adults = tuple(
        row for r in study.results if isinstance(r, AdultProtocol) for row in adult_protocol_rows(exams, study, r)
    )
    return phases, adults


def _analysed(values: Mapping[str, tuple[Value, ...]], receipts: Mapping[str, Receipt]) -> dict[str, int]:
    """Return the sites with at least one typical value, and how many of their exams stand in one."""
    analysed: dict[str, int] = {}
    for of_quantity in values.values():
        exams: dict[str, int] = {}
        for value in of_quantity:
            if value.counts:
                exams[value.participant] = exams.get(value.participant, 0) + value.n
        for site, number in exams.items():
            analysed[site] = max(analysed.get(site, 0), min(number, receipts[site].counted))
    return analysed
