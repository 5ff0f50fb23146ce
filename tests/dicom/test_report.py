"""Structured reports that real ones resemble: each differs from a plain CT or projection report in one thing."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from doseatlas.dicom import read_bytes
from doseatlas.model import Exam, Totals

ROOT = ("113701", "DCM")
CT_TOTAL, CT_EVENT, CT_DOSE = ("113811", "DCM"), ("113819", "DCM"), ("113829", "DCM")
TOTAL, EVENT = ("113702", "DCM"), ("113706", "DCM")
DLP_TOTAL, DLP, CTDI = ("113813", "DCM"), ("113838", "DCM"), ("113830", "DCM")
KAP_TOTAL, KAP, RP_TOTAL, RP = ("113722", "DCM"), ("122130", "DCM"), ("113725", "DCM"), ("113738", "DCM")

Concept = tuple[str, str]


def coded(concept: Concept, meaning: str = "x") -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = concept
    code.CodeMeaning = meaning
    return code


def item(value_type: str, concept: Concept, children: Sequence[Dataset] = ()) -> Dataset:
    made = Dataset()
    made.RelationshipType = "CONTAINS"
    made.ValueType = value_type
    made.ConceptNameCodeSequence = [coded(concept)]
    if children:
        made.ContentSequence = list(children)
    return made


def container(concept: Concept, *children: Dataset) -> Dataset:
    return item("CONTAINER", concept, children)


def num(concept: Concept, value: str, unit: str | None, *children: Dataset) -> Dataset:
    made = item("NUM", concept, children)
    measured = Dataset()
    with pydicom.config.disable_value_validation():
        measured.add_new(0x0040A30A, "DS", b"")
        measured[0x0040A30A]._value = value
    if unit is not None:
        measured.MeasurementUnitsCodeSequence = [coded((unit, "UCUM"))]
    made.MeasuredValueSequence = [measured]
    return made


def code(concept: Concept, value: Concept, meaning: str = "x", *children: Dataset) -> Dataset:
    made = item("CODE", concept, children)
    made.ConceptCodeSequence = [coded(value, meaning)]
    return made


def uid(concept: Concept, value: str) -> Dataset:
    made = item("UIDREF", concept)
    made.UID = value
    return made


def written(*children: Dataset, root: Concept = ROOT, **attributes: Any) -> bytes:
    dataset = container(root, *children)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.67"
    dataset.SOPInstanceUID = "1.2.3"
    dataset.StudyInstanceUID = "1.2"
    dataset.StudyDate = "20250102"
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, implicit_vr=False, little_endian=True)
    return stream.getvalue()


def read(*children: Dataset, root: Concept = ROOT, **attributes: Any) -> Exam:
    return read_bytes(written(*children, root=root, **attributes)).exam


def codes(exam: Exam) -> list[str]:
    return [note.code for note in exam.notes]


def ct_event(*children: Dataset) -> Dataset:
    return container(CT_EVENT, container(CT_DOSE, *children))


# ---- numbers and units ----


def test_a_decimal_comma_is_not_a_number() -> None:
    exam = read(ct_event(num(DLP, "12,5", "mGy.cm")))
    assert exam.events[0].dlp_mgy_cm is None
    assert exam.totals.dlp_mgy_cm is None
    assert codes(exam) == ["not-a-number"]
    assert "'12,5'" in exam.notes[0].message


@pytest.mark.parametrize("value", ["NaN", "inf", "1e400", "1_000", "twelve"])
def test_what_is_no_finite_number_is_not_used(value: str) -> None:
    exam = read(ct_event(num(DLP, value, "mGy.cm")))
    assert exam.events[0].dlp_mgy_cm is None
    assert codes(exam) == ["not-a-number"]


@pytest.mark.parametrize(
    ("unit", "note"),
    [("mGy", "unit-unknown"), ("mgy.cm", "unit-unknown"), (None, "unit-missing"), ("", "unit-missing")],
)
def test_a_number_in_no_unit_of_its_quantity_is_not_used(unit: str | None, note: str) -> None:
    exam = read(ct_event(num(DLP, "12.5", unit)), ct_event(num(DLP, "12.5", unit)))
    assert [event.dlp_mgy_cm for event in exam.events] == [None, None]
    assert codes(exam) == [note]
    assert "2 times" in exam.notes[0].message


@pytest.mark.parametrize("value", ["-1", "1e9"])
def test_a_dose_that_cannot_be_is_refused_wherever_it_stands(value: str) -> None:
    for exam in (
        read(ct_event(num(DLP, value, "mGy.cm"))),
        read(container(CT_TOTAL, num(DLP_TOTAL, value, "mGy.cm"))),
        read(container(EVENT, num(KAP, value, "Gy.cm2"))),
    ):
        assert exam.kind == "refused"
        assert exam.error
        assert exam.error.code == "impossible-value"
        assert exam.study_instance_uid == "1.2"


def test_possible_planes_that_add_up_to_an_impossible_total_are_refused() -> None:
    plane = container(TOTAL, num(KAP_TOTAL, "60000", "Gy.cm2"))
    assert read(plane).kind == "projection"
    exam = read(plane, plane)
    assert exam.error
    assert exam.error.code == "impossible-value"


def test_a_stated_zero_stays_and_loses_its_sign() -> None:
    exam = read(container(TOTAL, num(KAP_TOTAL, "-0", "Gy.m2")))
    assert str(exam.totals.kap_gy_cm2) == "0.0"


def test_a_count_that_is_no_whole_number_is_not_used() -> None:
    total = container(CT_TOTAL, num(DLP_TOTAL, "5", "mGy.cm"), num(("113812", "DCM"), "2.5", "{events}"))
    exam = read(total)
    assert exam.totals.event_count is None
    assert "not-a-number" in codes(exam)


# ---- totals ----


def test_totals_of_planes_are_added_and_compared_with_the_events() -> None:
    planes = [container(TOTAL, num(KAP_TOTAL, value, "Gy.cm2"), num(RP_TOTAL, "0.01", "Gy")) for value in ("3", "4")]
    exam = read(*planes, container(EVENT, num(KAP, "7", "Gy.cm2"), num(RP, "15", "mGy")))
    assert (exam.totals.kap_gy_cm2, exam.totals.reference_air_kerma_mgy) == (7, 20)
    assert codes(exam) == ["total-differs-from-events"]
    assert "stated 20 mGy, the events add up to 15, -25.0 %" in exam.notes[0].message


def test_a_difference_of_one_percent_is_none() -> None:
    total = container(CT_TOTAL, num(DLP_TOTAL, "100", "mGy.cm"))
    assert codes(read(total, ct_event(num(DLP, "99", "mGy.cm")))) == []
    assert codes(read(total, ct_event(num(DLP, "98.9", "mGy.cm")))) == ["total-differs-from-events"]


def test_a_total_that_is_not_stated_is_the_sum_and_the_note_says_of_how_many() -> None:
    exam = read(
        ct_event(num(DLP, "1.1", "mGy.cm")), ct_event(num(DLP, "2.2", "mGy.cm")), ct_event(num(CTDI, "1", "mGy"))
    )
    assert exam.totals.dlp_mgy_cm == 3.3
    assert exam.notes[0].message.endswith("dlp_mgy_cm (stated by 2 of 3 events).")


def test_glandular_dose_needs_its_side() -> None:
    side = ("G-C171", "SRT")
    agd = ("111637", "DCM")
    exam = read(
        container(
            TOTAL,
            num(agd, "1.5", "mGy", code(side, ("80248007", "SCT"))),
            num(agd, "2.5", "mGy", code(side, ("T-04020", "SNM3"))),
            num(agd, "9", "mGy"),
        )
    )
    assert (exam.kind, exam.totals.agd_left_mgy, exam.totals.agd_right_mgy) == ("mammography", 1.5, 2.5)
    assert codes(exam) == ["unknown-code"]


# ---- what is where ----


def test_a_report_inside_another_report_is_found() -> None:
    inner = container(ROOT, container(CT_TOTAL, num(DLP_TOTAL, "5", "mGy.cm")), ct_event(num(DLP, "5", "mGy.cm")))
    exam = read(inner, root=("126000", "DCM"))
    assert (exam.kind, exam.totals.dlp_mgy_cm, len(exam.events)) == ("ct", 5, 1)


def test_a_dose_outside_of_any_event_is_the_total_only_where_it_may_be() -> None:
    loose = num(DLP, "5", "mGy.cm")
    exam = read(loose, ct_event(num(CTDI, "1", "mGy")))
    assert exam.totals.dlp_mgy_cm == 5
    assert codes(exam) == ["vendor-correction"]
    twice = read(loose, loose, ct_event(num(CTDI, "1", "mGy")))
    assert twice.totals.dlp_mgy_cm is None
    assert codes(twice) == ["value-outside-event"]
    beside = read(loose, container(CT_TOTAL, num(DLP_TOTAL, "7", "mGy.cm")))
    assert beside.totals.dlp_mgy_cm == 7
    assert codes(beside) == ["value-outside-event"]


def test_a_report_without_dose_is_no_dose_object() -> None:
    exam = read(num(("121206", "DCM"), "5", "mm"), root=("126000", "DCM"))
    assert (exam.kind, codes(exam)) == ("not-dose", [])
    empty = read(container(CT_TOTAL))
    assert (empty.kind, codes(empty)) == ("not-dose", ["empty-report"])


def test_estimates_of_organ_dose_are_not_mistaken_for_an_examination() -> None:
    estimate = container(
        ("113517", "DCM"), num(("113518", "DCM"), "5", "mGy"), code(("G-C171", "SRT"), ("G-A102", "SRT"))
    )
    exam = read(estimate, num(("113839", "DCM"), "7", "mSv"), root=("128401", "DCM"))
    assert (exam.kind, exam.events, exam.totals) == ("estimate", (), Totals())
    assert [(one.absorbed_dose_mgy, one.laterality) for one in exam.estimates] == [(5, "B")]
    assert codes(exam) == ["value-outside-event"]


def test_the_side_of_an_organ_is_not_the_side_of_the_administration() -> None:
    organ = container(("113517", "DCM"), code(("G-C171", "SRT"), ("G-A102", "SRT")))
    exam = read(container(("113502", "DCM"), num(("113507", "DCM"), "0.4", "GBq"), organ), root=("113500", "DCM"))
    assert (exam.kind, exam.events[0].administered_activity_mbq) == ("nuclear", 400)
    assert exam.events[0].laterality is None


@pytest.mark.parametrize(
    ("reported", "dose", "kind"),
    [
        (("P5-08000", "SRT"), num(DLP, "5", "mGy.cm"), "ct"),
        (("71651007", "SCT"), num(KAP, "5", "Gy.cm2"), "mammography"),
        (("113704", "DCM"), num(KAP, "5", "Gy.cm2"), "projection"),
        (("999", "LOCAL"), num(CTDI, "5", "mGy"), "ct"),
        (("999", "LOCAL"), num(("111631", "DCM"), "5", "mGy"), "mammography"),
        (("999", "LOCAL"), num(KAP, "5", "Gy.cm2"), "projection"),
    ],
)
def test_an_enhanced_report_is_of_the_kind_reported_or_else_shown(reported: Concept, dose: Dataset, kind: str) -> None:
    """TID 10040: its containers serve all kinds of X-ray examination."""
    exam = read(
        code(("121058", "DCM"), reported),
        container(
            ("130500", "DCM"),
            num(KAP_TOTAL if kind != "ct" else DLP_TOTAL, "5", "mGy.cm" if kind == "ct" else "Gy.cm2"),
        ),
        container(("130501", "DCM"), uid(("113769", "DCM"), "1.9"), dose),
        container(("130505", "DCM"), uid(("113769", "DCM"), "1.9"), num(RP, "99", "mGy")),
    )
    assert exam.kind == kind
    assert [event.event_uid for event in exam.events] == ["1.9"]
    assert exam.events[0].reference_air_kerma_mgy is None


def test_codes_of_either_edition_of_snomed_and_of_no_known_meaning() -> None:
    exam = read(
        container(
            EVENT,
            code(("113721", "DCM"), ("44491008", "SCT"), "Durchleuchtung"),
            code(("113764", "DCM"), ("113621", "DCM"), "Ebene B"),
            code(("111031", "DCM"), ("R-1024A", "SNM3"), "whatever"),
            code(("123014", "DCM"), ("51185008", "SCT"), "Thorax", code(("272741003", "SCT"), ("7771000", "SCT"))),
            num(KAP, "5", "Gy.cm2"),
        )
    )
    event = exam.events[0]
    assert (event.acquisition_type, event.plane, event.view, event.laterality) == ("Fluoroscopy", "B", "XCCL", "L")
    assert event.acquisition_code
    assert event.acquisition_code.meaning == "Durchleuchtung"
    assert (event.target_region, event.target_region_code and event.target_region_code.value) == ("Thorax", "51185008")


def test_an_unknown_phantom_is_not_taken_for_one_of_the_two() -> None:
    exam = read(ct_event(num(CTDI, "5", "mGy"), code(("113835", "DCM"), ("113682", "DCM"), "ACR Phantom")))
    assert exam.events[0].phantom_cm is None
    assert codes(exam) == ["unknown-code"]


def test_several_values_under_one_concept_follow_their_row() -> None:
    exam = read(
        container(
            EVENT,
            num(KAP, "5", "Gy.cm2"),
            num(KAP, "6", "Gy.cm2"),
            *(num(("113733", "DCM"), kv, "kV") for kv in ("70", "80")),
            *(num(("113736", "DCM"), charge, "uA.s") for charge in ("1000", "500")),
            num(("113767", "DCM"), "99", "mA"),
            *(num(("113734", "DCM"), current, "mA") for current in ("10", "20")),
        )
    )
    event = exam.events[0]
    assert (event.kap_gy_cm2, event.kvp, event.exposure_mas, event.tube_current_ma) == (5, 75, 1.5, 15)


def test_patient_and_device_of_the_report_fill_what_the_header_lacks() -> None:
    def text(concept: str, value: str) -> Dataset:
        made = item("TEXT", (concept, "DCM"))
        made.TextValue = value
        return made

    patient = container(
        ("121118", "DCM"),
        num(("121033", "DCM"), "6", "mo"),
        num(("8302-2", "LN"), "0.7", "m"),
        num(("29463-7", "LN"), "8", "kg"),
        code(("121032", "DCM"), ("F", "DCM")),
    )
    content = (text("121014", "Observer"), text("121015", "Model"), patient, ct_event(num(DLP, "5", "mGy.cm")))
    exam = read(*content)
    assert (exam.patient.age_years, exam.patient.height_cm, exam.patient.weight_kg) == (0.5, 70, 8)
    assert (exam.patient.sex, exam.device.manufacturer, exam.device.model) == ("F", "Observer", "Model")
    stated = read(*content, Manufacturer="Header", PatientWeight="9", PatientAge="001Y")
    assert (stated.device.manufacturer, stated.device.model) == ("Header", "Model")
    assert (stated.patient.weight_kg, stated.patient.age_years) == (9, 1)


def test_dates_and_the_study_come_from_the_content_where_the_header_lacks_them() -> None:
    started = item("DATETIME", ("111526", "DCM"))
    started.DateTime = "20240229101112.5+0100"
    scope = code(("113705", "DCM"), ("113014", "DCM"), "Study", uid(("110180", "DCM"), "1.77"))
    exam = read(scope, container(EVENT, started, num(KAP, "5", "Gy.cm2")), StudyDate="", StudyInstanceUID="")
    assert exam.events[0].started_at == "2024-02-29T10:11:12.5+01:00"
    assert (exam.study_date, exam.study_instance_uid) == ("2024-02-29", "1.77")
    assert "study-date-from-elsewhere" in codes(exam)
