"""A map that would miss dose, or that rests on an impossible place of the patient, is refused or says so."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from doseatlas.dosimetry.skin import Options, SkinDoseError, skin_dose
from doseatlas.dosimetry.skin.phantom import human, tube
from doseatlas.model import Code, Exam, Totals

from .conftest import Make

BODY = tube(16, 11, 176, "small", rows=64, columns=32)


def events(make: Make, count: int) -> Exam:
    return make.exam(*(make.event(event_uid=f"1.{number}") for number in range(count)))


def with_totals(exam: Exam, **totals: Any) -> Exam:
    return msgspec.structs.replace(exam, totals=Totals(**totals))


def test_events_that_lack_a_tenth_of_the_stated_total_are_refused_with_both_figures(make: Make) -> None:
    exam = with_totals(events(make, 8), reference_air_kerma_mgy=1000.0)
    with pytest.raises(SkinDoseError, match=r"events are missing.*800 mGy.*1000 mGy"):
        skin_dose([exam], BODY)


def test_a_smaller_difference_from_the_total_is_noted_and_rounding_is_not(make: Make) -> None:
    def codes(total: float) -> list[str]:
        exam = with_totals(events(make, 10), reference_air_kerma_mgy=total)
        return [note.code for note in skin_dose([exam], BODY).answer.notes]

    assert "skin-dose-total-differs" in codes(1050.0)
    assert "skin-dose-total-differs" in codes(500.0)
    assert "skin-dose-total-differs" not in codes(1004.0)


def test_a_total_in_one_dose_that_agrees_is_enough(make: Make) -> None:
    exam = with_totals(events(make, 10), reference_air_kerma_mgy=10_000.0, kap_gy_cm2=49.0)
    assert skin_dose([exam], BODY).answer.peak_mgy > 0


def test_totals_are_not_asked_of_events_of_which_an_earlier_report_has_some(make: Make) -> None:
    whole = events(make, 4)
    first = msgspec.structs.replace(whole, events=whole.events[:2])
    found = skin_dose([first, with_totals(whole, reference_air_kerma_mgy=400.0)], BODY)
    assert found.answer.peak_mgy == pytest.approx(skin_dose([whole], BODY).answer.peak_mgy)


def test_a_kerma_of_0_beside_a_kerma_area_product_is_a_kerma_not_stated(make: Make) -> None:
    # KAP 4.9 Gy.cm2 over the field at the reference point, 136.1 cm2 at the detector, is 100 mGy.
    zero = make.exam(make.event(reference_air_kerma_mgy=0.0))
    found = skin_dose([zero], BODY).answer
    assert found.peak_mgy == pytest.approx(skin_dose([make.exam()], BODY).answer.peak_mgy, rel=1e-3)
    assert any("not stated, or as 0" in text for text in found.assumptions)


def test_events_of_kerma_0_without_a_field_are_left_out_by_their_share_of_the_dose(make: Make) -> None:
    def exam(kap: float) -> Exam:
        odd = make.event(reference_air_kerma_mgy=0.0, kap_gy_cm2=kap, collimated_field_area_cm2=None)
        return make.exam(*(make.event() for _ in range(5)), odd)

    left = skin_dose([exam(0.01)], BODY).answer.left_out
    assert {one.events for one in left} == {1}
    assert left[0].kerma_mgy == pytest.approx(100.0 * 0.01 / 4.9)
    with pytest.raises(SkinDoseError, match="too many of its 6 events"):
        skin_dose([exam(10.0)], BODY)


@pytest.mark.parametrize("height_mm", [700.0, 800.0, -500.0, -900.0])
def test_a_table_that_puts_the_skin_into_the_tube_or_behind_the_detector_gives_no_dose(
    make: Make, height_mm: float
) -> None:
    # The maker's height counts from the isocentre: nothing assumed brings the patient back into the beam.
    exam = make.exam(make.event(table_height_mm=height_mm), manufacturer="Siemens", model="Artis Q")
    with pytest.raises(SkinDoseError, match=r"source or behind the detector|beside the field"):
        skin_dose([exam], human())


def test_single_impossible_beams_are_left_out_and_named(make: Make) -> None:
    near = make.event(event_uid="1.9", table_height_mm=620.0, reference_air_kerma_mgy=1.0)
    exam = make.exam(*(make.event(event_uid=f"1.{n}") for n in range(3)), near, manufacturer="Siemens", model="Artis")
    answer = skin_dose([exam], human()).answer
    (left,) = answer.left_out
    assert "within 30 cm of the source" in left.reason
    assert (left.events, left.kerma_mgy) == (1, 1.0)
    alone = make.exam(*(make.event(event_uid=f"1.{n}") for n in range(3)), manufacturer="Siemens", model="Artis")
    assert answer.peak_mgy == pytest.approx(skin_dose([alone], human()).answer.peak_mgy)


def test_a_stationary_event_stays_at_its_first_angle_whatever_end_it_states(make: Make) -> None:
    still = make.event(
        primary_angle_deg=30.0,
        primary_end_angle_deg=0.0,
        acquisition_code=Code(value="113611", scheme="DCM", meaning="Stationary Acquisition"),
    )
    plain = make.exam(make.event(primary_angle_deg=30.0))
    found = skin_dose([make.exam(still)], BODY).answer
    assert found.beams == 1
    assert found.peak_mgy == pytest.approx(skin_dose([plain], BODY).answer.peak_mgy)
    assert any("stated as stationary" in text for text in found.assumptions)


def test_a_run_over_180_degrees_goes_the_short_way(make: Make) -> None:
    answer = skin_dose(
        [make.exam(make.event(primary_angle_deg=170.0, primary_end_angle_deg=-170.0))], BODY, Options(region="chest")
    ).answer
    assert answer.beams == 7
    assert any("the short way" in text for text in answer.assumptions)


def test_a_field_turned_by_hand_has_its_corners_elsewhere_and_the_same_area(make: Make) -> None:
    exam = make.exam(make.event(collimated_field_width_mm=200.0, collimated_field_height_mm=68.0555555))
    straight = skin_dose([exam], human())
    turned = skin_dose([exam], human(), Options(field_rotation_deg=90.0))
    hit = [one.mesh.centres[one.dose_mgy > 0] for one in (straight, turned)]
    spans = [(one[:, 0].max() - one[:, 0].min(), one[:, 2].max() - one[:, 2].min()) for one in hit]
    assert spans[0][0] > 2 * spans[0][1]
    assert spans[1][1] > 2 * spans[1][0]
    assert any("turned by 90 degrees as given" in text for text in turned.answer.assumptions)
    assert any("taken to have its sides across and along" in text for text in straight.answer.assumptions)
    with pytest.raises(SkinDoseError, match="rotation of the field"):
        skin_dose([exam], human(), Options(field_rotation_deg=400.0))
