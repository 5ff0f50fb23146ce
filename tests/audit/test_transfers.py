"""What was received is in the audit trail, for each sender and study, with what was refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from doseatlas.audit import AuditTrail, verify
from doseatlas.dicom.simulate import plan, write_objects
from doseatlas.network import Sender
from doseatlas.service.importer import Event, Importer, Order
from doseatlas.service.spool import Spool
from doseatlas.settings import Settings

DAY = dt.date(2024, 3, 5)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some CT reports of one study each."""
    folder = tmp_path_factory.mktemp("reports")
    write_objects(plan("facility", exams=3, seed=11, start=DAY, end=DAY, faults=False, device_classes=("ct",)), folder)
    return sorted(folder.rglob("*.dcm"))[:3]


def receive(data_dir: Path, *objects: tuple[str, bytes]) -> list[Event]:
    """Put objects of callers into the spool and import them."""
    spool = Spool(data_dir)
    for number, (caller, data) in enumerate(objects):
        sender = Sender(via="dicom", caller=caller, address="192.0.2.7")
        incoming = spool.incoming(sender, f"1.2.{number}", 10**9)
        incoming.write(data)
        spool.commit(incoming, lambda error: None)
    spool.close()
    events: list[Event] = []
    importer = Importer(Order(settings=Settings(data_dir=str(data_dir), jobs=1)), events.append)
    while importer.round():
        assert len(events) < 20
    importer.close()
    return events


def transfers(data_dir: Path) -> list[tuple[str | None, str | None, str | None]]:
    """Sender, study and outcome of each transfer in the trail."""
    trail = AuditTrail.from_settings(Settings(data_dir=str(data_dir)))
    assert verify(trail).wrong is None
    found = []
    for record in trail.records():
        message = ET.fromstring(record.message)
        (event,) = message.findall("EventIdentification")
        participants = message.findall("ActiveParticipant")
        subjects = message.findall("ParticipantObjectIdentification")
        found.append(
            (
                participants[0].get("UserID"),
                subjects[0].get("ParticipantObjectID"),
                event.get("EventOutcomeIndicator"),
            )
        )
    return found


def test_objects_are_audited_with_their_sender_and_study(tmp_path: Path, reports: list[Path]) -> None:
    receive(tmp_path, ("CT1", reports[0].read_bytes()), ("CT2", reports[1].read_bytes()))
    found = transfers(tmp_path)
    assert {(sender, outcome) for sender, _, outcome in found} == {("CT1", "0"), ("CT2", "0")}
    assert all(study is not None and study != "<none>" for _, study, _ in found)


def test_an_object_that_is_refused_is_audited_as_a_failure(tmp_path: Path) -> None:
    receive(tmp_path, ("CT1", b"no dose object"))
    assert transfers(tmp_path) == [("CT1", "<none>", "4")]


def test_an_audit_trail_that_cannot_be_written_is_told_and_costs_no_object(tmp_path: Path, reports: list[Path]) -> None:
    (tmp_path / "audit.key").write_text("damaged")
    events = receive(tmp_path, ("CT1", reports[0].read_bytes()))
    assert any(event.unaudited and "audit.key" in event.unaudited for event in events)
    assert {"imported": 1} in [event.results for event in events]
