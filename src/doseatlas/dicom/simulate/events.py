"""Which irradiation events does an exam consist of, and how much dose does each give? Draws them, kind by kind.

Doses are log-normal around the typical value of the procedure and group. An adult's dose grows with weight as
(weight / 75 kg) ** exponent (``tables/protocols.csv``); the spread of weights is part of the published spread, so the
rest of it is drawn with what remains. The relation is made up. Values are rounded as devices state them, so what an
event holds is exactly what its report says.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from doseatlas.dicom.simulate.patients import ADULT_WEIGHT_GSD, ADULT_WEIGHT_KG, SimulatedPatient
from doseatlas.dicom.simulate.tables import Concept, Dialect, Protocol, TypicalValue, agents, concepts, typical_values
from doseatlas.dicom.simulate.world import SimulatedDevice
from doseatlas.model import Code, Event, Filter

_KAP_TO_GY_CM2 = {"Gy.cm2": 1.0, "mGy.cm2": 0.001}
_ISOCENTRE_MM = 785.0  # from the source, of every angiography and fluoroscopy unit


@dataclass(frozen=True, slots=True)
class Scene:
    """All that an exam's events depend on. ``values`` are the typical values of the patient's group by quantity."""

    rng: random.Random
    protocol: Protocol
    values: dict[str, TypicalValue]
    device: SimulatedDevice
    patient: SimulatedPatient
    size_exponent: float
    dose_factor: float
    protocol_name: str
    phases: int
    wrong_phantom: bool
    started: dt.datetime


def new_uid(rng: random.Random) -> str:
    """A UID made from a version 4 UUID (PS3.5 annex B.2)."""
    number = rng.getrandbits(128)
    number = number & ~(0xF << 76 | 3 << 62) | 4 << 76 | 2 << 62
    return f"2.25.{number}"


@cache
def stated_code(key: str, dialect: Dialect) -> Code:
    """A concept as a maker's objects state it."""
    concept: Concept = concepts()[key]
    meaning = concept.meaning_fr if dialect.language == "fr" else concept.meaning
    if dialect.codes == "old":
        return Code(value=concept.old_value, scheme=concept.old_scheme, meaning=meaning)
    return Code(value=concept.value, scheme=concept.scheme, meaning=meaning)


def meaning(key: str, dialect: Dialect) -> str:
    """The meaning of a concept in the language of a maker's objects."""
    return stated_code(key, dialect).meaning or ""


def draw_value(scene: Scene, typical: TypicalValue) -> float:
    """One draw around a typical value, in its unit, for the patient's weight and the device's habit."""
    size_sigma = scene.size_exponent * math.log(ADULT_WEIGHT_GSD)
    sigma = math.sqrt(max(math.log(typical.gsd) ** 2 - size_sigma**2, 0.01))
    size = math.pow(scene.patient.weight_kg / ADULT_WEIGHT_KG, scene.size_exponent)
    return typical.median * scene.dose_factor * size * math.exp(scene.rng.gauss(0, sigma))


def draw_events(scene: Scene) -> list[Event]:
    """The events of one exam, in the order of their time."""
    return _DRAW[scene.protocol.device_class](scene)


def _ct(scene: Scene) -> list[Event]:
    rng, protocol = scene.rng, scene.protocol
    typical, whole = scene.values["CTDIvol"], scene.values["DLP"]
    ctdi_vol = draw_value(scene, typical)
    typical_cm = whole.median / (typical.median * protocol.phases)
    length_mm = round(10 * typical_cm * math.exp(rng.gauss(0, 0.1)))
    phantom_cm = typical.phantom_cm
    if scene.wrong_phantom:
        # CTDIvol on the 16 cm phantom is about twice that on the 32 cm phantom for the same output.
        phantom_cm, ctdi_vol = (32, ctdi_vol / 2) if phantom_cm == 16 else (16, ctdi_vol * 2)
    events = [_localiser(scene, length_mm) for _ in range(1 + (rng.random() < 0.4))]
    if protocol.contrast:
        for name, scans in (("PreMonitoring", 1), ("Monitoring", rng.randint(2, 9))):
            dose = round(1.1 * scans, 2)
            events.append(_ct_event(scene, "stationary-ct", name, dose, 10, 32, 0.0, 40.0))
    axial = protocol.region == "head" and scene.device.model.dialect in ("aquila", "echo")
    for phase in range(scene.phases):
        name = scene.protocol_name if phase == 0 else f"{scene.protocol_name}_{phase + 1}"
        dose = max(round(ctdi_vol * math.exp(rng.gauss(0, 0.02)), 2), 0.05)
        pitch = 0.0 if axial else (0.8, 0.9, 1.2)[rng.randrange(3)]
        current = round(180 * ctdi_vol / typical.median)
        events.append(
            _ct_event(scene, "sequenced" if axial else "spiral", name, dose, length_mm, phantom_cm, pitch, current)
        )
    return events


def _localiser(scene: Scene, length_mm: int) -> Event:
    dose = round(0.1 + 0.06 * scene.rng.random(), 2)
    name = "Topogram" if scene.device.dialect.language == "en" else "Radio de repérage"
    return _ct_event(scene, "constant-angle", name, dose, length_mm + 60, 32, 0.0, 35.0)


def water_equivalent_diameter_cm(weight_kg: Any) -> Any:
    """Water-equivalent diameter of a trunk by weight, through 29 cm at 75 kg. Made up. Numbers or NumPy arrays."""
    return 11 + 18 * (weight_kg / ADULT_WEIGHT_KG) ** 0.5


def size_specific_dose(ctdi_vol_mgy: Any, diameter_cm: Any) -> Any:
    """SSDE (mGy) from CTDIvol on the 32 cm phantom (AAPM Report 204, table 1 fit; AAPM Report 220)."""
    return ctdi_vol_mgy * 3.704369 * math.e ** (-0.03671937 * diameter_cm)


def _ct_event(
    scene: Scene,
    acquisition: str,
    name: str,
    ctdi_vol: float,
    length_mm: int,
    phantom_cm: int | None,
    pitch: float,
    current_ma: float,
) -> Event:
    dialect = scene.device.dialect
    code, region = stated_code(acquisition, dialect), stated_code(scene.protocol.region, dialect)
    volume = acquisition in ("spiral", "sequenced")
    rotation_s = 1.0 if acquisition == "sequenced" else 0.5
    collimation = 40.0 if volume else 10.0 if acquisition == "stationary-ct" else 4.0
    duration_s = length_mm / (100 if not volume else max(pitch, 1.0) * collimation / rotation_s)
    diameter_cm = water_equivalent_diameter_cm(scene.patient.weight_kg)
    states_ssde = dialect.ssde and volume and phantom_cm == 32
    checked = dialect.dose_check and volume
    return Event(
        event_uid=new_uid(scene.rng),
        protocol=name,
        acquisition_type=code.meaning,
        acquisition_code=code,
        target_region=region.meaning,
        target_region_code=region,
        dlp_mgy_cm=round(ctdi_vol * length_mm / 10, 2),
        ctdi_vol_mgy=ctdi_vol,
        phantom_cm=phantom_cm,
        scan_length_mm=float(length_mm),
        exposed_range_mm=float(length_mm + 30) if volume and dialect.codes == "new" else None,
        ssde_mgy=round(size_specific_dose(ctdi_vol, diameter_cm), 2) if states_ssde else None,
        water_equivalent_diameter_mm=round(10 * diameter_cm, 1) if states_ssde else None,
        pitch=pitch if acquisition == "spiral" else None,
        collimation_mm=0.6 if volume else collimation,
        total_collimation_mm=collimation,
        exposure_time_per_rotation_s=rotation_s if acquisition != "constant-angle" else None,
        exposure_time_ms=float(round(1000 * duration_s)),
        tube_current_ma=float(max(round(current_ma), 10)),
        tube_current_max_ma=float(max(round(1.4 * current_ma), 10) if volume else round(current_ma)),
        kvp=scene.protocol.kvp,
        ctdi_vol_notification_mgy=80.0 if checked else None,
        dlp_notification_mgy_cm=2000.0 if checked else None,
        ctdi_vol_alert_mgy=1000.0 if checked else None,
    )


def _kap(scene: Scene, quantity: dict[str, TypicalValue], area_cm2: float) -> float:
    """KAP in Gy.cm2 from a typical KAP, or from a typical air kerma (mGy) and the area of the field."""
    if "PKA" in quantity:
        return draw_value(scene, quantity["PKA"]) * _KAP_TO_GY_CM2[quantity["PKA"].unit]
    return draw_value(scene, quantity["Ka,r"]) * area_cm2 / 1000


def _fluoroscopy(scene: Scene) -> list[Event]:
    """Fluoroscopy (40 % of the KAP) and acquisitions (60 %), alternating; the number of events is log-normal."""
    rng, protocol = scene.rng, scene.protocol
    area = protocol.field_area_cm2 * math.exp(rng.gauss(0, 0.1))
    kap = _kap(scene, scene.values, area)
    busy = math.exp(rng.gauss(0, 0.35))
    counts = [max(1, round(n * busy)) for n in (protocol.fluoro_events, protocol.acquisition_events)]
    kinds = ["fluoroscopy"] * counts[0] + ["stationary"] * counts[1]
    rng.shuffle(kinds)
    weights = [rng.expovariate(1.0) + 0.05 for _ in kinds]
    sums = {kind: sum(w for w, k in zip(weights, kinds, strict=True) if k == kind) for kind in set(kinds)}
    moment = scene.started
    events = []
    for kind, weight in zip(kinds, weights, strict=True):
        share = (0.4 if kind == "fluoroscopy" else 0.6) * weight / sums[kind]
        event = _projection_event(scene, kind, kap * share, area, moment)
        moment += dt.timedelta(seconds=20 + int(60 * rng.random()))
        events.append(event)
    return events


def _projection_event(scene: Scene, kind: str, kap: float, area_cm2: float, moment: dt.datetime) -> Event:
    rng, dialect = scene.rng, scene.device.dialect
    fluoro = kind == "fluoroscopy"
    plane = "single-plane" if not scene.device.biplane else ("plane-a", "plane-b")[rng.random() < 0.35]
    code, region = stated_code(kind, dialect), stated_code(scene.protocol.region, dialect)
    rate = 7.5 if fluoro else 15.0
    pulses = max(1, round(kap * (400 if fluoro else 60) * (0.5 + rng.random())))
    width = 6.0 if fluoro else 8.0
    kvp = round(scene.protocol.kvp + rng.gauss(0, 4), 1)
    current = round((60 if fluoro else 400) * (0.7 + 0.6 * rng.random()), 1)
    kap = float(f"{kap:.6g}")
    lateral = plane == "plane-b"
    copper = 0.3 if fluoro else 0.1
    event_uid = new_uid(rng)
    angles = round((90 if lateral else 0) + rng.gauss(0, 22), 1), round(rng.gauss(0, 15), 1)
    detector_mm = float(round(1100 + 80 * rng.random()))
    return Event(
        event_uid=event_uid,
        started_at=moment.isoformat(),
        protocol=("FL " if fluoro else "") + scene.protocol_name,
        acquisition_type=code.meaning,
        acquisition_code=code,
        target_region=region.meaning,
        target_region_code=region,
        plane=meaning(plane, dialect),
        kap_gy_cm2=kap,
        reference_air_kerma_mgy=float(f"{1000 * kap / area_cm2:.5g}"),
        fluoro_mode=meaning("pulsed", dialect) if fluoro else None,
        pulses=pulses,
        pulse_rate_hz=rate,
        irradiation_duration_s=round(pulses / rate, 2),
        primary_angle_deg=angles[0],
        secondary_angle_deg=angles[1],
        source_to_detector_mm=detector_mm,
        source_to_isocenter_mm=_ISOCENTRE_MM,
        table_longitudinal_mm=round(rng.gauss(0, 60), 1),
        table_lateral_mm=round(rng.gauss(0, 30), 1),
        table_height_mm=round(rng.gauss(250, 20), 1),
        **_field(event_uid, dialect, area_cm2, detector_mm),
        focal_spot_mm=0.6,
        kvp=kvp,
        tube_current_ma=current,
        exposure_mas=round(current * pulses * width / 1000, 3),
        exposure_time_ms=pulses * width,
        pulse_width_ms=width,
        filters=(
            Filter(
                material=meaning("copper", dialect),
                type=meaning("flat-filter", dialect),
                thickness_min_mm=copper,
                thickness_max_mm=copper,
            ),
        ),
    )


def _field(event_uid: str, dialect: Dialect, area_cm2: float, detector_mm: float) -> dict[str, Any]:
    """What a maker states of a field whose area at the reference point is given: area, shutters at 1 m, or a turn.

    The shape is drawn from the event's UID, so that makers who state less of it draw the same events.
    """
    rng = random.Random(event_uid)
    aspect, turn = math.exp(rng.uniform(-0.3, 0.3)), rng.choice((0.0, 90.0, round(rng.gauss(0, 8), 1)))
    across, along = rng.uniform(0.35, 0.65), rng.uniform(0.35, 0.65)
    plane_mm = 1000.0 if dialect.field == "shutters" else detector_mm
    side_mm = 10 * math.sqrt(area_cm2) * plane_mm / (_ISOCENTRE_MM - 150)
    width, height = round(side_mm * aspect, 1), round(side_mm / aspect, 1)
    if dialect.field == "shutters":
        left, bottom = round(width * across, 1), round(height * along, 1)
        return {
            "shutter_left_mm": left,
            "shutter_right_mm": round(width - left, 1),
            "shutter_bottom_mm": bottom,
            "shutter_top_mm": round(height - bottom, 1),
        }
    if dialect.field == "area":
        return {"collimated_field_area_cm2": round(side_mm**2 / 100, 1)}
    return {
        "collimated_field_area_cm2": round(width * height / 100, 1),
        "collimated_field_width_mm": width,
        "collimated_field_height_mm": height,
        "detector_rotation_deg": turn,
    }


def _radiography(scene: Scene) -> list[Event]:
    """One exposure a view; a view has its own typical KAP."""
    rng, dialect = scene.rng, scene.device.dialect
    area = scene.protocol.field_area_cm2
    code, region = stated_code("stationary", dialect), stated_code(scene.protocol.region, dialect)
    report = dialect.reports != "image"
    events = []
    for number, view in enumerate(scene.protocol.views):
        kap = float(f"{_kap(scene, typical_values()[view, 'adult'], area):.5g}")
        events.append(
            Event(
                event_uid=new_uid(rng),
                started_at=(scene.started + dt.timedelta(seconds=70 * number)).isoformat() if report else None,
                protocol=scene.protocol_name,
                acquisition_type=code.meaning if report else None,
                acquisition_code=code if report else None,
                target_region=region.meaning if report else None,
                target_region_code=region if report else None,
                plane=meaning("single-plane", dialect) if report else None,
                view=None if report else {"pa": "PA", "lat": "LL"}.get(view.rpartition("-")[2], "AP"),
                kap_gy_cm2=kap,
                entrance_exposure_mgy=float(f"{1000 * kap / area:.4g}"),
                kvp=scene.protocol.kvp,
                tube_current_ma=320.0,
                exposure_time_ms=float(max(1, round(8000 * kap / area * 10))),
                exposure_mas=round(max(1, round(8000 * kap / area * 10)) * 0.32, 3),
                exposure_index=float(round(400 * math.exp(rng.gauss(0, 0.3)))),
                target_exposure_index=400.0,
                source_to_detector_mm=(1800.0 if scene.protocol.region == "chest" else 1150.0) if report else None,
                focal_spot_mm=1.2 if report else None,
            )
        )
    return events


def _mammography(scene: Scene) -> list[Event]:
    """Four views; glandular dose grows by 2 % a millimetre of compressed thickness around 53 mm (made up)."""
    rng, dialect = scene.rng, scene.device.dialect
    thickness = min(95, max(20, rng.gauss(53, 12)))
    code, region = stated_code("stationary", dialect), stated_code("breast", dialect)
    base = draw_value(scene, scene.values["DG"]) * math.exp(0.02 * (thickness - 53))
    events = []
    views = [(side, view) for view in ("cranio-caudal", "medio-lateral-oblique") for side in ("right", "left")]
    for number, (side, view) in enumerate(views):
        mm = float(round(thickness + rng.gauss(0, 2)))
        agd = round(max(base * math.exp(rng.gauss(0, 0.06)), 0.1), 2)
        events.append(
            Event(
                event_uid=new_uid(rng),
                started_at=(scene.started + dt.timedelta(seconds=75 * number)).isoformat(),
                protocol=scene.protocol_name,
                acquisition_type=code.meaning,
                acquisition_code=code,
                target_region=region.meaning,
                target_region_code=region,
                plane=meaning("single-plane", dialect),
                laterality=meaning(side, dialect),
                view=meaning(view, dialect),
                agd_mgy=agd,
                entrance_exposure_mgy=round(agd * 3.6, 2),
                half_value_layer_mm=0.54,
                compressed_thickness_mm=mm,
                compression_force_n=float(round(rng.gauss(110, 20))),
                anode_material=meaning("tungsten", dialect),
                kvp=float(round(scene.protocol.kvp + (mm - 53) / 15)),
                tube_current_ma=100.0,
                exposure_time_ms=float(round(640 * agd)),
                exposure_mas=round(round(640 * agd) * 0.1, 1),
                focal_spot_mm=0.3,
                source_to_detector_mm=650.0,
                filters=(
                    Filter(
                        material=meaning("rhodium", dialect),
                        type=meaning("flat-filter", dialect),
                        thickness_min_mm=0.05,
                        thickness_max_mm=0.05,
                    ),
                ),
            )
        )
    return events


def _nuclear(scene: Scene) -> list[Event]:
    """One administration; a child's activity goes with (weight / 75 kg) ** exponent (made up)."""
    dialect, agent = scene.device.dialect, agents()[scene.protocol.procedure]
    return [
        Event(
            event_uid=new_uid(scene.rng),
            started_at=scene.started.isoformat(),
            administered_activity_mbq=round(draw_value(scene, scene.values["Administered activity"]), 1),
            radionuclide=meaning(agent.radionuclide, dialect),
            radiopharmaceutical=meaning(agent.agent, dialect),
            route=meaning("intravenous", dialect),
        )
    ]


_DRAW: dict[str, Callable[[Scene], list[Event]]] = {
    "ct": _ct,
    "angiography": _fluoroscopy,
    "fluoroscopy": _fluoroscopy,
    "radiography": _radiography,
    "mammography": _mammography,
    "nuclear": _nuclear,
}
