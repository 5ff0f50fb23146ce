"""A store on each of the two databases, and objects to put into it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from tests.store.postgresql import Postgresql

from doseatlas.dicom.simulate import draw_exam, encode_exam, exams, plan, write_objects
from doseatlas.settings import Settings
from doseatlas.store import Store

DAY = dt.date(2024, 3, 5)


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of some 60 simulated dose objects of all kinds, faults included."""
    folder = tmp_path_factory.mktemp("objects")
    world = plan("facility", exams=60, seed=5, start=dt.date(2024, 1, 1), end=dt.date(2024, 6, 30), faults=True)
    write_objects(world, folder)
    return folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """A PostgreSQL server of our own on loopback."""
    server = Postgresql()
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty store, once on each database."""
    data_dir = str(tmp_path / "data")
    if request.param == "sqlite":
        return Settings(data_dir=data_dir, jobs=1)
    server: Postgresql = request.getfixturevalue("postgresql")
    return Settings(data_dir=data_dir, jobs=1, store=server.new_database())


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """An open, empty store, once on each database."""
    with Store.from_settings(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A report, and the corrected report that names it as its predecessor."""
    folder = tmp_path_factory.mktemp("corrected")
    world = plan("facility", exams=2000, seed=3, start=DAY, end=DAY, faults=True, device_classes=("ct",))
    simulated = next(one for one in exams(world) if len(one.reports) == 2 and one.reports[1].replaces)
    files = folder / "wrong.dcm", folder / "right.dcm"
    for file, data in zip(files, encode_exam(simulated)[:2], strict=True):
        file.write_bytes(data)
    return files


@pytest.fixture(scope="session")
def without_dose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT image that states no dose."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = CTImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
    image.StudyInstanceUID = generate_uid()
    image.Modality = "CT"
    file = tmp_path_factory.mktemp("without-dose") / "image.dcm"
    image.save_as(file, enforce_file_format=True)
    return file


@pytest.fixture
def listed() -> Callable[[Store], list[str]]:
    """What ``doseatlas exams --format jsonl`` prints of a store, line by line."""
    return lambda store: [msgspec.json.encode(exam).decode() for exam in store.exams()]


@pytest.fixture
def facilities() -> Callable[[Store], dict[str, str]]:
    """The facility of each exam of a store."""

    def of(store: Store) -> dict[str, str]:
        with store.database.reading() as connection:
            return dict(connection.execute(text("SELECT exam_id, facility FROM exams")).all())

    return of


@pytest.fixture(scope="session")
def odd_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three CT reports whose procedures have names that no rule knows; two share one, in one month."""
    import pydicom

    folder = tmp_path_factory.mktemp("odd-names")
    world = plan("facility", exams=3, seed=8, start=DAY, end=DAY, faults=False, device_classes=("ct",))
    for number, (name, date) in enumerate(
        (("Zz Qqa", "20240305"), ("Zz Qqa 1234", "20240306"), ("Zz Qqb", "20240405"))
    ):
        data = encode_exam(draw_exam(world, number))[0]
        report = pydicom.dcmread(BytesIO(data))
        report.StudyDescription, report.StudyDate = name, date
        for attribute in ("ProcedureCodeSequence", "RequestedProcedureDescription", "ReferencedRequestSequence"):
            if attribute in report:
                delattr(report, attribute)
        _without_clues(report)
        report.save_as(folder / f"{number}.dcm")
    return folder


def _without_clues(item: Any) -> None:
    """Take protocols and target regions out of a report's content, which tell the procedure as well as its name."""
    kept = []
    for child in item.get("ContentSequence", []):
        code = child.ConceptNameCodeSequence[0].CodeValue if "ConceptNameCodeSequence" in child else ""
        if code not in ("125203", "123014"):
            _without_clues(child)
            kept.append(child)
    if "ContentSequence" in item:
        item.ContentSequence = kept
