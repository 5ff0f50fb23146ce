"""Reference levels made from a registry by a named method, so that the same data give the same levels again.

The names are loaded on first use, so that naming this package loads no query engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doseatlas.analysis.drl.bootstrap import Draws
    from doseatlas.analysis.drl.compute import Computed, Request, compute_levels
    from doseatlas.analysis.drl.curves import level_at
    from doseatlas.analysis.drl.files import load_run, save_computed
    from doseatlas.analysis.drl.quantile_regression import fit_quantile_line
    from doseatlas.analysis.drl.records import (
        ComputedLevel,
        DataVersion,
        DrlCurve,
        DrlRun,
        ExamCount,
        GuideValue,
        LeftOut,
    )
    from doseatlas.analysis.drl.standing import PeerStanding, peer_standing
    from doseatlas.analysis.drl.version import data_version

__all__ = [
    "Computed",
    "ComputedLevel",
    "DataVersion",
    "Draws",
    "DrlCurve",
    "DrlRun",
    "ExamCount",
    "GuideValue",
    "LeftOut",
    "PeerStanding",
    "Request",
    "compute_levels",
    "data_version",
    "fit_quantile_line",
    "level_at",
    "load_run",
    "peer_standing",
    "save_computed",
]

_HOMES = {
    "bootstrap": ("Draws",),
    "compute": ("Computed", "Request", "compute_levels"),
    "curves": ("level_at",),
    "standing": ("PeerStanding", "peer_standing"),
    "version": ("data_version",),
    "files": ("load_run", "save_computed"),
    "quantile_regression": ("fit_quantile_line",),
    "records": (
        "ComputedLevel",
        "DataVersion",
        "DrlCurve",
        "DrlRun",
        "ExamCount",
        "GuideValue",
        "LeftOut",
    ),
}


def __getattr__(name: str) -> Any:
    """Load the module of a public name on first use."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
