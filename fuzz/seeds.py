"""Where does a search begin? At what real peers send: objects of the simulator, and the messages that bring them."""

from __future__ import annotations

import datetime as dt
import struct
import tempfile
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from doseatlas.dicom.simulate import draw_exam, encode_enhanced, encode_estimate, plan, write_objects
from doseatlas.service import dimse, pdu

_IMPLICIT, _EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
_VERIFICATION, _COMMITMENT, _MPPS = "1.2.840.10008.1.1", "1.2.840.10008.1.20.1", "1.2.840.10008.3.1.2.3.3"
_LARGEST_BYTES, _OF_EACH_CLASS = 60_000, 8
_PIECES = bytes([90])  # pieces of 8,101 bytes


def write_seeds(target: str, folder: Path) -> None:
    """Write the seeds of a target, a file each."""
    for number, seed in enumerate(seeds(target)):
        (folder / f"{number:03d}").write_bytes(seed)


def seeds(target: str) -> Iterator[bytes]:
    """Yield the seeds of a target."""
    found = list(_objects())
    if target == "reader":
        yield from found
    elif target == "association":
        yield from _conversations(found)
    else:
        yield from _submissions(found)


def _objects() -> Iterator[bytes]:
    """Yield the smallest objects of each SOP class, and a report of each newer template, which worlds do not send."""
    start, end = dt.date(2024, 1, 1), dt.date(2024, 3, 31)
    newer = plan("facility", exams=1, seed=2, start=start, end=end, faults=False, device_classes=("fluoroscopy",))
    yield encode_estimate(draw_exam(newer, 0))
    yield encode_enhanced(draw_exam(newer, 0))
    with tempfile.TemporaryDirectory() as folder:
        write_objects(plan("facility", exams=40, seed=4, start=start, end=end, faults=True), Path(folder))
        of_class: Counter[str] = Counter()
        for data in sorted((path.read_bytes() for path in sorted(Path(folder).rglob("*.dcm"))), key=len):
            sop_class = str(pydicom.dcmread(BytesIO(data)).SOPClassUID)
            of_class[sop_class] += 1
            if of_class[sop_class] <= _OF_EACH_CLASS and len(data) <= _LARGEST_BYTES:
                yield data


def _conversations(objects: list[bytes]) -> Iterator[bytes]:
    for data in objects[:10]:
        report = pydicom.dcmread(BytesIO(data))
        length = struct.unpack_from("<I", data, 140)[0]
        command = _command(str(report.SOPClassUID), dimse.C_STORE_RQ, str(report.SOPInstanceUID))
        yield _talk(str(report.SOPClassUID), str(report.file_meta.TransferSyntaxUID), command, data[144 + length :])
    yield _talk(_VERIFICATION, _IMPLICIT, _command(_VERIFICATION, dimse.C_ECHO_RQ, data_set=False), b"")
    asked = Dataset()
    asked.TransactionUID = "1.2.3"
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.67", "1.2.3.4"
    asked.ReferencedSOPSequence = [item]
    action: dimse.Command = {
        dimse.REQUESTED_CLASS: _COMMITMENT,
        dimse.FIELD: dimse.N_ACTION_RQ,
        dimse.MESSAGE_ID: 1,
        dimse.DATA_SET_TYPE: 1,
        dimse.REQUESTED_INSTANCE: "1.2.840.10008.1.20.1.1",
        dimse.ACTION_TYPE: 1,
    }
    yield _talk(_COMMITMENT, _EXPLICIT, action, _encoded(asked))
    step = Dataset()
    step.PerformedProcedureStepStatus = "IN PROGRESS"
    step.PerformedProcedureStepID = "1"
    yield _talk(_MPPS, _EXPLICIT, _command(_MPPS, dimse.N_CREATE_RQ, "1.2.3.4.5"), _encoded(step))


def _command(sop_class: str, field: int, instance: str = "", *, data_set: bool = True) -> dimse.Command:
    command: dimse.Command = {dimse.AFFECTED_CLASS: sop_class, dimse.FIELD: field, dimse.MESSAGE_ID: 1}
    command[dimse.DATA_SET_TYPE] = 1 if data_set else dimse.NO_DATA_SET
    if instance:
        command[dimse.AFFECTED_INSTANCE] = instance
    return command


def _talk(sop_class: str, syntax: str, command: dimse.Command, data: bytes) -> bytes:
    """Return an association with one message in it, as its requestor sends it."""
    context = struct.pack(">BxBx", 1, 0) + _item(0x30, sop_class.encode()) + _item(0x40, syntax.encode())
    user = _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.3")
    body = struct.pack(">HH", 1, 0) + b"DOSEATLAS".ljust(16) + b"FUZZ".ljust(16) + bytes(32)
    body += _item(0x10, pdu.APPLICATION_CONTEXT) + _item(0x20, context) + _item(0x50, user)
    request = pdu.HEADER.pack(pdu.ASSOCIATE_RQ, len(body)) + body
    message = pdu.encode_message(1, dimse.encode_command(command), data, 16384)
    return _PIECES + request + message + struct.pack(">BxI4x", pdu.RELEASE_RQ, 4)


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


def _encoded(data_set: Dataset) -> bytes:
    from pynetdicom.dsutils import encode

    encoded: bytes | None = encode(data_set, False, True)
    assert encoded is not None
    return encoded


def _submissions(objects: list[bytes]) -> Iterator[bytes]:
    for first, second in pairwise(objects[:7]):
        yield b"application/dicom\n" + _PIECES + first
        parts = b"".join(b"--x\r\nContent-Type: application/dicom\r\n\r\n" + one + b"\r\n" for one in (first, second))
        kind = b'multipart/related; type="application/dicom"; boundary=x\n'
        yield kind + _PIECES + parts + b"--x--\r\n"
