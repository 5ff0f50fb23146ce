"""Where does one facility stand among the others of its country? Asked of the unit values that a computation keeps.

Unit values are a few numbers a facility and exam, sorted by area: the question reads one country's, not the registry.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from doseatlas.analysis.drl.files import UNITS
from doseatlas.analysis.results import DoseQuantity
from doseatlas.model import Record, TableError

if TYPE_CHECKING:
    import ibis

PEERS = ("area", "procedure", "patient_group", "quantity", "phantom_cm")


class PeerStanding(Record, frozen=True, kw_only=True):
    """A unit's typical value among those of its area with enough patients: how many there are, and their quartiles.

    ``place`` is the unit's place among them by rising value, itself included.
    """

    area: str
    unit: str
    procedure: str
    patient_group: str
    quantity: DoseQuantity
    phantom_cm: int | None = None
    n: int
    value: float
    peers: int
    place: int
    p25: float
    median: float
    p75: float


def peer_standing(folder: Path, facility: str, *, min_patients: int = 20) -> tuple[PeerStanding, ...]:
    """Return where the units of a facility stand, in what :func:`save_computed` wrote to a folder.

    Units with fewer than ``min_patients`` patients have no standing and are nobody's peers.

    Raises:
        TableError: the folder holds no unit values.

    """
    import ibis

    path = folder / UNITS
    if not path.is_file():
        raise TableError(f"{path} is not there. Compute levels of facilities or devices with --output first.")
    units = ibis.duckdb.connect(memory_limit="1GB").read_parquet(path)
    areas = units.filter(units.facility == facility).select("area").distinct().to_pyarrow()["area"].to_pylist()
    rows = standings(units, facility, areas, min_patients) if areas else None
    if rows is None:
        return ()
    ordered = rows.order_by([*PEERS, "unit"]).to_pyarrow().to_pylist()
    return tuple(PeerStanding(**{**row, "phantom_cm": row["phantom_cm"] or None}) for row in ordered)


def standings(units: ibis.Table, facility: str, areas: list[str], min_patients: int) -> ibis.Table:
    """Return the fields of :class:`PeerStanding` for the units of a facility that lies in some areas."""
    enough = units.filter(units.area.isin(areas), units.n >= min_patients)
    own = enough.filter(enough.facility == facility).select(*PEERS, "unit", "n", own=enough.value)
    both = enough.select(*PEERS, "value").join(own, list(PEERS))
    grouped = both.group_by([*PEERS, "unit", "n", "own"]).agg(
        peers=both.count(),
        place=(both.value < both.own).sum() + 1,
        p25=both.value.quantile(0.25),
        median=both.value.quantile(0.5),
        p75=both.value.quantile(0.75),
    )
    return grouped.rename(value="own")
