"""Which content items does a dose report consist of? From Exam to bytes, by kind (PS3.16 annex A)."""

from __future__ import annotations

from collections.abc import Callable

from doseatlas.dicom.simulate.ct import ct
from doseatlas.dicom.simulate.encoder import Encoder
from doseatlas.dicom.simulate.parts import CONCEPT, PROPERTY, code_of_meaning, dicom_datetime, observer
from doseatlas.dicom.simulate.projection import mammography, projection
from doseatlas.dicom.simulate.tables import Dialect, agents
from doseatlas.dicom.simulate.world import SimulatedDevice
from doseatlas.model import Exam


def report_body(encoder: Encoder, exam: Exam, device: SimulatedDevice, procedure: str, document: bytes) -> bytes:
    """The root content item's elements, with those of the SR document module (``document``) among them."""
    if exam.kind == "nuclear":
        items = nuclear(encoder, exam, device.dialect, procedure)
        return encoder.container_body("nm-report", items, "10021", document=document)
    body: Callable[[Encoder, Exam, SimulatedDevice], list[bytes]]
    key, template, body = {
        "ct": ("ct-x-ray", "10011", ct),
        "projection": ("projection-x-ray", "10001", projection),
        "mammography": ("mammography", "10001", mammography),
    }[exam.kind]
    combined = device.model.device_class == "angiography"
    intent = encoder.code("has-intent", "combined-intent" if combined else "diagnostic-intent", (), CONCEPT)
    items = [encoder.code("procedure-reported", key, [intent], CONCEPT), *observer(encoder, exam.device)]
    items += body(encoder, exam, device)
    items.append(encoder.code("dose-source", "automated-collection"))
    return encoder.container_body("x-ray-report", items, template, document=document)


def nuclear(encoder: Encoder, exam: Exam, dialect: Dialect, procedure: str) -> list[bytes]:
    """TID 10021 with 10022."""
    agent = agents()[procedure]
    intent = encoder.code("has-intent", "diagnostic-intent", (), CONCEPT)
    associated = "pet-tumor" if procedure == "nm-pet-fdg" else "nm-procedure"
    items = [encoder.code("associated-procedure", associated, [intent], CONCEPT), *observer(encoder, exam.device)]
    for event in exam.events:
        nuclide = [
            code_of_meaning(encoder, dialect, "radionuclide", event.radionuclide, PROPERTY),
            encoder.num("half-life", float(agent.half_life_s), "s", (), PROPERTY),
        ]
        start = dicom_datetime(event.started_at)
        administration = [
            encoder.code("agent", agent.agent, nuclide),
            encoder.uid("administration-uid", event.event_uid or ""),
            encoder.datetime("administration-start", start),
            encoder.datetime("administration-stop", start),
            encoder.num("administered-activity", event.administered_activity_mbq or 0, "MBq"),
            code_of_meaning(encoder, dialect, "route", event.route),
        ]
        items.append(encoder.container("administration", administration, "10022"))
    return items
