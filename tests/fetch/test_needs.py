"""What of a study is worth taking."""

from __future__ import annotations

from doseatlas.fetch.needs import (
    image_series,
    may_hold_dose,
    modalities,
    of_group,
    report_series,
    screen_series,
)
from doseatlas.fetch.pace import Pace
from doseatlas.fetch.records import FoundInstance, FoundSeries

DOSE_SR, TEXT_SR, CT, PRESENTATION = (
    "1.2.840.10008.5.1.4.1.1.88.67",
    "1.2.840.10008.5.1.4.1.1.88.11",
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.11.1",
)


def one(uid: str, sop_class: str = "") -> FoundInstance:
    return FoundInstance(sop_instance_uid=uid, sop_class_uid=sop_class)


def test_objects_are_told_apart_by_sop_class_and_what_states_none_is_unknown() -> None:
    found = [one("1", DOSE_SR), one("2", TEXT_SR), one("3", CT), one("4", PRESENTATION), one("5")]
    assert of_group(found, "dose-report") == ("1",)
    assert of_group(found, "report", "unknown") == ("2", "5")
    assert of_group(found, "image") == ("3",)


def test_small_series_beside_ct_may_be_dose_screens() -> None:
    series = [
        FoundSeries(series_instance_uid="1", modality="CT", instances=300),
        FoundSeries(series_instance_uid="2", modality="CT", instances=2),
        FoundSeries(series_instance_uid="3", modality="OT", instances=1),
        FoundSeries(series_instance_uid="4", modality="CT"),
        FoundSeries(series_instance_uid="5", modality="SR", instances=1),
    ]
    assert [found.series_instance_uid for found in screen_series(series)] == ["2", "3"]
    assert screen_series(series[2:3]) == []
    assert [found.series_instance_uid for found in report_series(series)] == ["5"]
    assert [found.series_instance_uid for found in image_series(series, ["series"])] == ["1", "2", "4"]


def test_studies_of_modalities_without_radiation_are_passed_over() -> None:
    assert not may_hold_dose(("US", "MR"))
    assert may_hold_dose(("US", "SR"))
    assert may_hold_dose(())


def test_every_row_of_the_tables_has_its_place() -> None:
    assert set(modalities().values()) == {"reports", "series", "each", "one"}


def test_objects_are_asked_for_at_the_rate_set() -> None:
    clock = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    pace = Pace(60, now=lambda: clock[0], sleep=sleep)
    pace.wait_for(10)
    pace.wait_for(5)
    clock[0] += 2
    pace.wait_for(1)
    assert slept == [10, 3]
    free = Pace(0, now=lambda: clock[0], sleep=sleep)
    free.wait_for(1_000_000)
    free.wait_for(1)
    assert slept == [10, 3]
