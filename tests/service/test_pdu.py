"""The upper layer and DIMSE: what is encoded is decoded again, by us and by pynetdicom, and garbage is an error."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_items import (
    ApplicationContextItem,
    MaximumLengthSubItem,
    PresentationContextItemRQ,
    UserInformationItem,
)
from pynetdicom.presentation import build_context
from tests.service.peers import EXPLICIT, VERIFICATION, accepted_contexts

from doseatlas.service import dimse, pdu


def test_a_request_that_pynetdicom_encodes_is_understood() -> None:
    request = A_ASSOCIATE_RQ()
    request.called_ae_title, request.calling_ae_title = "DOSEATLAS", "CT 1"
    application, user, length = ApplicationContextItem(), UserInformationItem(), MaximumLengthSubItem()
    application.application_context_name = pdu.APPLICATION_CONTEXT.decode()
    length.maximum_length_received = 32768
    user.user_data = [length]
    items = []
    for number, context in enumerate((build_context(VERIFICATION), build_context("1.2.3", [EXPLICIT]))):
        context.context_id = 2 * number + 1
        item = PresentationContextItemRQ()
        item.from_primitive(context)
        items.append(item)
    request.variable_items = [application, *items, user]
    decoded = pdu.decode_request(request.encode()[6:])
    assert (decoded.called, decoded.calling, decoded.max_pdu_bytes) == ("DOSEATLAS", "CT 1", 32768)
    assert decoded.contexts[1] == pdu.ProposedContext(3, "1.2.3", (EXPLICIT,))
    accept = pdu.encode_accept(
        decoded, {1: EXPLICIT, 3: 3}, max_pdu_bytes=131072, implementation=("1.2.3.4", "DOSEATLAS")
    )
    assert accepted_contexts(accept) == {1: (0, EXPLICIT), 3: (3, "")}
    theirs = A_ASSOCIATE_AC()
    theirs.decode(accept)
    assert theirs.user_information is not None
    assert theirs.user_information.maximum_length == 131072
    assert [(item.context_id, item.result) for item in theirs.presentation_context] == [(1, 0), (3, 3)]


def test_a_rejection_is_what_pynetdicom_understands() -> None:
    theirs = A_ASSOCIATE_RJ()
    theirs.decode(pdu.encode_reject(pdu.LIMIT_EXCEEDED))
    assert (theirs.result, theirs.source, theirs.reason_diagnostic) == (2, 3, 2)


@given(st.binary(max_size=400))
def test_no_bytes_make_the_decoders_fail_otherwise_than_announced(data: bytes) -> None:
    for decode in (pdu.decode_request, lambda d: list(pdu.fragments(memoryview(d)))):
        try:
            decode(data)
        except pdu.ProtocolError:
            continue
    try:
        dimse.decode_command(data)
    except dimse.CommandError:
        return


@given(
    st.binary(min_size=74, max_size=74),
    st.lists(
        st.tuples(st.sampled_from([0x10, 0x20, 0x30, 0x40, 0x50, 0x51, 0x54]), st.binary(max_size=40)), max_size=6
    ),
)
def test_items_of_any_content_are_understood_or_refused(head: bytes, items: list[tuple[int, bytes]]) -> None:
    body = head[:68] + b"".join(struct.pack(">BxH", kind, len(value)) + value for kind, value in items)
    try:
        request = pdu.decode_request(body)
    except pdu.ProtocolError:
        return
    assert 1 <= len(request.contexts) <= 128


@given(
    command=st.binary(min_size=1, max_size=300),
    data_set=st.binary(max_size=2000),
    most=st.sampled_from([0, 16, 100, 1024, 16384]),
)
def test_a_message_comes_through_in_pieces_that_fit(command: bytes, data_set: bytes, most: int) -> None:
    encoded = pdu.encode_message(5, command, data_set, most)
    got = {True: b"", False: b""}
    ended = []
    while encoded:
        kind, length = pdu.HEADER.unpack_from(encoded)
        assert kind == pdu.P_DATA
        assert not most or length <= most
        for fragment in pdu.fragments(memoryview(encoded)[6 : 6 + length]):
            got[fragment.is_command] += fragment.data
            ended += [fragment.is_command] * fragment.is_last
        encoded = encoded[6 + length :]
    assert got == {True: command, False: data_set}
    assert ended == [True, False] if data_set else [True]


@given(status=st.integers(0, 0xFFFF), uid=st.from_regex(r"[0-9.]{1,64}", fullmatch=True))
def test_a_command_comes_back_as_it_was(status: int, uid: str) -> None:
    request: dimse.Command = {dimse.AFFECTED_CLASS: uid, dimse.FIELD: 1, dimse.MESSAGE_ID: 9, dimse.DATA_SET_TYPE: 1}
    assert dimse.decode_command(dimse.encode_command(request)) == request
    answer = dimse.response(request, status, "x" * 100)
    decoded = dimse.decode_command(dimse.encode_command(answer))
    assert decoded[dimse.STATUS] == status
    assert decoded[dimse.RESPONDED_TO] == 9
    assert decoded[dimse.FIELD] == 0x8001


@pytest.mark.parametrize("data", [b"", b"\0\0\0\1\x02\0\0\0\1\0", b"\x08\0\0\0\0\0\0\0"])
def test_what_states_no_operation_is_no_command(data: bytes) -> None:
    with pytest.raises(dimse.CommandError):
        dimse.decode_command(data)
