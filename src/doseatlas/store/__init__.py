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
    from doseatlas.store.holdings import Held, held
    from doseatlas.store.importing import import_paths
    from doseatlas.store.patient_doses import patient_doses
    from doseatlas.store.skin_maps import skin_maps
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
    "Statement",
    "Store",
    "UnmappedName",
    "add_certificates",
    "add_context",
    "context_batches",
    "held",
    "import_paths",
    "kept_certificates",
    "patient_doses",
    "preview_context",
    "read_certificate",
    "remove_certificate",
    "skin_maps",
    "undo_context",
]

_HOMES = {
    "Held": "holdings",
    "Store": "store",
    "add_certificates": "certificates",
    "add_context": "context",
    "context_batches": "context",
    "held": "holdings",
    "import_paths": "importing",
    "kept_certificates": "certificates",
    "patient_doses": "patient_doses",
    "preview_context": "context",
    "read_certificate": "certificates",
    "remove_certificate": "certificates",
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
