from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from markupsafe import Markup

from doseatlas.analysis import ReferenceLevel, TypicalValue, Verdict
from doseatlas.report import strips


def typical(
    median: float, drl: float | None = None, n: int = 40, verdict: Verdict = "within", **more: Any
) -> TypicalValue:
    reference = ReferenceLevel(value=drl, drl_set="uk-2022", level="national DRL", source="a document") if drl else None
    fields: dict[str, Any] = {
        "procedure": "ct-head",
        "patient_group": "adult",
        "quantity": "dlp_mgy_cm",
        "phantom_cm": 16,
        "n": n,
        "minimum_n": 20,
        "median": median,
        "low": 0.9 * median,
        "high": 1.1 * median,
        "p25": 0.8 * median,
        "p75": 1.3 * median,
        "minimum": 0.5 * median,
        "maximum": 2 * median,
        "reference": reference,
        "ratio": median / drl if drl else None,
        "verdict": verdict,
    }
    return TypicalValue(**{**fields, **more})


def words_of(picture: Markup) -> str:
    root = ET.fromstring(picture)
    return f"{root.findtext('title')} {root.findtext('desc')}"


def test_a_device_with_too_few_exams_is_drawn_hollow() -> None:
    values = [typical(700, 1011), typical(900, 1011, n=3, verdict="too few")]
    scale = strips.device_scale(values)
    assert 'class="month"' in strips.device_strip(scale, values[0])
    assert 'class="month few"' in strips.device_strip(scale, values[1])


@pytest.mark.parametrize("ratio", [0.01, 0.25, 0.6, 1.0, 1.5, 4.0, 80.0])
def test_a_ratio_stays_on_its_strip(ratio: float) -> None:
    picture = strips.ratio_strip(typical(100 * ratio, 100))
    assert all(0 <= float(number) <= strips.RATIO_WIDTH for number in re.findall(r"[ML](-?[\d.]+) ", picture))
    assert "times the reference level" in words_of(picture)


def test_a_ratio_above_is_drawn_and_said_as_above() -> None:
    picture = strips.ratio_strip(typical(150, 100, verdict="above"))
    assert 'class="mark over"' in picture
    assert "Verdict: above" in words_of(picture)


def test_without_a_level_there_is_no_ratio_to_draw() -> None:
    assert strips.ratio_strip(typical(150)) == ""
    assert strips.ratio_strip(typical(0.0, 5.0)) == ""


def test_the_devices_share_a_scale_from_0_that_reaches_the_level() -> None:
    scale = strips.device_scale([typical(700, 1011), typical(300, 1011)])
    assert (scale.low, scale.high) == (0, 1011)
    axis = strips.device_axis(scale, typical(700, 1011), "UK 2022")
    assert "DRL 1011\xa0mGy·cm (UK 2022)" in words_of(axis)
    assert 'class="level"' in axis


def test_a_level_far_above_every_device_is_named_with_an_arrow_and_not_drawn() -> None:
    scale = strips.device_scale([typical(70, 9000)])
    axis = strips.device_axis(scale, typical(70, 9000), "UK 2022")
    assert "→" in "".join(element.text or "" for element in ET.fromstring(axis).iter("text"))
    assert 'class="level"' not in axis


def test_a_device_of_one_exam_has_neither_band_nor_interval() -> None:
    one = typical(700, n=1, low=None, high=None, p25=700.0, p75=700.0, verdict="too few")
    picture = strips.device_strip(strips.device_scale([one]), one)
    assert 'class="quartiles"' not in picture
    assert 'class="interval"' not in picture
    assert "95 % interval –" in words_of(picture)


def test_doses_of_nothing_at_all_make_a_picture() -> None:
    zero = typical(0.0)
    assert "Median 0" in words_of(strips.device_strip(strips.device_scale([zero]), zero))


def test_a_share_is_said_as_part_and_whole() -> None:
    assert words_of(strips.share_bar(2969, 3000)) == "Share 99\xa0% 2969 of 3000."
    assert words_of(strips.share_bar(0, 0)).endswith("0 of 0.")
