"""Where exams are kept: the database, the archive of originals, the Parquet mart, and the import that fills them.

The parts that need a database engine are loaded on first use, so that a program that only names the records, or reads
the mart's columns, does not load one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from doseatlas.store.context_records import (
    ContextBatch,
    ContextChange,
    ContextSummary,
    ContextValues,
    Statement,
)
from doseatlas.store.results import (
    CertificatesChanged,
    Counts,
    Decision,
    DecisionsApplied,
    ImportSummary,
    KeptCertificate,
    Outcome,
    RebuildSummary,
    RefusedObject,
    UnmappedName,
)

if TYPE_CHECKING:
    from doseatlas.store.certificates import (
        add_certificates,
        kept_certificates,
        read_certificate,
        remove_certificate,
    )
    from doseatlas.store.context import add_context, context_batches, preview_context, undo_context
    from doseatlas.store.exam_methods import methods_of_exam
    from doseatlas.store.holdings import Held, exams_of_study, held
    from doseatlas.store.importing import import_paths
    from doseatlas.store.patient_doses import patient_doses
    from doseatlas.store.skin_maps import skin_maps
    from doseatlas.store.skin_of_patients import (
        RepeatedProcedures,
        patient_named,
        patient_skin_dose,
        repeated_procedures,
    )
    from doseatlas.store.store import Store

__all__ = [
    "CertificatesChanged",
    "ContextBatch",
    "ContextChange",
    "ContextSummary",
    "ContextValues",
    "Counts",
    "Decision",
    "DecisionsApplied",
    "Held",
    "ImportSummary",
    "KeptCertificate",
    "Outcome",
    "RebuildSummary",
    "RefusedObject",
    "RepeatedProcedures",
    "Statement",
    "Store",
    "UnmappedName",
    "add_certificates",
    "add_context",
    "context_batches",
    "exams_of_study",
    "held",
    "import_paths",
    "kept_certificates",
    "methods_of_exam",
    "patient_doses",
    "patient_named",
    "patient_skin_dose",
    "preview_context",
    "read_certificate",
    "remove_certificate",
    "repeated_procedures",
    "skin_maps",
    "undo_context",
]

_HOMES = {
    "Held": "holdings",
    "RepeatedProcedures": "skin_of_patients",
    "Store": "store",
    "add_certificates": "certificates",
    "add_context": "context",
    "context_batches": "context",
    "exams_of_study": "holdings",
    "held": "holdings",
    "import_paths": "importing",
    "kept_certificates": "certificates",
    "methods_of_exam": "exam_methods",
    "patient_doses": "patient_doses",
    "patient_named": "skin_of_patients",
    "patient_skin_dose": "skin_of_patients",
    "preview_context": "context",
    "read_certificate": "certificates",
    "remove_certificate": "certificates",
    "repeated_procedures": "skin_of_patients",
    "skin_maps": "skin_maps",
    "undo_context": "context",
}


def __getattr__(name: str) -> Any:
    """Load the module of a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # a function named like its module: the module must not take its place
    return value
