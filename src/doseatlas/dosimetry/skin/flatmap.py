"""How does a body's skin look when it is unrolled? The flat picture of the dose map: an SVG with a PNG in it.

Each part is a panel, its rows laid out by their true length from the back's middle line, so that lengths along and
across the body are those of the skin.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape

from doseatlas.dosimetry.skin.phantom import Grid, Mesh

Floats = npt.NDArray[np.float64]

COLOURS = ((255, 240, 184), (253, 190, 92), (240, 116, 62), (199, 45, 62), (128, 20, 74), (58, 8, 58))
"""From a little dose to the peak; bare skin has a colour of its own."""
BARE = (226, 222, 215)
PIXEL_CM = 0.5
FIELD_CM = 10.0
LEAST_SHOWN = 0.03
LETTER_WIDTH = 0.6
"""Of a digit, in heights of letters."""
LONGEST_CM, MARGIN_CM = 120.0, 15.0
_SIDES = (
    (-1.0, "front", "start"),
    (-0.5, "left", "middle"),
    (0.0, "back", "middle"),
    (0.5, "right", "middle"),
    (1.0, "front", "end"),
)
GAP_CM, LEFT_CM, TOP_CM, BOTTOM_CM = 6.0, 11.0, 8.0, 16.0


class Panel(NamedTuple):
    """A part unrolled: its dose as pixels (NaN outside), and the distance of the left edge from the back's middle."""

    name: str
    pixels: Floats
    half_cm: float
    top_cm: float
    closed: bool


def flat_map(mesh: Mesh, dose_mgy: Floats, *, gradient: str = "dose") -> Markup:
    """Return the picture; only the parts that got dose have a panel. ``gradient`` is an id that the page has once."""
    panels = _cropped(_panels(mesh, dose_mgy))
    peak = float(dose_mgy.max())
    width = LEFT_CM + sum(2 * panel.half_cm + GAP_CM for panel in panels)
    top = min(panel.top_cm for panel in panels)
    foot = max(panel.top_cm + panel.pixels.shape[0] * PIXEL_CM for panel in panels)
    below = foot - top
    # The picture is scaled to the page's width: the letters grow with the picture so that they can be read there.
    letters = max(2.2, 0.0175 * width)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1f} {below + TOP_CM + BOTTOM_CM:.1f}" '
        f'role="img" aria-label="Flat map of the skin dose; the largest is {_number(peak)} mGy">'
        # On a group, as a page's style of its pictures would go before attributes of the picture itself.
        f'<g font-family="system-ui, sans-serif" font-size="{letters:.2f}" fill="#1b2a33">'
    ]
    for depth in range(int(-(-top // 10)) * 10, int(foot) + 1, 10):
        y = TOP_CM + depth - top
        parts.append(
            f'<line x1="{LEFT_CM - 1}" x2="{width - GAP_CM}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d9e0e4" '
            f'stroke-width=".15"/><text x="{LEFT_CM - 1.6}" y="{y + 0.8:.1f}" text-anchor="end" fill="#55636d">'
            f"{depth}</text>"
        )
    parts.append(
        f'<text transform="translate(2.6 {TOP_CM + below / 2:.1f}) rotate(-90)" text-anchor="middle" fill="#55636d">'
        "cm below the crown</text>"
    )
    x = LEFT_CM
    for panel in panels:
        parts.append(_panel(panel, x, TOP_CM + panel.top_cm - top, peak, letters))
        x += 2 * panel.half_cm + GAP_CM
    parts.append(_scale(peak, LEFT_CM, TOP_CM + below + 5, min(60.0, width - LEFT_CM - GAP_CM), gradient))
    return Markup("".join(parts) + "</g></svg>")


def _panels(mesh: Mesh, dose: Floats) -> list[Panel]:
    found, at = [], 0
    crown = float(mesh.centres[:, 2].max())
    for grid in mesh.grids:
        rows, columns = grid.shape
        own = dose[at : at + rows * columns].reshape(rows, columns)
        at += rows * columns
        if own.any():
            found.append(_unrolled(grid, own, crown))
    return found


def _cropped(panels: list[Panel]) -> list[Panel]:
    """Return the panels without the skin far above and below the dose, where the body is too long for a picture."""
    ends = []
    for panel in panels:
        hit = np.flatnonzero((panel.pixels > 0).any(axis=1)) * PIXEL_CM + panel.top_cm
        ends.append((float(hit[0]), float(hit[-1])))
    low = min(low for low, _ in ends) - MARGIN_CM
    high = max(high for _, high in ends) + MARGIN_CM
    if max(panel.top_cm + len(panel.pixels) * PIXEL_CM for panel in panels) <= LONGEST_CM:
        return panels
    found = []
    for panel in panels:
        first = max(0, round((low - panel.top_cm) / PIXEL_CM))
        last = round((high - panel.top_cm) / PIXEL_CM)
        found.append(panel._replace(pixels=panel.pixels[first : last + 1], top_cm=panel.top_cm + first * PIXEL_CM))
    return found


def _unrolled(grid: Grid, dose: Floats, crown_cm: float) -> Panel:
    """Return a part with its rows laid out by length; the patient's left is left, as if one looks at the back."""
    rows, columns = grid.shape
    z = grid.vertices[:, 0, 2]
    steps = np.linalg.norm(np.diff(grid.vertices, axis=1), axis=2)
    middle = 0 if grid.closed else columns // 2
    length = np.concatenate((np.zeros((rows + 1, 1)), np.cumsum(steps, axis=1)), axis=1)
    length = (length[:-1] + length[1:]) / 2
    half = float(length[:, -1].max()) / 2
    wide, high = int(np.ceil(2 * half / PIXEL_CM)), max(1, int(np.ceil(float(z[0] - z[-1]) / PIXEL_CM)))
    pixels = np.full((high, wide), np.nan)
    across = (np.arange(wide) + 0.5) * PIXEL_CM - wide * PIXEL_CM / 2
    row_of = np.clip(np.searchsorted(-z, -(z[0] - (np.arange(high) + 0.5) * PIXEL_CM)) - 1, 0, rows - 1)
    for y, row in enumerate(row_of):
        own = length[row]
        on_skin = np.abs(across) <= own[-1] / 2
        # To the left of the picture is the patient's left, where the columns begin.
        along = np.mod(-across, own[-1]) if grid.closed else own[middle] + across
        column = np.clip(np.searchsorted(own, along, side="right") - 1, 0, columns - 1)
        pixels[y, on_skin] = dose[row, column[on_skin]]
    return Panel(grid.name, pixels, wide * PIXEL_CM / 2, crown_cm - float(z[0]), grid.closed)


def _panel(panel: Panel, x: float, y: float, peak: float, letters: float) -> str:
    high, wide = panel.pixels.shape
    image = base64.b64encode(_png(_coloured(panel.pixels, peak))).decode()
    parts = [
        f'<image x="{x:.2f}" y="{y:.2f}" width="{wide * PIXEL_CM:.2f}" height="{high * PIXEL_CM:.2f}" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{image}" image-rendering="pixelated"/>'
    ]
    middle = x + panel.half_cm
    parts.append(
        f'<text x="{middle:.1f}" y="{TOP_CM - 4.6}" text-anchor="middle" font-weight="600">{escape(panel.name)}</text>'
    )
    if panel.closed and panel.half_cm > 20:
        for share, word, anchor in _SIDES:
            parts.append(
                f'<text x="{middle + share * panel.half_cm:.1f}" y="{TOP_CM - 1.2}" text-anchor="{anchor}" '
                f'fill="#55636d">{word}</text>'
            )
    parts.extend(_numbers(panel, x, y, peak, letters))
    return "".join(parts)


def _numbers(panel: Panel, x: float, y: float, peak: float, letters: float) -> list[str]:
    """Return the largest dose of each field of 10 cm by 10 cm as text where it is, and a ring at the peak."""
    step = int(FIELD_CM / PIXEL_CM)
    dose = np.nan_to_num(panel.pixels)
    taken: list[tuple[float, float, float]] = []  # middles of the numbers, and half their width
    fields: list[tuple[float, int, int]] = []
    for top in range(0, dose.shape[0], step):
        for left in range(0, dose.shape[1], step):
            field = dose[top : top + step, left : left + step]
            row, column = divmod(int(np.argmax(field)), field.shape[1])
            fields.append((float(field[row, column]), top + row, left + column))
    parts = []
    for value, row, column in sorted(fields, reverse=True):
        px, py = x + (column + 0.5) * PIXEL_CM, y + (row + 0.5) * PIXEL_CM
        half = (LETTER_WIDTH * len(_number(value)) + 0.5) * letters / 2
        if value < LEAST_SHOWN * peak or any(
            abs(px - a) < half + other and abs(py - b) < 1.2 * letters for a, b, other in taken
        ):
            continue
        taken.append((px, py, half))
        if value == peak and len(taken) == 1:
            parts.append(
                f'<circle cx="{px:.2f}" cy="{py:.2f}" r="1.5" fill="none" stroke="#fff" stroke-width=".7"/>'
                f'<circle cx="{px:.2f}" cy="{py:.2f}" r="1.5" fill="none" stroke="#1b2a33" stroke-width=".3"/>'
            )
            py -= 2.4
            taken.append((px, py - 0.5 * letters, half))
        parts.append(
            f'<text x="{px:.2f}" y="{py + 0.8:.2f}" text-anchor="middle" font-weight="{700 if value == peak else 500}" '
            f'stroke="#fff" stroke-width=".7" paint-order="stroke" stroke-linejoin="round">{_number(value)}</text>'
        )
    return parts


def _scale(peak: float, x: float, y: float, width: float, gradient: str) -> str:
    stops = "".join(
        f'<stop offset="{index / (len(COLOURS) - 1):.3f}" stop-color="rgb{colour}"/>'
        for index, colour in enumerate(COLOURS)
    )
    ticks = "".join(
        f'<text x="{x + width * share:.1f}" y="{y + 6:.1f}" text-anchor="middle">{_number(peak * share)}</text>'
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    return (
        f'<defs><linearGradient id="{gradient}">{stops}</linearGradient></defs>'
        f'<rect x="{x}" y="{y:.1f}" width="{width:.1f}" height="2.4" fill="url(#{gradient})"/>{ticks}'
        f'<text x="{x}" y="{y - 1:.1f}" fill="#55636d">skin dose in mGy (bare skin is grey)</text>'
    )


def _coloured(dose: Floats, peak: float) -> npt.NDArray[np.uint8]:
    """Return the pixels as RGBA; outside the skin they are transparent."""
    table = np.array(COLOURS, np.float64)
    share = np.nan_to_num(dose) / peak * (len(COLOURS) - 1)
    low = np.clip(share.astype(np.int64), 0, len(COLOURS) - 2)
    rgb = table[low] + (share - low)[..., None] * (table[low + 1] - table[low])
    rgb[~(dose > 0)] = BARE
    alpha = np.where(np.isnan(dose), 0, 255)
    return np.concatenate((rgb, alpha[..., None]), axis=2).round().astype(np.uint8)


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return RGBA pixels as a PNG (ISO/IEC 15948), unfiltered."""
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 4 * width), np.uint8)
    lines[:, 1:] = pixels.reshape(height, -1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}"
