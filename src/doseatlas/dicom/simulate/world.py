"""Which countries, facilities and devices are there, and how do they differ? A seeded plan of a made-up world."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from doseatlas.dicom.simulate.tables import DEVICE_CLASSES, DeviceClass, Dialect, Model, Place, dialects, models, places
from doseatlas.model import SettingsError

Scope = Literal["facility", "country", "world"]
FACILITIES: dict[str, int] = {"facility": 1, "country": 6, "world": 36}
# How often the classes of device are used, and how many of each a facility has: made up.
CLASS_SHARES: dict[DeviceClass, float] = {
    "ct": 0.52,
    "angiography": 0.08,
    "fluoroscopy": 0.05,
    "radiography": 0.18,
    "mammography": 0.10,
    "nuclear": 0.07,
}
DEVICE_COUNTS: dict[DeviceClass, int] = {
    "ct": 2,
    "angiography": 1,
    "fluoroscopy": 1,
    "radiography": 1,
    "mammography": 1,
    "nuclear": 1,
}
# Spread (geometric standard deviation) of dose between facilities and between devices of one facility: made up.
FACILITY_GSD = 1.25
DEVICE_GSD = 1.08
DRIFT_FACTOR = 1.4


@dataclass(frozen=True, slots=True)
class Drift:
    """From ``date`` on, a device gives ``factor`` times the dose."""

    date: dt.date
    factor: float


@dataclass(frozen=True, slots=True)
class SimulatedDevice:
    """A made-up device; ``dose_factor`` multiplies the doses of typical values."""

    model: Model
    dialect: Dialect
    serial_number: str
    station_name: str
    dose_factor: float
    biplane: bool
    drift: Drift | None


@dataclass(frozen=True, slots=True)
class Facility:
    """A made-up facility; ``dose_factor`` holds for all its devices."""

    country: str
    language: str
    name: str
    dose_factor: float
    devices: dict[DeviceClass, tuple[SimulatedDevice, ...]]


@dataclass(frozen=True, slots=True)
class World:
    """The plan: facilities with their devices, and how many exams are done from ``start`` to ``end`` (inclusive).

    It is the truth that detection can be tested against: each device's factor and drift stand in it, each exam's
    faults in :class:`SimulatedExam`.
    """

    scope: Scope
    exam_count: int
    seed: int
    start: dt.date
    end: dt.date
    with_faults: bool
    device_classes: tuple[DeviceClass, ...]
    facilities: tuple[Facility, ...]

    @property
    def countries(self) -> tuple[str, ...]:
        """The countries, in the order of their first facility."""
        return tuple(dict.fromkeys(facility.country for facility in self.facilities))

    @property
    def drifting_devices(self) -> tuple[SimulatedDevice, ...]:
        """The devices whose dose steps up during the period."""
        all_devices = (d for f in self.facilities for of_class in f.devices.values() for d in of_class)
        return tuple(device for device in all_devices if device.drift)


def plan(
    scope: Scope,
    *,
    exams: int,
    seed: int,
    start: dt.date,
    end: dt.date,
    faults: bool = True,
    device_classes: Collection[str] = DEVICE_CLASSES,
) -> World:
    """Plan a made-up facility (1 facility), country (6) or world (6 countries, 36 facilities).

    Args:
        scope: how large the world is.
        exams: number of examinations, spread over facilities and days.
        seed: the same arguments give the same world and the same bytes.
        start: first day of study.
        end: last day of study.
        faults: whether the faults of ``tables/faults.csv`` are put in, a drifting CT among them.
        device_classes: only exams on these, such as ``("ct",)``.

    Raises:
        SettingsError: there are no exams, no classes of device, or the period ends before it begins.

    """
    unknown = set(device_classes) - set(DEVICE_CLASSES)
    if exams < 1 or end < start or unknown or not device_classes:
        raise SettingsError(
            f"A world of {exams} exams from {start} to {end} on {sorted(device_classes)} cannot be planned: ask for at "
            f"least one exam, an end not before the start, and classes of device among {', '.join(DEVICE_CLASSES)}."
        )
    rng = random.Random(f"doseatlas {scope} {seed}")
    chosen = _choose_places(scope, rng)
    drifting = rng.randrange(len(chosen)) if faults else -1
    drift = Drift(start + (end - start) * 0.6, DRIFT_FACTOR)
    facilities = tuple(
        Facility(
            country=place.country,
            language=place.language,
            name=place.facility,
            dose_factor=round(math.exp(rng.gauss(0, math.log(FACILITY_GSD))), 4),
            devices=_equip(rng, number, drift if number == drifting else None),
        )
        for number, place in enumerate(chosen)
    )
    ordered = tuple(name for name in DEVICE_CLASSES if name in device_classes)
    return World(scope, exams, seed, start, end, faults, ordered, facilities)


def _choose_places(scope: Scope, rng: random.Random) -> list[Place]:
    if scope == "world":
        return list(places())
    country = rng.choice(tuple(dict.fromkeys(place.country for place in places())))
    of_country = [place for place in places() if place.country == country]
    return rng.sample(of_country, FACILITIES[scope])


def _equip(
    rng: random.Random, facility_number: int, drift: Drift | None
) -> dict[DeviceClass, tuple[SimulatedDevice, ...]]:
    """Devices of one facility; the first CT is the one that drifts, where one does."""
    devices: dict[DeviceClass, tuple[SimulatedDevice, ...]] = {}
    for device_class, count in DEVICE_COUNTS.items():
        offered = [model for model in models() if model.device_class == device_class]
        devices[device_class] = tuple(
            SimulatedDevice(
                model=model,
                dialect=dialects()[model.dialect],
                serial_number=f"SIM{rng.randrange(10**6):06}",
                station_name=f"{model.modality}{facility_number + 1:02}{number + 1:02}",
                dose_factor=round(math.exp(rng.gauss(0, math.log(DEVICE_GSD))), 4),
                biplane=device_class == "angiography" and rng.random() < 0.5,
                drift=drift if device_class == "ct" and number == 0 else None,
            )
            for number, model in enumerate(rng.sample(offered, count))
        )
    return devices
