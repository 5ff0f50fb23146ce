"""What do summed maps say? The peak, its place, its uncertainty, and what a reader must know of the map."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from doseatlas.dosimetry.skin.coordinates import TABLES
from doseatlas.dosimetry.skin.field import width_of
from doseatlas.dosimetry.skin.geometry import solid_angle
from doseatlas.dosimetry.skin.kernel import Map
from doseatlas.dosimetry.skin.phantom import Mesh
from doseatlas.dosimetry.skin.procedure import Procedure
from doseatlas.dosimetry.skin.result import Area, Component, Options, Shift, SkinDose
from doseatlas.dosimetry.uncertainty import from_limits, of_product
from doseatlas.model import Note

Floats = npt.NDArray[np.float64]

SHIFT_CM = 5.0
THRESHOLDS_GY = (2.0, 3.0, 5.0)
COARSE_CM = 2.0
SMALL_SHARE = 0.7
"""Of the kerma-area product on the body, below which the patient may lie elsewhere than placed."""
KERMA = "air kerma at the reference point"
AS_CALIBRATED = "as given with the calibration"
BACKSCATTER_NOT_VERIFIED = (
    "Coefficient not verified: the backscatter polynomial of Benmakhlouf et al. 2013 was not read in the article."
)

_COUNTED = re.compile(r"(?:events|beams|runs): ([0-9]+)\)")


def answer_of(
    procedures: Sequence[Procedure],
    maps: Sequence[Map],
    dose: Floats,
    mesh: Mesh,
    shifts: tuple[Shift, ...],
    parts: tuple[Component, ...],
    options: Options,
    twice: int,
) -> SkinDose:
    """Return the answer that a map is: ``parts`` are of its uncertainty, ``twice`` counts events stated twice."""
    at = int(np.argmax(dose))
    peak = float(dose[at])
    x, y, z = (float(one) for one in mesh.centres[at])
    share = _share(procedures, maps, mesh)
    kap = [float(np.nansum(one.setup.kap_gy_cm2)) for one in procedures]
    own = (
        f"Patient: {options.orientation}, in the middle of the table on a pad of {options.pad_cm:g} cm.",
        _table_said(options),
        BACKSCATTER_NOT_VERIFIED,
        *([f"Events that two reports state are counted once (events: {twice})."] if twice else []),
    )
    return SkinDose(
        peak_mgy=peak,
        peak_standard_uncertainty_mgy=peak * of_product(*(one.relative for one in parts)),
        peak_place=_place(mesh, at),
        peak_left_cm=x,
        peak_above_back_cm=-y,
        peak_below_crown_cm=float(mesh.centres[:, 2].max()) - z,
        areas=tuple(Area(dose_gy=gy, area_cm2=float(mesh.areas[dose >= gy * 1000].sum())) for gy in THRESHOLDS_GY),
        kap_share_on_skin=share,
        reference_air_kerma_mgy=sum(float(one.setup.kerma_mgy.sum()) for one in procedures),
        kap_gy_cm2=sum(kap) or None,
        reports=len(procedures),
        events=sum(one.events for one in procedures),
        beams=sum(len(one.setup.event) for one in procedures),
        left_out=tuple(one for procedure in procedures for one in procedure.left_out),
        arms_in_beam=sum(_arms(one, hit, mesh) for one, hit in zip(procedures, maps, strict=True)),
        sensitivity=shifts,
        uncertainty=parts,
        phantom=mesh.name,
        cells=len(mesh.areas),
        cell_cm=mesh.cell_cm,
        assumptions=(*own, *_said_once([text for one in procedures for text in one.assumptions])),
        notes=_notes(share, procedures, mesh, "arm" in mesh.parts[mesh.part[at]]),
    )


def _said_once(texts: Sequence[str]) -> list[str]:
    """Return what reports assume alike once, with the events (beams, runs) that they count added up."""
    counts: dict[tuple[str, str | None], int] = {}
    for text in texts:
        found = _COUNTED.search(text)
        key = (text, None) if found is None else (text[: found.start(1)], text[found.end(1) :])
        counts[key] = counts.get(key, 0) + (int(found[1]) if found else 0)
    return [before if after is None else f"{before}{count}{after}" for (before, after), count in counts.items()]


def _table_said(options: Options) -> str:
    if options.table_transmission is not None:
        return f"Table and pad transmit {options.table_transmission:g} of a perpendicular beam (as given)."
    return f"Table and pad weaken the beam like {options.table_mm_al:g} mm aluminium (not measured)."


def uncertainty_of(
    peak: float, shifts: tuple[Shift, ...], options: Options, kerma: Component | None
) -> tuple[Component, ...]:
    """Return the parts of the relative standard uncertainty; the patient's position is known to +-5 cm."""
    if kerma is None and options.kerma_relative_uncertainty is not None:
        kerma = Component(name=KERMA, relative=options.kerma_relative_uncertainty, source=AS_CALIBRATED)
    when = {
        "always": True,
        "kerma-not-calibrated": kerma is None,
        "table-measured": options.table_transmission is not None,
        "table-not-measured": options.table_transmission is None,
    }
    found = [] if kerma is None else [kerma]
    found += [_component(row) for row in _uncertainty_table() if when[row["when"]]]
    largest = max(abs(one.peak_mgy / peak - 1) for one in shifts)
    found.append(
        Component(
            name="patient's position",
            relative=from_limits(largest),
            source=f"largest change of the peak over shifts of {SHIFT_CM:g} cm",
        )
    )
    return tuple(found)


def display_component() -> Component:
    """Return the uncertainty of an air kerma that no certificate covers: the tolerance of its display."""
    return next(_component(row) for row in _uncertainty_table() if row["when"] == "kerma-not-calibrated")


def _component(row: dict[str, str]) -> Component:
    percent = float(row["percent"])
    relative = from_limits(percent / 100) if row["distribution"] == "rectangular" else percent / 100
    return Component(name=row["component"], relative=relative, source=row["source"])


@cache
def _uncertainty_table() -> tuple[dict[str, str], ...]:
    with (TABLES / "uncertainty.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _share(procedures: Sequence[Procedure], maps: Sequence[Map], mesh: Mesh) -> float | None:
    """Return the part of the kerma-area product that enters the phantom, None where cells have no area.

    Kerma times distance squared times solid angle is the kerma-area product of a beam, whole or of what hits.
    """
    if not mesh.areas.any():
        return None
    hit = whole = 0.0
    for one, found in zip(procedures, maps, strict=True):
        weight = one.setup.kerma_mgy * one.setup.source_to_reference_cm**2
        solid = solid_angle(one.beams.edges_across, one.beams.edges_along)
        # Where an arm and the body lie one behind the other both are counted as hit, the beam only once.
        hit += float(np.sum(weight * np.minimum(found.solid_angle_sr.sum(axis=1), solid)))
        whole += float(np.sum(weight * solid))
    return hit / whole


def _arms(one: Procedure, found: Map, mesh: Mesh) -> int:
    """Return the number of events whose beam hits an arm and another part of the body."""
    arms = np.array(["arm" in name for name in mesh.parts])
    both = found.hits[:, arms].any(axis=1) & found.hits[:, ~arms].any(axis=1)
    return len(np.unique(one.setup.event[both]))


def _notes(share: float | None, procedures: Sequence[Procedure], mesh: Mesh, arm: bool) -> tuple[Note, ...]:
    notes = list(dict.fromkeys(note for one in procedures for note in one.notes))
    if arm:
        notes.append(
            Note(
                code="skin-dose-peak-on-arm",
                message="The peak lies on an arm at the patient's side. If the arms were out of the beam, take the "
                "phantom human-arms-away.",
            )
        )
    if share is not None and share < SMALL_SHARE:
        notes.append(
            Note(
                code="skin-dose-beams-beside-patient",
                message=f"Only {100 * share:.0f} % of the kerma-area product enters the phantom: the patient may lie "
                "elsewhere.",
            )
        )
    narrowest = min(
        float(np.min(width_of(edges) * one.setup.source_to_reference_cm))
        for one in procedures
        for edges in (one.beams.edges_across, one.beams.edges_along)
    )
    if mesh.cell_cm > COARSE_CM or narrowest < 2 * mesh.cell_cm:
        notes.append(
            Note(
                code="skin-dose-coarse-mesh",
                message=f"Cells of {mesh.cell_cm:.1f} cm are coarse for fields of {narrowest:.1f} cm at the reference "
                "point: overlaps of such fields may be missed.",
            )
        )
    return tuple(notes)


def _place(mesh: Mesh, at: int) -> str:
    """Return where a cell lies, in words."""
    nx, ny, _ = mesh.normals[at]
    x, _, z = mesh.centres[at]
    side = "" if not mesh.normals[at].any() else _side(float(nx), float(ny))
    where = f"{abs(x):.0f} cm to the {'left' if x >= 0 else 'right'} of the middle line"
    below = float(mesh.centres[:, 2].max()) - z
    return f"{mesh.parts[mesh.part[at]]}{side}, {where}, {below:.0f} cm below the crown"


def _side(nx: float, ny: float) -> str:
    if abs(ny) >= abs(nx):
        return ", back" if ny > 0 else ", front"
    return ", left side" if nx > 0 else ", right side"
