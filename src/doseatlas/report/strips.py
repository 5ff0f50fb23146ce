"""The pictures in a row of a table: a device beside others, a ratio to its level, a share. Each says it in words.

Classes are coloured by the page's style sheet; shapes carry the same meaning without colour.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from doseatlas.analysis import TypicalValue
from doseatlas.report import svg, words
from doseatlas.report.charts import FAR
from doseatlas.report.scale import Scale

STRIP_WIDTH, STRIP_HEIGHT = 250.0, 20.0
RATIO_WIDTH = 96.0


def device_scale(values: Sequence[TypicalValue]) -> Scale:
    """Return the scale that the lines of all devices of one quantity share; it begins at 0."""
    highest = max(max(value.high or 0, value.p75) for value in values) or 1.0
    level = next((value.reference.value for value in values if value.reference), None)
    if level is not None and level <= (1 + FAR) * highest:
        highest = max(highest, level)
    return Scale(0, highest, 8, STRIP_WIDTH - 12)


def device_axis(scale: Scale, value: TypicalValue, drl_name: str) -> Markup:
    """Return the axis over the lines of the devices, with the reference level."""
    ticks = scale.ticks(4)
    parts = [svg.text("tick middle", scale.at(tick), 32, words.level_value(tick)) for tick in ticks]
    parts.append(svg.lines("base", *((scale.at(tick), 36, scale.at(tick), 40) for tick in ticks)))
    told = "No reference level."
    if value.reference is not None:
        told = words.level_label(value.reference, value.quantity, drl_name)
        shown = told if scale.covers(value.reference.value) else f"{told} →"
        at = scale.at(value.reference.value)
        anchor, label_x = svg.place_label(at, shown, STRIP_WIDTH)
        parts.append(svg.text(f"level-label {anchor}", label_x, 14, shown))
        if scale.covers(value.reference.value):
            parts.append(svg.lines("level", (at, 18, at, 40)))
    unit = words.unit(value.quantity)
    return svg.picture(
        STRIP_WIDTH, 40, "strip", f"Scale in {unit}", f"From 0 to {words.dose(scale.high)}. {told}", parts
    )


def device_strip(scale: Scale, value: TypicalValue) -> Markup:
    """Return one device: quartiles as a band, 95 % interval as a line, median as a dot (hollow: too few exams)."""
    middle = STRIP_HEIGHT / 2
    parts = [svg.lines("base", (scale.start, middle, scale.stop, middle))]
    if value.n > 1:
        left, right = scale.at(value.p25), scale.at(value.p75)
        parts.append(svg.boxes("quartiles", (left, middle - 6, right - left, 12)))
    if value.low is not None and value.high is not None:
        low, high = scale.at(value.low), scale.at(value.high)
        ends = ((end, middle - 4, end, middle + 4) for end in (low, high))
        parts.append(svg.lines("interval", (low, middle, high, middle), *ends))
    if value.reference is not None and scale.covers(value.reference.value):
        at = scale.at(value.reference.value)
        parts.append(svg.lines("level", (at, 0, at, STRIP_HEIGHT)))
    parts.append(svg.dot("month few" if value.verdict == "too few" else "month", scale.at(value.median), middle, 3.5))
    title = f"Median {words.dose_with_unit(value.median, value.quantity)}"
    told = f"95 % interval {words.interval(value.low, value.high)}; quartiles {words.interval(value.p25, value.p75)}."
    return svg.picture(STRIP_WIDTH, STRIP_HEIGHT, "strip", title, told, parts)


def ratio_strip(value: TypicalValue) -> Markup:
    """Return where the median lies from a quarter to four times the reference level; an arrow where beyond."""
    if value.ratio is None or value.ratio <= 0:
        return Markup("")
    middle = STRIP_HEIGHT / 2
    scale = Scale(0.25, 4, 8, RATIO_WIDTH - 8, logarithmic=True)
    at, one = scale.at(value.ratio), scale.at(1)
    parts = [svg.lines("base", (scale.start, middle, scale.stop, middle))]
    parts.append(svg.lines("level", (one, 1, one, STRIP_HEIGHT - 1)))
    parts.append(svg.lines(f"way {'over' if value.ratio > 1 else 'under'}", (one, middle, at, middle)))
    if scale.covers(value.ratio):
        name = {"above": "mark over", "within": "mark under"}.get(value.verdict, "month few")
        parts.append(svg.dot(name, at, middle, 4))
    else:
        turn = 5 if value.ratio > 1 else -5
        name = "mark over" if value.ratio > 1 else "mark under"
        parts.append(
            svg.path(name, [(at - turn, middle - 5), (at + turn, middle), (at - turn, middle + 5)], closed=True)
        )
    title = f"{words.ratio(value.ratio)} times the reference level"
    return svg.picture(
        RATIO_WIDTH, STRIP_HEIGHT, "strip", title, f"Verdict: {words.VERDICT_WORDS[value.verdict]}.", parts
    )


def share_bar(part: int, whole: int) -> Markup:
    """Return a part of a whole as a bar."""
    full = RATIO_WIDTH - 16
    filled = full * part / whole if whole else 0
    parts = [svg.boxes("count", (8, 6, full, 8)), svg.boxes("bar", (8, 6, filled, 8))]
    return svg.picture(
        RATIO_WIDTH, STRIP_HEIGHT, "strip", f"Share {words.share(part, whole)}", f"{part} of {whole}.", parts
    )
