"""From the spool to the store: each for its facility, and an object that kills the import does not stop it."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.dicom.ct_objects import DIAMETER_MM, enhanced_ct, frame
from tests.service.peers import split

import doseatlas
from doseatlas.network import Quarantine, Quarantined, Sender
from doseatlas.service.commitment import Commitments
from doseatlas.service.importer import Event, Importer, Order
from doseatlas.service.listener import Listener
from doseatlas.service.metrics import Metrics
from doseatlas.service.mpps import Mpps
from doseatlas.service.spool import Spool, received_at
from doseatlas.settings import ServiceSettings, Settings
from doseatlas.store import Store
from doseatlas.store.image_sizes import sizes_of
from doseatlas.store.schema import image_sizes


def spool_object(spool: Spool, path: Path, facility: str | None = None) -> Path:
    """Put a file into the spool as if it had been received."""
    sender = Sender(via="dicom", caller="CT1", address="192.0.2.7", facility=facility)
    incoming = spool.incoming(sender, split(path)[1], 10**9)
    incoming.write(path.read_bytes())
    spool.commit(incoming, lambda error: None)
    return spool.folder_of(sender) / incoming.name


def events_of(settings: Settings, *, cautious: bool = False) -> list[Event]:
    """Import until nothing is left."""
    events: list[Event] = []
    importer = Importer(Order(settings=settings, cautious=cautious), events.append)
    while importer.round():
        assert len(events) < 100
    importer.close()
    return events


def killed_while_importing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an importer end with a batch at hand."""
    with monkeypatch.context() as killed:
        killed.setattr(Importer, "_import", lambda *_, **__: sys.exit("killed"))
        with pytest.raises(SystemExit):
            events_of(settings)


def test_objects_are_imported_for_the_facility_that_their_sender_is_bound_to(
    tmp_path: Path, reports: list[Path]
) -> None:
    spool = Spool(tmp_path)
    for path, facility in zip(reports[:3], ("North", "South", None), strict=True):
        spool_object(spool, path, facility)
    spool.close()
    settings = Settings(data_dir=str(tmp_path), jobs=1)
    events = events_of(settings)
    assert [event.results for event in events] == [{"imported": 1}] * 3
    assert all(0 <= event.behind_seconds < 600 for event in events)
    with doseatlas.open(settings.store_url, data_dir=tmp_path) as atlas:
        facilities = set(atlas.exams().to_pyarrow()["facility"].to_pylist())
    assert {"North", "South"} < facilities
    assert len(facilities) == 3


def test_frames_of_an_enhanced_ct_that_arrives_are_measured(tmp_path: Path, reports: list[Path]) -> None:
    report = doseatlas.read(reports[0])
    study = next(exam.study_instance_uid for exam in report if exam.study_instance_uid)
    enhanced = tmp_path / "enhanced.dcm"
    enhanced.write_bytes(enhanced_ct(study, [frame(5.0 * n) for n in range(4)]))
    spool = Spool(tmp_path)
    for path in (reports[0], enhanced):
        spool_object(spool, path)
    spool.close()
    events_of(Settings(data_dir=str(tmp_path), jobs=1))
    with Store.from_settings(Settings(data_dir=str(tmp_path))) as store, store.database.reading() as connection:
        (kept,) = connection.execute(image_sizes.select()).all()
        assert store.mart_row(kept.exam_id) is not None
        (sizes,) = sizes_of(connection, [kept.exam_id]).values()
    assert [place.diameter_mm for place in sizes.places] == [pytest.approx(DIAMETER_MM, rel=0.005)] * 4


def test_an_object_that_importers_die_of_is_found_and_put_away(
    tmp_path: Path, reports: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    deadly, *harmless = (spool_object(spool, report) for report in (reports[1], reports[0], *reports[2:5]))
    spool.close()
    settings = Settings(data_dir=str(tmp_path), jobs=1)
    read = Importer._import

    def die_of_it(self: Importer, facility: str | None, paths: Sequence[Path], *rest: Any, **more: Any) -> None:
        if deadly in paths:
            raise SystemExit("killed")
        read(self, facility, paths, *rest, **more)

    monkeypatch.setattr(Importer, "_import", die_of_it)
    deaths = 0
    while deadly.exists():
        with suppress(SystemExit):
            events_of(settings, cautious=deaths >= 2)
        deaths += 1
        assert deaths < 10
    assert not any(path.exists() for path in harmless)
    ((file, why),) = Quarantine(tmp_path / "quarantine", 10**9).objects()
    assert file.read_bytes() == reports[1].read_bytes()
    assert why.code == "importer-died"
    assert not (spool.folder / "at-hand").exists()


def test_importers_that_are_killed_by_chance_cost_no_object_and_no_time(
    tmp_path: Path, reports: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    paths = [spool_object(spool, report) for report in reports[:6]]
    spool.close()
    settings = Settings(data_dir=str(tmp_path), jobs=1)
    killed_while_importing(settings, monkeypatch)
    spool = Spool(tmp_path)
    later = [spool_object(spool, report) for report in reports[6:9]]
    spool.close()
    # Only what was at hand is read one by one; then the rest is read as ever.
    assert [event.results for event in events_of(settings, cautious=True)] == [{"imported": 1}] * 6 + [{"imported": 3}]
    assert not any(path.exists() for path in (*paths, *later))
    assert not (tmp_path / "quarantine").exists()


def test_an_object_is_put_away_only_when_a_second_importer_died_of_it_alone(
    tmp_path: Path, reports: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    spool_object(spool, reports[0])
    spool.close()
    settings = Settings(data_dir=str(tmp_path), jobs=1)
    killed_while_importing(settings, monkeypatch)
    assert [event.results for event in events_of(settings, cautious=True)] == [{"imported": 1}]


def test_the_quarantine_keeps_the_newest_within_its_limit(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine", 250)
    for number in range(5):
        file = tmp_path / f"{number}.dcm"
        file.write_bytes(bytes(100))
        quarantine.take(file, Quarantined(code="damaged", message="It is damaged."))
    assert [file.name for file, _ in quarantine.objects()] == ["3.dcm", "4.dcm"]
    assert len(list(quarantine.folder.iterdir())) == 4


def test_the_time_of_receipt_is_in_the_name(tmp_path: Path, reports: list[Path]) -> None:
    spool = Spool(tmp_path)
    before = time.time()
    path = spool_object(spool, reports[0])
    spool.close()
    assert before - 1 <= received_at(path) <= time.time() + 1


@pytest.mark.parametrize(("behind_seconds", "waits"), [(0.0, False), (1.0, False), (6.0, True), (1000.0, True)])
def test_answers_wait_while_the_import_is_behind(tmp_path: Path, behind_seconds: float, waits: bool) -> None:
    async def pace() -> list[str]:
        spool = Spool(tmp_path)
        metrics = Metrics()
        commitments = Commitments(spool.folder, ae_title="X", kept=lambda _: set(), metrics=metrics)
        listener = Listener(
            ServiceSettings(),
            spool,
            metrics,
            commitments=commitments,
            mpps=Mpps(spool),
            on_received=lambda: None,
            on_refused=lambda *_: None,
        )
        order: list[str] = []
        listener.pace(behind_seconds)
        listener.at_our_pace(order.append, "answer")
        order.append("next")
        while len(order) < 2:
            await asyncio.sleep(0.01)
        spool.close()
        return order

    assert asyncio.run(pace()) == (["next", "answer"] if waits else ["answer", "next"])


def test_a_spool_from_before_is_imported_though_its_sender_is_gone(tmp_path: Path, reports: list[Path]) -> None:
    spool = Spool(tmp_path)
    path = spool_object(spool, reports[0])
    spool.close()
    (path.parent.parent / "empty").mkdir()  # a crash fell between making a folder and naming its sender
    shutil.copy(reports[1], path.with_name(f"{0:020d}-x-1.2.3.dcm"))
    settings = Settings(data_dir=str(tmp_path), jobs=1)
    assert [event.results for event in events_of(settings)] == [{"imported": 2}]
