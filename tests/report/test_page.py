from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doseatlas.analysis import CountOf, DataQuality, FacilityReport, Selection
from doseatlas.report import sentences, words, write_html
from doseatlas.report.page import html

from .page_parts import Page

HOSTILE = [
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    '" onmouseover="alert(1)" x="',
    "' autofocus onfocus='alert(1)",
    "</title></svg><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "--></table></details>&lt;b&gt;",
]


@pytest.fixture(scope="module")
def page(report: FacilityReport) -> Page:
    return Page(html(report))


def test_the_page_is_nested_well_and_its_ids_are_unique(page: Page) -> None:
    ids = Counter(element.attributes["id"] for element in page.elements if "id" in element.attributes)
    assert [name for name, count in ids.items() if count > 1] == []


def test_every_link_leads_to_a_place_on_the_page(page: Page) -> None:
    ids = {element.attributes.get("id") for element in page.elements}
    links = [element.attributes["href"] for element in page.all("a")]
    assert len(links) > 50
    assert all(link.startswith("#") and link[1:] in ids for link in links)


def test_the_page_loads_nothing(report: FacilityReport, page: Page) -> None:
    loading = {"src", "srcset", "poster", "action", "formaction", "data", "xlink:href", "background", "style"}
    for element in page.elements:
        assert not loading & set(element.attributes), element.attributes
        assert element.tag not in {"link", "img", "iframe", "object", "embed", "base", "use", "image"}
    (style,), (script,) = page.all("style"), page.all("script")
    for text in ("".join(style.pieces), "".join(script.pieces)):
        assert not re.search(r"url\(|@import|https?:|fetch\(|XMLHttpRequest|import\(", text)


def test_the_policy_allows_this_style_and_this_script_and_nothing_else(page: Page) -> None:
    (policy,) = [
        element.attributes["content"]
        for element in page.all("meta")
        if element.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for tag in ("style", "script"):
        (element,) = page.all(tag)
        digest = base64.b64encode(hashlib.sha256("".join(element.pieces).encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


def test_every_picture_says_in_words_what_it_shows(report: FacilityReport) -> None:
    pictures = re.findall(r"<svg .*?</svg>", html(report), re.DOTALL)
    assert len(pictures) > 100
    for picture in pictures:
        assert 'role="img"' in picture
        title, description = re.search(r"<title>(.+?)</title><desc>(.+?)</desc>", picture).groups()  # type: ignore[union-attr]
        assert len(title) > 5
        assert re.search(r"\d|Verdict", f"{title} {description}")


def test_a_screen_reader_finds_headings_in_order_and_named_tables(page: Page) -> None:
    levels = [int(element.tag[1]) for element in page.elements if re.fullmatch(r"h[1-6]", element.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(page.all("table")) == len(page.all("caption"))
    assert all("scope" in element.attributes for element in page.all("th"))
    (root,) = page.all("html")
    assert root.attributes["lang"] == "en"
    for region in page.all("div", "scroll"):
        assert region.attributes["aria-label"]
        assert region.attributes["tabindex"] == "0"


def test_the_first_screen_says_how_many_are_above_and_what_to_look_at(report: FacilityReport, page: Page) -> None:
    (lead,) = page.all("p", "lead")
    stand = report.standing
    assert lead.text.startswith(f"{stand.above} of {stand.above + stand.within} procedures")
    things = page.all("p", "what")
    assert len(things) == len(report.findings) > 0


def test_where_a_derived_dose_stands_the_page_says_that_it_rests_on_corrected_values(report: FacilityReport) -> None:
    derived = msgspec.structs.replace(report.typical_values[0], quantity="effective_dose_msv", verdict="too few")
    with_one = msgspec.structs.replace(report, typical_values=(*report.typical_values, derived))
    said = sentences.derived_doses(with_one)
    assert said
    assert html(with_one).count(said) == 2  # above the typical values, and under the method
    assert "always rest" not in html(report)


def test_every_typical_value_is_in_the_table_also_where_exams_are_too_few(report: FacilityReport, page: Page) -> None:
    rows = [row[-9:] for row in page.rows("Typical values of all devices") if len(row) >= 9][1:]
    assert len(rows) == len(report.typical_values)
    expected = Counter(
        (words.dose(value.median), words.VERDICT_WORDS[value.verdict]) for value in report.typical_values
    )
    assert Counter((row[2], row[-1].removesuffix(" note").split(" ", 1)[1]) for row in rows) == expected
    few = [row for row in rows if "too few exams" in row[-1]]
    assert few
    assert all(re.fullmatch(r"\d+ of \d+", row[1]) for row in few)


def test_every_device_and_every_exam_that_stands_out_is_there(report: FacilityReport, page: Page) -> None:
    devices = {row[0] for row in page.rows("Devices and their")[1:]}
    assert devices == {device.device for device in report.devices}
    listed = page.rows("Exams that stand out")[1:]
    assert [row[0].split("\n")[0].split("sim")[1][:2] for row in listed] == ["-3"] * len(report.outliers)
    for row, outlier in zip(listed, report.outliers, strict=True):
        assert row[0].startswith(outlier.exam_id)
        assert all(reason in row[5] for reason in outlier.reasons)


def test_a_level_is_labelled_with_value_unit_place_and_year(report: FacilityReport) -> None:
    value = next(value for value in report.typical_values if value.reference)
    assert words.level_label(value.reference, value.quantity, "Japan 2025") in html(report)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_an_object_states_never_becomes_markup(said: Callable[..., FacilityReport], text: str) -> None:
    def plain(field: str) -> str:
        return f"{field} plain"

    def hostile(field: str) -> str:
        return f"{field} {text}"

    tame, wild = Page(html(said(plain))), Page(html(said(hostile)))
    assert [(element.tag, sorted(element.attributes)) for element in wild.elements] == [
        (element.tag, sorted(element.attributes)) for element in tame.elements
    ]
    shown = "".join(wild.all("html")[0].pieces)
    for field in ("title", "device", "procedure", "exam_id", "reasons", "details", "sources", "value", "note"):
        if f"{field} plain" in "".join(tame.all("html")[0].pieces):
            assert f"{field} {text}" in shown
    assert shown.count(text) > 20


def test_an_empty_store_gives_a_page_that_says_what_to_do(empty: Callable[..., FacilityReport]) -> None:
    page = Page(html(empty()))
    (note,) = page.all("div", "note")
    assert "doseatlas import" in note.text
    assert not page.all("svg")


def test_an_empty_selection_is_named(empty: Callable[..., FacilityReport]) -> None:
    text = html(empty(selection=Selection(device="Scanner 7", procedure="ct-head")))
    assert "Scanner 7" in text
    assert "Widen the period" in text


def test_where_nothing_is_mapped_the_page_shows_the_names_and_the_command(empty: Callable[..., FacilityReport]) -> None:
    quality = DataQuality(
        exams=5,
        counted=0,
        plausible=5,
        mapped=0,
        grouped=5,
        with_weight=2,
        unmapped_names=(CountOf(value="THX ROUTINE", count=5),),
    )
    page = Page(html(empty(exam_count=5, device_count=1, quality=quality)))
    assert "doseatlas mapping apply" in page.all("div", "note")[0].text
    assert ["THX ROUTINE", "5"] in page.rows("Most frequent names")
    assert not page.all("table", "typical")


def test_without_a_reference_level_the_values_are_shown_and_another_set_is_suggested(report: FacilityReport) -> None:
    def bare(values: tuple[Any, ...]) -> tuple[Any, ...]:
        nothing: dict[str, Any] = {"reference": None, "ratio": None, "probability_above": None}
        return tuple(msgspec.structs.replace(one, **nothing, verdict="no reference level") for one in values)

    without = msgspec.structs.replace(
        report,
        drl_set="",
        drl_name="",
        drl_authority="",
        drl_level="",
        typical_values=bare(report.typical_values),
        device_values=bare(report.device_values),
    )
    page = Page(html(without))
    assert "doseatlas drl list" in page.all("div", "note")[0].text
    assert len(page.rows("Typical values of all devices")) > len(report.typical_values)


def test_the_same_report_gives_the_same_bytes(report: FacilityReport, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_html(report, tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_large_facility_stays_below_5_megabytes(report: FacilityReport) -> None:
    device_values = tuple(
        msgspec.structs.replace(value, device=f"{value.device} {copy}")
        for copy in range(12)
        for value in report.device_values
    )
    devices = tuple(
        msgspec.structs.replace(device, device=f"{device.device} {copy}")
        for copy in range(12)
        for device in report.devices
    )
    assert len(devices) > 60
    large = msgspec.structs.replace(report, device_values=device_values, devices=devices)
    assert len(html(large).encode()) < 5_000_000
