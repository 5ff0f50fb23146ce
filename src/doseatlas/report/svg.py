"""Small SVG pieces as text: numbers rounded to what a screen shows, every text escaped, never a style or a link."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape


def number(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def picture(width: float, height: float, name: str, title: str, description: str, parts: Iterable[str]) -> Markup:
    """Return a whole picture; ``title`` and ``description`` say in words what it shows, ``name`` is its CSS class."""
    return Markup(
        f'<svg class="{escape(name)}" role="img" viewBox="0 0 {number(width)} {number(height)}" '
        f'width="{number(width)}" height="{number(height)}"><title>{escape(title)}</title>'
        f"<desc>{escape(description)}</desc>{''.join(parts)}</svg>"
    )


def lines(name: str, *ends: tuple[float, float, float, float]) -> str:
    """Return straight lines, each from (x1, y1) to (x2, y2), as one shape."""
    way = "".join(f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}" for x1, y1, x2, y2 in ends)
    return f'<path class="{escape(name)}" d="{way}"/>' if way else ""


def path(name: str, points: Iterable[tuple[float, float]], *, closed: bool = False) -> str:
    """Return a line through points, or the area that they enclose."""
    way = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return f'<path class="{escape(name)}" d="M{way}{"Z" if closed else ""}"/>'


def boxes(name: str, *sides: tuple[float, float, float, float]) -> str:
    """Return rectangles, each as (x, y, width, height), as one shape."""
    way = "".join(
        f"M{number(x)} {number(y)}h{number(width)}v{number(height)}h{number(-width)}z" for x, y, width, height in sides
    )
    return f'<path class="{escape(name)}" d="{way}"/>' if way else ""


def dot(name: str, x: float, y: float, radius: float) -> str:
    """Return a filled circle."""
    return f'<circle class="{escape(name)}" cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"/>'


def dots(name: str, points: Iterable[tuple[float, float]]) -> str:
    """Return dots as one shape, each place once: the style gives the round ends of lines without length their width."""
    way = "".join(dict.fromkeys(f"M{number(x)} {number(y)}h0" for x, y in points))
    return f'<path class="{escape(name)}" d="{way}"/>' if way else ""


def circles(name: str, points: Iterable[tuple[float, float]], radius: float) -> str:
    """Return circles of one size as one shape, each place once."""
    r = number(radius)
    arcs = f"a{r} {r} 0 1 0 {number(2 * radius)} 0a{r} {r} 0 1 0 {number(-2 * radius)} 0"
    way = "".join(dict.fromkeys(f"M{number(x - radius)} {number(y)}{arcs}" for x, y in points))
    return f'<path class="{escape(name)}" d="{way}"/>' if way else ""


def text(name: str, x: float, y: float, content: str) -> str:
    """Return a text; the class says where it is anchored (``start``, ``middle``, ``end``)."""
    return f'<text class="{escape(name)}" x="{number(x)}" y="{number(y)}">{escape(content)}</text>'


def place_label(at: float, label: str, width: float) -> tuple[str, float]:
    """Return how a label at a position is anchored, and where, so that it stays on a picture of this width."""
    half = 3.4 * len(label)  # about half the width of a label of 12 px
    if at - half < 10:
        return "start", max(4.0, min(at - 4, width - 2 * half))
    if at + half > width - 4:
        return "end", width - 4
    return "middle", at
