"""The audit trail: what was written stays as it was, or it is found out."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.audit import (
    AuditTrail,
    application_event,
    event_kinds,
    query_event,
    to_xml,
    transfer_event,
    user_event,
    verify,
)
from doseatlas.audit.trail import TrailRecord, sealed
from doseatlas.model import SettingsError, StoreError
from doseatlas.settings import AuditSettings, Settings

NOW = dt.datetime(2024, 3, 6, 12, tzinfo=dt.UTC)


@pytest.fixture
def trail(tmp_path: Path) -> AuditTrail:
    """An empty trail."""
    return AuditTrail.from_settings(Settings(data_dir=str(tmp_path)))


def fill(trail: AuditTrail, count: int = 5) -> None:
    """Append some records."""
    for number in range(count):
        trail.append([user_event("mapping-applied", "jane", f"names-{number}.csv")])


def only_file(trail: AuditTrail) -> Path:
    """The file of a trail that has one."""
    (file,) = trail.files()
    return file


def test_a_trail_is_whole_as_it_is_written(trail: AuditTrail) -> None:
    assert verify(trail).wrong is None
    fill(trail)
    trail.append(
        [application_event("application-start", "DOSEATLAS"), application_event("application-stop", "DOSEATLAS")]
    )
    found = verify(trail)
    assert (found.wrong, found.records, found.number) == (None, 7, 7)
    records = list(trail.records())
    assert [record.previous for record in records[1:]] == [record.seal for record in records[:-1]]
    assert records[-1].seal == found.seal


Forgery = Callable[[list[bytes]], list[bytes]]


def _changed(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b"names-2", b"names-9"), *lines[3:]]


@pytest.mark.parametrize(
    ("forge", "first_wrong"),
    [
        (_changed, 3),
        (lambda lines: [*lines[:1], *lines[2:]], 2),
        (lambda lines: [lines[1], lines[0], *lines[2:]], 1),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4),
        (lambda lines: lines[:3], 4),
        (lambda lines: lines[1:], 1),
        (lambda lines: [], 1),
        (lambda lines: [*lines[:4], lines[4][:50]], 5),
        (lambda lines: [*lines[:4], b"not a record\n"], 5),
    ],
    ids=["changed", "taken out", "swapped", "twice", "cut off", "beheaded", "emptied", "half cut off", "garbage"],
)
def test_the_first_record_that_was_tampered_with_is_named(trail: AuditTrail, forge: Forgery, first_wrong: int) -> None:
    fill(trail)
    file = only_file(trail)
    file.write_bytes(b"".join(forge(file.read_bytes().splitlines(keepends=True))))
    found = verify(trail)
    assert found.wrong is not None
    assert f"Record {first_wrong} " in found.wrong
    assert found.number == first_wrong - 1


def test_no_byte_of_the_trail_can_be_changed_unnoticed(trail: AuditTrail) -> None:
    fill(trail, 3)
    file = only_file(trail)
    written = file.read_bytes()

    @given(place=st.integers(0, len(written) - 1), bits=st.integers(1, 255))
    def check(place: int, bits: int) -> None:
        file.write_bytes(written[:place] + bytes([written[place] ^ bits]) + written[place + 1 :])
        assert verify(trail).wrong is not None

    check()


def test_a_trail_written_anew_without_the_key_is_found_out(trail: AuditTrail) -> None:
    fill(trail)
    records, previous = [], "0" * 64
    for record in trail.records():
        forged = sealed(b"a key of the forger's own, 32 byt", record.number, record.at, previous, record.message)
        previous = forged.seal
        records.append(msgspec.json.encode(forged) + b"\n")
    only_file(trail).write_bytes(b"".join(records))
    found = verify(trail)
    assert found.wrong is not None
    assert "Record 1 " in found.wrong


def test_a_tail_that_was_cut_off_stays_found_out_after_more_was_written(trail: AuditTrail) -> None:
    fill(trail)
    file = only_file(trail)
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:3]))
    fill(trail, 2)
    found = verify(trail)
    assert found.wrong is not None
    assert "Record 4 " in found.wrong
    messages = [
        msgspec.json.decode(line, type=TrailRecord).message for line in trail.files()[-1].read_bytes().splitlines()
    ]
    assert "cut off" in messages[0]
    assert len(messages) == 3


@pytest.mark.parametrize("damage", ["missing", "forged"])
def test_a_head_that_is_missing_or_forged_is_found_out(trail: AuditTrail, damage: str) -> None:
    fill(trail)
    head = trail.folder / "head.json"
    if damage == "missing":
        head.unlink()
    else:
        head.write_bytes(head.read_bytes().replace(b'"number":5', b'"number":3'))
    assert verify(trail).wrong is not None
    fill(trail, 1)
    assert any("missing or forged" in record.message for record in trail.records())


@pytest.mark.parametrize("left", [b"", b'{"number":6,"at"', b"half"])
def test_what_a_crash_leaves_of_a_record_is_no_forgery_and_is_cut_off(trail: AuditTrail, left: bytes) -> None:
    fill(trail)
    with only_file(trail).open("ab") as stream:
        stream.write(left)
    assert verify(trail).wrong is None
    fill(trail, 1)
    found = verify(trail)
    assert (found.wrong, found.number) == (None, 6)


def test_a_record_whose_head_was_not_written_before_a_crash_counts(trail: AuditTrail) -> None:
    fill(trail, 4)
    head = (trail.folder / "head.json").read_bytes()
    fill(trail, 1)
    (trail.folder / "head.json").write_bytes(head)
    assert verify(trail).number == 5
    fill(trail, 1)
    found = verify(trail)
    assert (found.wrong, found.number) == (None, 6)


def test_a_trail_that_was_set_back_as_a_whole_shows_an_earlier_seal(trail: AuditTrail, tmp_path: Path) -> None:
    fill(trail)
    shutil.copytree(trail.folder, tmp_path / "earlier")
    fill(trail)
    noted = verify(trail)
    shutil.rmtree(trail.folder)
    shutil.copytree(tmp_path / "earlier", trail.folder)
    found = verify(trail)
    assert found.wrong is None
    assert (found.number, found.seal) != (noted.number, noted.seal)


def test_the_chain_goes_on_over_files(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path / "audit", tmp_path / "audit.key", rotate_bytes=2000, source="DoseAtlas")
    fill(trail, 12)
    assert len(trail.files()) > 3
    assert (verify(trail).wrong, verify(trail).records) == (None, 12)
    first = len(trail.files()[0].read_bytes().splitlines())
    trail.files()[0].unlink()
    assert verify(trail).wrong is not None
    moved = verify(trail, first_record=first + 1)
    assert (moved.wrong, moved.number) == (None, 12)
    trail.files()[1].unlink()
    assert verify(trail, first_record=first + 1).wrong is not None


def _append(folder: str) -> None:
    fill(AuditTrail.from_settings(Settings(data_dir=folder)), 10)


def test_processes_may_append_at_once(trail: AuditTrail, tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(_append, [str(tmp_path)] * 3)
    found = verify(trail)
    assert (found.wrong, found.number) == (None, 30)


def test_a_trail_without_its_key_is_neither_verified_nor_gone_on_with(trail: AuditTrail) -> None:
    fill(trail)
    trail.key_file.unlink()
    with pytest.raises(StoreError, match=r"audit\.key"):
        verify(trail)
    with pytest.raises(StoreError, match="Restore it from a backup"):
        fill(trail)
    with pytest.raises(SettingsError, match="audit"):
        trail.check()


def test_settings_of_the_trail_are_checked(tmp_path: Path) -> None:
    wrong = Settings(data_dir=str(tmp_path), audit=AuditSettings(rotate_mebibytes=0))
    with pytest.raises(SettingsError, match="rotate_mebibytes"):
        AuditTrail.from_settings(wrong).check()


# ---- messages ----


@pytest.mark.parametrize("kind", event_kinds().values(), ids=lambda kind: kind.event)
def test_every_event_has_its_code_action_and_source(kind: object) -> None:
    stated = msgspec.to_builtins(kind)
    assert stated["source"].startswith(("DICOM PS3.15", "event of our own"))
    message = ET.fromstring(to_xml(user_event(stated["event"], "jane", "x"), NOW, "DoseAtlas"))
    event_id = message.find("EventIdentification/EventID")
    assert event_id is not None
    assert event_id.get("csd-code") == stated["id"]["code"]
    assert message.find("EventIdentification").get("EventActionCode") == stated["action"]  # type: ignore[union-attr]


def test_a_transfer_is_told_as_ps3_15_lays_it_out() -> None:
    event = transfer_event(
        caller="CT1", address="192.0.2.7", via="dicom", study_instance_uid="1.2.3", instances=4, refused=False
    )
    message = ET.fromstring(to_xml(event, NOW, "DoseAtlas"))
    assert [child.tag for child in message] == [
        "EventIdentification",
        "ActiveParticipant",
        "ActiveParticipant",
        "AuditSourceIdentification",
        "ParticipantObjectIdentification",
        "ParticipantObjectIdentification",
    ]
    event_id = message.find("EventIdentification/EventID")
    assert event_id is not None
    assert dict(event_id.attrib) == {
        "csd-code": "110104",
        "codeSystemName": "DCM",
        "originalText": "DICOM Instances Transferred",
    }
    source, destination = message.findall("ActiveParticipant")
    assert source.get("UserID") == "CT1"
    assert (source.get("NetworkAccessPointID"), source.get("NetworkAccessPointTypeCode")) == ("192.0.2.7", "2")
    assert [one.find("RoleIDCode").get("csd-code") for one in (source, destination)] == ["110153", "110152"]  # type: ignore[union-attr]
    study, patient = message.findall("ParticipantObjectIdentification")
    assert study.get("ParticipantObjectID") == "1.2.3"
    assert patient.get("ParticipantObjectID") == "<none>"


def test_text_of_a_peer_cannot_break_a_message() -> None:
    hostile = 'CT1"/><AuditMessage>\x00\x1b[31m\ud800 & ' + "x" * 10_000
    text = to_xml(query_event(peer=hostile, address="not an address\n", query=hostile), NOW, "DoseAtlas")
    message = ET.fromstring(text)
    assert message.find("AuditMessage") is None
    assert "\n" not in text
    assert len(text) < 10_000


def test_a_refused_transfer_is_a_failure() -> None:
    event = transfer_event(caller="CT1", address="h", via="dicom", study_instance_uid=None, instances=1, refused=True)
    message = ET.fromstring(to_xml(event, NOW, "DoseAtlas"))
    assert message.find("EventIdentification").get("EventOutcomeIndicator") == "4"  # type: ignore[union-attr]
    assert message.findtext("EventIdentification/EventOutcomeDescription")
