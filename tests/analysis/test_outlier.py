from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from doseatlas.analysis import Outlier, Selection, mart_table, outliers, typical_values
from doseatlas.analysis.outlier import fences, likely_reasons

Mart = Callable[[Any], Path]
PEER = {
    "dlp_mgy_cm": 400.0,
    "ctdi_vol_mgy": 10.0,
    "scan_length_mm": 400.0,
    "phase_count": 1,
    "weight_kg": 70.0,
    "kvp": 120.0,
    "phantom_cm": 16,
}


def of(mart: Mart, *odd: dict[str, Any], peers: int = 30) -> tuple[Outlier, ...]:
    rows = [{**PEER, "dlp_mgy_cm": 390.0 + i % 21} for i in range(peers)] + [{**PEER, **one} for one in odd]
    found = outliers(mart_table(mart(rows)), Selection())
    assert found.total == len(found.worst)
    return found.worst


def test_exams_like_their_peers_do_not_stand_out(mart: Mart) -> None:
    assert of(mart) == ()


def test_a_tight_group_has_no_outliers_within_one_and_a_half_times_its_median(mart: Mart) -> None:
    assert of(mart, {"dlp_mgy_cm": 590.0}) == ()
    assert len(of(mart, {"dlp_mgy_cm": 610.0})) == 1


def test_the_fence_is_one_and_a_half_interquartile_ranges_on_a_logarithmic_scale(mart: Mart) -> None:
    doses = [100.0, 200.0, 400.0] * 7  # quartiles 100 and 400, so the fence is 400 * 4^1.5 = 3200
    typical = typical_values(mart_table(mart([{"dlp_mgy_cm": dose} for dose in doses])), Selection())
    (fence,) = fences(typical).values()
    assert fence.limit == pytest.approx(3200)
    assert fence.median == 200


def test_fewer_than_ten_peers_cannot_tell_who_stands_out(mart: Mart) -> None:
    assert of(mart, {"dlp_mgy_cm": 4000.0}, peers=8) == ()
    assert len(of(mart, {"dlp_mgy_cm": 4000.0}, peers=9)) == 1


def test_a_long_scan_is_named_with_its_figures(mart: Mart) -> None:
    (found,) = of(mart, {"dlp_mgy_cm": 820.0, "scan_length_mm": 820.0})
    assert found.reasons == ("long scan",)
    assert found.details == ("scan length 820 mm; peers' median 400 mm",)
    assert found.quantity == "dlp_mgy_cm"
    assert found.ratio == pytest.approx(820 / found.median)


def test_the_reason_that_accounts_for_most_comes_first(mart: Mart) -> None:
    (found,) = of(mart, {"dlp_mgy_cm": 2000.0, "scan_length_mm": 520.0, "phase_count": 4})
    assert found.reasons == ("extra phase", "long scan")


def test_an_exam_is_listed_once_for_the_quantity_it_stands_out_most_in(mart: Mart) -> None:
    (found,) = of(mart, {"dlp_mgy_cm": 1200.0, "ctdi_vol_mgy": 50.0, "weight_kg": 140.0})
    assert found.quantity == "ctdi_vol_mgy"
    assert found.ratio == 5
    assert found.reasons == ("large patient",)


def test_an_unusual_phantom_is_set_against_the_usual_one_and_named_first(mart: Mart) -> None:
    (found,) = of(mart, {"phantom_cm": 32, "dlp_mgy_cm": 900.0, "ctdi_vol_mgy": 40.0, "weight_kg": 100.0})
    assert found.reasons == ("wrong phantom", "large patient")
    assert found.details[0] == "CTDI phantom 32 cm; peers' 16 cm, so the values do not compare"
    assert found.phantom_cm == 32


def test_an_unexplained_exam_says_so(mart: Mart) -> None:
    (found,) = of(mart, {"dlp_mgy_cm": 4000.0})
    assert found.reasons == ("unknown",)
    assert found.details == ("nothing recorded explains it; look at the exam itself",)


def test_the_worst_come_first_and_the_rest_are_counted(mart: Mart) -> None:
    rows = [PEER] * 100 + [{**PEER, "dlp_mgy_cm": 1000.0 * i} for i in range(1, 6)]
    found = outliers(mart_table(mart(rows)), Selection(), most=2)
    assert [one.value for one in found.worst] == [5000.0, 4000.0]
    assert found.total == 5


def test_implausible_exams_are_left_out(mart: Mart) -> None:
    assert of(mart, {"dlp_mgy_cm": 4e9, "plausible": False}) == ()


@pytest.mark.parametrize(
    ("quantity", "exam", "peers", "expected"),
    [
        ("dlp_mgy_cm", {"ctdi_vol_mgy": 20.0}, {"ctdi_vol_mgy": 10.0}, ["high CTDIvol"]),
        ("ctdi_vol_mgy", {"kvp": 140.0}, {"kvp": 120.0}, ["high tube voltage"]),
        ("dlp_mgy_cm", {"adult_protocol_on_child": True}, {}, ["adult protocol on a child"]),
        ("kap_gy_cm2", {"frames": 90}, {"frames": 30.0}, ["many frames"]),
        ("reference_air_kerma_mgy", {"fluoro_time_s": 900.0}, {"fluoro_time_s": 100.0}, ["long fluoroscopy"]),
        ("agd_mgy", {"compressed_thickness_mm": 80.0}, {"compressed_thickness_mm": 55.0}, ["thick breast"]),
        (
            "administered_activity_mbq",
            {"activity_mbq_per_kg": 20.0},
            {"activity_mbq_per_kg": 10.0},
            ["high activity per kg"],
        ),
        ("kap_gy_cm2", {"scan_length_mm": 900.0}, {"scan_length_mm": 100.0}, ["unknown"]),
        ("dlp_mgy_cm", {"scan_length_mm": None}, {"scan_length_mm": 100.0}, ["unknown"]),
        ("dlp_mgy_cm", {"scan_length_mm": 100.0}, {"scan_length_mm": None}, ["unknown"]),
    ],
)
def test_every_reason_of_the_table_is_found(
    quantity: str, exam: dict[str, Any], peers: dict[str, Any], expected: list[str]
) -> None:
    assert [name for name, _ in likely_reasons(quantity, exam, peers)] == expected


def test_activity_per_kg_is_computed_from_the_mart(mart: Mart) -> None:
    dose = {"procedure": "nm-bone", "kind": "nuclear", "phantom_cm": None, "weight_kg": 70.0}
    rows = [{**dose, "administered_activity_mbq": 700.0}] * 20 + [{**dose, "administered_activity_mbq": 1400.0}]
    found = outliers(mart_table(mart(rows)), Selection())
    assert found.worst[0].reasons == ("high activity per kg",)
    assert found.worst[0].details == ("20.0 MBq/kg; peers' median 10.0 MBq/kg",)
