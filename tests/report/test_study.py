"""The report of a study: self-contained, escaped, and the same figures in HTML and JSON."""

from __future__ import annotations

import datetime as dt
import html
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from doseatlas.report.study import study_html, write_study_html, write_study_json
from doseatlas.report.study_charts import COLUMNS, ROWS, country_dots, country_tiles, sites_strip, variation_map
from doseatlas.studies import (
    AdultProtocolRow,
    AnswerRow,
    FlowStep,
    LeftOut,
    PhaseRow,
    PlaceValue,
    SiteValue,
    StudyReport,
    VariationRow,
)

EVIL = '<script>alert("x")</script>'


def variation(**changes: object) -> VariationRow:
    countries = ("JP", "KE", "Norland")
    usual = VariationRow(
        exam="chest",
        exam_name="CT of the chest",
        group="adult",
        group_name="adults",
        quantity="dlp_mgy_cm",
        phantom_cm=32,
        of="sites",
        places=3,
        exams=60,
        smallest=100.0,
        p25=150.0,
        median=200.0,
        p75=600.0,
        largest=1000.0,
        fold=10.0,
        fold_low=7.5,
        fold_high=13.0,
        quartile_ratio=4.0,
        smallest_place="S1",
        largest_place="S3",
        sites=tuple(
            SiteValue(site=f"S{i + 1}", country=c, n=20, value=v)
            for i, (c, v) in enumerate(zip(countries, (100.0, 200.0, 1000.0), strict=True))
        ),
        countries=tuple(
            PlaceValue(country=c, sites=1, n=20, value=v)
            for c, v in zip(countries, (100.0, 200.0, 1000.0), strict=True)
        ),
    )
    return msgspec.structs.replace(usual, **changes)


@pytest.fixture
def report() -> StudyReport:
    return StudyReport(
        study="a-study",
        study_version="v",
        data_version="d",
        title=f"A study {EVIL}",
        question=EVIL,
        source=EVIL,
        since="2025-01",
        until="2025-12",
        generated_at=dt.datetime(2026, 2, 1, tzinfo=dt.UTC),
        version="test",
        minimum_exams=10,
        typical="median",
        country_value="median of sites",
        disclosure_exams=5,
        disclosure_sites=3,
        flow=(
            FlowStep(label="asked to take part", sites=62, countries=34, left_out=(LeftOut(reason=EVIL, sites=8),)),
            FlowStep(label="analysed", sites=54, countries=28, exams=782),
        ),
        variation=(variation(), variation(suppressed="fewer than 3 sites", sites=(), countries=())),
        phases=(
            PhaseRow(
                exam="chest",
                exam_name="CT of the chest",
                group="adult",
                group_name="adults",
                quantity="dlp_mgy_cm",
                phantom_cm=32,
                phases=6,
                reference_phases=2,
                sites=9,
                exams=90,
                share=0.8,
                median=3618.0,
                ratio=4.889,
            ),
        ),
        adult_protocol=(
            AdultProtocolRow(
                exam="chest",
                exam_name="CT of the chest",
                group="adult",
                group_name="adults",
                quantity="ctdi_vol_mgy",
                exams=90,
                adult_protocol=9,
                share=0.1,
                sites=9,
                sites_using=3,
                ratio=2.0,
            ),
            AdultProtocolRow(
                exam="chest",
                exam_name="CT of the chest",
                group="adult",
                group_name="adults",
                quantity="ctdi_vol_mgy",
                exams=33,
                sites=9,
                split_suppressed="fewer than 5 exams",
            ),
        ),
        answers=(
            AnswerRow(question="q", text="Is it so?", answer="yes", of="countries", count=4, answered=20, share=0.2),
            AnswerRow(question="r", text="And so?", answer="no", of="countries", count=0, answered=0, share=0.0),
        ),
        suppressed=1,
    )


def test_what_a_study_states_is_escaped_and_nothing_is_loaded_or_run(report: StudyReport) -> None:
    page = study_html(report)
    assert "<script" not in page
    assert "default-src 'none'" in html.unescape(page)
    assert not re.search(r'(src|href)="(?!#)', page)


def test_the_page_says_the_figures(report: StudyReport) -> None:
    text = re.sub(r"<[^>]+>", " ", study_html(report))
    for figure in ("54 sites in 28 countries", "782 exams", "8 sites:", "7.5 to 13", "4.9", "4 of 20", "9 (10"):
        assert figure in text, figure
    assert "not shown: fewer than 3 sites" in text
    assert "not shown: fewer than 5 exams by one kind of protocol" in text
    assert "Nobody has answered." in text


def test_a_survey_without_exams_speaks_of_participants_and_says_no_method_of_dose(report: StudyReport) -> None:
    survey = msgspec.structs.replace(report, since=None, until=None, variation=(), phases=(), adult_protocol=())
    page = study_html(survey)
    assert "62 participants in 34 countries" in page
    assert "phantom" not in page
    assert "Typical value" not in page


def test_a_reason_tells_exams_apart_from_the_sites_that_have_no_others(report: StudyReport) -> None:
    few = LeftOut(reason="too few", exams=1420, sites=5)
    one = LeftOut(reason="undated", exams=1, sites=1)
    step = FlowStep(label="exams that count", sites=36, countries=6, exams=2110, left_out=(few, one))
    page = study_html(msgspec.structs.replace(report, flow=(step,)))
    assert "1420 exams: too few; 5 sites have no others" in page
    assert "1 exam: undated; 1 site has no others" in page


def test_hidden_sites_leave_the_strip_its_ends_and_quartiles_and_a_map_without_small_countries() -> None:
    row = variation(sites=(), countries=(), countries_hidden=3)
    strip = str(sites_strip(row, [row]))
    assert "3 sites on a logarithmic scale" in strip
    assert strip.count("<circle") == 2
    assert "1 site on a logarithmic scale" in str(sites_strip(variation(places=1), [row]))
    assert "1 country on a logarithmic scale" in str(sites_strip(variation(places=1, of="countries"), [row]))


def test_the_json_has_the_same_figures(report: StudyReport, tmp_path: Path) -> None:
    write_study_html(report, tmp_path / "study.html")
    write_study_json(report, tmp_path / "study.json")
    assert msgspec.convert(json.loads((tmp_path / "study.json").read_text()), StudyReport) == report


def test_every_country_has_a_square_of_its_own_on_the_grid() -> None:
    tiles = country_tiles()
    assert len(tiles) > 190
    assert len({(tile.column, tile.row) for tile in tiles.values()}) == len(tiles)
    assert all(0 <= tile.column < COLUMNS and 0 <= tile.row < ROWS for tile in tiles.values())
    assert tiles["JP"].column > tiles["KE"].column > tiles["BR"].column
    assert tiles["FI"].row < tiles["KE"].row < tiles["ZA"].row


def test_the_pictures_are_whole_svg_and_say_in_words_what_they_show() -> None:
    row = variation()
    for picture in (variation_map(row), country_dots(row), sites_strip(row, [row])):
        root = ElementTree.fromstring(str(picture))
        assert root.find("title") is not None
        assert root.find("desc") is not None
    squares = str(variation_map(row))
    assert "JP" in squares
    assert "Norland" in squares  # a country that is not on the grid stands below it
    assert ">5.0<" in squares  # 1000 to the median of 200


def test_each_exam_has_one_map_whether_sites_or_countries_are_compared_and_none_is_left_out_silently(
    report: StudyReport,
) -> None:
    both = (variation(of="countries"), variation(of="sites"))
    page = study_html(msgspec.structs.replace(report, variation=both))
    assert page.count("<details") == 1
    many = tuple(variation(exam=f"exam-{i}") for i in range(42))
    page = study_html(msgspec.structs.replace(report, variation=many))
    assert page.count("<details") == 40
    assert "2 maps more" in page


def test_a_row_without_countries_has_no_map() -> None:
    row = variation(countries=(), sites=())
    assert variation_map(row) == country_dots(row) == ""


def test_a_row_that_is_not_shown_has_no_strip() -> None:
    row = variation(suppressed="fewer than 3 sites", p25=None, median=None, p75=None)
    assert sites_strip(row, [row]) == ""
