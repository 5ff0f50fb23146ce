"""Storage commitment and performed procedure steps, with pynetdicom and Orthanc as peers."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from tests.service.peers import Orthanc, Server, free_port, wait_for

from doseatlas.network import Sender
from doseatlas.service import dimse
from doseatlas.service.commitment import decide, waiting_instances
from doseatlas.service.mpps import Mpps
from doseatlas.service.spool import Spool

COMMITMENT, INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
MPPS = "1.2.840.10008.3.1.2.3.3"
DOSE_SR, CT = "1.2.840.10008.5.1.4.1.1.88.67", "1.2.840.10008.5.1.4.1.1.2"
ESTIMATES = "1.2.840.10008.5.1.4.1.1.88.73"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@contextmanager
def association(port: int, *classes: str, handlers: Any = None) -> Iterator[Association]:
    entity = AE(ae_title="CT1")
    for uid in classes:
        entity.add_requested_context(uid)
    made = entity.associate("127.0.0.1", port, ae_title="DOSEATLAS", evt_handlers=handlers or [])
    assert made.is_established
    try:
        yield made
    finally:
        made.release()


def report_of(event: Any, reports: list[Any], told: threading.Event) -> tuple[int, None]:
    reports.append((event.request.EventTypeID, event.event_information))
    told.set()
    return 0, None


def wanted(*instances: tuple[str, str]) -> Dataset:
    asked = Dataset()
    asked.TransactionUID = "1.2.3.4.5"
    asked.ReferencedSOPSequence = []
    for sop_class, uid in instances:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        asked.ReferencedSOPSequence.append(item)
    return asked


def instance_of(path: Path) -> tuple[str, str]:
    stored = dcmread(path)
    return str(stored.SOPClassUID), str(stored.SOPInstanceUID)


def test_a_stored_report_is_committed_on_the_association_that_asks(server: Server, reports: list[Path]) -> None:
    told, answers = threading.Event(), list[Any]()
    handlers = [(evt.EVT_N_EVENT_REPORT, report_of, [answers, told])]
    stored = dcmread(reports[0])
    with association(server.dicom_port, stored.SOPClassUID, COMMITMENT, handlers=handlers) as made:
        assert made.send_c_store(stored).Status == 0
        asked = wanted(
            instance_of(reports[0]), (DOSE_SR, "1.2.3.999"), (CT, "1.2.3.998"), (ESTIMATES, stored.SOPInstanceUID)
        )
        status, _ = made.send_n_action(asked, 1, COMMITMENT, INSTANCE)
        assert status.Status == 0
        assert told.wait(40)
    ((event_type, report),) = answers
    assert event_type == 2
    assert report.TransactionUID == "1.2.3.4.5"
    assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == [stored.SOPInstanceUID]
    assert [(item.ReferencedSOPInstanceUID, item.FailureReason) for item in report.FailedSOPSequence] == [
        ("1.2.3.999", dimse.NO_SUCH_INSTANCE),
        ("1.2.3.998", dimse.CLASS_NOT_SUPPORTED),
        (stored.SOPInstanceUID, dimse.CLASS_INSTANCE_CONFLICT),
    ]
    wait_for("it to be done with", lambda: not list((server.data / "spool" / "commitments").iterdir()))


def test_an_answer_that_could_not_be_delivered_comes_after_a_restart_on_a_new_association(
    serve: Callable[..., Server], reports: list[Path]
) -> None:
    port = free_port()
    server = serve(f'[[service.callers]]\nae_title = "CT1"\ncommitment_address = "127.0.0.1:{port}"\n')
    stored = dcmread(reports[0])
    with association(server.dicom_port, stored.SOPClassUID, COMMITMENT) as made:
        assert made.send_c_store(stored).Status == 0
        assert made.send_n_action(wanted(instance_of(reports[0])), 1, COMMITMENT, INSTANCE)[0].Status == 0
    server.drained()
    server.stop()
    assert len(list((server.data / "spool" / "commitments").iterdir())) == 1
    told, answers = threading.Event(), list[Any]()
    entity = AE(ae_title="CT1")
    entity.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
    listening = entity.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, report_of, [answers, told])]
    )
    assert listening is not None
    try:
        server.start()
        assert told.wait(40)
    finally:
        listening.shutdown()
    ((event_type, report),) = answers
    assert event_type == 1
    assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == [stored.SOPInstanceUID]


def test_orthanc_learns_that_a_report_is_committed(
    serve: Callable[..., Server], orthanc: Callable[..., Orthanc], reports: list[Path]
) -> None:
    port = free_port()
    server = serve(f'[[service.callers]]\nae_title = "ORTHANC"\ncommitment_address = "127.0.0.1:{port}"\n')
    archive = orthanc(server, dicom_port=port)
    sent = archive.upload(reports[0])
    archive.post("/modalities/doseatlas/store", {"Resources": [sent], "StorageCommitment": False})
    transaction = archive.post("/modalities/doseatlas/storage-commitment", {"Resources": [sent]})["ID"]

    def over() -> Any:
        state = archive.request("GET", f"/storage-commitment/{transaction}")
        return state if state["Status"] != "Pending" else None

    state = wait_for("Orthanc's commitment", over)
    assert state["Status"] == "Success"
    assert len(state["Success"]) == 1


def test_a_request_that_makes_no_sense_is_not_taken(server: Server) -> None:
    with association(server.dicom_port, COMMITMENT) as made:
        asked = wanted((DOSE_SR, "1.2.3"))
        assert made.send_n_action(asked, 2, COMMITMENT, INSTANCE)[0].Status == dimse.NO_SUCH_ACTION
        assert made.send_n_action(asked, 1, COMMITMENT, "1.2.3")[0].Status == dimse.NO_SUCH_INSTANCE
        assert made.send_n_action(wanted(), 1, COMMITMENT, INSTANCE)[0].Status == dimse.INVALID_ARGUMENT


def test_pixels_are_never_committed() -> None:
    asked = [(CT, "1.2.3"), (DOSE_SR, "1.2.4")]
    outcome = decide(asked, set(asked))
    assert outcome.committed == ((DOSE_SR, "1.2.4"),)
    assert outcome.failed == ((CT, "1.2.3", dimse.CLASS_NOT_SUPPORTED),)


def test_what_waits_in_the_spool_is_committed_as_the_class_that_it_states_only(
    tmp_path: Path, reports: list[Path]
) -> None:
    spool = Spool(tmp_path)
    for uid, data in ((instance_of(reports[0])[1], reports[0].read_bytes()), ("1.2.3", b"damaged")):
        incoming = spool.incoming(Sender(via="dicom", caller="CT1", address="::1"), uid, len(data))
        incoming.write(data)
        spool.commit(incoming, lambda error: None)
    sop_class, uid = instance_of(reports[0])
    spool.close()
    waiting = waiting_instances(spool.new, {uid, "1.2.3", "1.2.4"})
    assert waiting == {(sop_class, uid)}
    outcome = decide([(sop_class, uid), (ESTIMATES, uid), (DOSE_SR, "1.2.3")], waiting)
    assert outcome.committed == ((sop_class, uid),)
    assert [reason for _, _, reason in outcome.failed] == [dimse.CLASS_INSTANCE_CONFLICT, dimse.NO_SUCH_INSTANCE]


def started_step() -> Dataset:
    step = Dataset()
    step.PerformedProcedureStepStatus = "IN PROGRESS"
    step.PerformedProcedureStepID = "1"
    step.PerformedProcedureStepStartDate, step.PerformedProcedureStepStartTime = "20240501", "101500"
    step.Modality = "DX"
    step.PatientName, step.PatientID = "Madeup^One", "P1"
    scheduled = Dataset()
    scheduled.StudyInstanceUID, scheduled.AccessionNumber = "1.2.3.4.5.6", "A1"
    step.ScheduledStepAttributesSequence = [scheduled]
    return step


def test_a_step_that_is_completed_becomes_an_exam(serve: Callable[..., Server]) -> None:
    server = serve()
    with association(server.dicom_port, MPPS) as made:
        assert made.send_n_create(started_step(), MPPS, "1.2.3.77")[0].Status == 0
    server.stop()
    server.start()  # what was created is durable
    end = Dataset()
    end.ImageAndFluoroscopyAreaDoseProduct = "12.5"
    end.PerformedProcedureStepStatus = "IN PROGRESS"
    with association(server.dicom_port, MPPS) as made:
        assert made.send_n_create(started_step(), MPPS, "1.2.3.77")[0].Status == dimse.DUPLICATE_INSTANCE
        assert made.send_n_set(end, MPPS, "1.2.3.78")[0].Status == dimse.NO_SUCH_INSTANCE
        assert made.send_n_set(end, MPPS, "1.2.3.77")[0].Status == 0
        assert not server.waiting()
        end.PerformedProcedureStepStatus = "completed"
        assert made.send_n_set(end, MPPS, "1.2.3.77")[0].Status == dimse.INVALID_VALUE
        end = Dataset()
        end.PerformedProcedureStepStatus = "COMPLETED"
        assert made.send_n_set(end, MPPS, "1.2.3.77")[0].Status == 0
        assert made.send_n_set(end, MPPS, "1.2.3.77")[0].Status == dimse.PROCESSING_FAILURE
    server.drained()
    (exam,) = server.exams()
    assert exam["totals"]["kap_gy_cm2"] == pytest.approx(1.25)
    assert exam["study_instance_uid"] == "1.2.3.4.5.6"


def test_a_step_must_begin_in_progress(server: Server) -> None:
    step = started_step()
    step.PerformedProcedureStepStatus = "COMPLETED"
    with association(server.dicom_port, MPPS) as made:
        assert made.send_n_create(step, MPPS, "1.2.3.79")[0].Status == dimse.MISSING_ATTRIBUTE


def test_the_role_of_a_provider_is_not_given_to_a_caller(server: Server) -> None:
    entity = AE(ae_title="CT1")
    entity.add_requested_context(COMMITMENT)
    role = build_role(COMMITMENT, scu_role=True, scp_role=True)
    made = entity.associate("127.0.0.1", server.dicom_port, ext_neg=[role])
    assert made.is_established
    (context,) = made.accepted_contexts
    assert context.as_scu
    assert not context.as_scp
    made.release()


def test_a_step_that_never_ended_is_forgotten_after_long_and_that_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path)
    old, new = (spool.folder / "mpps" / f"{name}.dcm" for name in ("old", "new"))
    old.parent.mkdir()
    for file in (old, new):
        file.write_bytes(b"")
    long_ago = time.time() - 91 * 86_400
    os.utime(old, (long_ago, long_ago))
    with caplog.at_level(logging.WARNING, "doseatlas.service"):
        Mpps(spool)
    spool.close()
    assert (old.exists(), new.exists()) == (False, True)
    assert [record.message for record in caplog.records] == ["procedure steps that never ended were forgotten"]
