"""Peers that are not let in are in the audit trail, each once an hour."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
from tests.service.peers import Peer, Server

from doseatlas.audit import AuditTrail
from doseatlas.service import pdu
from doseatlas.service.intruders import Intruders
from doseatlas.settings import Settings


def test_who_is_not_let_in_is_written_down(tmp_path: Path) -> None:
    callers = '[[service.callers]]\nae_title = "CT1"\n'
    (tmp_path / "token").write_text("0123456789abcdef-token")
    tokens = f'[[service.tokens]]\nname = "vna"\nfile = "{tmp_path}/token"\n'
    server = Server(tmp_path, callers + tokens)
    for _ in range(3):
        with Peer(server.dicom_port, calling="STRANGER") as peer:
            assert peer.associate(("1.2.840.10008.1.1", "1.2.840.10008.1.2"))[0] == pdu.ASSOCIATE_RJ
    assert httpx.post(server.url("/studies"), content=b"x").status_code == 401
    assert server.stop() == 0
    records = [one.message for one in AuditTrail.from_settings(Settings(data_dir=str(server.data))).records()]
    assert ["110126" in one for one in records] == [False, True, True, False]
    assert 'UserID="STRANGER"' in records[1]
    assert 'NetworkAccessPointID="127.0.0.1"' in records[2]


def test_knocking_again_and_again_does_not_fill_the_trail(tmp_path: Path) -> None:
    trail = AuditTrail.from_settings(Settings(data_dir=str(tmp_path)))

    async def knock() -> None:
        now = [0.0]
        intruders = Intruders(trail, lambda: now[0])
        for second in range(7200):
            now[0] = float(second)
            intruders.note("A", "192.0.2.7", "why")
        for number in range(300):
            intruders.note(f"B{number}", "192.0.2.8", "why")
        await intruders.finish()

    asyncio.run(knock())
    assert len(list(trail.records())) == 2 + 99
