"""How does the report become one HTML file that opens offline, prints, and runs nothing that an object states?

All texts are escaped by the template engine. A content security policy forbids every load and every script or style
but the two of this package, which it knows by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jinja2 import Environment
from markupsafe import Markup

from doseatlas.analysis import FacilityReport
from doseatlas.report import arrange, charts, sentences, strips, words
from doseatlas.report.atomic import written_whole
from doseatlas.report.printable import printable
from doseatlas.report.skin import skin_pictures, trigger_words
from doseatlas.report.templating import environment, resource

if TYPE_CHECKING:
    from doseatlas.dosimetry.skin import SkinMap

FEWEST_FOR_PICTURE = 5
WORDS: tuple[Callable[..., str], ...] = (
    words.count,
    words.date,
    words.dose,
    words.dose_with_unit,
    words.group_name,
    words.interval,
    words.level_label,
    words.level_value,
    words.long_date,
    words.meaning,
    words.plural,
    words.probability,
    words.procedure_name,
    words.quantity_meaning,
    words.quantity_name,
    words.ratio,
    words.share,
    words.unit,
    sentences.subject,
    trigger_words,
)
PICTURES = (
    strips.device_axis,
    strips.device_scale,
    strips.device_strip,
    charts.distribution_picture,
    strips.ratio_strip,
    strips.share_bar,
    charts.trend_picture,
)


def write_html(
    report: FacilityReport,
    path: str | os.PathLike[str],
    skin_maps: Mapping[str, SkinMap] = MappingProxyType({}),
    patient_maps: Mapping[int, SkinMap] = MappingProxyType({}),
) -> None:
    """Write the report as one HTML file; the file is there whole, or not at all.

    ``skin_maps`` are by exam, ``patient_maps`` by the number of a patient with several procedures.

    Raises:
        OSError: the file cannot be written.

    """
    with written_whole(path) as file:
        file.write(html(report, skin_maps, patient_maps).encode())


def html(
    report: FacilityReport,
    skin_maps: Mapping[str, SkinMap] = MappingProxyType({}),
    patient_maps: Mapping[int, SkinMap] = MappingProxyType({}),
) -> str:
    """Return the report as an HTML page."""
    report = printable(report)
    found = arrange.chapters(report)
    pictures = skin_pictures(report, skin_maps, patient_maps) if skin_maps or patient_maps else ()
    images = "img-src data:; " if pictures else ""  # the maps hold their pixels
    style, script = resource("page.css"), resource("page.js")
    return (
        _environment()
        .get_template("page.html")
        .render(
            report=report,
            chapters=found,
            anchors={
                (block.procedure, block.patient_group): block.anchor for chapter in found for block in chapter.blocks
            },
            devices=arrange.devices(report),
            device_anchors={device.summary.device: device.anchor for device in arrange.devices(report)},
            trends=arrange.main_trends(found),
            attention=[sentences.attention(finding, report.drl_name) for finding in report.findings],
            fewest_for_picture=FEWEST_FOR_PICTURE,
            fewest_months=arrange.FEWEST_MONTHS,
            skin_pictures=pictures,
            style=Markup(style),
            script=Markup(script),
            policy=f"default-src 'none'; {images}style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'",
        )
    )


@cache
def _environment() -> Environment:
    made = environment()
    named: dict[str, Any] = {function.__name__: function for function in (*WORDS, *PICTURES)}
    made.globals.update(named)
    made.globals.update(marks=words.VERDICT_MARKS, verdicts=words.VERDICT_WORDS, sentences=sentences)
    made.filters.update({function.__name__: function for function in WORDS})
    return made


def _hash(text: str) -> str:
    """Return the source expression of an inline text (CSP level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
