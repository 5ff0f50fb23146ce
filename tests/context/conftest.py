"""A store with reports that lack what the RIS knows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from doseatlas.dicom.simulate import draw_exam, encode_exam, plan
from doseatlas.settings import Settings
from doseatlas.store import Store, import_paths

DAY = dt.date(2024, 3, 5)


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three CT reports (accession A0 to A2, patient P0 to P2) that state neither size, nor weight, nor procedure.

    The third states a weight of 70 kg. They are of 5, 6 and 7 March 2024.
    """
    folder = tmp_path_factory.mktemp("reports")
    world = plan("facility", exams=3, seed=8, start=DAY, end=DAY, faults=False, device_classes=("ct",))
    files = []
    for number in range(3):
        report = pydicom.dcmread(BytesIO(encode_exam(draw_exam(world, number))[0]))
        lacking = ("PatientSize", "PatientWeight", "StudyDescription", "ProcedureCodeSequence", "IssuerOfPatientID")
        for attribute in (*lacking, "RequestedProcedureDescription", "ReferencedRequestSequence", "SeriesDescription"):
            if attribute in report:
                delattr(report, attribute)
        report.AccessionNumber, report.PatientID = f"A{number}", f"P{number}"
        report.StudyDate = f"2024030{5 + number}"
        if number == 2:
            report.PatientWeight = "70"
        files.append(folder / f"{number}.dcm")
        report.save_as(files[-1])
    return files


@pytest.fixture(params=["pseudonym", "plain"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty store, once with pseudonyms and once without."""
    return Settings(data_dir=str(tmp_path / "data"), jobs=1, identity=request.param)


@pytest.fixture
def empty(settings: Settings) -> Iterator[Store]:
    """An open, empty store."""
    with Store.from_settings(settings) as opened:
        yield opened


@pytest.fixture
def store(empty: Store, reports: list[Path]) -> Store:
    """An open store with the three reports."""
    assert import_paths(empty, reports).imported == 3
    return empty
