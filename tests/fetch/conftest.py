"""A real archive with studies that state their dose in different ways."""

from __future__ import annotations

import datetime as dt
import json
import urllib.request
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from tests.service.peers import Orthanc, Server, free_port

from doseatlas.dicom.simulate import draw_exam, encode_exam, plan

DAY = dt.date(2024, 3, 5)
CT_IMAGE, SCREEN, PET, TEXT = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.128",
    "1.2.840.10008.5.1.4.1.1.88.11",
)


class Peer(NamedTuple):
    """Stands for the service that an archive knows."""

    dicom_port: int

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:1{path}"


def made(study: str, series: int, number: int, sop_class: str, modality: str, **more: object) -> bytes:
    """An object of a study, without pixels."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = UID(sop_class)
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = UID(f"{study}.{series}.{number}")
    data.StudyInstanceUID, data.SeriesInstanceUID = study, f"{study}.{series}"
    data.PatientID, data.PatientName, data.Modality = "P9", "Doe^Jane", modality
    data.StudyDate, data.StudyTime, data.StudyDescription = "20240306", "101500", "Thorax"
    for name, value in more.items():
        setattr(data, name, value)
    stream = BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def ct_slice(study: str, number: int, **more: object) -> bytes:
    phantom = Dataset()
    phantom.CodeValue, phantom.CodingSchemeDesignator, phantom.CodeMeaning = "113691", "DCM", "IEC Body"
    ctdi = {"CTDIvol": 10.0 + number, "CTDIPhantomTypeCodeSequence": [phantom]}
    return made(study, 2, number, CT_IMAGE, "CT", KVP="120", AcquisitionNumber="1", **ctdi, **more)


def pet_slice(study: str, number: int) -> bytes:
    agent = Dataset()
    agent.RadionuclideTotalDose, agent.Radiopharmaceutical = "300000000", "Fluorodeoxyglucose"
    return made(study, 1, number, PET, "PT", RadiopharmaceuticalInformationSequence=[agent])


REPORTED, SCREENED, SLICED, POSITRON, SILENT, ULTRASOUND = (f"1.2.826.0.1.3680043.10.{n}" for n in range(11, 17))


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The objects of each study in the archive, by the study's UID; the first is the one to take."""
    folder = tmp_path_factory.mktemp("studies")
    world = plan("facility", exams=1, seed=8, start=DAY, end=DAY, faults=False, device_classes=("ct",))
    report = pydicom.dcmread(BytesIO(encode_exam(draw_exam(world, 0))[0]))
    report.StudyInstanceUID, report.StudyDescription, report.StudyDate = REPORTED, "CT Abdomen", "20240305"
    report.PatientID = "P9"
    stream = BytesIO()
    report.save_as(stream)
    text = "Total DLP=320.5"
    abdomen = {"StudyDate": "20240305", "StudyDescription": "CT Abdomen"}
    objects = {
        REPORTED: [
            stream.getvalue(),
            made(REPORTED, 3, 9, TEXT, "SR", **abdomen),
            *(ct_slice(REPORTED, n, **abdomen) for n in range(3)),
        ],
        SCREENED: [
            made(SCREENED, 7, 1, SCREEN, "CT", CommentsOnRadiationDose=text),
            *(ct_slice(SCREENED, n) for n in range(3)),
        ],
        SLICED: [*(ct_slice(SLICED, n) for n in range(3)), made(SLICED, 3, 9, TEXT, "SR")],
        POSITRON: [pet_slice(POSITRON, n) for n in range(3)],
        SILENT: [made(SILENT, 1, 1, "1.2.840.10008.5.1.4.1.1.1", "CR")],
        ULTRASOUND: [made(ULTRASOUND, 1, 1, "1.2.840.10008.5.1.4.1.1.6.1", "US")],
    }
    files: dict[str, list[Path]] = {}
    for study, contents in objects.items():
        for number, content in enumerate(contents):
            file = folder / f"{study}-{number}.dcm"
            file.write_bytes(content)
            files.setdefault(study, []).append(file)
    return files


@pytest.fixture(scope="session")
def pacs(tmp_path_factory: pytest.TempPathFactory, studies: dict[str, list[Path]]) -> Iterator[Orthanc]:
    """A running Orthanc with the studies."""
    if not Path("/usr/sbin/Orthanc").exists():
        pytest.skip("needs Orthanc (apt-get install orthanc orthanc-dicomweb)")
    port, home = free_port(), tmp_path_factory.mktemp("orthanc")
    archive = Orthanc(home, Peer(free_port()), dicom_port=port)  # type: ignore[arg-type]
    archive.dicom_port = port  # type: ignore[attr-defined]
    for files in studies.values():
        for file in files:
            archive.upload(file)
    yield archive
    archive.stop()


@pytest.fixture
def known_service(pacs: Orthanc) -> Callable[[Server], None]:
    """Tell the archive where the service DOSEATLAS is."""

    def tell(server: Server) -> None:
        address = {"AET": "DOSEATLAS", "Host": "127.0.0.1", "Port": server.dicom_port}
        place = f"http://127.0.0.1:{pacs.http_port}/modalities/doseatlas"
        request = urllib.request.Request(place, data=json.dumps(address).encode(), method="PUT")
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()

    return tell


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[object]:
    """Start a service; it is stopped at the end."""
    started: list[Server] = []

    def start(service: str) -> Server:
        home = tmp_path / "service"
        home.mkdir()
        started.append(Server(home, service))
        return started[-1]

    yield start
    for one in started:
        one.stop()
