"""DoseAtlas: radiation dose of patients in medical imaging, read exactly, compared, followed up.

The whole public surface is here: :func:`read` for dose objects, :func:`open` for a store, the records of the domain
and the errors. Nothing heavy is imported until it is used.
"""

from doseatlas.library import Atlas, open, read
from doseatlas.model import (
    Device,
    DoseAtlasError,
    Event,
    Exam,
    Note,
    Patient,
    SettingsError,
    StoreError,
    Totals,
)

__version__ = "0.1.0"

__all__ = [
    "Atlas",
    "Device",
    "DoseAtlasError",
    "Event",
    "Exam",
    "Note",
    "Patient",
    "SettingsError",
    "StoreError",
    "Totals",
    "open",
    "read",
]
