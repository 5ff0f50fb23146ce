"""Fetching from a PACS or archive what the store lacks: ``doseatlas fetch``. Loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doseatlas.fetch.checking import check
    from doseatlas.fetch.records import FetchError, FetchSummary, FolderError, Query, StudyState
    from doseatlas.fetch.run import fetch, lacking, preview

__all__ = ["FetchError", "FetchSummary", "FolderError", "Query", "StudyState", "check", "fetch", "lacking", "preview"]

_HOMES = {
    "FetchError": "records",
    "FetchSummary": "records",
    "FolderError": "records",
    "Query": "records",
    "StudyState": "records",
    "check": "checking",
    "fetch": "run",
    "lacking": "run",
    "preview": "run",
}


def __getattr__(name: str) -> Any:
    """Load the module of a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # a function named like its module: the module must not take its place
    return value
