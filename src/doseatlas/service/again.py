"""Can what was refused be read by now? Imports the quarantine again after a fix; what is read well leaves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from doseatlas.model import Record
from doseatlas.service.quarantine import Quarantine, Quarantined
from doseatlas.settings import Settings

if TYPE_CHECKING:
    from doseatlas.store import Outcome


class ReadAgain(Record, frozen=True, kw_only=True):
    """How many objects left the quarantine, and how many are still refused."""

    released: int
    refused: int


def read_again(settings: Settings, progress: Callable[[int, int | None], None] | None = None) -> ReadAgain:
    """Read every object of the quarantine again, each for the facility that its sender is bound to.

    Raises:
        StoreError: the store failed; what was read until then is kept.

    """
    from doseatlas.store import Store, import_paths

    quarantine = Quarantine(settings.data_path, settings.service.quarantine_mebibytes * 2**20)
    by_facility: dict[str | None, list[Path]] = {}
    for file, why in quarantine.objects():
        by_facility.setdefault(_facility(why), []).append(file)
    released = refused = 0

    def committed(outcomes: Sequence[Outcome]) -> None:
        nonlocal released, refused
        for outcome in outcomes:
            if outcome.result == "refused":
                refused += 1
            else:
                quarantine.release(Path(outcome.path))
                released += 1

    with Store.from_settings(settings) as store:
        for facility, files in by_facility.items():
            import_paths(store, files, progress, facility=facility, committed=committed)
    return ReadAgain(released=released, refused=refused)


def _facility(why: Quarantined) -> str | None:
    return why.sender.facility if why.sender else None
