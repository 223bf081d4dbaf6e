"""What is written by hand for speed is, byte for byte, what cbor2's canonical encoder writes."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core import limits
from ledger.core.codec import decode, encode, encode_uint
from ledger.core.errors import InvalidCbor, InvalidEvent
from ledger.core.event import Cause, Envelope

EDGES = [0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, 2**64 - 1]
uints = st.integers(0, limits.INT_MAX) | st.sampled_from([n for n in EDGES if n <= limits.INT_MAX])
keys = st.text(max_size=5) | st.sampled_from(
    ["", "a", "b", "aa", "é", "z", "zz", "\U0001f600", "ÿ"]
)
scalars = (
    st.none() | st.booleans() | st.integers(limits.INT_MIN, limits.INT_MAX)
    | st.text(max_size=5) | st.binary(max_size=5)
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)
causes = st.builds(
    Cause,
    position=uints,
    id=st.binary(min_size=32, max_size=32),
    ledger=st.none() | st.binary(min_size=32, max_size=32),
)
envelopes = st.builds(
    Envelope.of,
    kind=st.sampled_from(["a.b", "message.received", "x" * 30 + ".y"]),
    schema=uints,
    stream=st.binary(min_size=16, max_size=16),
    stream_sequence=uints,
    ts_ms=uints,
    causes=st.lists(causes, max_size=3).map(tuple),
    idempotency_key=st.none() | st.binary(min_size=16, max_size=16),
    payload_commitment=st.binary(min_size=32, max_size=32),
    payload_length=st.integers(0, limits.PAYLOAD_BYTES_MAX),
)


@pytest.mark.parametrize("number", EDGES)
def test_unsigned_integers_at_every_head(number):
    assert encode_uint(number) == cbor2.dumps(number)


def test_what_no_head_holds_is_refused():
    with pytest.raises(InvalidCbor, match="out of range"):
        encode_uint(2**64)


@given(values)
def test_a_map_in_any_order_has_one_encoding(value):
    assert encode(value) == cbor2.dumps(value, canonical=True)
    assert decode(encode(value), bytes_max=1 << 20) == value


@given(st.dictionaries(keys, scalars, min_size=2, max_size=5), st.randoms())
def test_only_the_right_order_is_decoded(entries, random):
    names = list(entries)
    random.shuffle(names)
    shuffled = {name: entries[name] for name in names}
    data = cbor2.dumps(shuffled)
    if data == cbor2.dumps(entries, canonical=True):
        assert decode(data, bytes_max=1 << 20) == entries
    else:
        with pytest.raises(InvalidCbor, match="not the deterministic encoding"):
            decode(data, bytes_max=1 << 20)


@given(envelopes)
def test_an_envelope_is_the_array_that_the_spec_says(envelope):
    array = [
        1, envelope.type, envelope.schema, envelope.stream, envelope.stream_sequence,
        envelope.ts_ms, [cause.to_value() for cause in envelope.causes],
        envelope.idempotency_key, envelope.payload_commitment, envelope.payload_length,
    ]  # fmt: skip
    assert envelope.encoded == cbor2.dumps(array, canonical=True)
    parsed = Envelope.parse(envelope.encoded)
    assert parsed == envelope == Envelope.parse_again(envelope.encoded)
    assert parsed.id == envelope.id


@given(envelopes, st.data())
def test_every_other_encoding_of_an_envelope_is_refused(envelope, data):
    """A longer head for any of its items, indefinite lengths, a trailing byte."""
    good = envelope.encoded
    at = data.draw(st.integers(0, len(good) - 1))
    forms = [
        good[:1] + b"\x18\x01" + good[2:],
        b"\x98\x0a" + good[1:],
        b"\x9f" + good[1:] + b"\xff",
        good + b"\x00",
        good[:at] + bytes([good[at] ^ 1 << data.draw(st.integers(0, 7))]) + good[at + 1 :],
    ]
    for form in forms:
        try:
            found = Envelope.parse(form)
        except InvalidEvent:
            continue
        assert found.encoded == form == cbor2.dumps(cbor2.loads(form), canonical=True)
        assert found != envelope
