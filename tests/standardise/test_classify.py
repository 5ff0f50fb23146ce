from __future__ import annotations

import msgspec

from doseatlas.model import Code, Event, Exam, Patient, Totals
from doseatlas.standardise import classify, mapping_key

HEAD = Code(value="T-D1100", scheme="SRT")
CHEST = Code(value="T-D3000", scheme="SRT")
CHILD = Exam(kind="ct", procedure="site code 4711", patient=Patient(age_years=4.0, weight_kg=17.0))


def test_a_confirmed_mapping_gives_procedure_and_group() -> None:
    found = classify(CHILD, {mapping_key(CHILD): "ct-chest"})
    assert (found.procedure, found.mapped_by, found.group) == ("ct-chest", "confirmed", "child-weight-15-30")
    found = classify(CHILD, {mapping_key(CHILD): "ct-head"})
    assert (found.procedure, found.group) == ("ct-head", "child-age-1-6y")


def test_an_unmapped_child_is_grouped_by_the_stated_region_or_not_at_all() -> None:
    exam = Exam(kind="ct", procedure="zzz 4711", patient=CHILD.patient)
    assert classify(exam, {}).group is None
    mixed = msgspec.structs.replace(exam, events=(Event(target_region_code=HEAD), Event(target_region_code=CHEST)))
    assert classify(mixed, {}).procedure is None
    assert classify(mixed, {}).group is None


def test_an_implausible_age_gives_a_flag_and_no_group() -> None:
    found = classify(Exam(kind="ct", procedure="zzz", patient=Patient(age_years=162.0)), {})
    assert [flag.code for flag in found.flags] == ["implausible-age"]
    assert found.group is None


def test_a_childs_implausible_weight_leaves_the_age_band() -> None:
    exam = Exam(kind="ct", procedure="site code 4711", patient=Patient(age_years=4.0, weight_kg=0.0))
    assert classify(exam, {mapping_key(exam): "ct-chest"}).group == "child-age-1-6y"


def test_an_implausible_dose_is_flagged_and_the_exam_still_mapped() -> None:
    exam = msgspec.structs.replace(CHILD, totals=Totals(dlp_mgy_cm=90000.0))
    found = classify(exam, {mapping_key(exam): "ct-chest"})
    assert [flag.code for flag in found.flags] == ["implausible-dose"]
    assert found.procedure == "ct-chest"
