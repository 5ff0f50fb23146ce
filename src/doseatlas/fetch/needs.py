"""What of a study is worth taking, and in which order? The smallest that can hold its dose first. Pure decisions.

Dose reports; other reports, which hold the dose of old scanners; dose screens; images of which each is an exposure or
repeats an activity; last, whole CT series. Never a part of a CT series: its mean would look right and be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from doseatlas.fetch.records import FoundInstance, FoundSeries
from doseatlas.network import sop_classes
from doseatlas.reference import read_rows

Group = Literal["dose-report", "report", "screen", "image", "unknown"]
_TABLES = Path(__file__).parent / "tables"
_MOST_SCREENS = 20  # objects of a series that may be one of dose screens


class Part(NamedTuple):
    """Objects of one series."""

    series: str
    instances: tuple[str, ...]


@cache
def modalities() -> dict[str, str]:
    """Return how the objects of each modality that may hold a dose are taken: reports, series, each or one."""
    return {
        row["modality"]: row["take"] for _, row in read_rows(_TABLES / "modalities.csv", ("modality", "take", "source"))
    }


def may_hold_dose(stated: Sequence[str]) -> bool:
    """Return whether a study of these modalities may hold a dose; one that states none may."""
    return not stated or any(one in modalities() for one in stated)


def report_series(series: Sequence[FoundSeries]) -> list[FoundSeries]:
    """Return the series that may hold reports."""
    return [one for one in series if modalities().get(one.modality) == "reports"]


def screen_series(series: Sequence[FoundSeries]) -> list[FoundSeries]:
    """Return the series that may hold dose screens: small ones beside CT series."""
    if not any(one.modality == "CT" for one in series):
        return []
    return [
        one
        for one in series
        if one.modality in ("CT", "OT", "SC") and one.instances is not None and one.instances <= _MOST_SCREENS
    ]


def image_series(series: Sequence[FoundSeries], how: Sequence[str]) -> list[FoundSeries]:
    """Return the series of images that are taken in one of these ways."""
    return [one for one in series if modalities().get(one.modality) in how]


def of_group(instances: Sequence[FoundInstance], *groups: Group) -> tuple[str, ...]:
    """Return the objects whose SOP class is of one of the groups."""
    return tuple(one.sop_instance_uid for one in instances if _group(one) in groups)


def _group(one: FoundInstance) -> str:
    if not one.sop_class_uid:
        return "unknown"
    known = sop_classes().get(one.sop_class_uid)
    return known.group if known else ""
