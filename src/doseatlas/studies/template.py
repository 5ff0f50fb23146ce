"""Which study templates ship? Whole study files to start from: copy one, name who takes part, change what differs."""

from __future__ import annotations

from importlib.resources import files

from doseatlas.studies.schema import StudyError


def template_names() -> tuple[str, ...]:
    """Return the names of the templates."""
    folder = files("doseatlas.studies").joinpath("templates")
    return tuple(sorted(one.name.removesuffix(".toml") for one in folder.iterdir() if one.name.endswith(".toml")))


def template_text(name: str) -> str:
    """Return the text of a template.

    Raises:
        StudyError: there is none of that name.

    """
    if name not in template_names():
        raise StudyError(f"There is no study template {name!r}. Known: {', '.join(template_names())}.")
    return files("doseatlas.studies").joinpath("templates", f"{name}.toml").read_text(encoding="utf-8")
