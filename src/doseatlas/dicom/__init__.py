"""Dose objects: found, read into exams, de-identified; and the simulator that writes them (``dicom.simulate``)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doseatlas.dicom.axial import CtImage, ct_images, most_image_bytes
    from doseatlas.dicom.deidentification import Deidentified, deidentify
    from doseatlas.dicom.deidentified import IMPLEMENTATION_CLASS_UID, Pseudonyms
    from doseatlas.dicom.dose_sums import common_text, is_fluoroscopy, sum_events, sum_stated
    from doseatlas.dicom.limits import DEFAULT_LIMITS, Limits
    from doseatlas.dicom.open import open_object, open_plain
    from doseatlas.dicom.read import read_bytes, read_paths, read_source
    from doseatlas.dicom.sources import SourceObject, find_objects

__all__ = [
    "DEFAULT_LIMITS",
    "IMPLEMENTATION_CLASS_UID",
    "CtImage",
    "Deidentified",
    "Limits",
    "Pseudonyms",
    "SourceObject",
    "common_text",
    "ct_images",
    "deidentify",
    "find_objects",
    "is_fluoroscopy",
    "most_image_bytes",
    "open_object",
    "open_plain",
    "read_bytes",
    "read_paths",
    "read_source",
    "sum_events",
    "sum_stated",
]

_HOMES = {
    "CtImage": "axial",
    "DEFAULT_LIMITS": "limits",
    "Deidentified": "deidentification",
    "IMPLEMENTATION_CLASS_UID": "deidentified",
    "Limits": "limits",
    "Pseudonyms": "deidentified",
    "SourceObject": "sources",
    "common_text": "dose_sums",
    "ct_images": "axial",
    "deidentify": "deidentification",
    "find_objects": "sources",
    "is_fluoroscopy": "dose_sums",
    "most_image_bytes": "axial",
    "open_object": "open",
    "open_plain": "open",
    "read_bytes": "read",
    "read_paths": "read",
    "read_source": "read",
    "sum_events": "dose_sums",
    "sum_stated": "dose_sums",
}


def __getattr__(name: str) -> Any:
    """Load the module of a public function on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
