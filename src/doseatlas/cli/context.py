"""From the settings in force to the things commands work on: limits, the store, the chosen reference levels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from doseatlas.model import SettingsError
from doseatlas.settings import Settings, load_settings

if TYPE_CHECKING:
    from doseatlas.dicom import Limits
    from doseatlas.reference import DrlSet
    from doseatlas.store import Store


def read_limits(settings: Settings | None = None) -> Limits:
    """Return the bounds of one object."""
    from doseatlas.dicom import Limits

    limits = (settings or load_settings().settings).limits
    return Limits(header_bytes=limits.max_mebibytes * 2**20, elements=limits.max_items, depth=limits.max_depth)


def open_store() -> Store:
    """Open the store of the settings, making it where there is none; one of an older version says what to do."""
    from doseatlas.cli.output import console
    from doseatlas.store import Store

    store = Store.from_settings(load_settings().settings)
    if store.is_outdated():
        console(stderr=True).print(
            "The exams of this store were derived by an older version of DoseAtlas and lack what this one adds; "
            "'doseatlas rebuild' derives them anew."
        )
    return store


def reference_levels(asked: str | None = None) -> DrlSet:
    """Return the DRL set asked for, else the settings' one, else the default; the user's own sets come first.

    Raises:
        SettingsError: there is no set of that name.

    """
    from doseatlas.reference import DEFAULT_DRL_SET

    name = asked or load_settings().settings.drl_set or DEFAULT_DRL_SET
    sets = {drl_set.id: drl_set for drl_set in all_drl_sets()}
    if name not in sets:
        raise SettingsError(f"There is no DRL set {name!r}. Known: {', '.join(sets)}. Add your own with drl_files.")
    return sets[name]


def all_drl_sets() -> tuple[DrlSet, ...]:
    """Return the user's own sets (setting ``drl_files``), then those that ship."""
    from doseatlas.reference import drl_sets, load_drl_csv

    own = [load_drl_csv(Path(file).expanduser()) for file in load_settings().settings.drl_files]
    taken = {drl_set.id for drl_set in own}
    return (*own, *(drl_set for drl_set in drl_sets() if drl_set.id not in taken))
