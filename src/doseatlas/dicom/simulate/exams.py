"""What is examined, on which device, with which faults, and what do the objects state? Draws exams one by one.

Exam ``i`` depends on the world's plan, its seed and ``i`` only: drawing it alone or after others gives the same.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from doseatlas.dicom.simulate.events import Scene, draw_events, meaning, new_uid
from doseatlas.dicom.simulate.images import CR_IMAGE, body_part
from doseatlas.dicom.simulate.patients import SimulatedPatient, draw_adult, draw_child, patient_group
from doseatlas.dicom.simulate.tables import DeviceClass, Protocol, age_words, faults, names, protocols, typical_values
from doseatlas.dicom.simulate.world import CLASS_SHARES, Facility, SimulatedDevice, World
from doseatlas.model import Device, Event, Exam, Identity, Patient, Totals

KINDS = {"ct": "ct", "mammography": "mammography", "nuclear": "nuclear"}
XRDSR, RRDSR = "1.2.840.10008.5.1.4.1.1.88.67", "1.2.840.10008.5.1.4.1.1.88.68"
SOP_CLASSES = {
    "radiation": XRDSR,
    "enhanced": "1.2.840.10008.5.1.4.1.1.88.22",
    "comprehensive": "1.2.840.10008.5.1.4.1.1.88.33",
}
_IMPLAUSIBLE = (
    "dlp_mgy_cm",
    "ctdi_vol_mgy",
    "kap_gy_cm2",
    "reference_air_kerma_mgy",
    "agd_mgy",
    "administered_activity_mbq",
)
# Of two faults that cannot both show in one exam, the first is kept.
_EXCLUDES = {"corrected-report": "continued-report", "missing-weight": "zero-weight"}


@dataclass(frozen=True, slots=True)
class SimulatedExam:
    """One made-up examination: its truth and what is sent of it.

    ``exam`` is what all its objects together state, merged; ``reports`` are what each object (a report, or an image of
    a maker that sends no reports) states, in the order they are sent; the last is sent ``copies`` times. ``group`` is
    the patient's true group, which missing weight or age may hide from a reader. ``faults`` are keys of
    ``tables/faults.csv``.
    """

    index: int
    facility: Facility
    device: SimulatedDevice
    procedure: str
    group: str
    faults: tuple[str, ...]
    identity: Identity
    exam: Exam
    reports: tuple[Exam, ...]
    copies: int


def exams(world: World) -> Iterator[SimulatedExam]:
    """All exams of a world, drawn one after the other as they are asked for."""
    return (draw_exam(world, index) for index in range(world.exam_count))


def to_exam(simulated: SimulatedExam) -> Exam:
    """The truth that an exam's objects encode: what reading and merging them should return."""
    return simulated.exam


def draw_exam(world: World, index: int) -> SimulatedExam:
    """Exam number ``index`` of a world, from 0."""
    rng = random.Random(f"{world.seed} {index}")
    facility = world.facilities[rng.randrange(len(world.facilities))]
    shares = [CLASS_SHARES[name] for name in world.device_classes]
    device_class = rng.choices(world.device_classes, shares)[0]
    device = rng.choice(facility.devices[device_class])
    protocol = _choose_protocol(rng, device_class)
    child = rng.random() < protocol.child_share
    female_share = 1.0 if device_class == "mammography" else 0.5
    patient = draw_child(rng) if child else draw_adult(rng, female_share=female_share)
    days = (world.end - world.start).days
    day = world.start + dt.timedelta(days=rng.randint(0, days))
    moment = dt.datetime.combine(day, dt.time(7)) + dt.timedelta(seconds=rng.randrange(13 * 3600))
    put = _choose_faults(rng, world, device, child)
    group = patient_group(patient, protocol.region)
    text, protocol_name = _choose_name(rng, facility, protocol, child and "adult-protocol-on-child" not in put)
    scene = _set_scene(rng, protocol, device, patient, group, facility, protocol_name, put, moment)
    events = draw_events(scene)
    if "implausible-dose" in put:
        events = [_hundredfold(event) for event in events]
    sends_images = device.dialect.reports == "image"
    exam = Exam(
        kind=KINDS.get(device_class, "projection"),  # type: ignore[arg-type]
        study_instance_uid=new_uid(rng),
        sop_class_uid=_sop_class(device),
        series_instance_uid=new_uid(rng),
        modality=device.model.modality if sends_images else None,
        source="image" if sends_images else "dose-report",
        study_date=day.isoformat(),
        study_time=moment.time().isoformat(),
        device=Device(
            manufacturer=device.dialect.manufacturer,
            model=device.model.model,
            serial_number=device.serial_number,
            station_name=device.station_name,
            institution=facility.name,
            software_versions=device.model.software,
        ),
        patient=_stated_patient(patient, put),
        procedure=text,
        body_part=body_part(protocol.region) if sends_images else None,
    )
    reports = _split(rng, exam, events, device, put, moment)
    merged = msgspec.structs.replace(reports[-1], events=tuple(events), totals=stated_totals(events, device))
    copies = 2 if "duplicate-send" in put else 1
    identity = _identity(index, patient, put, day)
    return SimulatedExam(index, facility, device, protocol.procedure, group, put, identity, merged, reports, copies)


def _choose_protocol(rng: random.Random, device_class: DeviceClass) -> Protocol:
    offered = [protocol for protocol in protocols().values() if protocol.device_class == device_class]
    return rng.choices(offered, [protocol.share for protocol in offered])[0]


def _choose_faults(rng: random.Random, world: World, device: SimulatedDevice, child: bool) -> tuple[str, ...]:
    """Each fault at its rate; one draw a fault whether or not it applies, so that rates do not shift other draws."""
    if not world.with_faults:
        return ()
    ct = device.model.device_class == "ct"
    applies = {"any": True, "report": device.dialect.reports != "image", "ct": ct, "ct-child": ct and child}
    put = [f.fault for f in faults().values() if (rng.random() < f.rate) & applies[f.applies_to]]
    hidden = {_EXCLUDES.get(fault) for fault in put}
    return tuple(fault for fault in put if fault not in hidden)


def _choose_name(rng: random.Random, facility: Facility, protocol: Protocol, child: bool) -> tuple[str, str]:
    """The procedure's text and the protocol's name at a site; CT protocols say whether they are for adults."""
    name = rng.choice(names()[protocol.procedure, facility.language])
    if protocol.device_class != "ct":
        return name.text, name.protocol
    return name.text, f"{name.protocol} ({age_words()[facility.language][child]})"


def _set_scene(
    rng: random.Random,
    protocol: Protocol,
    device: SimulatedDevice,
    patient: SimulatedPatient,
    group: str,
    facility: Facility,
    protocol_name: str,
    put: tuple[str, ...],
    moment: dt.datetime,
) -> Scene:
    """Typical values of the group where published; else, and on an adult protocol, those of adults."""
    exponent = protocol.size_exponent
    own = typical_values().get((protocol.procedure, group))
    adult = typical_values().get((protocol.procedure, "adult"), {})
    if group != "adult" and (own or "adult-protocol-on-child" in put):
        exponent = 0.0
    dose_factor = facility.dose_factor * device.dose_factor if protocol.device_class != "nuclear" else 1.0
    if device.drift and moment.date() >= device.drift.date:
        dose_factor *= device.drift.factor
    return Scene(
        rng=rng,
        protocol=protocol,
        values=adult if "adult-protocol-on-child" in put or own is None else own,
        device=device,
        patient=patient,
        size_exponent=exponent,
        dose_factor=dose_factor,
        protocol_name=protocol_name,
        phases=protocol.phases + (rng.randint(1, 3) if "extra-phases" in put else 0),
        wrong_phantom="wrong-phantom" in put,
        started=moment,
    )


def _hundredfold(event: Event) -> Event:
    stated = {name: getattr(event, name) for name in _IMPLAUSIBLE}
    return msgspec.structs.replace(event, **{name: 100 * value for name, value in stated.items() if value is not None})


def _stated_patient(patient: SimulatedPatient, put: tuple[str, ...]) -> Patient:
    weight: float | None = patient.weight_kg
    if "missing-weight" in put:
        weight = None
    elif "zero-weight" in put:
        weight = 0.0
    return Patient(
        age_years=None if "missing-age" in put else patient.age_years,
        sex=patient.sex,
        height_cm=float(patient.height_cm),
        weight_kg=weight,
    )


def _identity(index: int, patient: SimulatedPatient, put: tuple[str, ...], day: dt.date) -> Identity:
    birth = day - dt.timedelta(days=int((patient.age_years + 0.02) * 365.25) + 1)
    return Identity(
        patient_id=f"SIM{index:08}",
        accession_number=f"A{index:09}",
        patient_name=f"Madeup^Patient {index}",
        birth_date=None if "missing-age" in put else birth,
    )


def _sop_class(device: SimulatedDevice) -> str:
    if device.dialect.reports == "image":
        return CR_IMAGE
    if device.model.device_class == "nuclear":
        return RRDSR
    if device.model.device_class in ("ct", "fluoroscopy", "angiography"):
        return SOP_CLASSES[device.dialect.sop_class]
    return XRDSR


def stated_totals(events: Sequence[Event], device: SimulatedDevice) -> Totals:
    """The totals that a report of these events states."""
    device_class = device.model.device_class
    if device_class == "ct":
        return Totals(dlp_mgy_cm=round(sum(e.dlp_mgy_cm or 0 for e in events), 2), event_count=len(events))
    if device_class == "mammography":
        sides = {side: meaning(side, device.dialect) for side in ("left", "right")}
        agd = {
            side: round(sum(e.agd_mgy or 0 for e in events if e.laterality == text), 2) for side, text in sides.items()
        }
        return Totals(agd_left_mgy=agd["left"], agd_right_mgy=agd["right"])
    if device_class == "nuclear":
        first = events[0]
        return Totals(
            administered_activity_mbq=first.administered_activity_mbq,
            radionuclide=first.radionuclide,
            radiopharmaceutical=first.radiopharmaceutical,
        )
    if device.dialect.reports == "image":
        return Totals(kap_gy_cm2=_sum(events, "kap_gy_cm2"))
    if device_class == "radiography":
        return Totals(kap_gy_cm2=_sum(events, "kap_gy_cm2"), radiographic_frames=len(events))
    fluoro = [event for event in events if event.fluoro_mode]
    acquired = [event for event in events if not event.fluoro_mode]
    return Totals(
        kap_gy_cm2=_sum(events, "kap_gy_cm2"),
        reference_air_kerma_mgy=_sum(events, "reference_air_kerma_mgy"),
        fluoro_kap_gy_cm2=_sum(fluoro, "kap_gy_cm2"),
        fluoro_reference_air_kerma_mgy=_sum(fluoro, "reference_air_kerma_mgy"),
        fluoro_time_s=_sum(fluoro, "irradiation_duration_s"),
        acquisition_kap_gy_cm2=_sum(acquired, "kap_gy_cm2"),
        acquisition_reference_air_kerma_mgy=_sum(acquired, "reference_air_kerma_mgy"),
        acquisition_time_s=_sum(acquired, "irradiation_duration_s"),
        radiographic_frames=sum(event.pulses or 0 for event in acquired),
    )


def _sum(events: Sequence[Event], name: str) -> float:
    return float(f"{sum(getattr(event, name) or 0 for event in events):.8g}")


def _split(
    rng: random.Random,
    exam: Exam,
    events: list[Event],
    device: SimulatedDevice,
    put: tuple[str, ...],
    moment: dt.datetime,
) -> tuple[Exam, ...]:
    """What each object states: one report, or several by the maker's habit or by fault."""
    if device.dialect.reports == "image":
        # One object an exposure; images are not corrected or continued.
        return tuple(_state(rng, exam, [event], device, moment, number) for number, event in enumerate(events))
    parts, corrected = [events], False
    middle = (len(events) + 1) // 2
    habit = rng.random() < 0.3 and device.model.device_class == "ct" and len(events) > 2
    if "corrected-report" in put:
        parts, corrected = [events[: max(1, len(events) - 1)], events], True
    elif ("continued-report" in put and len(events) > 1) or (habit and device.dialect.reports == "series"):
        parts = [events[:middle], events[middle:]]
    elif habit and device.dialect.reports == "cumulative":
        parts = [events[:middle], events]
    reports: list[Exam] = []
    for number, part in enumerate(parts):
        report = _state(rng, exam, part, device, moment, number)
        if corrected and number:
            report = msgspec.structs.replace(report, replaces=(reports[0].sop_instance_uid or "",))
        reports.append(report)
    return tuple(reports)


def _state(
    rng: random.Random, exam: Exam, events: list[Event], device: SimulatedDevice, moment: dt.datetime, number: int
) -> Exam:
    """What object ``number`` of an exam states."""
    return msgspec.structs.replace(
        exam,
        sop_instance_uid=new_uid(rng),
        content_at=(moment + dt.timedelta(minutes=15 + 45 * number)).isoformat(),
        events=tuple(events),
        totals=stated_totals(events, device),
    )
