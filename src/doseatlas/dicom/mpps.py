"""What dose does a performed procedure step (MPPS) state? The radiation dose module (PS3.3 C.4.16)."""

from __future__ import annotations

from doseatlas.dicom.attributes import stated
from doseatlas.dicom.image import ImageDose, exposure_doses
from doseatlas.dicom.item import Item
from doseatlas.dicom.kinds import kind_shown
from doseatlas.dicom.measures import Measures
from doseatlas.dicom.notes import Notes
from doseatlas.dicom.record import record_values
from doseatlas.dicom.templates import dose_maxima
from doseatlas.model import Device

_SOP_CLASS, _MODALITY = 0x00080016, 0x00080060
_PROCEDURE_STEP = "1.2.840.10008.3.1.2.3.3"
_STEP_STATUS, _STEP_ID, _SERIES = 0x00400252, 0x00400253, 0x00400340
_SCHEDULED_STEP = 0x00400270


def is_procedure_step(item: Item) -> bool:
    """Whether a data set is a performed procedure step: by its class, or, where it has none, by what it must hold."""
    stated_class = item.text(_SOP_CLASS)
    if stated_class is not None:
        return stated_class == _PROCEDURE_STEP
    return _STEP_STATUS in item and (_STEP_ID in item or _SERIES in item)


def scheduled_step(item: Item) -> Item:
    """The data set that names the study of a procedure step: its scheduled step, else the step itself."""
    steps = item.items(_SCHEDULED_STEP)
    return steps[0] if steps else item


def read_procedure_step(item: Item, device: Device, notes: Notes) -> ImageDose | None:
    """Return the dose that a procedure step states; ``None`` where it states none.

    Raises:
        UnreadableObject: code ``impossible-value``: a dose in it cannot be.

    """
    modality = item.text(_MODALITY)
    measures = Measures(device, notes, modality)
    totals, events = exposure_doses(item, modality, measures)
    totals = {**record_values(stated([item], "step", modality, measures)), **totals}
    if not events and not dose_maxima().keys() & totals.keys():
        return None
    kind = kind_shown(totals, events) or ("mammography" if modality == "MG" else "projection")
    return ImageDose(kind, totals, events)
