from __future__ import annotations

import contextlib
import datetime as dt
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from doseatlas.dicom import read_paths
from doseatlas.dicom.simulate import plan, write_objects
from doseatlas.dosimetry.backscatter import SIDES_CM, backscatter
from doseatlas.dosimetry.skin import Mesh, Options, SkinDoseError, SkinMap, mesh_of_cells, regions, skin_dose
from doseatlas.dosimetry.skin.phantom import flat, human, human_arms_away, plane, tube
from doseatlas.dosimetry.skin.physics import beam_quality
from doseatlas.model import Device, Exam, Filter

from .conftest import PLAIN, Make

BODY = human()
WIDE = flat(60, 176, "wide back", rows=352, columns=120)


def codes(found: SkinMap) -> list[str]:
    return [note.code for note in found.answer.notes]


def assumed(found: SkinMap) -> str:
    return " ".join(found.answer.assumptions)


def test_a_single_beam_on_a_back_gives_the_dose_reckoned_by_hand(make: Make) -> None:
    found = skin_dose([make.exam()], WIDE, Options(region="chest", table_mm_al=0.0))
    quality = beam_quality(np.array([80.0]), np.array([3.0]), np.array([0.2]))
    # The back lies at the isocentre: the maker's zero is not known, and a plane's middle is its own height.
    side = math.sqrt(136.111111) * 75 / 100
    factors = backscatter(np.array([80.0]), quality.hvl_mm_al)[0]
    scatter = float(CubicSpline((0, *SIDES_CM), (1.0, *factors))(side))
    by_hand = 100 * (60 / 75) ** 2 * float(quality.water_to_air[0]) * scatter
    # The nearest cell's middle is half a cell from the central ray.
    assert found.answer.peak_mgy == pytest.approx(by_hand, rel=2e-4)
    assert found.answer.peak_mgy <= by_hand * (1 + 1e-9)


def test_without_an_answer_there_is_a_refusal_and_never_a_zero(make: Make) -> None:
    with pytest.raises(SkinDoseError, match="No beam meets the body"):
        skin_dose([make.exam()], BODY, Options(offset_cm=(150.0, 0.0, 0.0)))


def test_a_patient_half_beside_the_beam_is_noted_with_the_share_that_hits(make: Make) -> None:
    found = skin_dose([make.exam()], human_arms_away(), Options(offset_cm=(17.0, 0.0, 0.0)))
    assert found.answer.kap_share_on_skin is not None
    assert found.answer.kap_share_on_skin < 0.5
    assert "skin-dose-beams-beside-patient" in codes(found)


def test_three_thousand_events_are_no_different_from_a_few(make: Make) -> None:
    one = skin_dose([make.exam()], BODY).answer
    many = skin_dose([make.exam(*[PLAIN] * 3000)], BODY).answer
    assert many.peak_mgy == pytest.approx(3000 * one.peak_mgy, rel=1e-9)
    assert many.events == 3000


def test_beam_quality_of_any_filter_and_kv_is_interpolated_or_said(make: Make) -> None:
    odd = (
        Filter(material="Molybdenum or Molybdenum compound", thickness_min_mm=0.05),
        Filter(material="Copper or Copper compound", thickness_min_mm=0.37, thickness_max_mm=0.37),
    )
    found = skin_dose([make.exam(make.event(kvp=43.7, filters=odd))], BODY)
    assert found.answer.peak_mgy > 0
    assert "Molybdenum" in assumed(found)
    assert "outside 50 to 150 kV" in assumed(found)


def test_a_lateral_plane_of_a_biplane_unit_is_not_weakened_to_nothing(make: Make) -> None:
    frontal = make.event(plane="Plane A", filters=())
    lateral = make.event(plane="Plane B", primary_angle_deg=90.0, source_to_isocenter_mm=900.0)
    found = skin_dose([make.exam(frontal, lateral)], human_arms_away())
    left, right = found.mesh.normals[:, 0] > 0.9, found.mesh.normals[:, 0] < -0.9
    assert found.dose_mgy[right].max() > 20
    assert found.dose_mgy[left].max() == 0


def test_a_turned_table_turns_the_field_on_the_skin(make: Make) -> None:
    long_field = {"collimated_field_width_mm": 200.0, "collimated_field_height_mm": 50.0}
    field = make.event(collimated_field_area_cm2=100.0, **long_field)
    turned = msgspec.structs.replace(field, table_horizontal_rotation_deg=90.0)
    for event, along in ((field, 0), (turned, 2)):
        found = skin_dose([make.exam(event)], WIDE, Options(region="chest"))
        hit = found.mesh.centres[found.dose_mgy > 0]
        assert np.argmax(np.ptp(hit, axis=0)) == along


def test_a_rotational_run_is_spread_over_its_arc(make: Make) -> None:
    still = skin_dose([make.exam()], BODY).answer
    run = make.event(primary_angle_deg=-100.0, primary_end_angle_deg=100.0, secondary_end_angle_deg=0.0)
    spread = skin_dose([make.exam(run)], BODY)
    assert spread.answer.beams == 67
    assert spread.answer.peak_mgy < 0.5 * still.peak_mgy
    assert spread.answer.reference_air_kerma_mgy == pytest.approx(100.0)
    assert "rotational run" in assumed(spread)


def test_resolution_is_reported_and_a_coarse_mesh_is_noted(make: Make) -> None:
    coarse = tube(16, 11, 176, "coarse", rows=40, columns=24)
    found = skin_dose([make.exam()], coarse)
    assert found.answer.cells == 960
    assert found.answer.cell_cm > 3
    assert "skin-dose-coarse-mesh" in codes(found)
    assert "skin-dose-coarse-mesh" not in codes(skin_dose([make.exam()], BODY))


def test_several_procedures_add_up_on_the_same_skin(make: Make) -> None:
    first, second = make.exam(), make.exam(make.event(primary_angle_deg=30.0))
    both = skin_dose([first, second], BODY)
    alone = skin_dose([first], BODY).dose_mgy + skin_dose([second], BODY).dose_mgy
    assert both.dose_mgy == pytest.approx(alone, rel=1e-12)
    assert both.answer.reports == 2


def test_an_event_that_two_reports_state_counts_once(make: Make) -> None:
    one = make.exam(make.event(event_uid="1.2.3"))
    twice = skin_dose([one, one], BODY)
    assert twice.answer.peak_mgy == pytest.approx(skin_dose([one], BODY).answer.peak_mgy)
    assert "counted once" in assumed(twice)


def test_the_peak_s_sensitivity_to_the_patient_s_position_is_that_of_moving_the_patient(make: Make) -> None:
    exam = make.exam(make.event(primary_angle_deg=40.0), make.event(primary_angle_deg=-20.0))
    answer = skin_dose([exam], BODY).answer
    assert len(answer.sensitivity) == 6
    for shift in answer.sensitivity:
        offset = [0.0, 0.0, 0.0]
        offset[("to the left", "downwards", "to the head").index(shift.direction)] = shift.shift_cm
        there = skin_dose([exam], BODY, Options(offset_cm=(offset[0], offset[1], offset[2]))).answer
        # Moved far enough down, the pad would be in the table: the shift moves the patient alone.
        assert there.peak_mgy == pytest.approx(shift.peak_mgy, rel=0.2 if shift.direction == "downwards" else 1e-9)


def test_uncertainty_holds_kerma_and_position_and_less_of_it_with_a_calibration(make: Make) -> None:
    free = skin_dose([make.exam()], BODY).answer
    known = skin_dose([make.exam()], BODY, Options(kerma_factor=1.1, kerma_relative_uncertainty=0.04)).answer
    assert known.peak_mgy == pytest.approx(1.1 * free.peak_mgy)
    parts = {one.name: one.relative for one in free.uncertainty}
    assert parts["air kerma at the reference point"] == pytest.approx(0.35 / math.sqrt(3))
    total = math.sqrt(sum(relative**2 for relative in parts.values()))
    assert free.peak_standard_uncertainty_mgy == pytest.approx(free.peak_mgy * total)
    assert known.peak_standard_uncertainty_mgy / known.peak_mgy < 0.8 * total
    low, high = free.interval_mgy
    assert 0 < low < free.peak_mgy < high


def test_areas_above_the_thresholds_are_those_of_the_cells(make: Make) -> None:
    events = (make.event(primary_angle_deg=angle, reference_air_kerma_mgy=1900.0, kap_gy_cm2=None) for angle in (0, 12))
    found = skin_dose([make.exam(*events)], BODY)
    for area in found.answer.areas:
        cells = found.mesh.areas[found.dose_mgy >= area.dose_gy * 1000]
        assert area.area_cm2 == pytest.approx(cells.sum())
    assert found.answer.areas[0].area_cm2 > found.answer.areas[1].area_cm2 > found.answer.areas[2].area_cm2 == 0


def test_arms_in_the_beam_are_counted_and_a_peak_on_one_is_noted(make: Make) -> None:
    lateral = make.exam(make.event(primary_angle_deg=90.0, source_to_isocenter_mm=800.0))
    with_arms, without = skin_dose([lateral], BODY), skin_dose([lateral], human_arms_away())
    assert with_arms.answer.arms_in_beam == 1
    assert "skin-dose-peak-on-arm" in codes(with_arms)
    assert "arm" in with_arms.answer.peak_place
    assert without.answer.arms_in_beam == 0
    assert without.answer.peak_mgy < with_arms.answer.peak_mgy


def test_azurion_is_refused_unless_the_patient_is_said_to_stay_at_the_isocentre(make: Make) -> None:
    exam = make.exam(manufacturer="Philips", model="Azurion")
    with pytest.raises(SkinDoseError, match="coordinate systems that nothing in the report relates"):
        skin_dose([exam], BODY)
    found = skin_dose([exam], BODY, Options(unrelated_table="isocentre"))
    assert "table positions are not used" in assumed(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"primary_angle_deg": None}, "no angle"),
        ({"secondary_angle_deg": 400.0}, "no angle"),
        ({"source_to_isocenter_mm": None}, "distance from source to isocentre"),
        ({"source_to_isocenter_mm": 0.0}, "distance from source to isocentre"),
        ({"reference_air_kerma_mgy": None, "kap_gy_cm2": None}, "no reference air kerma"),
        ({"reference_air_kerma_mgy": -5.0}, "no reference air kerma"),
        ({"collimated_field_area_cm2": None, "kap_gy_cm2": None}, "no plausible field size"),
        ({"collimated_field_area_cm2": 9000.0, "kap_gy_cm2": None}, "no plausible field size"),
        ({"reference_air_kerma_mgy": 0.0, "kap_gy_cm2": None}, "no event states a kerma above 0"),
    ],
)
def test_missing_or_impossible_geometry_is_refused_saying_what(make: Make, change: dict[str, Any], said: str) -> None:
    with pytest.raises(SkinDoseError, match=said):
        skin_dose([make.exam(make.event(**change))], BODY)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source_to_reference_point_mm": None}, "15 cm from the isocentre"),
        ({"collimated_field_area_cm2": 9000.0}, "kerma-area product over kerma"),
        ({"collimated_field_area_cm2": 400.0}, "differs by over 30 %"),
        ({"reference_air_kerma_mgy": None}, "The kerma is not stated"),
        ({"kvp": None}, "80 kV is assumed"),
        ({"table_height_mm": None}, "vertical position is not stated"),
        ({"table_height_mm": -1e9}, "beyond 4 m"),
        ({"table_head_tilt_deg": None}, "level and straight"),
        ({"table_head_tilt_deg": 10.0}, "to turn about the middle of the chest"),
        ({"target_region": "Entire body"}, "the chest is assumed"),
    ],
)
def test_what_can_be_assumed_is_assumed_and_said(make: Make, change: dict[str, Any], said: str) -> None:
    found = skin_dose([make.exam(make.event(**change))], BODY)
    assert found.answer.peak_mgy > 0
    assert said in assumed(found)


def test_a_few_events_without_geometry_are_left_out_and_listed(make: Make) -> None:
    events = [PLAIN] * 20 + [make.event(primary_angle_deg=None, reference_air_kerma_mgy=50.0)]
    answer = skin_dose([make.exam(*events)], BODY).answer
    (lost,) = answer.left_out
    assert (lost.events, lost.kerma_mgy) == (1, 50.0)
    assert answer.reference_air_kerma_mgy == pytest.approx(2000.0)


@pytest.mark.parametrize("kerma", [None, math.nan, math.inf, 1e9])
def test_many_events_whose_kerma_is_not_known_are_too_many(make: Make, kerma: float | None) -> None:
    lost = make.event(reference_air_kerma_mgy=kerma, kap_gy_cm2=None)
    with pytest.raises(SkinDoseError, match="too many of its 10 events cannot be placed"):
        skin_dose([make.exam(*[PLAIN] * 7, lost, lost, lost)], BODY)


def test_objects_without_events_or_of_another_kind_are_refused() -> None:
    with pytest.raises(SkinDoseError, match="only totals"):
        skin_dose([Exam(kind="projection")], BODY)
    with pytest.raises(SkinDoseError, match="of kind 'ct'"):
        skin_dose([Exam(kind="ct", events=(PLAIN,))], BODY)
    with pytest.raises(SkinDoseError, match="no dose report"):
        skin_dose([], BODY)


@pytest.mark.parametrize(
    "options",
    [
        Options(table_transmission=1.3),
        Options(table_mm_al=9.0),
        Options(offset_cm=(math.nan, 0, 0)),
        Options(pad_cm=-1.0),
        Options(region="tail"),
    ],
)
def test_an_option_that_cannot_be_is_refused(make: Make, options: Options) -> None:
    with pytest.raises(SkinDoseError):
        skin_dose([make.exam()], BODY, options)


def test_a_prone_patient_gets_the_dose_of_a_beam_from_below_in_front(make: Make) -> None:
    supine, prone = (
        skin_dose([make.exam()], BODY, Options(orientation=one)).answer
        for one in ("head-first-supine", "head-first-prone")
    )
    assert "back" in supine.peak_place
    assert "front" in prone.peak_place


def test_a_region_moves_the_field_along_the_body(make: Make) -> None:
    below = [
        skin_dose([make.exam()], BODY, Options(region=name)).answer.peak_below_crown_cm
        for name in ("head", "chest", "abdomen", "pelvis")
    ]
    assert below == sorted(below)
    assert {region.name for region in regions()} >= {"head", "chest", "abdomen", "pelvis"}


def test_a_report_that_names_two_regions_says_which_one_is_taken(make: Make) -> None:
    found = skin_dose([make.exam(make.event(), make.event(target_region="Abdomen"))], BODY)
    assert "names chest, abdomen; the chest is taken for all" in assumed(found)


def test_simulated_angiography_reports_give_a_map(tmp_path: Path) -> None:
    world = plan(
        "facility",
        exams=4,
        seed=3,
        start=dt.date(2025, 1, 1),
        end=dt.date(2025, 3, 31),
        faults=False,
        device_classes=("angiography",),
    )
    write_objects(world, tmp_path)
    answers = []
    for reading in read_paths([tmp_path]):
        with contextlib.suppress(SkinDoseError):
            answers.append(skin_dose([reading.exam], BODY, Options(unrelated_table="isocentre")).answer)
    assert answers
    for answer in answers:
        assert 0.2 < answer.peak_mgy / answer.reference_air_kerma_mgy < 2.5


def test_the_skin_nearer_to_the_source_gets_more_than_the_kerma_further_away(make: Make) -> None:
    near, far = (
        skin_dose([make.exam(make.event(table_height_mm=height), manufacturer="Siemens", model="Artis")], BODY).answer
        for height in (250.0, 100.0)
    )
    # The table's zero is the isocentre: a lower table brings the back nearer to the source.
    assert near.peak_mgy > 1.2 * far.peak_mgy


def test_a_mesh_without_areas_has_a_peak_but_no_share(make: Make) -> None:
    points = mesh_of_cells("points", BODY.centres, BODY.normals)
    found = skin_dose([make.exam()], points)
    assert found.answer.kap_share_on_skin is None
    assert found.answer.peak_mgy == pytest.approx(skin_dose([make.exam()], BODY).answer.peak_mgy)


SMALL: Mesh = tube(16, 11, 176, "small", rows=64, columns=32)
FIELDS = [name for name in PLAIN.__struct_fields__ if name.endswith(("_mm", "_deg", "_mgy", "_cm2", "kvp"))]
NUMBER = st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.floats(-2000, 2000)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), NUMBER, max_size=6))
def test_whatever_numbers_an_event_states_there_is_a_positive_dose_or_a_reason(changes: dict[str, Any]) -> None:
    exam = Exam(kind="projection", device=Device(), events=(msgspec.structs.replace(PLAIN, **changes),))
    with contextlib.suppress(SkinDoseError):
        answer = skin_dose([exam], SMALL).answer
        assert math.isfinite(answer.peak_mgy)
        assert answer.peak_mgy > 0
        assert math.isfinite(answer.peak_standard_uncertainty_mgy)


def test_reports_of_real_units_give_a_map_or_say_why_not(corpus: Path) -> None:
    found, refused = {}, {}
    for reading in read_paths(sorted((corpus / "rdsr").glob("RF-*.dcm"))):
        exam = reading.exam
        name = Path(exam.path or "").stem
        try:
            found[name] = skin_dose([exam], BODY).answer
        except SkinDoseError as error:
            refused[name] = str(error)
    assert "RF-RDSR-Philips_Azurion" in refused
    assert "RF-RDSR-GE-OECEliteMiniView" in refused
    for answer in found.values():
        assert 0.3 < answer.peak_mgy / answer.reference_air_kerma_mgy < 2.0
        assert answer.kap_share_on_skin is None or answer.kap_share_on_skin > 0.5
    assert {"RF-RDSR-Siemens_Artis-24events", "RF-RDSR-Canon-Alphenix-rotational"} <= set(found)


def test_the_plane_phantom_is_hit_from_both_sides(make: Make) -> None:
    for primary in (0.0, 180.0):
        assert skin_dose([make.exam(make.event(primary_angle_deg=primary))], plane()).answer.peak_mgy > 0
