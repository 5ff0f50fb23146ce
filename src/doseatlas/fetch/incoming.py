"""Where do objects wait between the archive and the store? Those of a study in a folder of its own, until all came.

``<study>`` holds what has come so far, each file whole and on disk; a run that finds it goes on there. When nothing is
missing it becomes ``<study>.whole``, which is imported and removed, by this run or, if it dies, by the next one. So the
store never meets a part of what a study's dose is made of.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from doseatlas.fetch.records import FolderError
from doseatlas.store.files import make_folder, sync_folder, write_whole

_WHOLE, _UNFINISHED = ".whole", ".unfinished"
_KEPT_SECONDS = 7 * 86_400.0  # of a study that no run asks for any more


def keep(folder: Path, name: str, data: bytes) -> Path:
    """Write a file, whole and on disk or not at all. Raises :class:`OSError`."""
    file = folder / name
    write_whole(file, data)
    return file


class Incoming:
    """What has come of the studies of one archive and is not in the store yet. Raises :class:`FolderError`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of_study(self, study: str) -> Path:
        """Return the folder in which objects of a study are collected; it is made if it is not there."""
        folder = self._folder / study
        try:
            make_folder(folder)
        except OSError as error:
            raise FolderError(folder, error) from None
        return folder

    def seal(self, study: str, instances: Collection[str]) -> Path:
        """Give the folder of a study, with these objects, the name of one that is to be imported."""
        folder = self._folder / study
        try:
            for uid, file in objects_in(folder).items():
                if uid not in instances:
                    file.unlink()
            sealed = folder.rename(folder.with_name(folder.name + _WHOLE))
            sync_folder(self._folder)
        except OSError as error:
            raise FolderError(folder, error) from None
        return sealed

    def sealed(self) -> Iterator[Path]:
        """Give the folders that a run which died has left to be imported."""
        yield from sorted(self._folder.glob(f"*{_WHOLE}"))

    def forget(self, folder: Path) -> None:
        """Remove a folder that is in the store, or of a study of which nothing came."""
        shutil.rmtree(folder, ignore_errors=True)

    def forget_old(self) -> None:
        """Remove what came of studies that were not asked for again for a week: it bears identities."""
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if folder.suffix != _WHOLE and time.time() - folder.stat().st_mtime > _KEPT_SECONDS:
                self.forget(folder)


def objects_in(folder: Path) -> dict[str, Path]:
    """Return the objects in a folder of a study, by SOP Instance UID."""
    return {file.stem: file for file in sorted(folder.iterdir()) if file.suffix != _UNFINISHED}
