"""Rules of values, envelopes and the tree that are met at their edges only."""

import random

import cbor2
import pytest

from ledger.core import limits
from ledger.core.codec import encode
from ledger.core.errors import InvalidEvent
from ledger.core.event import Cause, Draft, Envelope, Event, payload_commitment, same_body, seal
from ledger.core.merkle import perfect_root
from tests.ledger import dumb_merkle

DRAFT = Draft(type="test.fact", stream=bytes(16), payload={"n": 1}, content={"text": "words"})


def sealed(draft):
    return seal(draft, position=0, stream_sequence=0, ts_ms=0, salts=bytes(64))


@pytest.mark.parametrize(
    "value",
    [
        [{"b": 1, "a": 2}, {"a": 1}],
        [{"a": 1}, {"b": 1, "a": 2}],
        {"a": {"d": 1, "c": 2}, "b": {"a": 1}},
        {"a": {"c": 2}, "b": {"b": 1, "a": 1}},
        {"aa": 1, "b": 2},
        {"b": 1, "aa": 2, "ab": 3},
        {"": 1, "a": 2, "b": [], "aa": {}},
    ],
)
def test_disorder_anywhere_is_put_in_order(value):
    assert encode(value) == cbor2.dumps(value, canonical=True)


def test_a_cause_may_be_as_late_as_an_index_can_be():
    assert Cause(position=limits.INT_MAX, id=bytes(32)).position == limits.INT_MAX
    for position in (limits.INT_MAX + 1, -1, True, 1.0):
        with pytest.raises(InvalidEvent):
            Cause(position=position, id=bytes(32))


def test_a_cause_of_no_ledger_is_written_in_one_way():
    assert Cause.from_value([1, bytes(32)]) == Cause(position=1, id=bytes(32))
    with pytest.raises(InvalidEvent, match="null"):
        Cause.from_value([None, 1, bytes(32)])
    for value in ([1], [bytes(32), None, bytes(32)], [bytes(32), 1, None], {}, None, [1] * 4):
        with pytest.raises(InvalidEvent):
            Cause.from_value(value)


@pytest.mark.parametrize("version", [True, 0, 2, None, "1"])
def test_an_envelope_of_another_version_is_none(version):
    fields = cbor2.loads(sealed(DRAFT).record.envelope)
    assert Envelope.parse_again(encode(fields)) == Envelope.parse(encode(fields))
    for parse in (Envelope.parse, Envelope.parse_again):
        with pytest.raises(InvalidEvent, match="version"):
            parse(encode([version, *fields[1:]]))


OTHERS = {
    "type": {"type": "test.other"},
    "stream": {"stream": bytes([1]) * 16},
    "payload": {"payload": {"n": True}},
    "words": {"content": {"text": "other words"}},
    "no words": {"content": None},
    "schema": {"schema": 2},
    "causes": {"causes": (Cause(position=0, id=bytes(32)),)},
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_request_for_something_else_is_told_apart(other):
    fields = {name: getattr(DRAFT, name) for name in DRAFT.__slots__}
    assert same_body(sealed(DRAFT), DRAFT)
    assert not same_body(sealed(DRAFT), Draft(**fields | OTHERS[other]))
    assert not same_body(sealed(Draft(**fields | OTHERS[other])), DRAFT)


@pytest.mark.parametrize("count", [1, 2, 4, 256])
def test_a_power_of_two_of_hashes_has_the_root_of_their_tree(count):
    leaves = [random.Random(number).randbytes(32) for number in range(count)]
    assert perfect_root(leaves) == dumb_merkle.root(leaves)
    assert len(leaves) == count, "what was given stays as it is"
    with pytest.raises(ValueError, match="no power of two"):
        perfect_root([*leaves, *leaves, *leaves])


ENVELOPE = ["version", "type", "schema", "stream", "sequence", "ts_ms", "causes", "key",
            "commitment", "length"]  # fmt: skip
WRONG = {
    "type": [None, b"a.b", "", "ab", "A.b"],
    "schema": [None, True, -1, "1"],
    "stream": [None, bytes(15), bytes(17), "x" * 16],
    "sequence": [None, False, -1],
    "ts_ms": [None, True, -1],
    "causes": [None, {}, [None]],
    "key": [False, bytes(15), bytes(17), "x" * 16],
    "commitment": [None, bytes(31), bytes(33), "x" * 32],
    "length": [None, True, -1, limits.PAYLOAD_BYTES_MAX + 1],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_every_field_of_an_envelope_is_checked_however_it_is_read(name, value):
    """Also by a reader who does not encode it again: nothing else would tell him."""
    array = cbor2.loads(sealed(DRAFT).record.envelope)
    array[ENVELOPE.index(name)] = value
    for parse in (Envelope.parse, Envelope.parse_again):
        with pytest.raises(InvalidEvent):
            parse(encode(array))


def with_payload(payload):
    """A record whose every commitment holds, over bytes that no draft would give."""
    record = sealed(Draft(type="test.fact", stream=bytes(16), payload={"n": 1})).record
    array = cbor2.loads(record.envelope)
    array[-2:] = [payload_commitment(record.salt, payload), len(payload)]
    return record._replace(envelope=encode(array), payload=payload)


@pytest.mark.parametrize("way", [Event.open, Event.open_again])
def test_what_is_no_payload_is_refused_as_one(way):
    assert way(with_payload(b"\xa1\x61n\x01")).payload == {"n": 1}
    with pytest.raises(InvalidEvent, match=r"^payload is not a map$"):
        way(with_payload(b"\x80"))
    with pytest.raises(InvalidEvent, match=r"^payload: "):
        way(with_payload(b"\xa1"))
