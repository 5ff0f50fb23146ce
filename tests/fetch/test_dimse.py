"""Archives that speak TLS, fail, or bring less than they promise."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
import trustme
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from tests.fetch.conftest import REPORTED

from doseatlas.fetch import FetchError, Query, fetch
from doseatlas.network import sop_classes
from doseatlas.settings import ArchiveSettings, FetchSettings, Settings

DAY = dt.date(2024, 3, 5)
FIND, GET = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.3"
Handlers = dict[Any, Callable[[Any], Any]]


@pytest.fixture
def archive() -> Iterator[Callable[..., str]]:
    """Start archives whose answers are functions; gives the address."""
    servers = []

    def start(handlers: Handlers, tls: ssl.SSLContext | None = None) -> str:
        entity = AE(ae_title="PACS")
        entity.add_supported_context(FIND)
        entity.add_supported_context(GET)
        for uid in (one.uid for one in sop_classes().values() if one.service == "storage"):
            entity.add_supported_context(uid, scu_role=True, scp_role=True)
        started = entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=list(handlers.items()), ssl_context=tls
        )
        servers.append(started)
        return f"127.0.0.1:{started.socket.getsockname()[1]}"

    yield start
    for one in servers:
        one.shutdown()


def settings(tmp_path: Path, address: str, **more: Any) -> Settings:
    archive = ArchiveSettings(name="pacs", ae_title="PACS", address=address, **more)
    fetching = FetchSettings(archives=(archive,), objects_per_minute=0, timeout_seconds=5)
    return Settings(data_dir=str(tmp_path / "data"), jobs=1, fetch=fetching)


def found(level: str, report: Dataset) -> Dataset:
    names = {
        "STUDY": ("StudyInstanceUID", "StudyDate"),
        "SERIES": ("SeriesInstanceUID", "Modality"),
        "IMAGE": ("SOPInstanceUID", "SOPClassUID"),
    }
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for name in names[level]:
        setattr(identifier, name, report[name].value)
    return identifier


def finder(report: Dataset) -> Callable[[Any], Iterator[tuple[int, Dataset]]]:
    def find(event: Any) -> Iterator[tuple[int, Dataset]]:
        yield 0xFF00, found(event.identifier.QueryRetrieveLevel, report)

    return find


@pytest.fixture
def report(studies: dict[str, list[Path]]) -> Dataset:
    return pydicom.dcmread(studies[REPORTED][0])


def bring(report: Dataset) -> Callable[[Any], Iterator[Any]]:
    def get(_: Any) -> Iterator[Any]:
        yield 1
        yield 0xFF00, report

    return get


def test_over_tls_with_a_certificate_of_our_own(tmp_path: Path, archive: Callable[..., str], report: Dataset) -> None:
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    ours = ca.issue_cert("doseatlas")
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    address = archive({evt.EVT_C_FIND: finder(report), evt.EVT_C_GET: bring(report)}, context)
    files = {"trusted_certificates": "ca.pem", "certificate": "cert.pem", "private_key": "key.pem"}
    using = settings(tmp_path, address, **{name: str(tmp_path / file) for name, file in files.items()})
    (summary,) = fetch(using, Query(since=DAY, until=DAY))
    assert [one.state for one in summary.worked_on] == ["complete"]


def test_a_status_that_is_no_success_is_told(tmp_path: Path, archive: Callable[..., str]) -> None:
    def refuse(_: Any) -> Iterator[tuple[int, None]]:
        yield 0xA700, None

    with pytest.raises(FetchError, match="answers C-FIND with status A700"):
        fetch(settings(tmp_path, archive({evt.EVT_C_FIND: refuse})), Query(since=DAY, until=DAY))


def test_an_archive_that_hangs_up_is_named(tmp_path: Path, archive: Callable[..., str]) -> None:
    def hang_up(event: Any) -> Iterator[tuple[int, None]]:
        event.assoc.abort()
        yield 0x0000, None

    with pytest.raises(FetchError, match="did not answer C-FIND within 5 s, or closed the association"):
        fetch(settings(tmp_path, archive({evt.EVT_C_FIND: hang_up})), Query(since=DAY, until=DAY))


def test_what_does_not_come_leaves_the_study_for_the_next_run(
    tmp_path: Path, archive: Callable[..., str], report: Dataset
) -> None:
    brings = [False]

    def get(event: Any) -> Iterator[Any]:
        if not brings[0]:
            yield 0
            return
        yield from bring(report)(event)

    using = settings(tmp_path, archive({evt.EVT_C_FIND: finder(report), evt.EVT_C_GET: get}))
    (first,) = fetch(using, Query(since=DAY, until=DAY))
    assert [(one.state, one.lacks) for one in first.worked_on] == [("failed", "1 of 1 objects did not come")]
    brings[0] = True
    (second,) = fetch(using, Query(since=DAY, until=DAY))
    assert [one.state for one in second.worked_on] == ["complete"]


def test_an_unknown_ae_title_is_explained(tmp_path: Path, archive: Callable[..., str], report: Dataset) -> None:
    def reject(event: Any) -> None:
        event.assoc.acse.send_reject(1, 1, 3)
        event.assoc.kill()

    address = archive({evt.EVT_REQUESTED: reject})
    with pytest.raises(FetchError, match=r"rejects the association\. .* it must know ours"):
        fetch(settings(tmp_path, address), Query(since=DAY, until=DAY))
