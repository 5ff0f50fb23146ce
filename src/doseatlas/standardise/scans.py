"""Which CT events are scans of the patient, and what is their mean CTDIvol?

By DICOM CID 10013 a constant angle acquisition is a localiser. A stationary acquisition is bolus tracking or a test
bolus where it is no longer than 20 mm or its length is not stated; a longer one is a scan (perfusion, or one rotation
of a wide detector). Where no code is stated the protocol's name decides, and what it does not tell is a scan.
"""

from __future__ import annotations

from collections.abc import Sequence

from doseatlas.model import Event
from doseatlas.standardise.words import role_by_name, scan_roles

TRACKING_UP_TO_MM = 20.0


def ct_scans(events: Sequence[Event]) -> list[Event]:
    """Return the events that are neither localiser nor bolus tracking nor test bolus."""
    return [event for event in events if _is_scan(event)]


def _is_scan(event: Event) -> bool:
    code = event.acquisition_code
    role = scan_roles("code").get(f"{code.scheme} {code.value}") if code is not None else None
    if role == "stationary":
        return event.scan_length_mm is not None and event.scan_length_mm > TRACKING_UP_TO_MM
    if role != "localiser":
        # Bolus tracking is also sent as sequenced or free; its protocol's name gives it away.
        named = role_by_name(event.protocol) if event.protocol else None
        return named is None or (role == "scan" and named == "localiser")
    return False


def mean_by_dlp(scans: Sequence[Event], field: str) -> float | None:
    """Return the mean of a field of the scans that state it, weighted by DLP; by equal weights where a DLP is missing.

    For CTDIvol the caller has made sure that the scans are on one phantom.
    """
    stated: list[tuple[float, float | None]] = [
        (value, scan.dlp_mgy_cm) for scan in scans if (value := getattr(scan, field)) is not None
    ]
    if not stated:
        return None
    total = sum(dlp or 0.0 for _, dlp in stated)
    if total > 0 and all(dlp is not None for _, dlp in stated):
        return sum(value * (dlp or 0.0) for value, dlp in stated) / total
    return sum(value for value, _ in stated) / len(stated)
