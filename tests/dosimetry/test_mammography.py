"""Glandular doses are summed by breast, missing views are named, and doses that cannot be right are flagged."""

from __future__ import annotations

import msgspec
import pytest

from doseatlas.dosimetry import check_mammography
from doseatlas.model import Event, Exam, Filter, Totals


def view(side: str, name: str, agd: float | None = 1.2, **more: object) -> Event:
    event = Event(
        laterality=side,
        view=name,
        agd_mgy=agd,
        compressed_thickness_mm=55.0,
        entrance_exposure_mgy=4.5,
        kvp=29.0,
        anode_material="Tungsten",
        filters=(Filter(material="Rhodium or Rhodium compound"),),
    )
    return msgspec.structs.replace(event, **more)


def exam(*events: Event, **totals: float) -> Exam:
    return Exam(kind="mammography", events=events, totals=Totals(**totals))  # type: ignore[arg-type]


COMPLETE = (view("L", "CC"), view("L", "MLO"), view("R", "CC"), view("R", "MLO"))


def codes(*events: Event, **totals: float) -> list[str]:
    return [flag.code for flag in check_mammography(exam(*events, **totals)).flags]


def test_a_complete_examination_has_sums_of_both_breasts_and_no_flag() -> None:
    found = check_mammography(exam(*COMPLETE, agd_left_mgy=2.4, agd_right_mgy=2.4))
    assert [(b.laterality, b.exposures, b.views) for b in found.breasts] == [
        ("L", 2, ("CC", "MLO")),
        ("R", 2, ("CC", "MLO")),
    ]
    assert [breast.agd_sum_mgy for breast in found.breasts] == pytest.approx([2.4, 2.4])
    assert found.missing_views == ()
    assert found.flags == ()


def test_a_view_that_one_breast_lacks_is_named() -> None:
    assert check_mammography(exam(*COMPLETE[:3])).missing_views == ("R MLO",)
    assert check_mammography(exam(COMPLETE[0])).missing_views == ("L MLO",)
    magnified = (*COMPLETE, view("L", "ML"))
    assert check_mammography(exam(*magnified)).missing_views == ("R ML",)


def test_a_dose_that_is_not_stated_makes_no_sum() -> None:
    found = check_mammography(exam(view("L", "CC"), view("L", "MLO", None)))
    assert found.breasts[0].agd_sum_mgy is None


def test_a_stated_total_that_is_a_mean_is_flagged() -> None:
    assert codes(*COMPLETE, agd_left_mgy=1.2, agd_right_mgy=2.4) == ["agd-total-differs"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"agd_mgy": 0.012}, "agd-not-plausible"),  # dGy read as mGy
        ({"agd_mgy": 5.0}, "agd-not-plausible"),  # more than the entrance air kerma
        ({"agd_mgy": 30.0, "entrance_exposure_mgy": None}, "agd-not-plausible"),
        ({"compressed_thickness_mm": 5.5}, "agd-not-plausible"),  # cm
        ({"kvp": 80.0}, "technique-unusual"),
        ({"anode_material": "Iron"}, "technique-unusual"),
        ({"laterality": None}, "laterality-not-stated"),
    ],
)
def test_an_exposure_that_cannot_be_right_is_flagged(change: dict[str, object], code: str) -> None:
    event = msgspec.structs.replace(COMPLETE[0], **change)
    assert code in codes(event, *COMPLETE[1:])


def test_a_dose_above_the_acceptable_average_is_flagged_with_the_limit_not_verified() -> None:
    assert codes(view("L", "CC", 3.5, entrance_exposure_mgy=14.0)) == ["agd-above-limit", "coefficient-not-verified"]
