"""Receiving dose objects from scanners, PACS and archives, durably: ``doseatlas serve``.

Everything here is loaded on first use, since receiving needs servers that no other command needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doseatlas.service.again import ReadAgain, read_again
    from doseatlas.service.checking import check
    from doseatlas.service.run import serve

__all__ = ["ReadAgain", "check", "read_again", "serve"]

_HOMES = {"ReadAgain": "again", "check": "checking", "read_again": "again", "serve": "run"}


def __getattr__(name: str) -> Any:
    """Load the module of a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # a function named like its module: the module must not take its place
    return value
