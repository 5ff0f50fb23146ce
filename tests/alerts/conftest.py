"""A store, real reports whose doses a test chooses, and servers of our own that take what alerts send."""

from __future__ import annotations

import base64
import datetime as dt
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from doseatlas.alerts import Alert
from doseatlas.dicom.simulate import encode_exam, exams, plan
from doseatlas.settings import Settings
from doseatlas.store import Store
from doseatlas.store.alerts import AlertTables

DAY = dt.date(2024, 3, 5)
NOW = dt.datetime(2024, 3, 6, 12, tzinfo=dt.UTC)
REFERENCE_AIR_KERMA_TOTAL, FLUORO_TIME_TOTAL, ACQUISITION_PROTOCOL = "113725", "113730", "125203"
Report = Callable[..., Path]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty store."""
    return Settings(data_dir=str(tmp_path / "data"), jobs=1)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """An open, empty store."""
    with Store.from_settings(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def fluoroscopy() -> list[bytes]:
    """Reports of fluoroscopy on one plane, with a stated kerma and fluoroscopy time, none of them high."""
    world = plan("facility", exams=12, seed=3, start=DAY, end=DAY, faults=False, device_classes=("fluoroscopy",))
    found = []
    for simulated in exams(world):
        data = encode_exam(simulated)[0]
        report = pydicom.dcmread(BytesIO(data))
        if report.Modality == "SR" and len(list(numbers_of(report, REFERENCE_AIR_KERMA_TOTAL))) == 1:
            found.append(data)
    assert len(found) >= 3
    return found


@pytest.fixture(scope="session")
def computed_tomography() -> list[bytes]:
    """CT reports."""
    world = plan("facility", exams=8, seed=3, start=DAY, end=DAY, faults=False, device_classes=("ct",))
    return [encode_exam(simulated)[0] for simulated in exams(world)]


@pytest.fixture
def report(tmp_path: Path, fluoroscopy: list[bytes]) -> Report:
    """Write an intervention's report with the doses, the patient and the date that a test wants."""
    made = 0

    def write(number: int = 0, *, data: bytes | None = None, **wanted: Any) -> Path:
        nonlocal made
        made += 1
        dataset = pydicom.dcmread(BytesIO(data or fluoroscopy[number]))
        if "kerma_mgy" in wanted:
            (value,) = numbers_of(dataset, REFERENCE_AIR_KERMA_TOTAL)
            value.NumericValue = str(wanted["kerma_mgy"] if _unit(value) == "mGy" else wanted["kerma_mgy"] / 1000)
        if "fluoro_time_s" in wanted:
            (value,) = numbers_of(dataset, FLUORO_TIME_TOTAL)
            value.NumericValue = str(wanted["fluoro_time_s"] if _unit(value) == "s" else wanted["fluoro_time_s"] / 60)
        for name in ("PatientID", "StudyDate", "StudyTime", "StudyDescription"):
            if name in wanted:
                setattr(dataset, name, wanted[name])
        if "study" in wanted:
            dataset.StudyInstanceUID = f"2.25.{wanted['study']}"
        if wanted.get("corrects") is not None:
            _correct(dataset, pydicom.dcmread(wanted["corrects"]))
        elif "study" in wanted:
            _name(dataset, f"2.25.{wanted['study']}.1")
        file = tmp_path / f"report-{made}.dcm"
        dataset.save_as(file)
        return file

    return write


def numbers_of(item: Dataset, concept: str) -> Iterator[Dataset]:
    """Give the measured values of a concept below a content item."""
    for child in item.get("ContentSequence", []):
        if child.ConceptNameCodeSequence[0].get("CodeValue") == concept and child.get("MeasuredValueSequence"):
            yield child.MeasuredValueSequence[0]
        yield from numbers_of(child, concept)


def texts_of(item: Dataset, concept: str) -> Iterator[Dataset]:
    """Give the texts of a concept below a content item."""
    for child in item.get("ContentSequence", []):
        if child.ConceptNameCodeSequence[0].get("CodeValue") == concept and child.ValueType == "TEXT":
            yield child
        yield from texts_of(child, concept)


def _unit(value: Dataset) -> str:
    return str(value.MeasurementUnitsCodeSequence[0].CodeValue)


def _correct(dataset: pydicom.FileDataset, wrong: Dataset) -> None:
    """Make a report the corrected one of another (PS3.3 C.17.2.1, Predecessor Documents Sequence)."""
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = wrong.SOPClassUID, wrong.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = wrong.SeriesInstanceUID, [instance]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = wrong.StudyInstanceUID, [series]
    dataset.StudyInstanceUID = wrong.StudyInstanceUID
    dataset.PredecessorDocumentsSequence = [study]
    _name(dataset, f"{wrong.SOPInstanceUID}.2")


def _name(dataset: pydicom.FileDataset, sop_instance_uid: str) -> None:
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)


def raised(store: Store) -> list[Alert]:
    """The alerts of a store, by rule and threshold."""
    found = [msgspec.json.decode(one.alert, type=Alert) for one in AlertTables(store.database).all()]
    return sorted(found, key=lambda alert: (alert.rule, alert.threshold, alert.exam_id))


# ---- servers that take messages ----


class MailServer:
    """A small SMTP server on loopback (RFC 5321): takes mail, or refuses it while ``refusing`` is set.

    With a TLS context it speaks TLS from the start or, with ``starttls``, once it is asked to (RFC 3207).
    """

    def __init__(self, context: ssl.SSLContext | None = None, *, starttls: bool = False) -> None:
        self.mails: list[str] = []
        self.logins: list[str] = []
        self.refusing = False
        self.context, self.starttls = context, starttls
        outer = self

        class Session(socketserver.StreamRequestHandler):
            def setup(self) -> None:
                if outer.context is not None and not outer.starttls:
                    self.request = outer.context.wrap_socket(self.request, server_side=True)
                super().setup()

            def handle(self) -> None:
                with suppress(ssl.SSLError, ConnectionError):  # a client that does not trust us leaves
                    outer.converse(self)

            def finish(self) -> None:
                super().finish()
                if isinstance(self.request, ssl.SSLSocket):
                    self.request.close()

        class Listener(socketserver.ThreadingTCPServer):
            def handle_error(self, *given: Any) -> None:
                pass  # a handshake that the client broke off

        self._server = Listener(("127.0.0.1", 0), Session)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def converse(self, session: socketserver.StreamRequestHandler) -> None:
        """Talk to one client."""

        def say(line: str) -> None:
            session.wfile.write(line.encode() + b"\r\n")

        say("220 ready")
        while line := session.rfile.readline():
            verb = line.decode().split()[0].upper() if line.split() else ""
            if verb == "DATA":
                say("354 go on")
                text = b""
                while (piece := session.rfile.readline()) not in (b".\r\n", b""):
                    text += piece
                self.mails.append(text.decode())
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                return
            elif verb == "EHLO" and self.starttls and not isinstance(session.request, ssl.SSLSocket):
                say("250-hello")
                say("250 STARTTLS")
            elif verb == "EHLO":
                say("250-hello")
                say("250 AUTH PLAIN")
            elif verb == "STARTTLS" and self.context is not None:
                say("220 go on")
                session.rfile.close()
                session.request = self.context.wrap_socket(session.request, server_side=True)
                session.rfile, session.wfile = session.request.makefile("rb"), session.request.makefile("wb", 0)
            elif verb == "AUTH":
                self.logins.append(base64.b64decode(line.split()[-1]).decode())
                say("235 welcome")
            elif verb == "MAIL" and self.refusing:
                say("451 try again later")
            else:
                say("250 ok")

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class WebhookServer:
    """A small HTTP server on loopback that keeps what is posted and answers with ``status``."""

    def __init__(self) -> None:
        self.posts: list[tuple[Message, bytes]] = []
        self.status = 204
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posts.append((self.headers, body))
                self.send_response(outer.status)
                if 300 <= outer.status < 400:
                    self.send_header("Location", f"{outer.url}/elsewhere")
                self.end_headers()

            def log_message(self, *given: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """A mail server."""
    server = MailServer()
    yield server
    server.close()


@pytest.fixture
def webhook_server() -> Iterator[WebhookServer]:
    """A receiver of webhooks."""
    server = WebhookServer()
    yield server
    server.close()
