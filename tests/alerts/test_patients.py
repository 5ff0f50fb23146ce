"""What a patient's exams pass together is told once, in whatever order and in whatever batches they arrive."""

from __future__ import annotations

import datetime as dt
import random
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.alerts.conftest import DAY, NOW, Report, raised

from doseatlas.alerts import Watch
from doseatlas.alerts.patients import Raised, fired, total
from doseatlas.alerts.rules import Rules, shipped_rules
from doseatlas.settings import AlertSettings, Settings
from doseatlas.store import Store, import_paths
from doseatlas.store.alerts import Batch, PatientExam

RULES = Rules(shipped_rules())
RULES_THAT_ADD = ("cumulative-effective-dose", "repeated-ct")
BY_NAME = {rule.rule: rule for rule in shipped_rules()}


def exam(number: int, day: str, **row: object) -> PatientExam:
    return PatientExam(f"e{number:03}", day, {"kind": "ct", **row})


def doses(*effective_doses_msv: float) -> list[PatientExam]:
    """Exams a month apart."""
    days = (dt.date(2020, 1, 1) + dt.timedelta(days=30 * n) for n in range(len(effective_doses_msv)))
    return [
        exam(n, str(day), effective_dose_msv=dose)
        for n, (day, dose) in enumerate(zip(days, effective_doses_msv, strict=True))
    ]


def heads(*days: int, procedure: str = "ct-head") -> list[PatientExam]:
    """Head CTs on these days of a month."""
    return [exam(day * 10, f"2024-01-{day:02}", procedure=procedure) for day in days]


def told(exams: list[PatientExam]) -> list[tuple[str, float]]:
    return [(one.exam_id, one.threshold) for one in fired(RULES, exams)]


def test_a_cumulative_dose_fires_with_the_exam_that_passes_a_threshold_and_not_after_it() -> None:
    assert told(doses(95, 4)) == []
    assert told(doses(95, 6)) == [("e001", 100)]
    assert told(doses(95, 6, 6, 6)) == [("e001", 100)]
    assert told(doses(95, 120)) == [("e001", 200)]
    assert told(doses(50, 50)) == []  # 100 does not exceed 100
    assert told(doses(60, 60, 90, 60)) == [("e001", 100), ("e002", 200)]
    assert told(doses(*[2.41] * 60)) == [("e041", 100)]


def test_what_is_not_known_is_left_out_and_not_counted_as_zero() -> None:
    rule = BY_NAME["cumulative-effective-dose"]
    assert total(rule, [*doses(5), exam(1, "2021-01-01")]) is None
    assert total(rule, [exam(1, ""), *doses(5)]) == 5
    assert total(BY_NAME["repeated-ct"], [exam(1, "2021-01-01")]) is None
    assert total(rule, doses(float("nan"))) is None
    assert total(rule, doses(float("inf"), 5)) == 5


def test_a_dose_out_of_physical_range_is_added_to_nothing() -> None:
    wrong = exam(0, "2019-12-31", effective_dose_msv=9e5, plausible=False)
    assert told([wrong]) == []
    assert told([wrong, *doses(60, 60)[1:]]) == []
    assert told([wrong, exam(7, "2020-01-01", effective_dose_msv=120.0, plausible=True)]) == [("e007", 100)]


def test_repeated_exams_are_counted_by_procedure_within_the_window() -> None:
    assert told(heads(1, 3, 8)) == []  # the first is out of the week
    assert told(heads(1, 3, 7)) == [("e070", 2)]
    assert told([*heads(1, 3), *heads(7, procedure="ct-chest")]) == []
    assert told([*heads(1, 2, 3), *heads(4, 5, 6, procedure="ct-chest")]) == [("e030", 2), ("e060", 2)]
    assert told([exam(1, "", procedure="ct-head"), *heads(1, 3)]) == []


def test_a_patient_who_comes_every_third_day_is_not_told_with_each_exam() -> None:
    assert told(heads(*range(1, 29, 3))) == [("e070", 2), ("e160", 2), ("e250", 2)]


def test_exams_of_one_day_follow_each_other_by_their_time() -> None:
    early = exam(9, "2024-01-01", effective_dose_msv=95.0)._replace(study_time="08:00:00")
    late = exam(1, "2024-01-01", effective_dose_msv=6.0)._replace(study_time="17:30:00")
    assert told([late, early]) == [("e001", 100)]


def test_an_earlier_exam_that_arrives_late_bears_on_the_later_ones() -> None:
    exams = doses(60, 60, 60)
    assert told(exams[1:]) == [("e002", 100)]
    late = fired(RULES, exams, [Raised("e002", "cumulative-effective-dose", 100)], due={"e000"})
    assert late == []  # the patient's 100 mSv are known
    assert [one.exam_id for one in fired(RULES, exams[:2], due={"e000"})] == ["e001"]


def test_an_exam_that_nothing_new_bears_on_is_not_looked_at() -> None:
    assert fired(RULES, [*heads(1, 2, 3), *heads(20)], due={"e200"}) == []


def test_history_counts_but_is_not_told_of_by_itself() -> None:
    exams = doses(60, 60, 10)
    last = exams[-1].study_date
    assert [(one.exam_id, one.value) for one in fired(RULES, exams, since=last)] == [("e002", 130)]
    assert fired(RULES, exams[:2], since=last) == []
    undated = exam(7, "", effective_dose_msv=10.0)
    assert [one.exam_id for one in fired(RULES, [*exams, undated], due={"e007"}, since=last)] == ["e002"]


Arrived = st.tuples(st.lists(st.integers(1, 28), min_size=1, max_size=14), st.integers(0, 2**16))


def drawn(days: list[int]) -> list[PatientExam]:
    """Head CTs of one patient, in the order in which they were made, several of a day among them."""
    return [
        exam(number, f"2024-01-{day:02}", procedure="ct-head", effective_dose_msv=30.0 + 40 * (number % 3))._replace(
            study_time=f"{number:02}:00:00"
        )
        for number, day in enumerate(sorted(days))
    ]


def arriving(exams: list[PatientExam], chance: random.Random) -> list[Raised]:
    """The alerts that are raised while exams come in this order, in batches by chance."""
    there: list[PatientExam] = []
    alerts: list[Raised] = []
    while len(there) < len(exams):
        batch = exams[len(there) :][: chance.randint(1, len(exams))]
        there += batch
        found = fired(RULES, there, alerts, {one.exam_id for one in batch})
        alerts += [Raised(one.exam_id, one.rule.rule, one.threshold) for one in found]
    return alerts


@given(Arrived)
def test_in_whatever_batches_exams_come_the_same_alerts_are_raised(given_: tuple[list[int], int]) -> None:
    days, seed = given_
    exams = drawn(days)
    at_once = [Raised(one.exam_id, one.rule.rule, one.threshold) for one in fired(RULES, exams)]
    assert sorted(arriving(exams, random.Random(seed))) == sorted(at_once)


@given(Arrived)
def test_in_whatever_order_exams_come_nothing_is_told_twice_and_nothing_left_out(given_: tuple[list[int], int]) -> None:
    days, seed = given_
    exams, chance = drawn(days), random.Random(seed)
    alerts = arriving(chance.sample(exams, len(exams)), chance)
    day_of = {one.exam_id: dt.date.fromisoformat(one.study_date) for one in exams}
    assert fired(RULES, exams, alerts) == []
    for rule, window in (("cumulative-effective-dose", 10_000), ("repeated-ct", 7)):
        found = [(one.threshold, day_of[one.exam_id]) for one in alerts if one.rule == rule]
        for index, (threshold, day) in enumerate(found):
            assert not any(other == threshold and abs((at - day).days) < window for other, at in found[:index])
    dose = sum(one.row["effective_dose_msv"] for one in exams)  # type: ignore[misc]
    assert max((one.threshold for one in alerts if one.rule.startswith("cumul")), default=None) == (
        BY_NAME["cumulative-effective-dose"].exceeded(dose)
    )


# ---- in a store ----

Ct = list[bytes]
Told = tuple[str, float, str]  # rule, threshold and exam of an alert


@pytest.fixture
def rules_file(tmp_path: Path) -> Path:
    """Rules of which the thresholds are passed by CT reports of the simulator."""
    file = tmp_path / "rules.csv"
    header = (
        "rule,title,measure,quantity,kinds,procedure,patient_group,window_days,thresholds,shown_unit,per_shown_unit"
    )
    file.write_text(
        f"{header},roles,advice,source\n"
        "repeated-ct,CT repeated,count,exam_id,ct,,,7,2;5,examinations,1,,Look.,here\n"
        "cumulative-effective-dose,DLP in all,sum,dlp_mgy_cm,ct,,,,1;1000;2000,mGy.cm,1,,Look.,here\n"
    )
    return file


def using(settings: Settings, rules_file: Path) -> Settings:
    return msgspec.structs.replace(settings, alerts=AlertSettings(rules_file=str(rules_file)))


def scans(report: Report, data: bytes, count: int) -> list[Path]:
    """Reports of one patient's examinations, two a day, in the order in which they were made."""
    return [
        report(
            data=data,
            study=500 + n,
            StudyDate=(DAY + dt.timedelta(days=n // 2)).strftime("%Y%m%d"),
            StudyTime=f"{8 + n % 2:02}0000",
            PatientID="P1",
            StudyDescription="CT Head",
        )
        for n in range(count)
    ]


def adding(store: Store) -> list[Told]:
    """The alerts of a store on what adds up."""
    return [(one.rule, one.threshold, one.exam_id) for one in raised(store) if one.rule in RULES_THAT_ADD]


def rehearsed(watch: Watch, store: Store) -> dict[tuple[str, float], int]:
    """How often each threshold of what adds up would have fired."""
    rows = watch.rehearse(store, DAY, DAY + dt.timedelta(days=6))
    return {(row.rule, row.threshold): row.fired for row in rows if row.rule in RULES_THAT_ADD}


def imported(
    settings: Settings, rules_file: Path, batches: list[list[Path]]
) -> tuple[list[tuple[str, float, str]], int]:
    """What these imports, one after the other, raise in a new store, and how many rehearsed thresholds differ."""
    with tempfile.TemporaryDirectory() as folder:
        settings = msgspec.structs.replace(using(settings, rules_file), data_dir=folder)
        watch = Watch(settings)
        with Store.from_settings(settings) as store:
            for batch in batches:
                import_paths(store, batch)
                watch.look(store, NOW)
            found = adding(store)
            fired_at = Counter((rule, threshold) for rule, threshold, _ in found)
            counted = rehearsed(watch, store)
            return found, sum(fired_at[key] != count for key, count in counted.items())


def partition(files: list[Path], chance: random.Random) -> list[list[Path]]:
    """Files in batches by chance."""
    cuts = sorted(chance.sample(range(1, len(files)), chance.randint(1, len(files) - 1)))
    return [files[begin:end] for begin, end in pairwise([0, *cuts, len(files)])]


def test_the_same_alerts_are_raised_and_rehearsed_however_exams_are_divided_into_imports(
    settings: Settings, report: Report, computed_tomography: Ct, rules_file: Path
) -> None:
    files = scans(report, computed_tomography[0], 7)
    at_once, differing = imported(settings, rules_file, [files])
    assert [(rule, threshold) for rule, threshold, _ in at_once] == [
        *(("cumulative-effective-dose", bound) for bound in (1, 1000, 2000)),
        *(("repeated-ct", bound) for bound in (2, 5)),
    ]
    assert differing == 0
    for seed in range(4):
        assert imported(settings, rules_file, partition(files, random.Random(seed))) == (at_once, 0)
    for seed in range(3):
        chance = random.Random(seed)
        found, differing = imported(settings, rules_file, partition(chance.sample(files, len(files)), chance))
        assert [one[:2] for one in found] == [one[:2] for one in at_once]
        assert differing == 0


def test_exams_of_a_patient_that_are_not_looked_at_together_raise_the_same(
    settings: Settings, report: Report, computed_tomography: Ct, rules_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = scans(report, computed_tomography[0], 7)
    at_once = imported(settings, rules_file, [files])
    monkeypatch.setattr("doseatlas.store.alerts._TOGETHER", 2)
    monkeypatch.setattr("doseatlas.store.database._TOGETHER", 3)
    assert imported(settings, rules_file, [files]) == at_once


def test_a_second_object_of_a_study_tells_nothing_again(
    store: Store, settings: Settings, report: Report, computed_tomography: Ct, rules_file: Path
) -> None:
    watch = Watch(using(settings, rules_file))
    files = scans(report, computed_tomography[0], 3)
    import_paths(store, files)
    watch.look(store, NOW)
    before = adding(store)
    assert before
    import_paths(store, [report(data=computed_tomography[0], PatientID="P1", corrects=file) for file in files])
    watch.look(store, NOW)
    assert adding(store) == before


def test_a_patient_over_a_threshold_by_history_is_told_with_the_next_exam_and_so_rehearsed(
    store: Store, settings: Settings, report: Report, computed_tomography: Ct, rules_file: Path
) -> None:
    watch = Watch(using(settings, rules_file))
    old, new = scans(report, computed_tomography[0], 4), scans(report, computed_tomography[1], 6)[5]
    import_paths(store, old)
    assert watch.look(store, NOW + dt.timedelta(days=40)) == 0
    import_paths(store, [new])
    day = DAY + dt.timedelta(days=2)
    before = {
        (row.rule, row.threshold) for row in watch.rehearse(store, day, day) if row.fired and row.rule in RULES_THAT_ADD
    }
    watch.look(store, NOW)
    found = adding(store)
    assert {rule for rule, _, _ in found} == set(RULES_THAT_ADD)
    assert len({exam_id for _, _, exam_id in found}) == 1
    assert {one[:2] for one in found} == before


def test_a_study_of_two_patient_ids_is_of_the_first_alone(
    store: Store, settings: Settings, report: Report, computed_tomography: Ct, rules_file: Path
) -> None:
    watch = Watch(using(settings, rules_file))
    files = scans(report, computed_tomography[0], 3)
    head = {"data": computed_tomography[0], "StudyDescription": "CT Head", "PatientID": "P2"}
    import_paths(store, files)
    import_paths(store, [report(**head, corrects=files[0]), report(**head, study=900), report(**head, study=901)])
    watch.look(store, NOW)
    found = adding(store)
    assert len(found) == len(set(found))
    (repeated,) = (exam_id for rule, _, exam_id in found if rule == "repeated-ct")
    with store.database.reading() as connection:
        (theirs,) = Batch(connection, [repeated], False).patients()
    assert len(theirs) == 3


def test_equal_ids_of_different_hospitals_are_different_patients(
    store: Store, settings: Settings, report: Report, computed_tomography: Ct
) -> None:
    for number, file in enumerate(scans(report, computed_tomography[0], 3)):
        import_paths(store, [file], facility=f"Hospital {number}")
    Watch(settings).look(store, NOW)
    assert adding(store) == []
    shared = msgspec.structs.replace(settings, alerts=AlertSettings(patient_ids="shared"))
    assert rehearsed(Watch(shared), store)["repeated-ct", 2] == 1


def test_equal_ids_of_different_issuers_are_different_patients_even_where_ids_are_shared(
    store: Store, settings: Settings, report: Report, computed_tomography: Ct
) -> None:
    for number, file in enumerate(scans(report, computed_tomography[0], 3)):
        dataset = pydicom.dcmread(file)
        dataset.IssuerOfPatientID = f"Issuer {number}"
        dataset.save_as(file)
        import_paths(store, [file])
    shared = msgspec.structs.replace(settings, alerts=AlertSettings(patient_ids="shared"))
    Watch(shared).look(store, NOW)
    assert adding(store) == []
