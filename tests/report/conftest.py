"""Reports to lay out: one of a made-up facility, and ones whose every text is chosen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from doseatlas.analysis import DataQuality, FacilityReport, Selection, facility_report
from doseatlas.dicom.simulate import mart_arrow
from doseatlas.reference import drl_set

NOW = dt.datetime(2026, 2, 1, 9, 5, tzinfo=dt.UTC)
# What these fields hold is not free text: changing it would make another report.
FIXED = frozenset({"quantity", "verdict", "month", "type", "study_date", "first_date", "last_date", "generated_at"})

Texts = Callable[[str], str]


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> FacilityReport:
    """The report of a made-up facility of 800 exams."""
    mart_dir = tmp_path_factory.mktemp("mart")
    folder = mart_dir / "exams" / "facility=0" / "month=all"
    folder.mkdir(parents=True)
    pq.write_table(mart_arrow("facility", exams=800, seed=3), folder / "part.parquet")
    return facility_report(
        mart_dir,
        selection=Selection(),
        drl_set=drl_set("japan-2025"),
        refused={"truncated": 3, "not-dicom": 1},
        ignored=7,
        now=NOW,
        version="9.9",
    )


@pytest.fixture
def empty() -> Callable[..., FacilityReport]:
    """Make a report without any figure."""

    def make(**fields: Any) -> FacilityReport:
        nothing = DataQuality(exams=0, counted=0, plausible=0, mapped=0, grouped=0, with_weight=0)
        basis = FacilityReport(
            title="Patient dose report: no exams",
            facility="no exams",
            generated_at=NOW,
            selection=Selection(),
            exam_count=0,
            device_count=0,
            drl_set="japan-2025",
            drl_name="Japan 2025",
            drl_authority="J-RIME",
            drl_level="national DRL",
            quality=nothing,
            version="9.9",
        )
        return msgspec.structs.replace(basis, **fields)

    return make


@pytest.fixture(scope="session")
def said(report: FacilityReport) -> Callable[[Texts], FacilityReport]:
    """Make a short report in which each free text is what ``text`` returns for the name of its field."""

    def make(text: Texts) -> FacilityReport:
        short = msgspec.structs.replace(
            report,
            selection=Selection(facility="f", device="d", procedure="p", patient_group="g"),
            typical_values=report.typical_values[:6],
            device_values=report.device_values[:8],
            devices=report.devices[:2],
            distributions=report.distributions[:6],
            trends=report.trends[:40],
            outliers=report.outliers[:3],
        )
        return msgspec.convert(_say(msgspec.to_builtins(short), "", text), FacilityReport)

    return make


def _say(value: Any, field: str, text: Texts) -> Any:
    match value:
        case str() if field not in FIXED:
            return text(field)
        case dict():
            return {key: _say(member, key, text) for key, member in value.items()}
        case list() | tuple():
            return [_say(member, field, text) for member in value]
    return value
