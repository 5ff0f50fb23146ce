"""Axial images and localisers that arrive give the exam its diameter and SSDE, in whatever order; no pixels stay."""

from __future__ import annotations

import datetime as dt
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from doseatlas.dicom import read_bytes
from doseatlas.dicom.simulate import encode_exam, exams, plan
from doseatlas.standardise import classify
from doseatlas.store import Store, import_paths
from doseatlas.store.schema import image_sizes

SIDE, PIXEL_MM, A_MM, B_MM = 256, 1.5, 150.0, 110.0
DIAMETER_MM = 2 * np.sqrt(A_MM * B_MM)
_AXIS = (np.arange(SIDE) + 0.5 - SIDE / 2) * PIXEL_MM


def _ct_image(study: str, pixels: np.ndarray[Any, Any], **more: Any) -> bytes:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = CTImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID = study, "1.2.3"
    image.Modality, image.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.Rows, image.Columns = pixels.shape
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation, image.SamplesPerPixel = 15, 0, 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.PixelSpacing = [PIXEL_MM, PIXEL_MM]
    image.RescaleSlope, image.RescaleIntercept = 1, -1024
    image.PixelData = pixels.astype(np.uint16).tobytes()
    for name, value in more.items():
        setattr(image, name, value)
    file = BytesIO()
    image.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _axial(study: str, z_mm: float, scale: float = 1.0, **more: Any) -> bytes:
    """An axial image of an ellipse of water."""
    x, y = np.meshgrid(_AXIS, _AXIS)
    inside = (x / (scale * A_MM)) ** 2 + (y / (scale * B_MM)) ** 2 <= 1
    stated = {"ImagePositionPatient": [_AXIS[0], _AXIS[0], z_mm], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    return _ct_image(study, np.where(inside, 1024, 24), **(stated | more))


def _localiser(study: str, half_width_mm: float, across: list[int], series: str) -> bytes:
    chord = 2 * np.sqrt(np.maximum(0.0, half_width_mm**2 - _AXIS**2))
    pixels = np.repeat(100 + 3 * chord[None, :], 40, axis=0)
    return _ct_image(
        study,
        pixels,
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        SeriesInstanceUID=series,
        ImagePositionPatient=[0, 0, 100],
        ImageOrientationPatient=[*across, 0, 0, -1],
    )


@pytest.fixture(scope="module")
def report() -> bytes:
    """A report of a CT of the chest or abdomen of an adult that states neither SSDE nor diameter."""
    day = dt.date(2024, 3, 5)
    world = plan("facility", exams=300, seed=5, start=day, end=day, faults=False, device_classes=("ct",))
    for one in exams(world):
        data = encode_exam(one)[0]
        exam = read_bytes(data, path="x").exam
        scans = [event for event in exam.events if event.dlp_mgy_cm]
        plain = all(e.ssde_mgy is None and e.water_equivalent_diameter_mm is None for e in scans)
        if plain and classify(exam, {}).procedure == "ct-chest":
            return data
    raise AssertionError("The simulator drew no such report.")


@pytest.fixture
def study(report: bytes) -> str:
    """The report's study."""
    return str(dcmread(BytesIO(report)).StudyInstanceUID)


def _import(store: Store, folder: Path, *contents: bytes) -> None:
    folder.mkdir()
    for number, content in enumerate(contents):
        (folder / f"{number:03}.dcm").write_bytes(content)
    import_paths(store, [folder])


def _row(store: Store) -> dict[str, Any]:
    """The row of the one exam of which images were measured."""
    with store.database.reading() as connection:
        (kept,) = connection.execute(image_sizes.select()).all()
    row = store.mart_row(kept.exam_id)
    assert row is not None
    return row


def _check(row: dict[str, Any]) -> None:
    assert row["patient_diameter_mm"] == pytest.approx(DIAMETER_MM, rel=0.005)
    assert row["patient_diameter_central_mm"] == pytest.approx(DIAMETER_MM, rel=0.005)
    assert row["ssde_method"] == "water-equivalent diameter from axial images"
    factor = 3.704369 * np.exp(-0.003671937 * row["patient_diameter_mm"])
    assert row["ssde_derived_mgy"] == pytest.approx(factor * row["ctdi_vol_mgy"], rel=1e-6)
    assert "size-from-height-and-weight" not in row.get("dosimetry_flags", [])


def test_images_without_dose_give_the_exam_of_the_report_its_ssde(
    store: Store, tmp_path: Path, report: bytes, study: str
) -> None:
    _import(store, tmp_path / "in", report, *(_axial(study, 5.0 * n) for n in range(4)))
    _check(_row(store))


@pytest.mark.parametrize("first", ["report", "images"])
def test_the_order_in_which_report_and_images_come_does_not_matter(
    store: Store, tmp_path: Path, report: bytes, study: str, first: str
) -> None:
    parts = {"report": [report], "images": [_axial(study, 5.0 * n) for n in range(3)]}
    second = "images" if first == "report" else "report"
    _import(store, tmp_path / "one", *parts[first])
    _import(store, tmp_path / "two", *parts[second])
    _check(_row(store))
    before = _row(store)
    _import(store, tmp_path / "again", *parts["images"])
    assert _row(store) == before


def test_a_rebuild_keeps_what_was_measured(store: Store, tmp_path: Path, report: bytes, study: str) -> None:
    _import(store, tmp_path / "in", report, *(_axial(study, 5.0 * n) for n in range(3)))
    before = _row(store)
    store.rebuild()
    assert _row(store) == before


def test_images_in_a_zip_archive_are_measured_too(store: Store, tmp_path: Path, report: bytes, study: str) -> None:
    with zipfile.ZipFile(tmp_path / "disc.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate([report, *(_axial(study, 5.0 * n) for n in range(3))]):
            archive.writestr(f"{number}.dcm", content)
    import_paths(store, [tmp_path / "disc.zip"])
    _check(_row(store))


def test_reformatted_derived_and_damaged_images_are_not_measured(
    store: Store, tmp_path: Path, report: bytes, study: str
) -> None:
    coronal = _axial(study, 5.0, scale=0.5, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    derived = _axial(study, 10.0, scale=0.5, ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    short = _axial(study, 15.0, scale=0.5, PixelData=b"\0" * 100)
    _import(store, tmp_path / "in", report, coronal, derived, short, _axial(study, 0.0))
    _check(_row(store))


def test_two_localisers_at_right_angles_give_a_flagged_diameter_where_no_axial_image_does(
    store: Store, tmp_path: Path, report: bytes, study: str
) -> None:
    _import(
        store,
        tmp_path / "in",
        report,
        _localiser(study, A_MM, [1, 0, 0], "1.2.4"),
        _localiser(study, B_MM, [0, 1, 0], "1.2.5"),
    )
    row = _row(store)
    assert row["ssde_method"] == "effective diameter from two localisers"
    assert row["patient_diameter_mm"] == pytest.approx(DIAMETER_MM, rel=0.005)
    assert "localiser-not-calibrated" in row["dosimetry_flags"]


def test_no_pixels_are_kept(store: Store, tmp_path: Path, report: bytes, study: str) -> None:
    _import(store, tmp_path / "in", report, *(_axial(study, 5.0 * n) for n in range(20)))
    with store.database.reading() as connection:
        (row,) = connection.execute(image_sizes.select()).all()
    assert len(row.sizes) < 2000
    assert sum(file.stat().st_size for file in store.archive.folder.rglob("*") if file.is_file()) < SIDE * SIDE
