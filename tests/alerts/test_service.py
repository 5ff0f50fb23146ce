"""A running service and the command line: an arriving exam is told of, and who sent it is in the audit trail."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.alerts.conftest import MailServer, Report
from tests.service.peers import Peer, Server, contexts_of, wait_for

from doseatlas.audit import AuditTrail, verify
from doseatlas.service import dimse
from doseatlas.settings import Settings

DOSEATLAS = str(Path(sys.executable).with_name("doseatlas"))
TODAY = dt.date.today()


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with the settings of a service."""
    environment = {**os.environ, "HOME": str(home)}
    done = subprocess.run(
        [DOSEATLAS, *arguments], cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    return done


def test_an_exam_that_a_scanner_sends_is_told_of_acknowledged_and_audited(
    tmp_path: Path, report: Report, mail_server: MailServer
) -> None:
    alerts = f"""
[alerts.mail]
host = "127.0.0.1"
port = {mail_server.port}
security = "none"
sender = "dose@hospital.example"

[[alerts.recipients]]
name = "Physicist"
email = "physicist@hospital.example"
rules = ["reference-air-kerma"]
"""
    high = report(0, kerma_mgy=6200, StudyDate=TODAY.strftime("%Y%m%d"))
    home = tmp_path / "service"
    home.mkdir()
    server = Server(home, alerts)
    try:
        with Peer(server.dicom_port) as peer:
            peer.associate(*contexts_of([high]))
            assert peer.store(high) == dimse.SUCCESS
        wait_for("the mail", lambda: mail_server.mails)
        assert server.stop() == 0
    finally:
        server.stop(signal.SIGKILL)
    assert "6.2 Gy" in " ".join(mail_server.mails[0].split())
    rows = [json.loads(line) for line in run(home, "alerts", "list", "--format", "jsonl").stdout.splitlines()]
    (row,) = (one for one in rows if one["rule"] == "reference-air-kerma")
    assert row["told"] == "Physicist (email)"
    assert run(home, "alerts", "ack", row["alert"], "Patient called.", "--by", "Jane").returncode == 0
    assert row["alert"] not in run(home, "alerts", "list", "--format", "jsonl").stdout
    assert run(home, "alerts", "ack", row["alert"], "again").returncode == 3
    trail = AuditTrail.from_settings(Settings(data_dir=str(home / "data")))
    assert verify(trail).wrong is None
    codes = []
    for record in trail.records():
        message = ET.fromstring(record.message)
        event = message.find("EventIdentification/EventTypeCode")
        event = message.find("EventIdentification/EventID") if event is None else event
        assert event is not None
        codes.append(event.get("csd-code"))
    assert codes == ["110120", "110104", "110121", "alert-acknowledged"]


def test_an_import_by_hand_raises_alerts_and_says_so(tmp_path: Path, report: Report) -> None:
    high = report(0, kerma_mgy=6200, StudyDate=TODAY.strftime("%Y%m%d"))
    (tmp_path / "doseatlas.toml").write_text(f'data_dir = "{tmp_path / "data"}"\njobs = 1\n')
    done = run(tmp_path, "import", str(high))
    assert done.returncode == 0
    assert "alerts raised" in done.stdout
    assert "reference-air-kerma" in run(tmp_path, "alerts", "list", "--format", "jsonl").stdout
    month = TODAY.replace(day=1).isoformat()
    rehearsed = run(tmp_path, "alerts", "rehearse", "--since", month, "--until", TODAY.isoformat(), "-f", "jsonl")
    fired = {(row["rule"], row["above"]): row["fired"] for row in map(json.loads, rehearsed.stdout.splitlines())}
    assert fired["reference-air-kerma", "5 Gy"] == 1
    assert "whole" in run(tmp_path, "audit", "verify").stdout
    assert run(tmp_path, "alerts", "test").returncode == 0


def test_settings_of_alerts_that_cannot_work_are_named_before_the_service_starts(tmp_path: Path) -> None:
    (tmp_path / "doseatlas.toml").write_text(
        f'data_dir = "{tmp_path / "data"}"\n[alerts]\nrules_file = "{tmp_path / "none.csv"}"\n'
    )
    done = run(tmp_path, "serve", "--check")
    assert done.returncode == 2
    assert "none.csv" in done.stderr
