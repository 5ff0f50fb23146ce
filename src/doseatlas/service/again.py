"""Can what was refused be read by now? Imports the quarantine, and the folders ``refused`` of watched folders, again
after a fix; what is read well leaves them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from doseatlas.model import Record
from doseatlas.network import Quarantine, Quarantined
from doseatlas.service.watch import WatchedFolder
from doseatlas.settings import Settings

if TYPE_CHECKING:
    from doseatlas.store import Outcome


class ReadAgain(Record, frozen=True, kw_only=True):
    """How many objects left the quarantine, and how many are still refused."""

    released: int
    refused: int


def read_again(settings: Settings, progress: Callable[[int, int | None], None] | None = None) -> ReadAgain:
    """Read every object that was refused again, each for the facility that its sender, or its folder, is bound to.

    Raises:
        StoreError: the store failed; what was read until then is kept.

    """
    from doseatlas.store import Store, import_paths
    from doseatlas.store.derive import plain_text

    quarantine = Quarantine.of_objects(settings)
    by_facility: dict[str | None, list[Path]] = {}
    for file, why in quarantine.objects():
        by_facility.setdefault(_facility(why), []).append(file)
    watched = [WatchedFolder(Path(row.path).expanduser(), row.facility) for row in settings.service.folders]
    dropped = [(file, folder) for folder in watched for file in folder.refused()]
    for file, folder in dropped:
        by_facility.setdefault(folder.facility, []).append(file)
    if not by_facility:  # and so no store is made where there is none
        return ReadAgain(released=0, refused=0)
    still = set[str]()
    released = 0

    def committed(outcomes: Sequence[Outcome]) -> None:
        nonlocal released
        for outcome in outcomes:
            if outcome.result == "refused":
                still.add(outcome.path)
            elif (file := Path(outcome.path)).parent == quarantine.folder:
                quarantine.release(file)
                released += 1

    with Store.from_settings(settings) as store:
        for facility, files in by_facility.items():
            import_paths(store, files, progress, facility=facility, committed=committed)
    for file, folder in dropped:  # a zip is released when nothing in it is refused
        named = plain_text(str(file))
        if not any(path == named or path.startswith(f"{named}/") for path in still):
            folder.release(file)
            released += 1
    return ReadAgain(released=released, refused=len(still))


def _facility(why: Quarantined) -> str | None:
    return why.sender.facility if why.sender else None
