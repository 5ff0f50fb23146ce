"""Of which kind is an examination? By the containers and quantities its object holds, not by the words beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from doseatlas.dicom.templates import coded_values
from doseatlas.model import Code, Event, Kind

_ORDER: tuple[Kind, ...] = ("nuclear", "ct", "mammography", "projection")
_SHOWS: dict[Kind, tuple[str, ...]] = {
    "nuclear": ("administered_activity_mbq",),
    "ct": ("dlp_mgy_cm", "ctdi_vol_mgy"),
    "mammography": ("agd_mgy", "agd_left_mgy", "agd_right_mgy", "agd_both_mgy"),
}
ADDITIVE: dict[Kind, tuple[str, ...]] = {
    "nuclear": ("administered_activity_mbq",),
    "ct": ("dlp_mgy_cm",),
    "mammography": ("kap_gy_cm2",),
    "projection": ("kap_gy_cm2", "reference_air_kerma_mgy"),
}
"""Event quantities of each kind that also stand among the totals under the same name."""


def kind_of_report(
    proven: Sequence[Kind], reported: Code | None, totals: Mapping[str, object], events: Sequence[Event]
) -> Kind:
    """Return the kind of a dose report.

    ``proven`` are the kinds that its containers prove, one for each: the most frequent counts. ``reported`` is the
    coded procedure reported, which tells mammography from other projection and decides where no container does.
    """
    stated = coded_values().get(("kind", reported.value, reported.scheme)) if reported else None
    kind: Kind | None = max(_ORDER, key=proven.count) if proven else None
    if kind in ("ct", "nuclear"):
        return kind
    shown = kind_shown(totals, events)
    if kind == "projection":
        return "mammography" if "mammography" in (stated, shown) else "projection"
    return stated or shown or "projection"  # type: ignore[return-value]


def kind_shown(totals: Mapping[str, object], events: Sequence[Event]) -> Kind | None:
    """Return the kind whose own quantities are stated, ``None`` where none is."""
    for kind, names in _SHOWS.items():
        if any(name in totals or any(getattr(event, name, None) is not None for event in events) for name in names):
            return kind
    return None
