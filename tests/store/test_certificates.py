"""Calibration certificates in the store: kept, never altered, and followed by the exams that they touch."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doseatlas.analysis import mart_table
from doseatlas.dosimetry import CalibrationError, Certificate, QualityFactor
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


@pytest.mark.parametrize(
    ("text", "said"),
    [
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
