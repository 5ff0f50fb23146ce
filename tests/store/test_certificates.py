"""Calibration certificates in the store: kept, never altered, and followed by the exams that they touch."""

from __future__ import annotations

import datetime as dt
import math
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pydicom
import pytest

from doseatlas.analysis import mart_table
from doseatlas.dicom.simulate import encode_exam, exams, plan
from doseatlas.dosimetry import CORRECTED_COLUMNS, CalibrationError, Certificate, QualityFactor, certificate_named
from doseatlas.standardise import device_name
from doseatlas.store import (
    Store,
    add_certificates,
    import_paths,
    kept_certificates,
    read_certificate,
    remove_certificate,
)

TODAY = dt.date(2025, 1, 1)
DAY = dt.date(2024, 3, 5)
TEXT = """
id = "C-1"
device = "ACME One CT1"
instrument = "ct-display"
quantity = "dlp_mgy_cm"
laboratory = "National laboratory"
issued_on = 2024-01-01
valid_from = 2024-01-01
valid_until = 2025-01-01
[[factors]]
quality = "120 kV"
kvp = 120.0
factor = 1.1
expanded_relative_uncertainty = 0.06
[[traceability]]
laboratory = "PTB"
instrument = "chamber"
certificate = "P-7"
"""


def _rows(store: Store) -> dict[str, dict[str, Any]]:
    store.refresh_mart()
    return {row["exam_id"]: row for row in mart_table(store.mart_dir).to_pyarrow().to_pylist()}


def _certificate(device: str, name: str = "C-1", factor: float = 1.1, **more: Any) -> Certificate:
    base = Certificate(
        id=name,
        device=device,
        instrument="ct-display",
        quantity="dlp_mgy_cm",
        laboratory="National laboratory",
        issued_on=dt.date(2024, 1, 1),
        valid_from=dt.date(2024, 1, 1),
        valid_until=dt.date(2024, 4, 1),
        factors=(QualityFactor(quality="any", factor=factor, expanded_relative_uncertainty=0.06),),
    )
    return msgspec.structs.replace(base, **more)


@pytest.fixture
def device(store: Store, objects: Path) -> str:
    """A CT of the store, which holds the simulated objects, with exams before and after 1 April."""
    import_paths(store, [objects])
    months: dict[str, set[bool]] = {}
    for exam in store.exams(kind="ct"):
        name = device_name(exam.device)
        if name and exam.study_date and exam.totals.dlp_mgy_cm:
            months.setdefault(name, set()).add(exam.study_date < "2024-04-01")
    return next(name for name, halves in months.items() if len(halves) == 2)


def test_a_certificate_corrects_the_exams_of_its_device_and_period_and_no_others(store: Store, device: str) -> None:
    before = _rows(store)
    done = add_certificates(store, [_certificate(device)], TODAY)
    after = _rows(store)
    touched = {
        key
        for key, row in after.items()
        if row["device"] == device and str(row["study_date"]) < "2024-04-01" and row["dlp_mgy_cm"] is not None
    }
    assert touched
    assert done.exams >= len(touched)
    for key, row in after.items():
        if key in touched:
            assert row["dlp_corrected_mgy_cm"] == pytest.approx(1.1 * row["dlp_mgy_cm"])
            assert row["dlp_relative_uncertainty"] == pytest.approx(math.hypot(0.03, 0.05))
            assert row["calibration"] == "C-1"
            assert row["dlp_mgy_cm"] == before[key]["dlp_mgy_cm"]
        else:
            assert row == before[key]


def test_a_correction_supersedes_and_a_removal_brings_back_what_was_with_the_history_kept(
    store: Store, device: str
) -> None:
    before = _rows(store)
    add_certificates(store, [_certificate(device)], TODAY)
    first = _rows(store)
    add_certificates(store, [_certificate(device, "C-2", 1.2, supersedes="C-1")], TODAY)
    assert _rows(store) != first
    with pytest.raises(CalibrationError, match="supersedes C-1"):
        remove_certificate(store, "C-1")
    remove_certificate(store, "C-2")
    assert _rows(store) == first
    remove_certificate(store, "C-1")
    assert _rows(store) == before
    assert [(one.certificate.id, one.state) for one in kept_certificates(store)] == [
        ("C-1", "removed"),
        ("C-2", "removed"),
    ]
    with pytest.raises(CalibrationError, match="no certificate 'C-2'"):
        remove_certificate(store, "C-2")


def test_ctdi_vol_and_ssde_follow_and_other_devices_stand_with_their_display_s_tolerance(
    store: Store, device: str
) -> None:
    before = _rows(store)
    by_ctdi = _certificate(device, quantity="ctdi_vol_mgy", valid_until=dt.date(2024, 12, 31))
    add_certificates(store, [by_ctdi], TODAY)
    certified = 0
    for key, row in _rows(store).items():
        for name in ("ctdi_vol_mgy", "dlp_mgy_cm", "ssde_mgy"):
            corrected, relative = CORRECTED_COLUMNS[name]
            if row[name] is None:
                assert row[corrected] is None
            elif row["device"] == device:
                certified += 1
                assert row[corrected] == pytest.approx(1.1 * row[name])
                assert row[relative] < before[key][relative]
                assert certificate_named(row["calibration"], name) == "C-1"
            else:
                assert (row[corrected], row[relative]) == (row[name], before[key][relative])
    assert certified
    add_certificates(store, [_certificate(device, "C-2", quantity="ctdi_vol_mgy", supersedes="C-1", factor=0.9)], TODAY)
    for row in _rows(store).values():
        if row["device"] == device and row["ctdi_vol_mgy"] is not None:
            # C-2 is valid for a shorter time than what it supersedes.
            covered = str(row["study_date"]) < "2024-04-01"
            factor = 0.9 if covered else 1.0
            assert row["ctdi_vol_corrected_mgy"] == pytest.approx(factor * row["ctdi_vol_mgy"])
            assert row["calibration"] == ("C-2" if covered else "display tolerance")
    assert [one.state for one in kept_certificates(store)] == ["superseded", "in force"]


def test_glandular_doses_and_entrance_exposures_are_corrected_too(store: Store, objects: Path) -> None:
    import_paths(store, [objects])
    plain = _rows(store)
    for kind, quantity, instrument in (
        ("mammography", "agd_mgy", "agd-display"),
        ("projection", "entrance_air_kerma_mgy", "qa-meter"),
    ):
        stated = [row for row in plain.values() if row["kind"] == kind and row[quantity] is not None]
        device, day = stated[0]["device"], stated[0]["study_date"]
        one = _certificate(
            device,
            f"C-{quantity}",
            quantity=quantity,
            instrument=instrument,
            valid_from=day,
            valid_until=day + dt.timedelta(days=1),
        )
        add_certificates(store, [one], TODAY)
        corrected, _ = CORRECTED_COLUMNS[quantity]
        found = _rows(store)[stated[0]["exam_id"]]
        assert found[corrected] == pytest.approx(1.1 * found[quantity])
        assert found[quantity] == stated[0][quantity]


def test_what_is_imported_or_rebuilt_later_is_corrected_too(store: Store, objects: Path, tmp_path: Path) -> None:
    import_paths(store, [objects])
    device = next(name for exam in list(store.exams(kind="ct")) if (name := device_name(exam.device)))
    with Store.from_settings(_elsewhere(tmp_path)) as other:
        add_certificates(other, [_certificate(device)], TODAY)
        import_paths(other, [objects])
        add_certificates(store, [_certificate(device)], TODAY)
        corrected = _rows(store)
        assert any(row["calibration"] == "C-1" for row in corrected.values())
        assert _rows(other) == corrected
        store.rebuild()
        assert _rows(store) == corrected


def test_certificates_that_contradict_are_refused_and_nothing_is_changed(store: Store, device: str) -> None:
    before = _rows(store)
    with pytest.raises(CalibrationError, match="both cover"):
        add_certificates(store, [_certificate(device), _certificate(device, "C-2")], TODAY)
    with pytest.raises(CalibrationError, match="in the future"):
        add_certificates(store, [_certificate(device)], dt.date(2023, 12, 31))
    assert kept_certificates(store) == []
    assert _rows(store) == before


def test_a_certificate_is_read_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(TEXT)
    read = read_certificate(file)
    assert (read.id, read.valid_until, read.factors[0].kvp) == ("C-1", dt.date(2025, 1, 1), 120.0)
    assert read.traceability[0].laboratory == "PTB"


OUTPUT = """
id = "{name}"
device = "{device}"
instrument = "tube-output"
quantity = "tube_output_mgy_per_mas"
laboratory = "Medical physics"
issued_on = 2024-01-01
valid_from = 2024-01-01
valid_until = 2025-01-01
[tube_output]
distance_mm = 1000
[tube_output.chamber]
calibration_coefficient_mgy = 0.043
temperature_c = 20.0
pressure_kpa = 101.3
[[tube_output.points]]
kvp = 60
output_mgy_per_mas = 0.03
expanded_relative_uncertainty = 0.05
[[tube_output.points]]
kvp = 130
readings = [60.0, 60.2]
tube_loading_mas = 20
expanded_relative_uncertainty = 0.05
"""


@pytest.fixture
def unmeasured(store: Store, tmp_path: Path) -> dict[str, Any]:
    """The row of a radiograph whose image states technique, distance to the skin and KAP, but no kerma and no field."""
    world = plan("facility", exams=400, seed=6, start=DAY, end=DAY, faults=False, device_classes=("radiography",))
    one = next(one for one in exams(world) if one.reports[0].source == "image")
    image = pydicom.dcmread(BytesIO(encode_exam(one)[0]))
    del image.EntranceDoseInmGy
    image.DistanceSourceToEntrance = 950
    image.save_as(tmp_path / "unmeasured.dcm")
    import_paths(store, [tmp_path / "unmeasured.dcm"])
    (row,) = _rows(store).values()
    row["mas"] = one.reports[0].events[0].exposure_mas
    return row


def test_a_measured_output_of_the_tube_gives_the_kerma_of_exams_that_display_none(
    store: Store, unmeasured: dict[str, Any], tmp_path: Path
) -> None:
    assert unmeasured["incident_air_kerma_mgy"] is None
    assert "No measured output of the tube covers the day" in unmeasured["entrance_kerma_method"]
    file = tmp_path / "output.toml"
    file.write_text(OUTPUT.format(name="QA-1", device=unmeasured["device"]))
    assert add_certificates(store, [read_certificate(file)], TODAY).exams == 1
    (row,) = _rows(store).values()
    assert row["entrance_kerma_method"].startswith("tube output of QA-1")
    output = row["incident_air_kerma_mgy"] / unmeasured["mas"] * (950 / 1000) ** 2
    assert 0.03 < output < 60.1 * 0.043 / 20
    assert row["entrance_surface_air_kerma_mgy"] > row["incident_air_kerma_mgy"]
    text = OUTPUT.format(name="QA-2", device=unmeasured["device"]).replace("= 0.043", "= 0.053")
    file.write_text(text.replace("output_mgy_per_mas = 0.03\n", "output_mgy_per_mas = 0.037\n"))
    with pytest.raises(CalibrationError, match="both cover"):
        add_certificates(store, [read_certificate(file)], TODAY)
    file.write_text(file.read_text().replace("[tube_output]", 'supersedes = "QA-1"\n[tube_output]'))
    assert add_certificates(store, [read_certificate(file)], TODAY).exams == 1
    (newer,) = _rows(store).values()
    assert newer["incident_air_kerma_mgy"] == pytest.approx(row["incident_air_kerma_mgy"] * 53 / 43, rel=0.01)
    remove_certificate(store, "QA-2")
    assert _rows(store) == {row["exam_id"]: row}
    assert [one.state for one in kept_certificates(store)] == ["in force", "removed"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (OUTPUT.replace("kvp = 60", "kv = 60"), "no certificate has: kv"),
        (OUTPUT.replace("temperature_c", "temperature"), "no certificate has: temperature"),
        (OUTPUT.replace("distance_mm = 1000", 'distance_mm = "1 m"'), "is no certificate"),
        (TEXT.replace("kvp =", "kv ="), "no certificate has: kv"),
        (TEXT.replace("laboratory =", "lab ="), "no certificate has: lab"),
        (TEXT.replace("factor = 1.1", 'factor = "1.1"'), "is no certificate"),
        (TEXT.replace("valid_from = 2024-01-01\n", ""), "valid_from"),
        ("[[[", "is not TOML"),
        ("a = 1\n" * 200_000, "larger than"),
    ],
)
def test_a_file_that_is_no_certificate_is_refused_with_the_reason(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(CalibrationError, match=said):
        read_certificate(file)
    with pytest.raises(CalibrationError, match="cannot be read"):
        read_certificate(tmp_path / "absent.toml")


def _elsewhere(tmp_path: Path) -> Any:
    from doseatlas.settings import Settings

    return Settings(data_dir=str(tmp_path / "elsewhere"), jobs=1)
