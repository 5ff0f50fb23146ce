"""Fetching from a real archive, by C-GET, C-MOVE and DICOMweb."""

from __future__ import annotations

import datetime as dt
import gc
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.fetch.conftest import POSITRON, REPORTED, SCREENED, SILENT, SLICED, ULTRASOUND
from tests.service.peers import Orthanc, Server, free_port

from doseatlas.fetch import FetchError, FetchSummary, Query, fetch, lacking, preview
from doseatlas.settings import ArchiveSettings, FetchSettings, Settings
from doseatlas.store import Store, import_paths

DAYS = Query(since=dt.date(2024, 3, 4), until=dt.date(2024, 3, 7))


def settings(tmp_path: Path, pacs: Orthanc, way: str = "get", **more: Any) -> Settings:
    if way == "web":
        url = f"http://127.0.0.1:{pacs.http_port}/dicom-web/"
        archive = ArchiveSettings(name="pacs", url=url, **more)
    else:
        address = f"127.0.0.1:{pacs.dicom_port}"  # type: ignore[attr-defined]
        archive = ArchiveSettings(name="pacs", ae_title="ORTHANC", address=address, retrieve=way, **more)  # type: ignore[arg-type]
    limits = FetchSettings(archives=(archive,), objects_per_minute=0, timeout_seconds=20)
    return Settings(data_dir=str(tmp_path / "data"), jobs=1, fetch=limits)


def states(summary: FetchSummary) -> dict[str, str]:
    return {one.study_instance_uid: one.state for one in summary.worked_on}


def sources(using: Settings) -> dict[str, str | None]:
    with Store.from_settings(using) as store:
        return {str(exam.study_instance_uid): exam.source for exam in store.exams()}


def test_by_c_get_the_least_that_holds_the_dose_is_taken(tmp_path: Path, pacs: Orthanc) -> None:
    using = settings(tmp_path, pacs)
    (summary,) = fetch(using, DAYS)
    assert states(summary) == {
        REPORTED: "complete",
        SCREENED: "complete",
        SLICED: "lacking",
        POSITRON: "complete",
        SILENT: "lacking",
    }
    assert sources(using) == {REPORTED: "dose-report", SCREENED: "image", POSITRON: "image"}
    # One report, one screen, one text and one slice of the PET, one radiograph: no CT image, no second report.
    assert (summary.objects, summary.imported) == (5, 3)
    why = {one.study_instance_uid: one.lacks for one in lacking(using)}
    assert why[SLICED] == "no dose report; no dose screen; its CT series were not taken (whole_ct_series = false)"
    assert why[SILENT] == "no dose report; no dose in its images"


def test_what_was_dealt_with_is_not_asked_for_again(tmp_path: Path, pacs: Orthanc) -> None:
    using = settings(tmp_path, pacs)
    fetch(using, DAYS)
    (second,) = fetch(using, DAYS)
    assert (second.studies, second.skipped, second.objects) == (5, 5, 0)
    (third,) = fetch(using, DAYS, again=True)
    # The report without dose and the radiograph, of which the store made nothing.
    assert (third.skipped, third.objects, states(third)[SLICED]) == (0, 2, "lacking")


def test_whole_ct_series_are_the_last_resort(tmp_path: Path, pacs: Orthanc) -> None:
    using = settings(tmp_path, pacs, whole_ct_series=True)
    (summary,) = fetch(using, DAYS)
    assert states(summary)[SLICED] == "complete"
    with Store.from_settings(using) as store:
        (exam,) = [exam for exam in store.exams() if exam.study_instance_uid == SLICED]
        assert [event.ctdi_vol_mgy for event in exam.events] == [11.0]  # the mean of all three slices
        assert store.counts().objects == 6  # and of no other study's slices


def test_by_dicomweb_headers_are_enough(tmp_path: Path, pacs: Orthanc) -> None:
    using = settings(tmp_path, pacs, "web")
    (summary,) = fetch(using, DAYS)
    assert states(summary) == {
        REPORTED: "complete",
        SCREENED: "complete",
        SLICED: "complete",
        POSITRON: "complete",
        SILENT: "lacking",
    }
    assert sources(using)[SLICED] == "image"
    with Store.from_settings(using) as store:
        (exam,) = [exam for exam in store.exams() if exam.study_instance_uid == SLICED]
        assert [event.ctdi_vol_mgy for event in exam.events] == [11.0]
    assert list((Path(using.data_dir) / "fetch" / "pacs").iterdir()) == []


def test_by_c_move_objects_reach_the_running_service(
    tmp_path: Path, pacs: Orthanc, serve: Callable[..., Server], known_service: Callable[[Server], None]
) -> None:
    server = serve('ae_title = "DOSEATLAS"')
    known_service(server)
    using = settings(tmp_path, pacs, "move")
    using = Settings(data_dir=str(server.data), jobs=1, fetch=using.fetch)
    (summary,) = fetch(using, Query(since=DAYS.since, until=DAYS.until, description="abdomen"))
    assert states(summary) == {REPORTED: "complete"}
    assert sources(using) == {REPORTED: "dose-report"}


def test_what_was_sent_is_looked_for_by_the_next_run_before_more_is_taken(
    tmp_path: Path, pacs: Orthanc, serve: Callable[..., Server], known_service: Callable[[Server], None]
) -> None:
    server = serve('ae_title = "DOSEATLAS"')
    known_service(server)
    using = Settings(data_dir=str(server.data), jobs=1, fetch=settings(tmp_path, pacs, "move").fetch)
    query = Query(since=DAYS.since, until=DAYS.until, description="Thorax", modalities=("SR",))
    (first,) = fetch(using, query, sleep=lambda _: None)
    assert [(one.study_instance_uid, one.state) for one in first.worked_on] == [(SLICED, "sent")]
    assert "is not in the store yet, or states no dose" in first.worked_on[0].lacks
    server.drained()
    (second,) = fetch(using, query, sleep=lambda _: None)
    assert (second.objects, states(second)) == (0, {SLICED: "lacking"})


def test_a_move_to_nobody_says_so(tmp_path: Path, pacs: Orthanc) -> None:
    using = settings(tmp_path, pacs, "move", move_to="NOBODY")
    (summary,) = fetch(using, Query(since=DAYS.since, until=DAYS.until, description="Abdomen"))
    (one,) = summary.worked_on
    assert one.state == "failed"
    assert "C-MOVE" in one.lacks
    assert lacking(using) == [one]


def test_what_the_store_has_is_not_taken(tmp_path: Path, pacs: Orthanc, studies: dict[str, list[Path]]) -> None:
    using = settings(tmp_path, pacs)
    with Store.from_settings(using) as store:
        import_paths(store, [studies[REPORTED][0]])
    (summary,) = fetch(using, Query(since=DAYS.since, until=DAYS.until, description="Abdomen"))
    assert states(summary) == {REPORTED: "complete"}
    assert summary.objects == 0


@pytest.mark.parametrize("way", ["get", "web"])
def test_studies_are_chosen_by_date_modality_and_description(tmp_path: Path, pacs: Orthanc, way: str) -> None:
    using = settings(tmp_path, pacs, way)

    def found(**more: Any) -> set[str]:
        query = Query(since=more.pop("since", DAYS.since), until=DAYS.until, **more)
        return {one.study_instance_uid for one in preview(using, query)}

    assert found() == {REPORTED, SCREENED, SLICED, POSITRON, SILENT}
    assert ULTRASOUND not in found()
    assert found(since=dt.date(2024, 3, 6)) == {SCREENED, SLICED, POSITRON, SILENT}
    assert found(modalities=("PT", "CR")) == {POSITRON, SILENT}
    assert found(description="Abdomen") == {REPORTED}
    assert sources(using) == {}


def test_a_run_that_breaks_off_goes_on(tmp_path: Path, pacs: Orthanc) -> None:
    using = settings(tmp_path, pacs)
    done = []

    def break_off(state: Any) -> None:
        done.append(state)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(using, DAYS, tell=break_off)
    (summary,) = fetch(using, DAYS)
    assert summary.skipped == 2
    assert {*states(summary), *(one.study_instance_uid for one in done)} == {
        REPORTED,
        SCREENED,
        SLICED,
        POSITRON,
        SILENT,
    }
    assert set(sources(using)) == {REPORTED, SCREENED, POSITRON}


def test_what_a_killed_run_left_is_imported(tmp_path: Path, pacs: Orthanc, studies: dict[str, list[Path]]) -> None:
    using = settings(tmp_path, pacs)
    archive = Path(using.data_dir) / "fetch" / "pacs"
    whole, part, old = (archive / name for name in (f"{REPORTED}.whole", SLICED, SCREENED))
    for folder in (whole, part, old):
        folder.mkdir(parents=True)
    (whole / "1.2.3.dcm").write_bytes(studies[REPORTED][0].read_bytes())
    (whole / "1.2.4.dcm.unfinished").write_bytes(b"half")
    (part / "1.2.5.dcm").write_bytes(studies[SLICED][0].read_bytes())
    a_month_ago = time.time() - 30 * 86_400
    os.utime(old, (a_month_ago, a_month_ago))
    fetch(using, Query(since=dt.date(2000, 1, 1), until=dt.date(2000, 1, 1)))
    assert sources(using) == {REPORTED: "dose-report"}
    assert list(archive.iterdir()) == [part]  # its study is not whole, and no run has asked for it


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom drops the socket unclosed
@pytest.mark.parametrize("way", ["get", "web"])
def test_an_archive_that_does_not_answer_is_named(tmp_path: Path, pacs: Orthanc, way: str) -> None:
    if way == "get":
        archive = ArchiveSettings(name="gone", ae_title="GONE", address=f"127.0.0.1:{free_port()}")
    else:
        archive = ArchiveSettings(name="gone", url=f"http://127.0.0.1:{free_port()}/dicom-web")
    using = Settings(data_dir=str(tmp_path), fetch=FetchSettings(archives=(archive,), timeout_seconds=5))
    with pytest.raises(FetchError, match="The archive 'gone' at "):
        fetch(using, DAYS)
    gc.collect()


def test_two_runs_at_once_are_not_let(tmp_path: Path, pacs: Orthanc) -> None:
    using = settings(tmp_path, pacs)

    def another(_: Any) -> None:
        with pytest.raises(FetchError, match="Another doseatlas fetch"):
            fetch(using, DAYS)

    fetch(using, DAYS, tell=another)


def test_objects_of_an_archive_belong_to_its_facility(tmp_path: Path, pacs: Orthanc) -> None:
    using = settings(tmp_path, pacs, facility="North Hospital")
    fetch(using, DAYS)
    with Store.from_settings(using) as store:
        store.rebuild()
        with store.database.reading() as connection:
            facilities = connection.exec_driver_sql("SELECT DISTINCT facility FROM exams").scalars().all()
    assert facilities == ["North Hospital"]
