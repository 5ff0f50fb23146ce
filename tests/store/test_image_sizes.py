"""Axial images and localisers that arrive give the exam its diameter and SSDE, in whatever order; no pixels stay."""

from __future__ import annotations

import datetime as dt
import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from tests.dicom.ct_objects import A_MM, B_MM, DIAMETER_MM, SIDE, axial, enhanced_ct, frame, legacy_ct, localiser

from doseatlas.cli.dose_size import size
from doseatlas.cli.output import Format
from doseatlas.dicom import read_bytes
from doseatlas.dicom.simulate import encode_exam, exams, plan
from doseatlas.standardise import classify, ct_scans
from doseatlas.store import Store, import_paths
from doseatlas.store.schema import image_sizes


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
    assert row["ssde_method"] == "water-equivalent diameter from axial images, CTDIvol of the scan"
    factor = 3.704369 * np.exp(-0.003671937 * row["patient_diameter_mm"])
    assert row["ssde_derived_mgy"] == pytest.approx(factor * row["ctdi_vol_mgy"], rel=1e-6)
    assert row["ssde_central_mgy"] == pytest.approx(row["ssde_derived_mgy"], rel=1e-6)
    assert "size-from-height-and-weight" not in row.get("dosimetry_flags", [])


def test_images_without_dose_give_the_exam_of_the_report_its_ssde(
    store: Store, tmp_path: Path, report: bytes, study: str
) -> None:
    _import(store, tmp_path / "in", report, *(axial(study, 5.0 * n) for n in range(4)))
    _check(_row(store))


@pytest.mark.parametrize("first", ["report", "images"])
def test_the_order_in_which_report_and_images_come_does_not_matter(
    store: Store, tmp_path: Path, report: bytes, study: str, first: str
) -> None:
    parts = {"report": [report], "images": [axial(study, 5.0 * n) for n in range(3)]}
    second = "images" if first == "report" else "report"
    _import(store, tmp_path / "one", *parts[first])
    _import(store, tmp_path / "two", *parts[second])
    _check(_row(store))
    before = _row(store)
    _import(store, tmp_path / "again", *parts["images"])
    assert _row(store) == before


def test_a_rebuild_keeps_what_was_measured(store: Store, tmp_path: Path, report: bytes, study: str) -> None:
    _import(store, tmp_path / "in", report, *(axial(study, 5.0 * n) for n in range(3)))
    before = _row(store)
    store.rebuild()
    assert _row(store) == before


def test_images_in_a_zip_archive_are_measured_too(store: Store, tmp_path: Path, report: bytes, study: str) -> None:
    with zipfile.ZipFile(tmp_path / "disc.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate([report, *(axial(study, 5.0 * n) for n in range(3))]):
            archive.writestr(f"{number}.dcm", content)
    import_paths(store, [tmp_path / "disc.zip"])
    _check(_row(store))


def test_reformatted_derived_and_damaged_images_are_not_measured(
    store: Store, tmp_path: Path, report: bytes, study: str
) -> None:
    coronal = axial(study, 5.0, scale=0.5, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    derived = axial(study, 10.0, scale=0.5, ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    short = axial(study, 15.0, scale=0.5, PixelData=b"\0" * 100)
    _import(store, tmp_path / "in", report, coronal, derived, short, axial(study, 0.0))
    _check(_row(store))


def test_two_localisers_at_right_angles_give_a_flagged_diameter_where_no_axial_image_does(
    store: Store, tmp_path: Path, report: bytes, study: str
) -> None:
    _import(
        store,
        tmp_path / "in",
        report,
        localiser(study, A_MM, [1, 0, 0], "1.2.4"),
        localiser(study, B_MM, [0, 1, 0], "1.2.5"),
    )
    row = _row(store)
    assert row["ssde_method"] == "effective diameter from two localisers"
    assert row["patient_diameter_mm"] == pytest.approx(DIAMETER_MM, rel=0.005)
    assert "localiser-not-calibrated" in row["dosimetry_flags"]


def test_no_pixels_are_kept(store: Store, tmp_path: Path, report: bytes, study: str) -> None:
    _import(store, tmp_path / "in", report, *(axial(study, 5.0 * n) for n in range(20)))
    with store.database.reading() as connection:
        (row,) = connection.execute(image_sizes.select()).all()
    assert len(row.sizes) < 2000
    assert sum(file.stat().st_size for file in store.archive.folder.rglob("*") if file.is_file()) < SIDE * SIDE


@pytest.mark.parametrize("make", [enhanced_ct, legacy_ct])
def test_frames_of_a_multi_frame_object_are_measured_as_single_images_are(
    store: Store, tmp_path: Path, report: bytes, study: str, make: Any
) -> None:
    frames = [frame(z, ctdi=0.0, current=0.0) for z in range(0, 20, 2)]
    _import(store, tmp_path / "in", report, make(study, frames))
    _check(_row(store))


def test_a_multi_frame_object_in_a_zip_archive_is_measured_too(
    store: Store, tmp_path: Path, report: bytes, study: str
) -> None:
    with zipfile.ZipFile(tmp_path / "disc.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", report)
        archive.writestr("b.dcm", enhanced_ct(study, [frame(5.0 * n) for n in range(3)]))
    import_paths(store, [tmp_path / "disc.zip"])
    _check(_row(store))


@pytest.mark.parametrize("damage", ["short", "frames"])
def test_a_damaged_multi_frame_object_keeps_no_dose_from_being_imported(
    store: Store, tmp_path: Path, report: bytes, study: str, damage: str
) -> None:
    frames = [frame(5.0 * n, 0.5) for n in range(3)]
    bad = enhanced_ct(study, frames)[:-5000] if damage == "short" else enhanced_ct(study, frames, NumberOfFrames=7)
    _import(store, tmp_path / "in", report, bad, axial(study, 0.0))
    _check(_row(store))


def test_the_mart_and_dose_size_give_the_same_ssde_of_the_same_images(
    store: Store, tmp_path: Path, report: bytes, study: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (scan, *others) = ct_scans(read_bytes(report, path="x").exam.events)
    assert not others
    frames = [
        frame(1.25 * n, 1 - 0.004 * n, current=100.0 + 3 * n, event=scan.event_uid, phantom="113691") for n in range(60)
    ]
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "enhanced.dcm").write_bytes(enhanced_ct(study, frames))
    _import(store, tmp_path / "in", report)
    import_paths(store, [folder])
    row = _row(store)
    size([folder], ctdi_vol=scan.ctdi_vol_mgy, phantom=scan.phantom_cm, form=Format.jsonl)
    shown = json.loads(capsys.readouterr().out)
    assert "tube current" in row["ssde_method"]
    assert shown["ssde mGy"] == pytest.approx(row["ssde_derived_mgy"], rel=1e-12)
    assert shown["central ssde mGy"] == pytest.approx(row["ssde_central_mgy"], rel=1e-12)
    assert shown["diameter mm"] == pytest.approx(row["patient_diameter_mm"], rel=1e-12)
    assert row["ssde_central_mgy"] != pytest.approx(row["ssde_derived_mgy"], rel=1e-3)


@pytest.mark.parametrize("states", ["a dose", "no dose"])
def test_images_of_which_a_store_keeps_nothing_are_measured_when_they_are_imported_again(
    store: Store, tmp_path: Path, report: bytes, study: str, states: str
) -> None:
    more: dict[str, Any] = {"CTDIvol": 8.0} if states == "a dose" else {}
    images = [axial(study, 5.0 * n, **more) for n in range(3)]
    _import(store, tmp_path / "in", report, *images)
    whole = _row(store)
    with store.database.writing() as connection:  # as in a store of a version that measured nothing
        connection.execute(image_sizes.delete())
    store.rebuild()
    again = import_paths(store, [tmp_path / "in"])
    assert again.imported == 0
    assert _row(store) == whole


def test_images_that_are_kept_are_not_decoded_again(
    store: Store, tmp_path: Path, report: bytes, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _import(store, tmp_path / "in", report, *(axial(study, 2.0 * n) for n in range(4)))
    whole = _row(store)
    monkeypatch.setattr("doseatlas.dicom.axial.frame_decoder", lambda *_: pytest.fail)
    import_paths(store, [tmp_path / "in"])
    assert _row(store) == whole
