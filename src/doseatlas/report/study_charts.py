"""The pictures of a study's report: a line of sites, countries with their sites, and a map of variation.

The map is a grid with one square a country, from a table of our own (``templates/country_tiles.csv``), so small
countries are seen as well as large ones. Classes are coloured by the style sheet; the ratio stands in each square, so
the picture reads without colour.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from markupsafe import Markup

from doseatlas.report import svg, words
from doseatlas.report.scale import Scale
from doseatlas.studies import PlaceValue, VariationRow

STRIP_WIDTH, STRIP_HEIGHT = 200.0, 26.0
DOTS_WIDTH, DOTS_LEFT, ROW_HEIGHT = 560.0, 150.0, 17.0
TILE, WIDE_TILE = 30.0, 120.0
COLUMNS, ROWS = 26, 15
# Ratio to the median of the countries' values, up to which a class goes; the last goes on.
CLASSES = ((0.5, "least"), (0.8, "less"), (1.25, "near"), (2.0, "more"), (float("inf"), "most"))


class Tile(NamedTuple):
    """Where a country stands on the grid."""

    name: str
    column: int
    row: int


@cache
def country_tiles() -> dict[str, Tile]:
    """Return the place of each country on the grid, by its ISO 3166 two-letter code."""
    text = files("doseatlas.report").joinpath("templates", "country_tiles.csv").read_text(encoding="utf-8")
    return {
        row["code"]: Tile(row["name"], int(row["column"]), int(row["row"])) for row in csv.DictReader(text.splitlines())
    }


def sites_strip(row: VariationRow, rows: Sequence[VariationRow]) -> Markup:
    """Return one exam and group: each place a dot on the scale that ``rows`` share, quartiles as a band.

    Places that are hidden have no dots, but for the smallest and the largest, whose values stand in the table.
    """
    scale = _scale(rows, 8, STRIP_WIDTH - 8)
    if scale is None or row.p25 is None or row.p75 is None or row.median is None:
        return Markup("")
    middle = STRIP_HEIGHT / 2
    parts = [svg.lines("base", (scale.start, middle, scale.stop, middle))]
    left, right = scale.at(row.p25), scale.at(row.p75)
    parts.append(svg.boxes("quartiles", (left, middle - 9, right - left, 18)))
    values = [site.value for site in row.sites] if row.of == "sites" else [place.value for place in row.countries]
    values = values or [value for value in (row.smallest, row.largest) if value is not None]
    parts += [svg.dot("site", scale.at(value), middle, 3) for value in values]
    parts.append(svg.lines("median", (scale.at(row.median), middle - 10, scale.at(row.median), middle + 10)))
    told = "; ".join(words.dose(value) for value in sorted(values))
    one = {"sites": "site", "countries": "country"}[row.of]
    title = f"{row.exam_name}, {row.group_name}: {words.plural(row.places or 0, one, row.of)} on a logarithmic scale"
    return svg.picture(STRIP_WIDTH, STRIP_HEIGHT, "strip", title, f"In {words.unit(row.quantity)}: {told}.", parts)


def country_dots(row: VariationRow) -> Markup:
    """Return a line for each country, lowest first: its value as a bar, its sites as dots."""
    scale = _scale((row,), DOTS_LEFT, DOTS_WIDTH - 16)
    countries = sorted(row.countries, key=lambda place: place.value)
    if scale is None or not countries:
        return Markup("")
    top, height = 34.0, 34.0 + ROW_HEIGHT * len(countries) + 8
    ticks = scale.ticks(6)
    parts = [svg.lines("grid", *((scale.at(tick), top - 6, scale.at(tick), height - 8) for tick in ticks))]
    parts += [svg.text("tick middle", scale.at(tick), top - 10, words.level_value(tick)) for tick in ticks]
    parts.append(
        svg.text(
            "axis start", 4, 14, f"{words.quantity_name(row.quantity, row.phantom_cm)} ({words.unit(row.quantity)})"
        )
    )
    for number, place in enumerate(countries):
        y = top + ROW_HEIGHT * (number + 0.5)
        parts.append(svg.text("start", 4, y + 4, _name(place.country)))
        parts += [svg.dot("site", scale.at(s.value), y, 3.2) for s in row.sites if s.country == place.country]
        parts.append(svg.lines("median", (scale.at(place.value), y - 7, scale.at(place.value), y + 7)))
    told = "; ".join(f"{_name(p.country)} {words.dose(p.value)} ({p.sites} sites, {p.n} exams)" for p in countries)
    title = f"{row.exam_name}, {row.group_name}: countries and their sites"
    return svg.picture(DOTS_WIDTH, height, "chart wide", title, f"In {words.unit(row.quantity)}: {told}.", parts)


def variation_map(row: VariationRow) -> Markup:
    """Return a square for each country, with the ratio of its value to the median of all countries' values."""
    if not row.countries:
        return Markup("")
    median = _median([place.value for place in row.countries])
    if median <= 0:
        return Markup("")
    known = {place.country: place for place in row.countries if place.country in country_tiles()}
    others = [place for place in row.countries if place.country not in country_tiles()]
    top = 0.0 if known else -ROWS * TILE
    parts = list(_grid(known, median)) if known else []
    for number, place in enumerate(sorted(others, key=lambda one: one.country)):
        x = WIDE_TILE * (number % 6)
        y = top + ROWS * TILE + 6 + TILE * (number // 6)
        parts += _square(x, y, WIDE_TILE, place.country[:14], place.value / median)
    height = top + ROWS * TILE + 6 + TILE * -(-len(others) // 6)
    told = "; ".join(f"{_name(place.country)} {_ratio(place.value / median)}" for place in row.countries)
    title = f"{row.exam_name}, {row.group_name}: countries relative to their median"
    return svg.picture(COLUMNS * TILE, height, "chart map", title, f"Ratio to {words.dose(median)}: {told}.", parts)


def _grid(known: dict[str, PlaceValue], median: float) -> Iterator[str]:
    empty = [tile for code, tile in country_tiles().items() if code not in known]
    yield svg.boxes("nothing", *((t.column * TILE + 1, t.row * TILE + 1, TILE - 2, TILE - 2) for t in empty))
    for code, place in known.items():
        tile = country_tiles()[code]
        yield from _square(tile.column * TILE, tile.row * TILE, TILE, code, place.value / median)


def _square(x: float, y: float, width: float, label: str, ratio: float) -> list[str]:
    name = next(name for limit, name in CLASSES if ratio <= limit)
    return [
        svg.boxes(f"tile {name}", (x + 1, y + 1, width - 2, TILE - 2)),
        svg.text("code middle", x + width / 2, y + 13, label),
        svg.text("figure middle", x + width / 2, y + 25, _ratio(ratio)),
    ]


def _ratio(ratio: float) -> str:
    """Return a ratio with two significant digits, whole from 10 on."""
    return f"{ratio:.2f}" if ratio < 0.995 else f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"


def _scale(rows: Sequence[VariationRow], start: float, stop: float) -> Scale | None:
    """Return a logarithmic scale over everything that the rows show, ``None`` where that is nothing."""
    values: list[float | None] = [value for row in rows for value in (row.smallest, row.largest)]
    values += [site.value for row in rows for site in row.sites]
    values += [place.value for row in rows for place in row.countries]
    positive = [value for value in values if value is not None and value > 0]
    if not positive:
        return None
    low, high = min(positive), max(positive)
    return Scale(low / 1.15, high * 1.15, start, stop, logarithmic=True)


def _name(country: str) -> str:
    return country_tiles()[country].name if country in country_tiles() else country


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
