"""Messages of gossip as bytes: one encoding, everything bounded, a head is its note."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.codec import encode
from mesh.core.errors import InvalidGossip
from mesh.core.fleet.gossip import BUCKETS, Gossip, Have, Proof, Rumour, Summary, Want
from mesh.core.fleet.gossip_wire import (
    HEADS_MAX,
    PROOFS_MAX,
    decode_messages,
    encode_messages,
    head_of,
)
from tests.spec.make_equivocations import ONE_SIZE, OTHER, TRUE

HEADS = tuple(head_of(one.encode()) for one in (TRUE.head(3), TRUE.head(5), OTHER.head(6)))
FILE = Proof(log=b"", data=(ONE_SIZE.encode(),))
EXAMPLES = [
    [],
    [Rumour(heads=HEADS, proofs=(FILE,)), Gossip().summary()],
    [Have(buckets=(0, 63), newest={TRUE.id: (0, 5, bytes(8))}, frozen=frozenset({bytes(32)}))],
    [Rumour(), Want(logs=(TRUE.id, bytes(32)))],
]


@pytest.mark.parametrize("messages", EXAMPLES, ids=("none", "told", "have", "want"))
def test_what_is_said_is_what_is_heard(messages):
    data = encode_messages(messages)
    assert decode_messages(data) == messages
    assert encode_messages(decode_messages(data)) == data


def test_a_head_is_what_its_note_says():
    head = HEADS[1]
    assert (head.log, head.epoch, head.size, head.root) == (TRUE.id, 0, 5, TRUE.head(5).root)


def test_what_is_too_much_is_cut_before_it_leaves_and_refused_where_it_comes():
    much = Rumour(heads=HEADS[:1] * (HEADS_MAX + 9), proofs=(FILE,) * (PROOFS_MAX + 1))
    [found] = decode_messages(encode_messages([much]))
    assert (len(found.heads), len(found.proofs)) == (HEADS_MAX, PROOFS_MAX)
    note = HEADS[0].note
    for bad in (["rumour", [note] * (HEADS_MAX + 1), []], ["rumour", [], [b""] * (PROOFS_MAX + 1)]):
        with pytest.raises(InvalidGossip, match="a rumour of"):
            decode_messages(encode([bad]))


ROW = [bytes(32), 0, 5, bytes(8)]
BAD = {
    "no array": {},
    "too many messages": [["want", []]] * 5,
    "an unknown message": [["shout", []]],
    "a message that is no array": ["want"],
    "a rumour with something more": [["rumour", [], [], []]],
    "a note that is none": [["rumour", [b"hello"], []]],
    "a note that is text": [["rumour", ["hello"], []]],
    "a file that is text": [["rumour", [], ["hello"]]],
    "a fingerprint too few": [["summary", [bytes(8)] * (BUCKETS - 1)]],
    "a short fingerprint": [["summary", [bytes(7)] * BUCKETS]],
    "a bucket that there is not": [["have", [BUCKETS], [], []]],
    "a bucket twice": [["have", [1, 1], [], []]],
    "buckets out of order": [["have", [2, 1], [], []]],
    "a bucket that is a yes": [["have", [True], [], []]],
    "a row too short": [["have", [], [ROW[:3]], []]],
    "a row with a short log": [["have", [], [[bytes(31), *ROW[1:]]], []]],
    "a row with a negative size": [["have", [], [[bytes(32), 0, -1, bytes(8)]], []]],
    "a row with a size that is a yes": [["have", [], [[bytes(32), 0, True, bytes(8)]], []]],
    "a row with a long start": [["have", [], [[*ROW[:3], bytes(9)]], []]],
    "a row twice": [["have", [], [ROW, ROW], []]],
    "frozen logs out of order": [["have", [], [], [b"b" * 32, b"a" * 32]]],
    "a frozen log that is short": [["have", [], [], [bytes(31)]]],
    "a wanted log that is short": [["want", [bytes(31)]]],
    "too many wanted logs": [["want", [bytes(32)] * 10_001]],
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_everything_else_is_refused(name):
    with pytest.raises(InvalidGossip):
        decode_messages(encode(BAD[name]))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(EXAMPLES[1:]), st.integers(0, 10**6), st.integers(1, 255))
def test_damage_is_refused_or_is_another_message(messages, at, change):
    data = bytearray(encode_messages(messages))
    data[at % len(data)] ^= change
    try:
        found = decode_messages(bytes(data))
    except InvalidGossip:
        return
    assert encode_messages(found) == bytes(data)
    assert found != messages


def test_a_summary_has_all_its_buckets():
    with pytest.raises(InvalidGossip):
        decode_messages(encode_messages([Summary(fingerprints=())]))
