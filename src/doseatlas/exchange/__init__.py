"""Federation between facilities, nations and the world: a registry that is sent no patients' data.

A facility exports exams without identity, or only counts and quantile sketches; submissions are signed, checked,
replaceable and withdrawable; a registry releases typical values over facilities, never cells of too few.
The functions are loaded on first use, so that a program that only names the records loads no query engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from doseatlas.exchange.records import (
    Accepted,
    Agreement,
    ExchangeError,
    Manifest,
    Release,
    ReleaseCell,
    Sender,
    SubmissionRefused,
)

if TYPE_CHECKING:
    from doseatlas.exchange.keys import load_key, make_key, public_text
    from doseatlas.exchange.levels import LevelsAsked, registry_levels
    from doseatlas.exchange.merge import Merged, facility_cell, is_merged, merged_exams, write_merged
    from doseatlas.exchange.registry import check, load_agreement, submit
    from doseatlas.exchange.release import make_release, release_cells
    from doseatlas.exchange.sketch import make_sketch, read_sketch
    from doseatlas.exchange.submitting import export_facility, export_nation, export_withdrawal

__all__ = [
    "Accepted",
    "Agreement",
    "ExchangeError",
    "LevelsAsked",
    "Manifest",
    "Merged",
    "Release",
    "ReleaseCell",
    "Sender",
    "SubmissionRefused",
    "check",
    "export_facility",
    "export_nation",
    "export_withdrawal",
    "facility_cell",
    "is_merged",
    "load_agreement",
    "load_key",
    "make_key",
    "make_release",
    "make_sketch",
    "merged_exams",
    "public_text",
    "read_sketch",
    "registry_levels",
    "release_cells",
    "submit",
    "write_merged",
]

_HOMES = {
    "LevelsAsked": "levels",
    "Merged": "merge",
    "check": "registry",
    "export_facility": "submitting",
    "export_nation": "submitting",
    "export_withdrawal": "submitting",
    "facility_cell": "merge",
    "is_merged": "merge",
    "load_agreement": "registry",
    "load_key": "keys",
    "make_key": "keys",
    "make_release": "release",
    "make_sketch": "sketch",
    "merged_exams": "merge",
    "public_text": "keys",
    "read_sketch": "sketch",
    "registry_levels": "levels",
    "release_cells": "release",
    "submit": "registry",
    "write_merged": "merge",
}


def __getattr__(name: str) -> Any:
    """Load the module of a public function on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
