"""``doseatlas dose exam``, ``cumulative`` and ``size``, as a user meets them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from tests.dicom.ct_objects import DIAMETER_MM, enhanced_ct, frame

from doseatlas.cli.dose_split import split

from .conftest import Run

SIDE, PIXEL_MM, RADIUS_MM = 256, 1.5, 120.0
ORGAN_COLUMNS = "set,agent,organ,age_years,mgy_per_mbq,source,verified"


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
    row, localiser = _lines(done.stdout)
    assert "does not state where and how it lies" in localiser["remark"]
    assert row["images"] == 3
    assert row["diameter mm"] == pytest.approx(2 * RADIUS_MM, rel=0.005)
    assert row["ssde mGy"] == pytest.approx(10 * 3.704369 * np.exp(-0.03671937 * 24), rel=0.005)


def test_without_a_phantom_there_is_a_diameter_and_no_ssde_and_the_reason_is_said(run: Run, scan: Path) -> None:
    row = _lines(run("dose", "size", str(scan), "--format", "jsonl").stdout)[0]
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
    assert "truncated: In 9 of 34 images." in row["remark"]
    assert 100 < row["smallest mm"] < row["diameter mm"] < row["largest mm"] < 400


def test_a_localiser_is_calibrated_by_the_axial_images_beside_it(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "scan"
    folder.mkdir()
    frame = {"FrameOfReferenceUID": "1.9"}
    for number in range(8):
        axial = _image(-10.0 * number, ImageOrientationPatient=[1, 0, 0, 0, 1, 0], **frame)
        axial.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    axis = (np.arange(SIDE) + 0.5 - SIDE / 2) * PIXEL_MM
    chord = 2 * np.sqrt(np.maximum(0.0, RADIUS_MM**2 - axis**2))
    localiser = _image(0.0, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesInstanceUID="1.2.4", **frame)
    localiser.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    localiser.PixelData = np.repeat(100 + 4 * chord[None, :], SIDE, axis=0).astype(np.uint16).tobytes()
    localiser.save_as(folder / "l.dcm", enforce_file_format=True)
    row = _lines(run("dose", "size", str(folder), "--format", "jsonl").stdout)[1]
    assert row["what"] == "localiser, frontal"
    assert row["diameter mm"] == pytest.approx(2 * RADIUS_MM, rel=0.005)
    assert "0.25 mm of water for one value" in row["remark"]
    (alone,) = _lines(run("dose", "size", str(folder / "l.dcm"), "--format", "jsonl").stdout)
    assert "diameter mm" not in alone
    assert "240 to 240 mm wide" in alone["remark"]
    given = ("--water-mm-per-value", "0.25", "--ctdi-vol", "10", "--phantom", "32")
    (given_row,) = _lines(run("dose", "size", str(folder / "l.dcm"), *given, "--format", "jsonl").stdout)
    assert given_row["diameter mm"] == pytest.approx(2 * RADIUS_MM, rel=0.005)
    assert given_row["ssde mGy"] == pytest.approx(10 * 3.704369 * np.exp(-0.03671937 * 24), rel=0.005)


@pytest.mark.parametrize(
    "wrong", [("--ctdi-vol", "-5"), ("--ctdi-vol", "nan"), ("--phantom", "20"), ("--water-mm-per-value", "0")]
)
def test_a_dose_that_cannot_be_is_refused(run: Run, scan: Path, wrong: tuple[str, str]) -> None:
    assert run("dose", "size", str(scan), *wrong).returncode == 2


def test_a_path_that_is_not_there_is_named(run: Run) -> None:
    done = run("dose", "size", "nowhere")
    assert done.returncode == 3
    assert "There is no nowhere" in done.stderr


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
    assert any(name.startswith("method of ") for name in shown)
    lines = _lines(run("dose", "cumulative", row.patient_id, "--format", "jsonl").stdout)
    assert any(one["exam"] == row.exam_id for one in lines)
    assert lines[-1]["exam"] == "sum"
    years = sum(one["effective dose mSv"] for one in lines if one["exam"] == "sum of the year")
    assert lines[-1]["effective dose mSv"] == pytest.approx(years)
    for command, name in (("exam", "0" * 32), ("cumulative", "nobody")):
        unknown = run("dose", command, name)
        assert unknown.returncode == 3
        assert "holds no exam" in unknown.stderr


def test_an_exam_is_shown_with_the_coefficients_and_the_guideline_that_are_set(
    run: Run, objects: Path, tmp_path: Path
) -> None:
    from doseatlas.analysis import mart_table

    run("import", str(objects))
    rows = mart_table(tmp_path / "data" / "mart").to_pyarrow().to_pylist()
    exam = next(row["exam_id"] for row in rows if row["kind"] == "ct" and (row["age_years"] or 0) >= 18)
    for name in ("aapm-96", "deak-2010"):
        lines = _lines(run("dose", "exam", exam, "--format", "jsonl", DOSEATLAS_CT_COEFFICIENTS=name).stdout)
        assert name in [one["value"] for one in lines if one["quantity"] == "effective_dose_set"]
    wrong = run("dose", "exam", exam, DOSEATLAS_ACTIVITY_GUIDELINE="ours")
    assert wrong.returncode == 2
    assert "Known: eanm-card-2016, north-america-2024" in wrong.stderr


def test_organ_doses_name_set_and_source_and_take_a_table_of_one_s_own(run: Run, objects: Path, tmp_path: Path) -> None:
    from doseatlas.analysis import mart_table
    from doseatlas.dosimetry import nuclear_agent, organs_known

    run("import", str(objects))
    rows = mart_table(tmp_path / "data" / "mart").to_pyarrow().to_pylist()
    agents = {
        row["exam_id"]: found.agent
        for row in rows
        if row["kind"] == "nuclear"
        and (row["age_years"] or 0) >= 18
        and (found := nuclear_agent(row["radiopharmaceutical"], None, row["procedure"]))
        and found.agent
        and organs_known(found.agent)
    }
    exam, agent = next(iter(agents.items()))
    shown = _lines(run("dose", "organs", exam, "--format", "jsonl").stdout)
    assert {one["organ"] for one in shown} == {organ for _, organ in organs_known(agent)}
    assert all("https://" in one["source"] for one in shown if "dose mGy" in one)
    own = tmp_path / "own.csv"
    own.write_text(f"{ORGAN_COLUMNS}\nown,{agent},kidneys,18,0.007,us,memory\n", encoding="utf-8")
    (kidneys,) = _lines(run("dose", "organs", exam, "--table", str(own), "--format", "jsonl").stdout)
    assert (kidneys["organ"], kidneys["coefficients"]) == ("kidneys", "own")
    assert "not verified" in kidneys["remark"]
    own.write_text(f"{ORGAN_COLUMNS}\nown,another,brain,18,0.04,us,memory\n", encoding="utf-8")
    refused = run("dose", "organs", exam, "--table", str(own))
    assert refused.returncode == 3
    assert f"no organ coefficient of {agent}. Known agents: another" in refused.stderr
    other = next(row["exam_id"] for row in rows if row["kind"] == "ct")
    assert "of kind ct" in run("dose", "organs", other).stderr


def test_the_ct_of_a_hybrid_exam_stands_beside_the_administration(run: Run, objects: Path, tmp_path: Path) -> None:
    from pydicom import dcmread

    from doseatlas.analysis import mart_table
    from doseatlas.dicom import read_bytes

    folder = tmp_path / "pet-ct"
    folder.mkdir()
    kinds: dict[str, Path] = {}
    for path in sorted(objects.rglob("*.dcm")):
        exam = read_bytes(path.read_bytes()).exam
        if exam.source == "dose-report" and (exam.totals.dlp_mgy_cm or exam.totals.administered_activity_mbq):
            kinds.setdefault(exam.kind, path)
    for kind in ("nuclear", "ct"):
        report = dcmread(kinds[kind])
        report.StudyInstanceUID = "1.2.826.0.1.3680043.10.1"
        report.save_as(folder / f"{kind}.dcm")
    run("import", str(folder))
    found = {row["kind"]: row for row in mart_table(tmp_path / "data" / "mart").to_pyarrow().to_pylist()}
    assert set(found) == {"nuclear", "ct"}
    assert found["nuclear"]["study_id"] == found["ct"]["study_id"]
    shown = {
        one["quantity"]: one
        for one in _lines(run("dose", "exam", found["nuclear"]["exam_id"], "--format", "jsonl").stdout)
    }
    beside = shown["dlp_mgy_cm of the ct in the same study"]
    assert float(beside["value"]) == pytest.approx(found["ct"]["dlp_mgy_cm"])
    assert found["ct"]["exam_id"] in beside["meaning or source"]
    assert run("report", "--output", str(tmp_path / "report")).returncode == 0
    page = next((tmp_path / "report").rglob("*.html")).read_text(encoding="utf-8")
    assert "1 administration had a CT in the same study" in page


def _trunk(folder: Path, **more: Any) -> Path:
    """Twenty images every 10 mm from -200 mm on, as frames of one object."""
    folder.mkdir()
    frames = [frame(10.0 * n - 200, current=100.0 if n < 10 else 300.0, **more) for n in range(20)]
    (folder / "enhanced.dcm").write_bytes(enhanced_ct("1.2", frames))
    return folder


def test_frames_of_an_enhanced_object_are_measured_as_images_are(run: Run, tmp_path: Path) -> None:
    folder = _trunk(tmp_path / "scan", ctdi=10.0, phantom="113691")
    (row,) = _lines(run("dose", "size", str(folder), "--format", "jsonl").stdout)
    assert row["images"] == 20
    assert row["diameter mm"] == pytest.approx(DIAMETER_MM, rel=0.005)
    factor = 3.704369 * np.exp(-0.003671937 * DIAMETER_MM)
    assert row["ssde mGy"] == pytest.approx(10 * factor, rel=0.005)
    assert row["central ssde mGy"] in (pytest.approx(5 * factor, rel=0.005), pytest.approx(15 * factor, rel=0.005))
    assert "by the tube current of each image" in row["remark"]


def test_an_enhanced_object_that_contradicts_itself_is_refused_with_its_name(run: Run, tmp_path: Path) -> None:
    folder = _trunk(tmp_path / "scan")
    (folder / "wrong.dcm").write_bytes(enhanced_ct("1.2", [frame(0.0)], NumberOfFrames=2))
    done = run("dose", "size", str(folder), "--format", "jsonl")
    assert done.returncode == 1
    assert "wrong.dcm states 2 frames and describes 1" in done.stderr
    assert _lines(done.stdout)[0]["images"] == 20


SPLIT = ("--dlp", "512", "--phantom", "32", "--age", "54")
BORDERS = ("--range", "chest:-105:0", "--range", "abdomen:-300:-105")


def test_a_dlp_is_split_where_the_border_lies_by_the_tube_current(run: Run, tmp_path: Path) -> None:
    folder = _trunk(tmp_path / "scan")
    done = run("dose", "split", str(folder), *SPLIT, *BORDERS, "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    chest, abdomen, whole = _lines(done.stdout)
    assert (chest["region"], abdomen["region"], whole["region"]) == ("chest", "abdomen", "all")
    assert (chest["dlp mGy.cm"], abdomen["dlp mGy.cm"]) == (pytest.approx(384.0), pytest.approx(128.0))
    assert whole["effective dose mSv"] == pytest.approx(chest["effective dose mSv"] + abdomen["effective dose mSv"])
    assert whole["effective dose mSv"] == pytest.approx(384 * 0.014 + 128 * 0.015)
    assert 0.1 < whole["uncertainty mSv"] / whole["effective dose mSv"] < 0.5
    assert "tube current" in whole["remark"]
    assert "regions-averaged" not in whole["remark"]
    by_deak = run(
        "dose", "split", str(folder), *SPLIT, *BORDERS, "--format", "jsonl", DOSEATLAS_CT_COEFFICIENTS="deak-2010"
    )
    assert _lines(by_deak.stdout)[-1]["effective dose mSv"] == pytest.approx(384 * 0.0145 + 128 * 0.0153)


def test_what_of_a_scan_lies_in_no_range_is_said(run: Run, tmp_path: Path) -> None:
    folder = _trunk(tmp_path / "scan")
    done = run("dose", "split", str(folder), *SPLIT, "--range", "chest:-105:-50", "--format", "jsonl")
    assert "55 % of the DLP lies in no range" in _lines(done.stdout)[-1]["remark"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"ranges": ["chest:5"]}, "no range such as"),
        ({"ranges": ["chest:5:x"]}, "no range such as"),
        ({"ranges": ["chest:nan:9"]}, "lowest z comes first"),
        ({"ranges": ["chest:9:5"]}, "lowest z comes first"),
        ({"ranges": ["knee:0:5"]}, "the regions are"),
        ({"ranges": ["chest:0:50", "abdomen:40:90"]}, "overlap"),
        ({"dlp": -1.0}, "not possible"),
        ({"dlp": math.nan}, "not possible"),
        ({"age": 900.0}, "not possible"),
        ({"phantom": 20}, "16 or 32 cm"),
    ],
)
def test_a_split_that_cannot_be_is_refused(scan: Path, wrong: dict[str, Any], why: str) -> None:
    stated: dict[str, Any] = {"dlp": 512.0, "ranges": ["chest:0:50"], "age": 54.0}
    with pytest.raises(typer.BadParameter, match=why):
        split([scan], **(stated | wrong))


def test_a_dlp_of_images_of_several_series_is_not_split(run: Run, scan: Path) -> None:
    _image(0.0, SeriesInstanceUID="1.2.9").save_as(scan / "other.dcm", enforce_file_format=True)
    done = run("dose", "split", str(scan), *SPLIT, *BORDERS)
    assert done.returncode == 3
    assert "2 series" in done.stderr
