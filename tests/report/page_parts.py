"""What a test looks at in a page: its elements, in order, and an error where they are not nested well."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import NamedTuple

VOID = {"meta", "br", "input", "link", "img", "hr"}


class Element(NamedTuple):
    """An element of the page with the text directly and deeply inside it."""

    tag: str
    attributes: dict[str, str]
    pieces: list[str]

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split(" ")).strip()


class Page(HTMLParser):
    """A page taken apart; ``elements`` are in document order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {[element.tag for element in self.open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs}, [])
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}, []))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.pieces.append(data)

    def all(self, tag: str, name: str = "") -> list[Element]:
        """Return the elements of a tag and, where given, of a class."""
        found = [element for element in self.elements if element.tag == tag]
        return [element for element in found if not name or name in element.attributes.get("class", "").split()]

    def rows(self, heading: str) -> list[list[str]]:
        """Return the cells' texts of each row of the table that this caption begins."""
        rows: list[list[str]] = []
        inside = False
        for element in self.elements:
            if element.tag == "table":
                inside = False
            elif element.tag == "caption":
                inside = element.text.startswith(heading)
            elif inside and element.tag == "tr":
                rows.append([])
            elif inside and element.tag in ("td", "th"):
                rows[-1].append(element.text)
        return rows
