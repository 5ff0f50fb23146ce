"""The conformance document says what the running service accepts, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

from pynetdicom import sop_class as known
from tests.service.peers import Peer, Server, accepted_contexts

from doseatlas.network import sop_classes, transfer_syntaxes
from doseatlas.service.part10 import IMPLEMENTATION

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
OTHER_SYNTAXES = ("1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.7.1")
CONTEXTS_IN_A_REQUEST = 128


def documented(heading: str) -> set[str]:
    """The UIDs of the table that follows a line of the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    start = text.index(heading)
    table = text[start:].split("\n\n")[1]
    return {match[1] for match in re.finditer(r"\| ([0-9.]+) \|$", table, re.MULTILINE)}


def as_documented() -> set[tuple[str, str]]:
    every = documented("Transfer syntaxes for all SOP classes:")
    stored = every | documented("Transfer syntaxes for storage besides:")
    images = stored | documented("Transfer syntaxes for storage of images besides;")
    pairs = set()
    for heading, syntaxes in (
        ("SOP classes for the verification service:", every),
        ("SOP classes for storage commitment:", every),
        ("SOP classes for performed procedure steps:", every),
        ("SOP classes for storage, reports:", stored),
        ("SOP classes for storage, images.", images),
    ):
        pairs |= {(uid, syntax) for uid in documented(heading) for syntax in syntaxes}
    return pairs


def every_class() -> set[str]:
    """Every SOP class that pynetdicom knows, for whatever service."""
    contexts = [value for name, value in vars(known).items() if isinstance(value, str) and name[0] != "_"]
    return {uid for uid in contexts if re.fullmatch(r"1\.2\.840\.10008\.[0-9.]+", uid)}


def test_the_running_service_accepts_what_the_document_says(server: Server) -> None:
    syntaxes = {syntax for _, syntax in as_documented()} | set(OTHER_SYNTAXES)
    classes = every_class() | {uid for uid, _ in as_documented()}
    assert len(classes) > 150
    proposed = [(uid, syntax) for uid in sorted(classes) for syntax in sorted(syntaxes)]
    found = set()
    for start in range(0, len(proposed), CONTEXTS_IN_A_REQUEST):
        some = proposed[start : start + CONTEXTS_IN_A_REQUEST]
        with Peer(server.dicom_port) as peer:
            _, body = peer.associate(*some)
        answers = accepted_contexts(body)
        assert len(answers) == len(some)
        found |= {pair for pair in some if answers[peer.contexts[pair]][0] == 0}
    assert found == as_documented()


def test_the_document_names_the_implementation() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"| {value} |" in text for value in IMPLEMENTATION)


def test_every_class_of_the_table_is_a_registered_uid_with_transfer_syntaxes() -> None:
    registered = every_class()
    for uid, row in sop_classes().items():
        assert uid in registered, row.name
        assert transfer_syntaxes(uid)
