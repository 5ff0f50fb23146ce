"""What do irradiation events add up to?

Never adds CTDIvol: it is not additive, least of all on different phantoms. A sum over events is given only where
every event that could state the quantity does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from doseatlas.model import Event, Kind, Totals

_FLUOROSCOPY = {"P5-06000", "44491008"}  # CID 10002, fluoroscopy in SNOMED RT and CT
_LEFT, _RIGHT = ("l", "left", "gauche"), ("r", "right", "droit", "droite")


def is_fluoroscopy(event: Event) -> bool:
    """Return whether an event is fluoroscopy, by its code (CID 10002) or because it states a fluoro mode."""
    return bool(event.fluoro_mode) or (
        event.acquisition_code is not None and event.acquisition_code.value in _FLUOROSCOPY
    )


def sum_stated(values: Iterable[float | None]) -> float | None:
    """Return the sum of what is stated, ``None`` where nothing is; rounded to undo binary rounding only."""
    stated = [value for value in values if value is not None]
    return float(f"{sum(stated):.10g}") if stated else None


def sum_complete(values: Iterable[float | None]) -> float | None:
    """Return the sum, ``None`` where a value is not stated."""
    found = list(values)
    return None if None in found else sum_stated(found)


def sum_events(kind: Kind, events: Sequence[Event]) -> Totals:
    """Return the totals that events add up to; units as in :class:`~doseatlas.model.Totals`."""
    if kind == "ct":
        return Totals(dlp_mgy_cm=sum_stated(e.dlp_mgy_cm for e in events))
    if kind == "nuclear":
        return Totals(
            administered_activity_mbq=sum_stated(e.administered_activity_mbq for e in events),
            radionuclide=common_text(e.radionuclide for e in events),
            radiopharmaceutical=common_text(e.radiopharmaceutical for e in events),
        )
    kap, kerma = sum_stated(e.kap_gy_cm2 for e in events), sum_stated(e.reference_air_kerma_mgy for e in events)
    if kind == "mammography":
        left = sum_stated(e.agd_mgy for e in events if (e.laterality or "").casefold() in _LEFT)
        right = sum_stated(e.agd_mgy for e in events if (e.laterality or "").casefold() in _RIGHT)
        return Totals(kap_gy_cm2=kap, agd_left_mgy=left, agd_right_mgy=right)
    fluoro = [event for event in events if is_fluoroscopy(event)]
    acquired = [event for event in events if not is_fluoroscopy(event)]
    if not fluoro:
        return Totals(kap_gy_cm2=kap, reference_air_kerma_mgy=kerma)
    return Totals(
        kap_gy_cm2=kap,
        reference_air_kerma_mgy=kerma,
        fluoro_time_s=sum_complete(e.irradiation_duration_s for e in fluoro),
        fluoro_kap_gy_cm2=sum_complete(e.kap_gy_cm2 for e in fluoro),
        fluoro_reference_air_kerma_mgy=sum_complete(e.reference_air_kerma_mgy for e in fluoro),
        acquisition_kap_gy_cm2=sum_complete(e.kap_gy_cm2 for e in acquired),
        acquisition_reference_air_kerma_mgy=sum_complete(e.reference_air_kerma_mgy for e in acquired),
    )


def common_text(texts: Iterable[str | None]) -> str | None:
    """Return the one text that all which state one agree on, else ``None``."""
    found = {text for text in texts if text is not None}
    return found.pop() if len(found) == 1 else None
