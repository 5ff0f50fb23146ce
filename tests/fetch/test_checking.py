"""Settings that cannot work are named; the command line tells what a run did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.fetch.conftest import SILENT
from tests.service.peers import Orthanc, free_port
from typer.testing import CliRunner

from doseatlas.audit import AuditTrail
from doseatlas.fetch import check
from doseatlas.model import SettingsError
from doseatlas.settings import ArchiveSettings, FetchSettings, Settings


@pytest.mark.parametrize(
    ("archive", "says"),
    [
        ({"name": "../x", "url": "https://pacs"}, "needs a name of letters"),
        ({"name": "p"}, "needs either url"),
        ({"name": "p", "url": "https://pacs", "address": "pacs:104"}, "needs either url"),
        ({"name": "p", "url": "file:///etc/passwd"}, "must begin with https"),
        ({"name": "p", "address": "pacs", "ae_title": "P"}, "write host:port"),
        ({"name": "p", "address": "pacs:104"}, "ae_title is ''"),
        ({"name": "p", "address": "pacs:104", "ae_title": "P", "move_to": "x" * 17}, "move_to is"),
        ({"name": "p", "url": "https://pacs", "token_file": "/nowhere"}, "token_file /nowhere cannot be read"),
        ({"name": "p", "url": "https://pacs", "trusted_certificates": "/nowhere.pem"}, "cannot be read"),
    ],
)
def test_an_archive_that_cannot_be_asked_is_named(archive: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        check(FetchSettings(archives=(ArchiveSettings(**archive),)))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (FetchSettings(), "names no archives"),
        (FetchSettings(archives=(ArchiveSettings(name="a", url="http://a"),) * 2), "have one name"),
        (FetchSettings(archives=(ArchiveSettings(name="a", url="http://a"),), objects_per_minute=-1), "negative"),
        (FetchSettings(archives=(ArchiveSettings(name="a", url="http://a"),), ae_title=""), "ae_title is ''"),
    ],
)
def test_settings_that_cannot_work_are_named(settings: FetchSettings, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        check(settings)


def test_again_and_again_an_archive_that_is_down_is_tried_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from doseatlas.cli.app import app

    text = f'data_dir = "{tmp_path}/data"\n[[fetch.archives]]\nname = "gone"\n'
    (tmp_path / "doseatlas.toml").write_text(text + f'url = "http://127.0.0.1:{free_port()}/dicom-web"\n')
    monkeypatch.setenv("DOSEATLAS_SETTINGS", str(tmp_path / "doseatlas.toml"))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    done = CliRunner().invoke(app, ["fetch", "--every", "30"])
    assert slept == [1800, 1800]
    assert " ".join(done.stderr.split()).count("The archive 'gone' at http") == 2
    assert "Tried again in 30 minutes." in " ".join(done.stderr.split())
    asked = [one.message for one in AuditTrail.from_settings(Settings(data_dir=f"{tmp_path}/data")).records()]
    assert ['csd-code="110112"' in one and 'NetworkAccessPointID="127.0.0.1"' in one for one in asked] == [True] * 2


def test_the_command_fetches_tells_what_is_lacking_and_previews(
    tmp_path: Path, pacs: Orthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    from doseatlas.cli.app import app

    text = f'data_dir = "{tmp_path}/data"\njobs = 1\n[[fetch.archives]]\nname = "pacs"\n'
    (tmp_path / "doseatlas.toml").write_text(text + f'url = "http://127.0.0.1:{pacs.http_port}/dicom-web"\n')
    monkeypatch.setenv("DOSEATLAS_SETTINGS", str(tmp_path / "doseatlas.toml"))
    days = ("--since", "2024-03-06", "--until", "2024-03-06")
    seen = CliRunner().invoke(app, ["fetch", *days, "--modality", "CR", "--preview", "--format", "jsonl"])
    assert f'"study":"{SILENT}","state":"found"' in seen.stdout
    done = CliRunner().invoke(app, ["fetch", *days, "--modality", "CR", "--format", "jsonl"])
    assert done.exit_code == 1, done.output
    assert '"lacks":"no dose report; no dose in its images"' in done.stdout
    assert CliRunner().invoke(app, ["fetch", "--lacking", "--format", "jsonl"]).stdout == done.stdout
    wrong = CliRunner().invoke(app, ["fetch", "--since", "2024-03-06", "--until", "2024-03-01"])
    assert wrong.exit_code == 2
