"""Where does the patient lie on the table, and where is the table's zero? What a report leaves open is assumed here."""

from __future__ import annotations

import csv
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from doseatlas.dosimetry.skin.coordinates import TABLES, Coordinates
from doseatlas.dosimetry.skin.geometry import table_rotation
from doseatlas.dosimetry.skin.phantom import Mesh
from doseatlas.dosimetry.skin.result import Options, SkinDoseError
from doseatlas.dosimetry.skin.setup import Setup
from doseatlas.model import Exam

Floats = npt.NDArray[np.float64]

DEFAULT_REGION = "chest"
_TURNS = {
    "head-first-supine": (1.0, 1.0, 1.0),
    "head-first-prone": (-1.0, -1.0, 1.0),
    "feet-first-supine": (-1.0, 1.0, -1.0),
    "feet-first-prone": (1.0, -1.0, -1.0),
}


class Region(NamedTuple):
    """A part of the body: how far below the crown its middle lies, as a fraction of the height."""

    word: str
    below_vertex: float
    name: str


class Lying(NamedTuple):
    """The mesh on the table, in the table's axes: cells' centres and normals."""

    centres: Floats
    normals: Floats


def lie_on_table(mesh: Mesh, options: Options) -> Lying:
    """Turn the patient as ``options.orientation`` says and lay them on the pad, in the table's middle.

    All four orientations are half turns, which change signs only. The offset of the options is not in it: the table's
    unknown zero is found without, so that an offset moves the patient and not the table.
    """
    turn = np.array(_TURNS[options.orientation])
    centres, normals = mesh.centres * turn, mesh.normals * turn
    lift = np.array([0.0, -float(centres[:, 1].max()) - options.pad_cm, 0.0])
    return Lying(centres + lift, normals)


def place_table(
    setup: Setup, rows: Coordinates, mesh: Mesh, lying: Lying, region: Region, options: Options
) -> tuple[Setup, list[str]]:
    """Return the beams with the table where it was, or where it is assumed; and the assumptions.

    Where a coordinate's zero is not known, the table's kerma-weighted median position is taken to bring the region's
    middle to the isocentre; the table's movements about it are as stated.

    Raises:
        SkinDoseError: the report does not relate table and beam, and the options do not allow an assumption.

    """
    said = []
    table = setup.table_cm.copy()
    if rows.table == "unrelated":
        if options.unrelated_table == "refuse":
            raise SkinDoseError(
                f"{rows.message}, so where the beam met the skin is not known. To see what the dose would be with the "
                "patient's target region at the isocentre throughout, use --patient-at-isocentre."
            )
        table[:] = np.nan
        said.append("The patient is taken to stay with the region at the isocentre; table positions are not used.")
    zeros = (rows.x_zero, rows.y_zero, "unknown")
    names = ("sideways", "vertical", "lengthwise")
    middle = _middle(mesh, lying, region)
    unknown = []
    for axis in range(3):
        column = table[:, axis]
        stated = np.isfinite(column)
        median = _weighted_median(column[stated], setup.kerma_mgy[stated]) if stated.any() else 0.0
        filled = np.where(stated, column, median)
        if not stated.all() and rows.table == "related":
            said.append(f"The table's {names[axis]} position is not stated (beams: {int((~stated).sum())}).")
        if zeros[axis] == "unknown" or not stated.any():
            unknown.append(names[axis])
            filled = filled - median - middle[axis]
        table[:, axis] = filled
    said.append(
        f"The zero of the {', '.join(unknown)} position is not known: the middle of the {region.name} is taken to be "
        "at the isocentre at the table's median position."
    )
    if setup.table_deg.any():
        said.append(
            f"The table is taken to turn about the middle of the {region.name}: reports state angles without the point "
            "about which the table turns."
        )
        table += middle - table_rotation(setup.table_deg) @ middle
    return setup._replace(table_cm=table), said


def region_of(exam: Exam, options: Options) -> tuple[Region, list[str]]:
    """Return the region asked for, else the one that the report names, else the chest, as an assumption.

    Raises:
        SkinDoseError: the region asked for is unknown.

    """
    if options.region:
        for region in regions():
            if options.region.lower() in (region.word, region.name):
                return region, []
        known = ", ".join(dict.fromkeys(region.name for region in regions()))
        raise SkinDoseError(f"There is no region {options.region!r}. Known: {known}.")
    texts = dict.fromkeys(event.target_region for event in exam.events) | dict.fromkeys(
        (exam.body_part, exam.procedure)
    )
    named: dict[str, Region] = {}
    for text in texts:
        found = next((one for one in regions() if text and one.word in text.lower()), None)
        if found is not None:
            named.setdefault(found.name, found)
    if not named:
        chest = next(region for region in regions() if region.name == DEFAULT_REGION)
        return chest, [f"The report names no single region; the {DEFAULT_REGION} is assumed (set it with --region)."]
    first = next(iter(named.values()))
    if len(named) == 1:
        return first, []
    return first, [f"The report names {', '.join(named)}; the {first.name} is taken for all (set it with --region)."]


@cache
def regions() -> tuple[Region, ...]:
    """Return the rows of ``tables/regions.csv``."""
    with (TABLES / "regions.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Region(row["word"], float(row["below_vertex_fraction"]), row["region"]) for row in csv.DictReader(file)
        )


def _middle(mesh: Mesh, lying: Lying, region: Region) -> Floats:
    """Return the middle of the body at the region's height, in the table's axes."""
    own = mesh.centres[:, 2]
    at = own.max() - region.below_vertex * float(np.ptp(own))
    near = np.abs(own - at) <= max(3.0, float(np.abs(own - at).min()))
    body = near & (mesh.part == 0) if (near & (mesh.part == 0)).any() else near
    cells = lying.centres[body]
    middle: Floats = (cells.min(axis=0) + cells.max(axis=0)) / 2
    return middle


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
