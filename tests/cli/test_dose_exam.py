"""``doseatlas dose exam``, ``cumulative`` and ``size``, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from .conftest import Run

SIDE, PIXEL_MM, RADIUS_MM = 256, 1.5, 120.0


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def _image(z_mm: float, **more: Any) -> Dataset:
    """A CT image of a water cylinder of 240 mm in air."""
    axis = (np.arange(SIDE) + 0.5 - SIDE / 2) * PIXEL_MM
    x, y = np.meshgrid(axis, axis)
    stored = np.where(x**2 + y**2 <= RADIUS_MM**2, 1024, 24).astype(np.uint16)
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = CTImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
    image.SeriesInstanceUID, image.Modality, image.ImageType = "1.2.3", "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.Rows = image.Columns = SIDE
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation, image.SamplesPerPixel = 15, 0, 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.PixelSpacing, image.ImagePositionPatient = [PIXEL_MM, PIXEL_MM], [0, 0, z_mm]
    image.RescaleSlope, image.RescaleIntercept = 1, -1024
    image.PixelData = stored.tobytes()
    for name, value in more.items():
        setattr(image, name, value)
    return image


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Three axial images, a localiser, and a file that is no DICOM."""
    folder = tmp_path / "scan"
    folder.mkdir()
    for number in range(3):
        _image(5.0 * number, CTDIvol=10.0).save_as(folder / f"{number}.dcm", enforce_file_format=True)
    _image(0.0, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]).save_as(folder / "l.dcm", enforce_file_format=True)
    (folder / "notes.txt").write_text("not an image")
    return folder


def test_the_size_of_a_water_cylinder_is_its_diameter_and_its_ssde_that_of_the_report(run: Run, scan: Path) -> None:
    done = run("dose", "size", str(scan), "--phantom", "32", "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    (row,) = _lines(done.stdout)
    assert row["images"] == 3
    assert row["diameter mm"] == pytest.approx(2 * RADIUS_MM, rel=0.005)
    assert row["ssde mGy"] == pytest.approx(10 * 3.704369 * np.exp(-0.03671937 * 24), rel=0.005)


def test_without_a_phantom_there_is_a_diameter_and_no_ssde_and_the_reason_is_said(run: Run, scan: Path) -> None:
    (row,) = _lines(run("dose", "size", str(scan), "--format", "jsonl").stdout)
    assert "diameter mm" in row
    assert "ssde mGy" not in row
    assert "16 or 32 cm" in row["remark"]


def test_images_that_cannot_be_read_are_refused_and_the_others_measured(run: Run, scan: Path) -> None:
    image = _image(20.0)
    image.PixelData = b"\0" * 100
    image.save_as(scan / "short.dcm", enforce_file_format=True)
    _image(25.0, Rows=9999, Columns=9999).save_as(scan / "huge.dcm", enforce_file_format=True)
    done = run("dose", "size", str(scan), "--phantom", "32", "--format", "jsonl")
    assert done.returncode == 1
    assert _lines(done.stdout)[0]["images"] == 3
    assert "short.dcm: the image cannot be decoded" in done.stderr
    assert "9999 x 9999 pixels" in done.stderr


def test_paths_without_an_image_say_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run("dose", "size", "empty")
    assert done.returncode == 3
    assert "no axial CT image" in done.stderr


def test_a_real_series_has_diameters_along_the_body(run: Run, corpus: Path) -> None:
    (row,) = _lines(run("dose", "size", str(corpus / "ct-series"), "--format", "jsonl").stdout)
    assert row["images"] == 34
    assert 100 < row["smallest mm"] < row["diameter mm"] < row["largest mm"] < 400


def test_an_exam_and_a_patient_are_shown_by_their_keys(run: Run, objects: Path, tmp_path: Path) -> None:
    from doseatlas.settings import Settings
    from doseatlas.store import Store
    from doseatlas.store.schema import objects as kept

    run("import", str(objects))
    with Store.from_settings(Settings(data_dir=str(tmp_path / "data"))) as store, store.database.reading() as at:
        rows = at.execute(kept.select()).all()
    row = next(one for one in rows if one.patient_id)
    shown = {one["quantity"] for one in _lines(run("dose", "exam", row.exam_id, "--format", "jsonl").stdout)}
    assert shown & {"effective_dose_msv", "flag", "calibration"}
    lines = _lines(run("dose", "cumulative", row.patient_id, "--format", "jsonl").stdout)
    assert any(one["exam"] == row.exam_id for one in lines)
    assert lines[-1]["exam"] == "sum"
    years = sum(one["effective dose mSv"] for one in lines if one["exam"] == "sum of the year")
    assert lines[-1]["effective dose mSv"] == pytest.approx(years)
    for command, name in (("exam", "0" * 32), ("cumulative", "nobody")):
        unknown = run("dose", command, name)
        assert unknown.returncode == 3
        assert "holds no exam" in unknown.stderr
