"""What is the answer to "how much dose did the skin get, where, and how sure is that"? Records only."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from doseatlas.dosimetry.skin.phantom import Mesh
from doseatlas.dosimetry.skin.procedure_dose import ProcedureDose
from doseatlas.model import DoseAtlasError, Note, Record

Orientation = Literal["head-first-supine", "head-first-prone", "feet-first-supine", "feet-first-prone"]


class SkinDoseError(DoseAtlasError):
    """There is no skin dose: the message says what the report does not state, or why the map would be wrong."""

    code = "skin-dose"


class Options(Record, frozen=True, kw_only=True):
    """What the report does not state and the user may know. The defaults are assumptions and are named as such.

    ``region`` is the part of the body at the isocentre (a word of ``tables/regions.csv``); ``offset_cm`` moves the
    patient on the table (to the left, downwards, to the head). ``table_transmission`` is measured, of table and pad
    together, for a perpendicular beam; without it they weaken like ``table_mm_al``. ``field_rotation_deg`` turns the
    fields of events that state no rotation, clockwise seen from the detector towards the source. ``kerma_factor``
    corrects the stated kerma, with its relative standard uncertainty. ``unrelated_table`` says what to do where a
    report does not relate table and beam: refuse, or take the patient to stay with the region at the isocentre.
    """

    orientation: Orientation = "head-first-supine"
    region: str | None = None
    offset_cm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tube_filtration_mm_al: float = 3.0
    table_mm_al: float = 1.0
    table_transmission: float | None = None
    table_width_cm: float = 45.0
    pad_cm: float = 4.0
    field_rotation_deg: float = 0.0
    kerma_factor: float | None = None
    kerma_relative_uncertainty: float | None = None
    unrelated_table: Literal["refuse", "isocentre"] = "refuse"


class Shift(Record, frozen=True, kw_only=True):
    """The peak if the patient lay elsewhere on the table."""

    direction: str
    shift_cm: float
    peak_mgy: float


class Component(Record, frozen=True, kw_only=True):
    """A part of the peak's relative standard uncertainty (k = 1)."""

    name: str
    relative: float
    source: str


class LeftOut(Record, frozen=True, kw_only=True):
    """Events that could not be placed, and the air kerma that they state."""

    reason: str
    events: int
    kerma_mgy: float


class Area(Record, frozen=True, kw_only=True):
    """Skin with at least this dose."""

    dose_gy: float
    area_cm2: float


class SkinDose(Record, frozen=True, kw_only=True):
    """Peak skin dose with what it rests on.

    The place of the peak is in the patient's axes: to the left of the middle line, above the back's plane, below the
    crown. ``kap_share_on_skin`` is the part of the kerma-area product that enters the phantom; ``arms_in_beam`` counts
    the events that hit an arm and the body, whose shadow is not taken into account.
    """

    peak_mgy: float
    peak_standard_uncertainty_mgy: float
    peak_place: str
    peak_left_cm: float
    peak_above_back_cm: float
    peak_below_crown_cm: float
    areas: tuple[Area, ...]
    kap_share_on_skin: float | None = None
    reference_air_kerma_mgy: float
    kap_gy_cm2: float | None = None
    reports: int
    events: int
    beams: int
    left_out: tuple[LeftOut, ...] = ()
    arms_in_beam: int = 0
    sensitivity: tuple[Shift, ...]
    uncertainty: tuple[Component, ...]
    phantom: str
    cells: int
    cell_cm: float
    assumptions: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def interval_mgy(self) -> tuple[float, float]:
        """The peak divided and multiplied by exp(2 u): about 95 %, never below 0."""
        if not self.peak_mgy:
            return 0.0, 0.0
        factor = float(np.exp(2 * self.peak_standard_uncertainty_mgy / self.peak_mgy))
        return self.peak_mgy / factor, self.peak_mgy * factor


class SkinMap(NamedTuple):
    """The answer with the map behind it: dose (mGy) of each cell of the mesh."""

    answer: SkinDose
    mesh: Mesh
    dose_mgy: npt.NDArray[np.float64]


class CumulativeMap(NamedTuple):
    """The map that several procedures add up to, with each of them."""

    skin_map: SkinMap
    procedures: tuple[ProcedureDose, ...]
