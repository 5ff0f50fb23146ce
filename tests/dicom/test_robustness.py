"""Whatever the bytes, the reader answers or refuses: it does not crash, hang or take memory without bound."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doseatlas.dicom import read_bytes
from doseatlas.dicom.deidentification import deidentify
from doseatlas.dicom.deidentified import Pseudonyms
from doseatlas.dicom.encode import encode_element
from doseatlas.dicom.limits import Limits
from doseatlas.dicom.open import open_object
from doseatlas.dicom.simulate import draw_exam, encode_enhanced, encode_estimate, plan
from doseatlas.model.errors import UnreadableObject

NAMES = [
    "CT-RDSR-Siemens_Flash-TAP-SS.dcm",
    "CT-RDSR-Philips_Ingenuity.dcm",
    "DX-RDSR-Canon_CXDI.dcm",
    "RF-RDSR-Philips_Allura-1event.dcm",
    "CT-minimal-in-comprehensive-sr.dcm",
    "RF-ESR-Siemens-Varic.dcm",
]
SEED = 20260602


def read_or_refuse(data: bytes) -> None:
    """Only :class:`UnreadableObject` may come out of opening and nothing out of reading; what is read can be archived.

    A refusal for a reason that the reader does not know would be a fault of the reader.
    """
    exam = read_bytes(data).exam
    assert (exam.error is not None) == (exam.kind == "refused")
    assert exam.error is None or "does not know" not in exam.error.message, exam.error.message
    try:
        opened = open_object(data)
    except UnreadableObject:
        assert exam.kind == "refused"
        return
    for tag in opened.item.tags():
        opened.item.texts(tag)
        opened.item.numbers(tag)
        opened.item.items(tag)
    open_object(deidentify(data, pseudonymise=lambda _: Pseudonyms("p", None)).data)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to eight injuries of the kinds that transfer, storage and bad writers cause."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(len(changed))
        kind = rng.randrange(7)
        if kind == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del changed[max(at, 1) :]
        elif kind == 2:
            changed[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\xf0\xff\xff\xff", b"\0\0\0\x80", b"\0\0\0\0"))
        elif kind == 3:
            other = rng.randrange(len(changed))
            changed[at:at] = changed[other : other + rng.randrange(1, 400)]
        elif kind == 4:
            del changed[at : at + rng.randrange(1, 200)]
        elif kind == 5:
            changed[at : at + 8] = rng.choice(
                (b"\xfe\xff\xdd\xe0\0\0\0\0", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\0\xe0")
            )
        else:
            changed[at : at + 2] = rng.choice((b"SQ", b"UN", b"OB", b"PN", b"??", b"\0\0"))
        if not changed:
            return b""
    return bytes(changed)


def injure(corpus: Path, count: int) -> None:
    rng = random.Random(SEED)
    originals = {name: (corpus / "rdsr" / name).read_bytes() for name in NAMES} | simulated()
    names = list(originals)
    for number in range(count):
        name = names[number % len(names)]
        data = mutated(originals[name], rng)
        try:
            read_or_refuse(data)
        except Exception as error:
            raise AssertionError(f"mutation {number} of {name}: {error!r}") from error


def simulated() -> dict[str, bytes]:
    """Reports of the newer templates, which the corpus has none of."""
    day = dt.date(2025, 1, 1)
    world = plan("facility", exams=1, seed=2, start=day, end=day, faults=False, device_classes=("fluoroscopy",))
    exam = draw_exam(world, 0)
    return {"enhanced report": encode_enhanced(exam), "report of estimates": encode_estimate(exam)}


def test_injured_reports_are_read_or_refused(corpus: Path) -> None:
    injure(corpus, 300)


@pytest.mark.nightly
def test_twenty_thousand_injured_reports_are_read_or_refused(corpus: Path) -> None:
    injure(corpus, 20_000)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from([b"", bytes(128) + b"DICM", b"\x08\0\x05\0CS", b"{", b"<", b"\x1f\x8b"])
)
def test_any_bytes_are_read_or_refused(data: bytes, prefix: bytes) -> None:
    read_or_refuse(prefix + data)


HEAD = encode_element(0x00080005, b"CS", b"ISO_IR 100")
ITEM = b"\xfe\xff\0\xe0"
HOSTILE = {
    "a value of 4 GB": HEAD + struct.pack("<HH2sHI", 0x0042, 0x0011, b"OB", 0, 0xFFFFFFFE),
    "a sequence of 4 GB": HEAD + struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFE),
    "open sequences": HEAD
    + (struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + ITEM + b"\xff" * 4) * 20_000,
    "empty items": HEAD + struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + (ITEM + b"\0\0\0\0") * 300_000,
    "empty elements": HEAD + b"".join(struct.pack("<HH2sH", 9, n % 65536, b"SH", 0) for n in range(300_000)),
    "rubbish after a mark": bytes(128) + b"DICM" + b"\x02\0\x10\0UI\x04\x001.2\0" + b"\x41" * 2_000_000,
    "deep JSON": b'{"0040A730":{"vr":"SQ","Value":[' * 30_000,
    "deep XML": b"<NativeDicomModel>" + b'<DicomAttribute tag="0040A730" vr="SQ"><Item>' * 30_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_lengths_and_nests_stay_within_a_memory_bound(name: str) -> None:
    data = HOSTILE[name]
    tracemalloc.start()
    with contextlib.suppress(UnreadableObject):
        open_object(data, limits=Limits(elements=50_000))
    read_bytes(data, limits=Limits(elements=50_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60_000_000
