"""What ``import doseatlas`` offers: read dose objects, open a store and ask it for columns.

Results are Ibis tables: ``.to_pandas()``, ``.to_polars()`` and ``.to_pyarrow()`` hand over whole columns.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from doseatlas.model import Exam
    from doseatlas.store import Store


def read(path: str | os.PathLike[str]) -> list[Exam]:
    """Read every dose object under a path: a file, a folder, a zip archive or a DICOMDIR.

    Returns:
        One :class:`~doseatlas.model.Exam` for each object, in a stable order, with units as the field names say.
        Bad input does not raise: an object that cannot be read has ``kind == "refused"`` and ``error`` says why;
        one without dose has ``kind == "not-dose"``.

    Source: the reading contract, ``docs/reading.md``.

    """
    from doseatlas.dicom import read_paths

    return [reading.exam for reading in read_paths([Path(path)])]


def open(url: str | None = None, *, data_dir: str | os.PathLike[str] | None = None) -> Atlas:
    """Open a store; without arguments, the one of the settings.

    Args:
        url: a database URL in SQLAlchemy's form, such as ``sqlite:///dose.sqlite``.
        data_dir: the folder of archive and mart; by default the settings' one.

    Raises:
        SettingsError: a setting is wrong.
        StoreError: the store cannot be opened, or a newer version of DoseAtlas wrote it.

    """
    import msgspec

    from doseatlas.settings import load_settings
    from doseatlas.store import Store

    settings = load_settings().settings
    if url is not None:
        settings = msgspec.structs.replace(settings, store=url)
    if data_dir is not None:
        settings = msgspec.structs.replace(settings, data_dir=os.fspath(data_dir))
    return Atlas(Store.from_settings(settings), settings.drl_set)


class Atlas:
    """An open store and the analysis over it. Use it as a context manager, or call :meth:`close`."""

    def __init__(self, store: Store, drl_set: str = "") -> None:
        self._store = store
        self._drl_set = drl_set

    def exams(self) -> Any:
        """Return the merged exams as an Ibis table, one row an exam; columns: ``store.mart_schema.EXAM_COLUMNS``."""
        from doseatlas.analysis import mart_table

        self._store.refresh_mart()
        return mart_table(self._store.mart_dir)

    def typical_values(self) -> Any:
        """Return the typical values as an Ibis table, one row for each procedure, patient group and quantity.

        Columns: ``procedure``, ``patient_group``, ``quantity``, ``phantom_cm``, ``n``, ``median``, ``p25``, ``p75``,
        ``minimum``, ``maximum``; dose in the unit that the quantity's name states. Source: ICRP 135.
        """
        from doseatlas.analysis import typical_values_table

        return typical_values_table(self.exams())

    def close(self) -> None:
        """Close the database."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
