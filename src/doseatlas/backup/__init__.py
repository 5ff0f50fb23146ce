"""Backup of a store that is in use, and the way back; see ``docs/backup.md``.

The functions are loaded on first use, since they need the database.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doseatlas.backup.making import backup
    from doseatlas.backup.manifest import Manifest
    from doseatlas.backup.restoring import restore

__all__ = ["Manifest", "backup", "restore"]

_HOMES = {"Manifest": "manifest", "backup": "making", "restore": "restoring"}


def __getattr__(name: str) -> Any:
    """Load the module of a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
