from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doseatlas.dicom.simulate import SimulatedExam, exams, plan
from doseatlas.model import Device, Event, Exam, Note, Patient, Totals
from doseatlas.standardise import exam_kind_key, merge

PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
PROCESSING = "1.2.840.10008.5.1.4.1.1.1.2.1"


def scan(uid: str | None, dlp: float = 100.0, **more: object) -> Event:
    return msgspec.convert({"event_uid": uid, "dlp_mgy_cm": dlp, "ctdi_vol_mgy": dlp / 20, **more}, Event)


def report(sop: str, *events: Event, at: str | None = None, dlp: float | None = None, **more: object) -> Exam:
    total = dlp if dlp is not None else sum(event.dlp_mgy_cm or 0 for event in events)
    base = Exam(
        kind="ct",
        source="dose-report",
        study_instance_uid="1.1",
        sop_instance_uid=sop,
        content_at=at or f"2024-05-31T10:00:{int(sop.rpartition('.')[2]):02}",
        totals=Totals(dlp_mgy_cm=total, event_count=len(events)),
        events=events,
    )
    return msgspec.structs.replace(base, **more)


def image(sop: str, *events: Event, **more: object) -> Exam:
    base = Exam(kind="mammography", source="image", study_instance_uid="1.1", sop_instance_uid=sop, events=events)
    return msgspec.structs.replace(base, **more)


def codes(exam: Exam) -> set[str]:
    return {note.code for note in exam.notes}


def test_one_object_is_returned_as_it_is() -> None:
    one = report("1.1", scan("a"))
    assert merge([one]) is one


def test_nothing_or_several_kinds_cannot_be_merged() -> None:
    with pytest.raises(ValueError, match="one kind"):
        merge([])
    with pytest.raises(ValueError, match="one kind"):
        merge([report("1.1"), image("1.2")])


def test_reports_of_different_events_add_up() -> None:
    merged = merge([report("1.1", scan("a"), scan("b")), report("1.2", scan("c", 50.0))])
    assert merged.totals == Totals(dlp_mgy_cm=250.0, event_count=3)
    assert [event.event_uid for event in merged.events] == ["a", "b", "c"]
    assert codes(merged) == {"merged"}


def test_a_cumulative_report_supersedes_what_it_holds() -> None:
    merged = merge([report("1.1", scan("a")), report("1.2", scan("a"), scan("b"), dlp=212.0)])
    assert merged.totals.dlp_mgy_cm == 212.0
    assert len(merged.events) == 2
    assert "superseded" in codes(merged)


def test_a_report_beside_a_cumulative_one_still_adds() -> None:
    parts = [report("1.1", scan("a")), report("1.2", scan("a"), scan("b")), report("1.3", scan("c"))]
    assert merge(parts).totals.dlp_mgy_cm == 300.0


def test_reports_that_share_some_events_are_summed_over_the_united_events() -> None:
    merged = merge([report("1.1", scan("a"), scan("b")), report("1.2", scan("b"), scan("c"))])
    assert merged.totals == Totals(dlp_mgy_cm=300.0)
    assert len(merged.events) == 3
    assert "reports-overlap" in codes(merged)


def test_the_same_object_sent_again_counts_once() -> None:
    one = report("1.1", scan("a"), path="first.dcm")
    again = msgspec.structs.replace(one, path="second.dcm")
    merged = merge([again, one])
    assert merged.path == "first.dcm"
    assert merged.totals.dlp_mgy_cm == 100.0
    assert not merged.notes


def test_one_dose_in_two_encodings_counts_once() -> None:
    merged = merge([report("1.1", scan("a")), report("1.2", scan("a", protocol="other charset"))])
    assert merged.totals.dlp_mgy_cm == 100.0
    assert len(merged.events) == 1


def test_other_values_under_one_instance_uid_replace_the_earlier() -> None:
    early = report("1.1", scan("a", 900.0), at="2024-05-31T10:00:00")
    late = report("1.1", scan("a", 90.0), at="2024-05-31T11:00:00")
    merged = merge([late, early])
    assert merged.totals.dlp_mgy_cm == 90.0
    assert codes(merged) == {"replaced"}


def test_other_texts_under_one_instance_uid_are_no_other_dose() -> None:
    one, other = report("1.1", scan("a", protocol="Schadel")), report("1.1", scan("a", protocol="Schädel"))
    merged = merge([one, other])
    assert merged.totals.dlp_mgy_cm == 100.0
    assert not merged.notes


def test_a_corrected_report_replaces_its_predecessor() -> None:
    wrong = report("1.1", scan("a", 900.0), scan("x"))
    right = report("1.2", scan("a", 90.0), replaces=("1.1",))
    merged = merge([wrong, right])
    assert merged.totals.dlp_mgy_cm == 90.0
    assert codes(merged) == {"replaced"}


def test_two_reports_that_name_each_other_leave_the_later_one() -> None:
    one = report("1.1", scan("a"), replaces=("1.2",))
    two = report("1.2", scan("b", 50.0), replaces=("1.1",))
    assert merge([one, two]).totals.dlp_mgy_cm == 50.0


def test_a_chain_of_corrections_leaves_the_last() -> None:
    chain = [report("1.1", scan("a")), report("1.2", scan("b"), replaces=("1.1",))]
    chain.append(report("1.3", scan("c", 7.0), replaces=("1.2",)))
    assert merge(chain).totals.dlp_mgy_cm == 7.0


def test_equal_events_without_uid_are_two_within_a_report_and_the_same_across_reports() -> None:
    single = report("1.1", scan(None), scan(None))
    cumulative = report("1.2", scan(None), scan(None), scan(None, 30.0))
    merged = merge([single, cumulative])
    assert len(merged.events) == 3
    assert merged.totals.dlp_mgy_cm == 230.0


def test_a_report_of_totals_only_does_not_add_to_one_with_events() -> None:
    merged = merge([report("1.1", dlp=100.0), report("1.2", scan("a"))])
    assert merged.totals.dlp_mgy_cm == 100.0


def test_reports_of_totals_only_are_taken_for_cumulative() -> None:
    assert merge([report("1.1", dlp=300.0), report("1.2", dlp=100.0)]).totals.dlp_mgy_cm == 300.0


def test_procedure_steps_add_up_and_give_way_to_a_report() -> None:
    steps = [report("1.1", dlp=100.0, source="mpps"), report("1.2", dlp=50.0, source="mpps")]
    assert merge(steps).totals.dlp_mgy_cm == 150.0
    assert merge([*steps, report("1.3", scan("a", 149.0))]).totals.dlp_mgy_cm == 149.0


def test_images_give_way_to_a_report_but_tell_what_it_does_not() -> None:
    slice_ = image("1.5", Event(ctdi_vol_mgy=3.0), kind="ct", body_part="CHEST", patient=Patient(weight_kg=70.0))
    merged = merge([slice_, report("1.1", scan("a"), patient=Patient(sex="F"))])
    assert merged.totals.dlp_mgy_cm == 100.0
    assert merged.source == "dose-report"
    assert merged.body_part == "CHEST"
    assert merged.patient == Patient(sex="F", weight_kg=70.0)


def test_slices_of_a_scan_are_one_event_with_the_mean_ctdivol() -> None:
    slices = [
        image(f"1.{n}", Event(ctdi_vol_mgy=ctdi, phantom_cm=32, kvp=120.0, exposure_mas=n), kind="ct")
        for n, ctdi in enumerate((4.0, 5.0, 6.0))
    ]
    merged = merge(slices)
    assert merged.events == (Event(ctdi_vol_mgy=5.0, phantom_cm=32, kvp=120.0),)
    assert merged.totals == Totals()


def test_ctdivol_of_different_phantoms_is_never_averaged() -> None:
    head = image("1.1", Event(event_uid="a", ctdi_vol_mgy=40.0, phantom_cm=16), kind="ct")
    body = image("1.2", Event(event_uid="a", ctdi_vol_mgy=10.0, phantom_cm=32), kind="ct")
    assert {event.ctdi_vol_mgy for event in merge([head, body]).events} == {40.0, 10.0}


def test_images_for_presentation_and_for_processing_are_one_exposure() -> None:
    views = [Event(agd_mgy=1.5, laterality="L", view="CC"), Event(agd_mgy=1.4, laterality="R", view="CC")]
    pairs = [
        image(f"1.{n}", view, sop_class_uid=sop_class)
        for n, (view, sop_class) in enumerate((v, c) for v in views for c in (PRESENTATION, PROCESSING))
    ]
    merged = merge(pairs)
    assert len(merged.events) == 2
    assert merged.totals == Totals(agd_left_mgy=1.5, agd_right_mgy=1.4)
    assert "total-from-events" in codes(merged)


def test_equal_exposures_on_images_of_one_class_are_two() -> None:
    views = [image(f"1.{n}", Event(kap_gy_cm2=0.1), kind="projection", sop_class_uid="1.2") for n in range(2)]
    assert merge(views).totals.kap_gy_cm2 == 0.2


def test_all_images_of_an_administration_state_it_once() -> None:
    dose = Event(administered_activity_mbq=300.0, radionuclide="F-18", started_at="2024-05-31T09:00:00")
    images = [image(f"1.{n}", dose, kind="nuclear") for n in range(3)]
    second = msgspec.structs.replace(dose, administered_activity_mbq=50.0, started_at="2024-05-31T10:00:00")
    merged = merge([*images, image("1.9", second, kind="nuclear")])
    assert merged.totals.administered_activity_mbq == 350.0
    assert merged.totals.radionuclide == "F-18"


def test_a_dose_screen_states_more_than_the_exposures_it_lists() -> None:
    screen = image("1.1", scan(None, 769.67), kind="ct", totals=Totals(dlp_mgy_cm=1748.68))
    slice_ = image("1.2", Event(ctdi_vol_mgy=9.0), kind="ct", series_instance_uid="2")
    assert merge([screen, slice_]).totals.dlp_mgy_cm == 1748.68


def test_a_patient_or_device_that_differs_is_noted() -> None:
    one = report("1.1", scan("a"), patient=Patient(sex="F", age_years=54.0), device=Device(serial_number="1"))
    two = report("1.2", scan("b"), patient=Patient(sex="M", age_years=54.5), device=Device(serial_number="2"))
    merged = merge([one, two])
    assert merged.patient.sex == "F"
    assert {"patient-differs", "devices-differ"} <= codes(merged)
    assert sum(note.code == "patient-differs" for note in merged.notes) == 1


def test_notes_of_all_objects_are_kept_once() -> None:
    note = Note(code="unit", message="A unit.")
    merged = merge([report("1.1", scan("a"), notes=(note,)), report("1.2", scan("b"), notes=(note,))])
    assert [one.code for one in merged.notes] == ["unit", "merged"]


def test_the_key_of_an_exam_is_its_study_and_kind() -> None:
    assert exam_kind_key(report("1.1")) == ("1.1", "ct")
    assert exam_kind_key(Exam(kind="ct", path="a.dcm")) == ("a.dcm", "ct")


@st.composite
def objects(draw: st.DrawFn) -> list[Exam]:
    events = [scan(uid, float(10 * (n + 1))) for n, uid in enumerate(("a", "b", "c", "d", None, None))]
    found = []
    for number in range(draw(st.integers(2, 5))):
        held = draw(st.lists(st.sampled_from(events), max_size=4))
        sop = f"1.{draw(st.integers(1, 6))}"
        at = draw(st.sampled_from((None, "2024-05-31T10:00:00", f"2024-05-31T11:00:0{number}")))
        source = draw(st.sampled_from(("dose-report", "dose-report", "image", "mpps")))
        replaces = draw(st.sampled_from(((), (), ("1.1",), ("1.2",))))
        patient = Patient(sex=draw(st.sampled_from((None, "F", "M"))))
        exam = report(sop, *held, source=source, replaces=replaces, patient=patient)
        found.append(msgspec.structs.replace(exam, content_at=at))
    return found


@settings(max_examples=200, deadline=None)
@given(st.data(), objects())
def test_neither_order_nor_repetition_of_the_objects_matters(data: st.DataObject, found: list[Exam]) -> None:
    merged = merge(found)
    assert merge(data.draw(st.permutations(found))) == merged
    assert merge(found + found) == merged
    assert merge([merged]) is merged


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 30), unique=True, min_size=1), st.integers(1, 4))
def test_series_reports_of_any_split_add_up_to_the_whole(doses: list[int], size: int) -> None:
    events = [scan(f"e{n}", float(dose)) for n, dose in enumerate(doses)]
    parts = [report(f"1.{n}", *events[n : n + size]) for n in range(0, len(events), size)]
    assert merge(parts).totals.dlp_mgy_cm == sum(doses)
    assert len(merge(parts).events) == len(events)


def simulated(seed: int) -> list[SimulatedExam]:
    world = plan("country", exams=400, seed=seed, start=dt.date(2024, 1, 1), end=dt.date(2024, 12, 31))
    return [exam for exam in exams(world) if len(exam.reports) > 1]


def test_merging_what_simulated_objects_state_gives_the_truth() -> None:
    found = simulated(3)
    assert {one.exam.kind for one in found} >= {"ct", "projection"}
    for one in found:
        merged = merge([*one.reports, *one.reports[-1:] * (one.copies - 1)])
        assert len(merged.events) == len(one.exam.events), one.faults
        for name in Totals.__struct_fields__:
            expected = getattr(one.exam.totals, name)
            if isinstance(expected, float):
                assert getattr(merged.totals, name) == pytest.approx(expected, rel=1e-6, abs=0.011), (name, one.faults)
