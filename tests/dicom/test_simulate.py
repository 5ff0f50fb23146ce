"""The simulator: what it draws, how it differs by seed and fault, and what it writes."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from pathlib import Path
from statistics import median

import msgspec
import pytest

from doseatlas.dicom import read_bytes
from doseatlas.dicom.simulate import (
    Scope,
    SimulatedExam,
    World,
    draw_exam,
    encode_exam,
    exams,
    plan,
    to_exam,
    write_objects,
)
from doseatlas.dicom.simulate.tables import DEVICE_CLASSES, faults, typical_values
from doseatlas.model import Exam, SettingsError

START, END = dt.date(2025, 1, 1), dt.date(2025, 12, 31)


def year(
    scope: Scope, *, exams: int, seed: int, faults: bool = True, device_classes: tuple[str, ...] = DEVICE_CLASSES
) -> World:
    return plan(scope, exams=exams, seed=seed, start=START, end=END, faults=faults, device_classes=device_classes)


@pytest.fixture(scope="module")
def country() -> World:
    return year("country", exams=6000, seed=11)


@pytest.fixture(scope="module")
def drawn(country: World) -> list[SimulatedExam]:
    return list(exams(country))


@pytest.fixture(scope="module")
def faultless() -> list[SimulatedExam]:
    return list(exams(year("world", exams=12000, seed=5, faults=False)))


def test_a_facility_a_country_and_a_world_grow_in_size() -> None:
    scopes: tuple[Scope, ...] = ("facility", "country", "world")
    worlds = [year(scope, exams=1, seed=1) for scope in scopes]
    assert [len(world.facilities) for world in worlds] == [1, 6, 36]
    assert [len(world.countries) for world in worlds] == [1, 1, 6]


def test_every_facility_has_devices_of_every_class_with_serial_numbers_of_their_own() -> None:
    world = year("world", exams=1, seed=3)
    devices = [device for f in world.facilities for of_class in f.devices.values() for device in of_class]
    assert all(len(facility.devices) == 6 for facility in world.facilities)
    assert len({device.serial_number for device in devices}) == len(devices)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    def objects(seed: int) -> list[bytes]:
        return [data for e in exams(year("facility", exams=40, seed=seed)) for data in encode_exam(e)]

    assert objects(1) == objects(1)
    assert objects(1) != objects(2)


def test_an_exam_is_the_same_drawn_alone_or_after_others(country: World, drawn: list[SimulatedExam]) -> None:
    assert draw_exam(country, 321) == drawn[321]


def test_exams_lie_in_the_period_and_their_days_include_both_ends() -> None:
    world = plan("facility", exams=200, seed=1, start=dt.date(2025, 2, 27), end=dt.date(2025, 3, 1))
    days = Counter(exam.exam.study_date for exam in exams(world))
    assert set(days) == {"2025-02-27", "2025-02-28", "2025-03-01"}


@pytest.mark.parametrize(
    "change",
    [{"exams": 0}, {"end": dt.date(2024, 1, 1)}, {"device_classes": ()}, {"device_classes": ("ultrasound",)}],
)
def test_a_world_that_cannot_be_planned_is_refused(change: dict[str, object]) -> None:
    arguments = {"exams": 10, "seed": 1, "start": START, "end": END} | change
    with pytest.raises(SettingsError, match="cannot be planned"):
        plan("facility", **arguments)  # type: ignore[arg-type]


def test_only_the_classes_of_device_asked_for_are_used() -> None:
    world = year("facility", exams=100, seed=1, device_classes=("ct",))
    assert {exam.exam.kind for exam in exams(world)} == {"ct"}


def test_all_kinds_of_exam_occur(drawn: list[SimulatedExam]) -> None:
    assert {exam.exam.kind for exam in drawn} == {"ct", "projection", "mammography", "nuclear"}
    assert len({exam.procedure for exam in drawn}) > 25
    assert max(len(exam.exam.events) for exam in drawn) > 60


def _dose(simulated: SimulatedExam, quantity: str) -> float:
    totals, events = simulated.exam.totals, simulated.exam.events
    value = {
        "DLP": totals.dlp_mgy_cm,
        "CTDIvol": median([e.ctdi_vol_mgy for e in events[-1:] if e.ctdi_vol_mgy] or [math.nan]),
        "PKA": totals.kap_gy_cm2,
        "DG": median([e.agd_mgy for e in events if e.agd_mgy] or [math.nan]),
        "Administered activity": totals.administered_activity_mbq,
    }[quantity]
    assert value is not None
    habit = simulated.facility.dose_factor * simulated.device.dose_factor
    return value / (1.0 if quantity == "Administered activity" else habit)


@pytest.mark.parametrize(
    ("procedure", "group", "quantity"),
    [
        ("ct-head", "adult", "CTDIvol"),
        ("ct-head", "adult", "DLP"),
        ("ct-chest", "adult", "CTDIvol"),
        ("ct-abdomen-pelvis", "adult", "DLP"),
        ("ct-chest-abdomen-pelvis", "adult", "DLP"),
        ("ct-head", "child-age-6-18y", "DLP"),
        ("mg-bilateral", "adult", "DG"),
        ("xa-coronary-angiography", "adult", "PKA"),
        ("nm-pet-fdg", "adult", "Administered activity"),
    ],
)
def test_medians_are_the_published_typical_values_times_the_habit_of_the_place(
    faultless: list[SimulatedExam], procedure: str, group: str, quantity: str
) -> None:
    values = [_dose(e, quantity) for e in faultless if e.procedure == procedure and e.group == group]
    typical = typical_values()[procedure, group][quantity]
    assert len(values) > 50
    standard_error = 1.25 * math.log(typical.gsd) / math.sqrt(len(values))
    # Localisers and bolus tracking add a few per cent to the DLP.
    assert math.log(median(values) / typical.median) == pytest.approx(0.01, abs=0.05 + 3 * standard_error)


def test_dose_grows_with_the_weight_of_adults(faultless: list[SimulatedExam]) -> None:
    chests = [e for e in faultless if e.procedure == "ct-chest" and e.group == "adult"]
    light = [_dose(e, "CTDIvol") for e in chests if (e.exam.patient.weight_kg or 0) < 65]
    heavy = [_dose(e, "CTDIvol") for e in chests if (e.exam.patient.weight_kg or 0) > 85]
    assert median(heavy) > 1.2 * median(light)


def test_a_world_without_faults_has_none(faultless: list[SimulatedExam]) -> None:
    assert not any(exam.faults for exam in faultless)
    assert all(exam.copies == 1 and exam.exam.patient.weight_kg for exam in faultless)


def _applies(fault: str, simulated: SimulatedExam) -> bool:
    to = faults()[fault].applies_to
    if to == "report":
        return simulated.exam.source == "dose-report"
    return to == "any" or (simulated.exam.kind == "ct" and (to == "ct" or simulated.group != "adult"))


@pytest.mark.parametrize("fault", sorted(faults()))
def test_faults_occur_at_their_rates(drawn: list[SimulatedExam], fault: str) -> None:
    concerned = [exam for exam in drawn if _applies(fault, exam)]
    expected = faults()[fault].rate * len(concerned)
    assert sum(fault in exam.faults for exam in concerned) == pytest.approx(expected, abs=4 * math.sqrt(expected))
    assert not any(fault in exam.faults for exam in drawn if not _applies(fault, exam))


def _with(drawn: list[SimulatedExam], fault: str) -> list[SimulatedExam]:
    found = [exam for exam in drawn if fault in exam.faults]
    assert found
    return found


def test_a_duplicate_send_is_the_same_object_twice(drawn: list[SimulatedExam]) -> None:
    objects = encode_exam(_with(drawn, "duplicate-send")[0])
    assert objects[-1] == objects[-2]


def test_a_corrected_report_replaces_one_that_stated_less(drawn: list[SimulatedExam]) -> None:
    first, second = next(e for e in _with(drawn, "corrected-report") if len(e.exam.events) > 1).reports
    assert second.replaces == (first.sop_instance_uid,)
    assert set(first.events) < set(second.events)


def test_a_continued_report_holds_the_remaining_events(drawn: list[SimulatedExam]) -> None:
    continued = [e for e in _with(drawn, "continued-report") if "corrected-report" not in e.faults]
    exam = continued[0]
    first, second = exam.reports
    assert first.events + second.events == exam.exam.events
    assert first.study_instance_uid == second.study_instance_uid


def test_cumulative_and_per_series_reports_occur_by_the_habit_of_the_maker(drawn: list[SimulatedExam]) -> None:
    split = [e for e in drawn if len(e.reports) == 2 and not set(e.faults) & {"corrected-report", "continued-report"}]
    habits = {e.device.dialect.reports: e for e in split if e.exam.source == "dose-report"}
    assert set(habits) <= {"series", "cumulative"}
    for habit, exam in habits.items():
        whole = exam.reports[1].events if habit == "cumulative" else exam.reports[0].events + exam.reports[1].events
        assert whole == exam.exam.events


def test_implausible_dose_is_a_hundred_times_what_was_given(drawn: list[SimulatedExam]) -> None:
    heads = [e for e in drawn if e.procedure == "ct-head"]
    usual = median([e.exam.totals.dlp_mgy_cm or 0 for e in heads])
    wrong = [e.exam.totals.dlp_mgy_cm or 0 for e in heads if "implausible-dose" in e.faults]
    assert all(dlp > 20 * usual for dlp in wrong)
    assert {e.exam.kind for e in _with(drawn, "implausible-dose")} >= {"ct", "projection"}


def test_missing_and_zero_weights_are_not_stated_or_stated_as_zero(drawn: list[SimulatedExam]) -> None:
    assert all(exam.exam.patient.weight_kg is None for exam in _with(drawn, "missing-weight"))
    assert all(exam.exam.patient.weight_kg == 0 for exam in _with(drawn, "zero-weight"))
    assert all(exam.identity.birth_date is None for exam in _with(drawn, "missing-age"))


def test_children_on_adult_protocols_get_adult_dose_and_its_name(drawn: list[SimulatedExam]) -> None:
    for exam in _with(drawn, "adult-protocol-on-child"):
        assert exam.group != "adult"
        assert any(word in (exam.exam.events[-1].protocol or "") for word in ("Adult", "ADULT", "Erw", "DOROSLY"))


def test_extra_phases_add_scans(drawn: list[SimulatedExam]) -> None:
    chest = [e for e in drawn if e.procedure == "ct-chest"]
    usual = [len(e.exam.events) for e in chest if "extra-phases" not in e.faults]
    extra = [len(e.exam.events) for e in chest if "extra-phases" in e.faults]
    assert max(usual) <= 3
    assert min(extra) >= 3


def test_a_wrong_phantom_doubles_or_halves_what_is_stated(drawn: list[SimulatedExam]) -> None:
    for exam in _with(drawn, "wrong-phantom"):
        right = 16 if exam.procedure in ("ct-head", "ct-sinuses") else 32
        assert exam.exam.events[-1].phantom_cm == 48 - right


def test_one_ct_drifts_and_its_dose_steps_up_on_a_date() -> None:
    world = year("facility", exams=3000, seed=2, device_classes=("ct",))
    (device,) = world.drifting_devices
    assert device.drift
    heads = [e for e in exams(world) if e.device == device and e.procedure == "ct-head" and e.group == "adult"]
    before = [_dose(e, "CTDIvol") for e in heads if (e.exam.study_date or "") < device.drift.date.isoformat()]
    after = [_dose(e, "CTDIvol") for e in heads if (e.exam.study_date or "") >= device.drift.date.isoformat()]
    assert median(after) / median(before) == pytest.approx(device.drift.factor, rel=0.1)


def test_the_truth_is_an_exam_of_the_reading_contract(drawn: list[SimulatedExam]) -> None:
    exam = to_exam(drawn[0])
    assert msgspec.json.decode(msgspec.json.encode(exam), type=Exam) == exam
    assert all(event.event_uid for event in exam.events)


def test_objects_lie_in_folders_by_facility_and_month(tmp_path: Path) -> None:
    world = year("country", exams=60, seed=4)
    done: list[int] = []
    written = write_objects(world, tmp_path, progress=done.append)
    files = sorted(tmp_path.rglob("*.dcm"))
    assert (written.count, written.folder, done[-1]) == (len(files), tmp_path, 60)
    assert written.bytes == sum(file.stat().st_size for file in files)
    assert {len(file.relative_to(tmp_path).parts) for file in files} == {3}
    assert {file.parent.name[:5] for file in files} == {"2025-"}


def test_reports_of_estimated_dose_lie_beside_the_objects_that_they_were_made_from(tmp_path: Path) -> None:
    world = year("facility", exams=12, seed=4, device_classes=("ct", "radiography"))
    plain = write_objects(world, tmp_path / "plain")
    both = write_objects(world, tmp_path / "both", with_estimates=True)
    assert both.count == plain.count + world.exam_count
    before, after = (
        {str(file.relative_to(tmp_path / name)): file.read_bytes() for file in (tmp_path / name).rglob("*.dcm")}
        for name in ("plain", "both")
    )
    assert before.items() <= after.items()
    added = [read_bytes(after[file]).exam for file in after.keys() - before.keys()]
    assert len(added) == world.exam_count
    for exam in added:
        assert exam.kind == "estimate"
        assert exam.estimates
        assert {f"{uid}.dcm" for uid in exam.estimated_from} <= {Path(file).name for file in before}


def test_several_processes_write_the_same_files_as_one(tmp_path: Path) -> None:
    world = year("facility", exams=600, seed=9, device_classes=("radiography",))
    write_objects(world, tmp_path / "one")
    write_objects(world, tmp_path / "two", jobs=2)
    one, two = ({f.name: f.read_bytes() for f in (tmp_path / n).rglob("*.dcm")} for n in ("one", "two"))
    assert one == two
