"""Web servers that answer what they must not."""

from __future__ import annotations

import datetime as dt
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.fetch.records import FetchError
from doseatlas.fetch.web import WebArchive, _only_part
from doseatlas.settings import ArchiveSettings

Answer = tuple[int, str, bytes]
DAY = dt.date(2024, 3, 5)
JSON = "application/dicom+json"


@pytest.fixture
def server() -> Iterator[Callable[[Callable[[str], Answer]], WebArchive]]:
    """A web server that answers as a function says, and the archive that it pretends to be."""
    started: list[ThreadingHTTPServer] = []

    def start(answer: Callable[[str], Answer]) -> WebArchive:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        started.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=started[-1].serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{started[-1].server_port}/wado"
        return WebArchive(ArchiveSettings(name="pacs", url=url), 5, "token", ssl.create_default_context())

    yield start
    for one in started:
        one.shutdown()
        one.server_close()


def study(number: int) -> dict[str, object]:
    return {"0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]}}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((200, JSON, b"<html>"), "no DICOM JSON to a request for 'studies'"),
        ((200, JSON, b'{"a": 1}'), "no DICOM JSON"),
        ((200, JSON, b"[" * 100_000), "no DICOM JSON"),
        ((401, "text/plain", b""), "HTTP 401. Is the token right"),
        ((302, "text/plain", b""), "HTTP 302"),
        ((500, "text/plain", b""), "HTTP 500"),
    ],
)
def test_an_answer_that_must_not_be_is_named(
    server: Callable[[Callable[[str], Answer]], WebArchive], answer: Answer, says: str
) -> None:
    with pytest.raises(FetchError, match=says):
        server(lambda _: answer).studies(DAY, "")


def test_results_come_page_by_page(server: Callable[[Callable[[str], Answer]], WebArchive]) -> None:
    def answer(path: str) -> Answer:
        start = int(path.rpartition("offset=")[2])
        return 200, JSON, json.dumps([study(n) for n in range(start, min(start + 500, 1200))]).encode()

    assert len(server(answer).studies(DAY, "CT")) == 1200


def test_a_server_without_pages_is_asked_once_more_only(
    server: Callable[[Callable[[str], Answer]], WebArchive],
) -> None:
    asked: list[str] = []

    def answer(path: str) -> Answer:
        asked.append(path)
        return 200, JSON, json.dumps([study(n) for n in range(700)]).encode()

    assert len(server(answer).studies(DAY, "")) == 700
    assert len(asked) == 2


def test_results_that_could_lead_elsewhere_or_state_nonsense_are_left_out(
    server: Callable[[Callable[[str], Answer]], WebArchive],
) -> None:
    wrong = [{"0020000D": {"Value": ["../../secret"]}}, {"0020000D": 5}, {"0020000D": {"Value": 7}}, {}, study(1)]
    found = server(lambda _: (200, JSON, json.dumps(wrong).encode())).studies(DAY, "")
    assert [one.study_instance_uid for one in found] == ["1.2.1"]


def test_an_object_that_is_gone_does_not_come_and_half_of_one_is_refused(
    server: Callable[[Callable[[str], Answer]], WebArchive], tmp_path: Path
) -> None:
    assert server(lambda _: (404, "text/plain", b"")).take("1", "2", ["3"], tmp_path) == []
    half = b"--b\r\nContent-Type: application/dicom\r\n\r\nDICM"
    archive = server(lambda _: (200, 'multipart/related; boundary="b"', half))
    with pytest.raises(FetchError, match="no multipart answer with one object"):
        archive.take("1", "2", ["3"], tmp_path)
    assert list(tmp_path.iterdir()) == []


@given(st.binary(max_size=200).filter(lambda body: b"\r\n--b0undary" not in body), st.booleans())
def test_the_only_part_of_an_answer_is_given_back(body: bytes, preamble: bool) -> None:
    whole = b"--b0undary\r\nContent-Type: application/dicom\r\n\r\n" + body + b"\r\n--b0undary--"
    media_type = 'multipart/related; type="application/dicom"; boundary=b0undary'
    assert _only_part(media_type, (b"\r\n" if preamble else b"") + whole) == body
    assert _only_part("application/dicom", body) == body
    assert _only_part("text/html", whole) is None


@given(st.binary(max_size=100), st.text(max_size=40))
def test_answers_of_any_kind_are_taken_or_not(body: bytes, media_type: str) -> None:
    part = _only_part(media_type, body)
    assert part is None or part in body
