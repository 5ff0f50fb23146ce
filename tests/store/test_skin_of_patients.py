"""The skin dose of a patient's procedures, from what the store holds of them, without naming the patient."""

from __future__ import annotations

import dataclasses
import datetime as dt
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pydicom
import pytest
from sqlalchemy import select

from doseatlas.analysis import Selection, skin_patients
from doseatlas.dicom.simulate import SimulatedExam, encode_exam, exams, plan
from doseatlas.dosimetry import Certificate, QualityFactor, skin_triggers
from doseatlas.model import StoreError
from doseatlas.store import (
    Store,
    add_certificates,
    import_paths,
    patient_named,
    patient_skin_dose,
    repeated_procedures,
    schema,
    skin_maps,
)
from doseatlas.store import skin_of_patients as module

FIRST, LAST = dt.date(2023, 1, 1), dt.date(2024, 12, 31)


@pytest.fixture(scope="module")
def drawn() -> list[SimulatedExam]:
    """Five interventional exams of over 0.6 Gy, by date."""
    world = plan("facility", exams=400, seed=8, start=FIRST, end=LAST, device_classes=("angiography",))
    found = [
        one
        for one in exams(world)
        if 600 < (one.exam.totals.reference_air_kerma_mgy or 0) < 4000 and len(one.reports) == 1 and one.exam.events
    ]
    return sorted(found[:5], key=lambda one: one.exam.study_date or "")


def write(drawn: list[SimulatedExam], folder: Path, patients: str = "JJJJJ", **changes: Any) -> Path:
    """Write the exams as those of the patients named, one letter an exam, with more of their header changed."""
    folder.mkdir()
    for number, (one, patient) in enumerate(zip(drawn, patients, strict=True)):
        named = dataclasses.replace(one, identity=msgspec.structs.replace(one.identity, patient_id=patient))
        dataset = pydicom.dcmread(BytesIO(encode_exam(named)[0]))
        for name, value in changes.items():
            setattr(dataset, name, value)
        dataset.save_as(folder / f"{number}.dcm")
    return folder


def by_patient(store: Store) -> dict[str, list[str]]:
    """Return the exams of each patient by date, as the store names both."""
    objects, exams = schema.objects.c, schema.exams.c
    asked = select(objects.patient_id, objects.exam_id).where(objects.exam_id == exams.exam_id)
    found: dict[str, list[str]] = {}
    with store.database.reading() as connection:
        for patient, exam_id in connection.execute(asked.order_by(exams.study_date, exams.exam_id)):
            found.setdefault(patient, []).append(exam_id)
    return found


def test_the_map_of_a_patient_is_the_sum_of_those_of_their_exams(
    store: Store, drawn: list[SimulatedExam], tmp_path: Path
) -> None:
    import_paths(store, [write(drawn, tmp_path / "in", "JJKJJ")])
    ((patient, keys),) = [(name, keys) for name, keys in by_patient(store).items() if len(keys) == 4]
    found = patient_skin_dose(store, patient)
    assert [one.exam_id for one in found.procedures] == keys
    assert all(one.missing is None for one in found.procedures)
    assert sum(one.at_peak_mgy or 0.0 for one in found.procedures) == pytest.approx(found.skin_map.answer.peak_mgy)
    # The body of the last exam stands for all, so that its own map is that of the exam alone.
    alone = skin_maps(store, keys[-1:])[keys[-1]]
    assert found.procedures[-1].peak_mgy == pytest.approx(float(np.max(alone.dose_mgy)))


def test_a_period_leaves_exams_out_and_an_empty_one_says_so(
    store: Store, drawn: list[SimulatedExam], tmp_path: Path
) -> None:
    import_paths(store, [write(drawn, tmp_path / "in")])
    ((patient, keys),) = by_patient(store).items()
    days = [dt.date.fromisoformat(one.exam.study_date or "") for one in drawn]
    found = patient_skin_dose(store, patient, since=days[1], until=days[3])
    assert [one.exam_id for one in found.procedures] == keys[1:4]
    with pytest.raises(StoreError, match=r"no projection exam of the patient .* in this period"):
        patient_skin_dose(store, patient, since=LAST + dt.timedelta(days=1))


def test_an_exam_without_a_date_is_named_where_a_period_is_asked_for(
    store: Store, drawn: list[SimulatedExam], tmp_path: Path
) -> None:
    (report,) = drawn[2].reports
    events = tuple(msgspec.structs.replace(event, started_at=None) for event in report.events)
    bare = msgspec.structs.replace(report, study_date=None, study_time=None, content_at=None, events=events)
    undated = dataclasses.replace(drawn[2], reports=(bare,))
    import_paths(store, [write([*drawn[:2], undated], tmp_path / "in", "JJJ")])
    ((patient, _),) = by_patient(store).items()
    assert all(one.missing is None for one in patient_skin_dose(store, patient).procedures)
    missing = [one.missing for one in patient_skin_dose(store, patient, since=FIRST).procedures]
    assert missing.count("The exam has no date, and a period is asked for.") == 1


def test_a_certificate_corrects_the_part_of_its_device_and_days(
    store: Store, drawn: list[SimulatedExam], tmp_path: Path
) -> None:
    import_paths(store, [write(drawn, tmp_path / "in")])
    ((patient, _),) = by_patient(store).items()
    before = patient_skin_dose(store, patient)
    last = before.procedures[-1]
    assert last.study_date is not None
    assert last.device is not None
    factor = QualityFactor(quality="RQR 5", kvp=70.0, factor=1.25, expanded_relative_uncertainty=0.05)
    certificate = Certificate(
        id="C-1",
        device=last.device,
        instrument="kerma-display",
        quantity="reference_air_kerma_mgy",
        laboratory="L",
        issued_on=last.study_date,
        valid_from=last.study_date,
        valid_until=last.study_date + dt.timedelta(days=1),
        factors=(factor,),
    )
    add_certificates(store, [certificate], today=LAST)
    after = patient_skin_dose(store, patient)
    ratios = [(b.peak_mgy or 0) / (a.peak_mgy or 1) for a, b in zip(before.procedures, after.procedures, strict=True)]
    assert ratios[-1] == pytest.approx(1.25)
    assert ratios[0] == pytest.approx(1.0)


def test_a_patient_is_found_by_the_key_of_an_exam(store: Store, drawn: list[SimulatedExam], tmp_path: Path) -> None:
    import_paths(store, [write(drawn[:1], tmp_path / "a", "J"), write(drawn[1:2], tmp_path / "b", "K", PatientID="")])
    found = by_patient(store)
    (known,) = [name for name in found if name]
    assert patient_named(store, known) == patient_named(store, found[known][0]) == known
    nameless = next(keys for name, keys in found.items() if not name)[0]
    with pytest.raises(StoreError, match="name no patient"):
        patient_named(store, nameless)
    with pytest.raises(StoreError, match="no exam of a patient 'nobody', and no exam of that key"):
        patient_named(store, "nobody")


def test_an_id_that_stands_for_many_patients_is_refused(
    store: Store, drawn: list[SimulatedExam], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_EXAMS", 4)
    import_paths(store, [write(drawn, tmp_path / "in")])
    ((patient, keys),) = by_patient(store).items()
    with pytest.raises(StoreError, match="more than 4 projection exams"):
        patient_skin_dose(store, patient)
    (found,) = repeated_procedures(store, dict.fromkeys(keys, 900.0), inside=keys, least_mgy=1000.0, most=5)
    assert found.found is None
    assert [one.exam_id for one in found.procedures] == sorted(keys)
    assert found.missing
    assert patient not in found.missing


def test_patients_with_several_procedures_come_by_their_sum(
    store: Store, drawn: list[SimulatedExam], tmp_path: Path
) -> None:
    import_paths(store, [write(drawn, tmp_path / "in", "JJKKL")])
    patients = by_patient(store)
    kerma = {key: 700.0 for keys in patients.values() for key in keys}
    large = next(keys for keys in patients.values() if len(keys) == 2)
    kerma[large[0]] = 5000.0

    def sums(inside: list[str], least_mgy: float) -> list[float]:
        found = repeated_procedures(store, kerma, inside=inside, least_mgy=least_mgy, most=5)
        assert all(len(one.procedures) == 2 for one in found)
        return [one.kerma_mgy for one in found]

    assert sums(list(kerma), 1000.0) == [5700.0, 1400.0]
    assert sums(large[1:], 1000.0) == [5700.0]
    assert sums(list(kerma), 6000.0) == []


def test_a_report_has_the_patients_whose_sum_reaches_a_trigger_without_their_names(
    store: Store, drawn: list[SimulatedExam], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_paths(store, [write(drawn, tmp_path / "in")])
    store.refresh_mart()
    ((patient, keys),) = by_patient(store).items()
    peak = patient_skin_dose(store, patient).skin_map.answer.peak_mgy
    peaks = [one for one in skin_triggers() if one.quantity == "peak_skin_dose_mgy"]

    def found(trigger: float, **selection: Any) -> list[float | None]:
        moved = tuple(msgspec.structs.replace(one, value=trigger) for one in peaks)
        monkeypatch.setattr("doseatlas.analysis.repeated.skin_triggers", lambda: moved)
        patients = skin_patients(store, Selection(**selection)).patients
        assert all(patient not in msgspec.json.encode(one).decode() for one in patients)
        assert all([part.exam_id for part in one.procedures] == keys for one in patients)
        return [one.peak_mgy for one in patients]

    assert found(0.9 * peak) == [pytest.approx(peak)]
    assert found(1.1 * peak) == []
    assert found(0.9 * peak, until=FIRST - dt.timedelta(days=1)) == []
