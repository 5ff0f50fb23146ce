"""Several procedures of one patient add up on one body, cell by cell, and what is not in the sum is named."""

from __future__ import annotations

import datetime as dt

import msgspec
import numpy as np
import pytest

from doseatlas.dosimetry.skin import OneProcedure, SkinDoseError, cumulative_skin_dose, skin_dose
from doseatlas.dosimetry.skin.phantom import tube
from doseatlas.model import Event, Exam, Totals

from .conftest import Make

BODY = tube(16, 11, 176, "small", rows=64, columns=32)


def dated(exam: Exam, day: str) -> Exam:
    return msgspec.structs.replace(exam, study_date=day)


def test_the_sum_is_the_sum_of_the_maps_and_each_procedure_has_its_part_of_the_peak(make: Make) -> None:
    first = dated(make.exam(make.event(event_uid="1.1")), "2024-03-01")
    second = dated(make.exam(make.event(event_uid="1.2", primary_angle_deg=20.0)), "2025-03-01")
    whole = cumulative_skin_dose([OneProcedure("a", first), OneProcedure("b", second)], BODY)
    alone = [skin_dose([one], BODY).dose_mgy for one in (first, second)]
    np.testing.assert_allclose(whole.skin_map.dose_mgy, alone[0] + alone[1], rtol=1e-12)
    answer, parts = whole.skin_map.answer, whole.procedures
    assert [one.study_date for one in parts] == [dt.date(2024, 3, 1), dt.date(2025, 3, 1)]
    assert [one.peak_mgy for one in parts] == [pytest.approx(one.max()) for one in alone]
    assert sum(one.at_peak_mgy or 0.0 for one in parts) == pytest.approx(answer.peak_mgy, rel=1e-12)
    assert (answer.reports, answer.events) == (2, 2)
    assert not any(note.code == "skin-dose-lower-limit" for note in answer.notes)


def test_the_kerma_of_each_is_corrected_by_its_own_factor_and_the_uncertainty_is_weighted_by_dose(make: Make) -> None:
    first, second = make.exam(make.event(event_uid="1.1")), make.exam(make.event(event_uid="1.2"))
    plain = skin_dose([first], BODY).answer.peak_mgy
    found = cumulative_skin_dose([OneProcedure("a", first, None, None, 1.5, 0.03), OneProcedure("b", second)], BODY)
    answer = found.skin_map.answer
    assert answer.peak_mgy == pytest.approx(2.5 * plain)
    kerma = answer.uncertainty[0]
    assert kerma.name == "air kerma at the reference point"
    assert kerma.relative == pytest.approx((1.5 * 0.03 + 1.0 * 0.35 / 3**0.5) / 2.5)
    assert "1 of 2 procedures" in kerma.source


def test_what_cannot_be_placed_is_named_with_its_kerma_and_the_sum_is_a_lower_limit(make: Make) -> None:
    good = make.exam(make.event(event_uid="1.1"))
    lost = msgspec.structs.replace(
        make.exam(make.event(event_uid="1.2", primary_angle_deg=None)), totals=Totals(reference_air_kerma_mgy=100.0)
    )
    implausible = OneProcedure("c", make.exam(make.event(event_uid="1.3")), missing="A dose is out of range.")
    found = cumulative_skin_dose([OneProcedure("a", good), OneProcedure("b", lost), implausible], BODY)
    assert [one.missing is None for one in found.procedures] == [True, False, False]
    assert "no angle" in (found.procedures[1].missing or "")
    assert found.procedures[1].at_peak_mgy is None
    (note,) = [note for note in found.skin_map.answer.notes if note.code == "skin-dose-lower-limit"]
    assert "2 of 3 procedures" in note.message
    assert "100 mGy" in note.message
    assert "and 1 state none" in note.message
    assert found.skin_map.answer.peak_mgy == pytest.approx(skin_dose([good], BODY).answer.peak_mgy)


def test_without_any_procedure_that_can_be_placed_the_reason_of_each_is_said(make: Make) -> None:
    bad = make.exam(make.event(primary_angle_deg=None))
    with pytest.raises(SkinDoseError, match=r"None of the 2 procedures.*a: .*no angle.*b: gone"):
        cumulative_skin_dose([OneProcedure("a", bad), OneProcedure("b", make.exam(), missing="gone")], BODY)


def test_a_procedure_beside_the_body_is_no_silent_zero(make: Make) -> None:
    # The first finds the table's zero by its own events; the second's maker knows it, and it is far away.
    far = make.exam(make.event(event_uid="1.2", table_longitudinal_mm=900.0), manufacturer="Siemens", model="Artis")
    found = cumulative_skin_dose(
        [OneProcedure("a", make.exam(make.event(event_uid="1.1"))), OneProcedure("b", far)], BODY
    )
    assert "beside the field" in (found.procedures[1].missing or "")
    assert any(note.code == "skin-dose-lower-limit" for note in found.skin_map.answer.notes)


def test_events_that_two_exams_state_count_once_but_not_when_the_first_is_not_in_the_sum(make: Make) -> None:
    event = make.event(event_uid="1.1")
    one, other = make.exam(event), make.exam(event, make.event(event_uid="1.2"))
    both = cumulative_skin_dose([OneProcedure("a", one), OneProcedure("b", other)], BODY)
    twice = cumulative_skin_dose([OneProcedure("a", one), OneProcedure("b", one)], BODY)
    lost = cumulative_skin_dose([OneProcedure("a", one, missing="gone"), OneProcedure("b", other)], BODY)
    plain = skin_dose([one], BODY).answer.peak_mgy
    assert both.skin_map.answer.peak_mgy == pytest.approx(2 * plain)
    assert twice.skin_map.answer.peak_mgy == pytest.approx(plain)
    assert "count once" in (twice.procedures[1].missing or "")
    assert not any(note.code == "skin-dose-lower-limit" for note in twice.skin_map.answer.notes)
    assert lost.skin_map.answer.peak_mgy == pytest.approx(2 * plain)


def test_what_procedures_assume_alike_is_said_once_with_the_counts_added_up(make: Make) -> None:
    def exam(uid: str) -> Exam:
        return make.exam(make.event(event_uid=uid, source_to_reference_point_mm=None))

    found = cumulative_skin_dose([OneProcedure(uid, exam(uid)) for uid in ("1.1", "1.2", "1.3")], BODY)
    said = [text for text in found.skin_map.answer.assumptions if "reference point is taken to lie" in text]
    assert len(said) == 1
    assert "events: 3)" in said[0]


def test_a_path_that_may_name_the_patient_is_in_no_reason(make: Make) -> None:
    named = msgspec.structs.replace(make.exam(Event(primary_angle_deg=1.0)), path="/data/DOE_JANE/report.dcm")
    found = cumulative_skin_dose([OneProcedure("a", make.exam()), OneProcedure("b", named)], BODY)
    assert found.procedures[1].missing
    assert "DOE" not in found.procedures[1].missing
