"""How does a skin dose map become one HTML file that opens offline? The flat map, the body to turn, and all figures.

A content security policy forbids every load and every script or style but the two of this package, which it knows by
their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from doseatlas.dosimetry.skin.flatmap import BARE, COLOURS, flat_map
from doseatlas.dosimetry.skin.procedure_dose import ProcedureDose
from doseatlas.dosimetry.skin.result import SkinDose, SkinMap


def skin_dose_html(skin_map: SkinMap, subject: str, procedures: Sequence[ProcedureDose] = ()) -> str:
    """Return the page. ``subject`` says in words whose or which report's map it is; ``procedures`` make up a sum."""
    answer = skin_map.answer
    css, js = _text("page.css"), _text("viewer.js")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {_hash(js)}"
    page: str = (
        _environment()
        .get_template("page.html")
        .render(
            policy=policy,
            css=Markup(css),
            js=Markup(js),
            subject=subject,
            lead=lead(answer),
            tiles=_tiles(answer),
            notes=[note.message for note in answer.notes],
            flat=flat_map(skin_map.mesh, skin_map.dose_mgy) if skin_map.mesh.grids else None,
            procedures=[_procedure(one) for one in procedures],
            areas=[(f"{area.dose_gy:g} Gy", f"{area.area_cm2:.0f} cm²") for area in answer.areas],
            shifts=[_shift(one.shift_cm, one.direction, one.peak_mgy, answer.peak_mgy) for one in answer.sensitivity],
            parts=[(one.name, f"{100 * one.relative:.1f} %", one.source) for one in answer.uncertainty],
            assumptions=answer.assumptions,
            left_out=[
                f"{one.reason}: {one.events} events with {_dose(one.kerma_mgy)} of air kerma" for one in answer.left_out
            ],
            method=_method(answer),
            data=Markup(_data(skin_map)) if skin_map.mesh.grids else None,
        )
    )
    return page


def lead(answer: SkinDose) -> str:
    """Return the answer in one sentence."""
    low, high = answer.interval_mgy
    return (
        f"Peak skin dose {_dose(answer.peak_mgy)}, with 95 % confidence between {_dose(low)} and {_dose(high)}: "
        f"{answer.peak_place}."
    )


def _tiles(answer: SkinDose) -> list[tuple[str, str, str]]:
    low, high = answer.interval_mgy
    share = answer.kap_share_on_skin
    tiles = [
        ("Peak skin dose", _dose(answer.peak_mgy), f"{_dose(low)} to {_dose(high)} (95\N{NO-BREAK SPACE}%)"),
        ("Air kerma at the reference point", _dose(answer.reference_air_kerma_mgy), "sum of the beams in the map"),
        ("Irradiation events", f"{answer.events}", f"{answer.beams} beams in the map"),
    ]
    if answer.kap_gy_cm2 is not None:
        tiles.insert(2, ("Kerma-area product", f"{_three(answer.kap_gy_cm2)} Gy·cm²", "sum of the beams in the map"))
    if share is not None:
        tiles.append(("Kerma-area product on the skin", f"{share * 100:.0f} %", "the rest passes beside the phantom"))
    return tiles


def _procedure(one: ProcedureDose) -> tuple[str, ...]:
    """Return the cells of a procedure's row; the last is why it is not in the map."""
    doses = (one.reference_air_kerma_mgy, one.peak_mgy, one.at_peak_mgy)
    shown = ("–" if mgy is None else _dose(mgy) for mgy in doses)
    day = one.study_date.isoformat() if one.study_date else "no date"
    return (day, one.exam_id, one.procedure or "not mapped", *shown, one.missing or "")


def _shift(cm: float, direction: str, peak: float, usual: float) -> tuple[str, str, str]:
    opposite = {"to the left": "to the right", "downwards": "upwards", "to the head": "to the feet"}
    way = direction if cm > 0 else opposite[direction]
    return f"{abs(cm):g} cm {way}", _dose(peak), f"{100 * (peak / usual - 1):+.0f} %"


def _method(answer: SkinDose) -> str:
    arms = (
        f" The beams of {answer.arms_in_beam} events hit an arm and the body: the arm's shadow is not taken into "
        "account."
        if answer.arms_in_beam
        else ""
    )
    return (
        f"Phantom: {answer.phantom}, {answer.cells} cells of {answer.cell_cm:.1f} cm. The dose is the kerma at the "
        "reference point times inverse square, water over air, backscatter and transmission of the table, summed over "
        f"all events, without scatter from outside the field.{arms} A calculated dose does not replace looking at the "
        "patient's skin."
    )


def _data(skin_map: SkinMap) -> str:
    parts, at = [], 0
    for grid in skin_map.mesh.grids:
        rows, columns = grid.shape
        own = skin_map.dose_mgy[at : at + rows * columns]
        at += rows * columns
        parts.append(
            {
                "name": grid.name,
                "rows": rows,
                "columns": columns,
                "vertices": _packed((grid.vertices * 10).round().astype("<i2")),
                "dose": _packed(own.astype("<f4")),
            }
        )
    peak = int(np.argmax(skin_map.dose_mgy))
    nx, ny, _ = skin_map.mesh.normals[peak]
    x, y, z = skin_map.mesh.centres[peak] * 10
    return json.dumps(
        {
            "parts": parts,
            "peak": float(skin_map.dose_mgy.max()),
            "peak_place": [float(x), float(-y), float(z)],
            "from": float(np.arctan2(nx, -ny)) if nx or ny else float(np.pi),
            "colours": COLOURS,
            "bare": BARE,
        },
        separators=(",", ":"),
    )


def _packed(values: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def _three(value: float) -> str:
    """Return a value with three digits, or all of those before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _dose(mgy: float) -> str:
    if mgy >= 1000:
        return f"{mgy / 1000:.2f} Gy"
    return f"{mgy:.0f} mGy" if mgy >= 100 else f"{mgy:.3g} mGy"


@cache
def _environment() -> Environment:
    loader = PackageLoader("doseatlas.dosimetry.skin", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def _text(name: str) -> str:
    return (files("doseatlas.dosimetry.skin") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
