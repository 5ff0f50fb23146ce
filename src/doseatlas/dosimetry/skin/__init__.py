"""Peak skin dose: a dose map on the patient's skin from the irradiation events of dose reports.

The functions are loaded on first use: they need NumPy and compiled code, the records do not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doseatlas.dosimetry.skin.cumulative import OneProcedure, cumulative_skin_dose
    from doseatlas.dosimetry.skin.engine import skin_dose
    from doseatlas.dosimetry.skin.flatmap import flat_map
    from doseatlas.dosimetry.skin.phantom import (
        HEIGHT_CM,
        SHAPES,
        WEIGHT_KG,
        Mesh,
        PhantomError,
        mesh_of_cells,
        mesh_of_triangles,
    )
    from doseatlas.dosimetry.skin.physics import half_value_layer_mm
    from doseatlas.dosimetry.skin.placement import regions
    from doseatlas.dosimetry.skin.procedure_dose import ProcedureDose
    from doseatlas.dosimetry.skin.render import lead, skin_dose_html
    from doseatlas.dosimetry.skin.result import (
        CumulativeMap,
        Options,
        Orientation,
        SkinDose,
        SkinDoseError,
        SkinMap,
    )
    from doseatlas.dosimetry.skin.setup import filtration

__all__ = [
    "HEIGHT_CM",
    "SHAPES",
    "WEIGHT_KG",
    "CumulativeMap",
    "Mesh",
    "OneProcedure",
    "Options",
    "Orientation",
    "PhantomError",
    "ProcedureDose",
    "SkinDose",
    "SkinDoseError",
    "SkinMap",
    "cumulative_skin_dose",
    "filtration",
    "flat_map",
    "half_value_layer_mm",
    "lead",
    "mesh_of_cells",
    "mesh_of_triangles",
    "regions",
    "skin_dose",
    "skin_dose_html",
]

_HOMES = {
    "HEIGHT_CM": "phantom",
    "SHAPES": "phantom",
    "WEIGHT_KG": "phantom",
    "Mesh": "phantom",
    "PhantomError": "phantom",
    "CumulativeMap": "result",
    "OneProcedure": "cumulative",
    "ProcedureDose": "procedure_dose",
    "cumulative_skin_dose": "cumulative",
    "filtration": "setup",
    "flat_map": "flatmap",
    "half_value_layer_mm": "physics",
    "lead": "render",
    "mesh_of_cells": "phantom",
    "mesh_of_triangles": "phantom",
    "regions": "placement",
    "skin_dose": "engine",
    "skin_dose_html": "render",
    "Options": "result",
    "Orientation": "result",
    "SkinDose": "result",
    "SkinDoseError": "result",
    "SkinMap": "result",
}


def __getattr__(name: str) -> Any:
    """Load the module of a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
