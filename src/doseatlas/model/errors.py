"""The tree of errors a caller can act on.

Each has a stable ``code``; the message says what happened, to which object, and what to do.
"""

from __future__ import annotations

from typing import ClassVar


class DoseAtlasError(Exception):
    """Root of all errors DoseAtlas raises on purpose."""

    code: ClassVar[str] = "error"


class SettingsError(DoseAtlasError):
    """A setting is missing, unknown or out of range."""

    code = "settings"


class UnreadableObject(DoseAtlasError):
    """An object cannot be read; ``code`` of the instance says why and becomes the refusal's code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]


class StoreError(DoseAtlasError):
    """The store cannot be opened, read or written."""

    code = "store"


class StoreTooNew(StoreError):
    """The store was written by a newer version of DoseAtlas."""

    code = "store-too-new"


class MappingError(DoseAtlasError):
    """A procedure mapping file or decision is wrong."""

    code = "mapping"


class TableError(DoseAtlasError):
    """A reference table (shipped or the user's) does not fit its schema."""

    code = "reference-table"
