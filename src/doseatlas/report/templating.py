"""How are the pages made of their templates? One environment, which each page gives its own words and pictures."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment() -> Environment:
    """Return a new environment of the room's templates: all is escaped, and a name that is not there is an error."""
    return Environment(
        loader=PackageLoader("doseatlas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def resource(name: str) -> str:
    """Return the text of a style sheet or script beside the templates."""
    return files("doseatlas.report").joinpath("templates", name).read_text(encoding="utf-8")
