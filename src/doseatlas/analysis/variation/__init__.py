"""How much does the dose of one exam vary between places, where does that arise, and what explains it?

The names are loaded on first use, so that naming this package loads no query engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doseatlas.analysis.variation.decomposition import decompose
    from doseatlas.analysis.variation.fold import Spread, fold_variations, spread_of
    from doseatlas.analysis.variation.habits import drivers, load_device_years
    from doseatlas.analysis.variation.practice import adult_protocols_on_children, multiphase_scans, reduced_dose_use
    from doseatlas.analysis.variation.records import (
        AdultProtocolUse,
        Component,
        Decomposition,
        Driver,
        FoldVariation,
        MultiphaseUse,
        ReducedDoseUse,
    )

__all__ = [
    "AdultProtocolUse",
    "Component",
    "Decomposition",
    "Driver",
    "FoldVariation",
    "MultiphaseUse",
    "ReducedDoseUse",
    "Spread",
    "adult_protocols_on_children",
    "decompose",
    "drivers",
    "fold_variations",
    "load_device_years",
    "multiphase_scans",
    "reduced_dose_use",
    "spread_of",
]

_HOMES = {
    "decomposition": ("decompose",),
    "habits": ("drivers", "load_device_years"),
    "fold": ("Spread", "fold_variations", "spread_of"),
    "practice": (
        "adult_protocols_on_children",
        "multiphase_scans",
        "reduced_dose_use",
    ),
    "records": (
        "AdultProtocolUse",
        "Component",
        "Decomposition",
        "Driver",
        "FoldVariation",
        "MultiphaseUse",
        "ReducedDoseUse",
    ),
}


def __getattr__(name: str) -> Any:
    """Load the module of a public name on first use."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
