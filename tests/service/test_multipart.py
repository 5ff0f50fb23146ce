"""A multipart body gives the same parts however it is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doseatlas.service.multipart import MultipartError, PartBegins, PartData, PartEnds, Splitter, content_type


def parts_of(body: bytes, cuts: list[int], boundary: str = "b") -> list[tuple[dict[str, str], bytes]]:
    splitter = Splitter(boundary)
    parts: list[tuple[dict[str, str], bytes]] = []
    ended = 0
    edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    for start, stop in pairwise(edges):
        for step in splitter.feed(body[start:stop]):
            if isinstance(step, PartBegins):
                parts.append((step.headers, b""))
            elif isinstance(step, PartData):
                parts[-1] = (parts[-1][0], parts[-1][1] + step.data)
            elif isinstance(step, PartEnds):
                ended += 1
    splitter.close()
    assert ended == len(parts)
    return parts


@given(
    bodies=st.lists(st.binary(max_size=60).filter(lambda body: b"\r\n--b" not in b"\r\n" + body + b"\r\n"), max_size=4),
    cuts=st.lists(st.integers(0, 10_000), max_size=30),
    preamble=st.sampled_from([b"", b"\r\n", b"to be ignored\r\n"]),
)
def test_parts_come_out_as_they_went_in(bodies: list[bytes], cuts: list[int], preamble: bytes) -> None:
    encoded = b"".join(b"--b\r\nContent-Type: application/dicom\r\nX-N: 1\r\n\r\n" + body + b"\r\n" for body in bodies)
    parts = parts_of(preamble + encoded + b"--b--\r\nepilogue", cuts)
    assert parts == [({"content-type": "application/dicom", "x-n": "1"}, body) for body in bodies]


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_otherwise_than_announced(data: bytes) -> None:
    splitter = Splitter("b")
    try:
        for piece in (data, b"--b\r\n\r\n" + data):
            list(splitter.feed(piece))
        splitter.close()
    except MultipartError:
        return


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\n" + b"x" * 10_000,
        b"--b\r\nno colon\r\n\r\nx\r\n--b--",
        b"x" * 100_000,
        b"--b" + b" " * 10_000,
        b"--bx\r\n",
    ],
)
def test_what_is_no_multipart_is_refused_before_it_fills_memory(body: bytes) -> None:
    with pytest.raises(MultipartError):
        parts_of(body, [])


def test_content_types_are_read_with_their_parameters() -> None:
    kind, parameters = content_type('multipart/related; type="application/dicom"; BOUNDARY=a-b')
    assert kind == "multipart/related"
    assert parameters == {"type": "application/dicom", "boundary": "a-b"}
    assert content_type("multipart/related; boundary*=utf-8''a-b")[1] == {"boundary": "a-b"}
    assert content_type("multipart/related; boundary*=no-such-charset''a-b")[1] == {"boundary": "a-b"}
    assert content_type("") == ("", {})
    assert content_type("nonsense;;=")[0] not in ("application/dicom", "multipart/related")
