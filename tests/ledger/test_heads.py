"""Heads at the numbers where they grow, both ways, and what is decoded without a second encoding."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core import limits
from ledger.core.codec import decode, decode_loosely, decode_together, encode, encode_uint
from ledger.core.errors import InvalidCbor

MAX = 1 << 20
SIZES = (0, 1, 23, 24, 25, 255, 256, 257, 65535, 65536)
"""On both sides of where RFC 8949 section 3 takes a longer argument, and this encoder its table."""
EDGES = (0, 24, *(1 << bits for bits in (8, 16, 32, 63)))
NUMBERS = sorted(
    number
    for number in {sign * edge + near for sign in (1, -1) for edge in EDGES for near in (-1, 0, 1)}
    if limits.INT_MIN <= number <= limits.INT_MAX
)

WITH_HEAD = {
    "text": lambda size: "x" * size,
    "text of two bytes a character": lambda size: "é" * (size // 2) + "x" * (size % 2),
    "bytes": bytes,
    "list": lambda size: [None] * size,
    "map": lambda size: {f"{number:05}": number for number in range(size)},
    "map key": lambda size: {"k" * size: size, "k": None},
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", WITH_HEAD)
def test_a_length_at_every_head(kind, size):
    value = WITH_HEAD[kind](size)
    data = encode(value)
    assert data == cbor2.dumps(value, canonical=True)
    assert decode(data, bytes_max=MAX) == value


@pytest.mark.parametrize("number", NUMBERS)
def test_an_integer_at_every_head(number):
    assert encode(number) == cbor2.dumps(number, canonical=True)
    assert decode(encode(number), bytes_max=9) == number
    if number >= 0:
        assert encode_uint(number) == encode(number)


numbers = st.sampled_from(NUMBERS) | st.integers(limits.INT_MIN, limits.INT_MAX)
lengths = st.sampled_from([size for size in SIZES if size < 300])
long_texts = st.builds(str.__mul__, st.sampled_from("aéz天\U0001f600"), lengths)
leaves = st.none() | st.booleans() | numbers | long_texts | st.builds(bytes, lengths)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(long_texts, inner, max_size=4)
        | st.builds(lambda item, size: [item] * size, leaves, lengths)
    ),
    max_leaves=8,
)


@given(values)
def test_long_and_short_in_one_another_have_one_encoding(value):
    """The twin: cbor2's canonical encoder, which nothing here writes with."""
    data = encode(value)
    assert data == cbor2.dumps(value, canonical=True)
    assert decode(data, bytes_max=len(data)) == value


# ---- decoded, and not encoded again ------------------------------------------------------------------


def loosely(data):
    return decode_loosely(data, bytes_max=MAX)


def together(data):
    (value,) = decode_together([data], bytes_max=MAX)
    return value


def nested(depth):
    return b"\x81" * depth + b"\x01"


REFUSED = {
    "a tag": b"\xc0\x60",
    "a tag that cbor2 does not know": b"\xd9\xff\x00\x01",
    "a tag within": b"\x81\xa1\x61a\xd9\xff\x00\x01",
    "an indefinite array": b"\x9f\x01\xff",
    "an indefinite text": b"\x7f\x61a\xff",
    "a key twice": b"\xa2\x61a\x01\x61a\x02",
    "nested beyond any bound": nested(limits.CBOR_DEPTH_MAX + 16),
    "nothing": b"",
}


@pytest.mark.parametrize("decoder", [loosely, together])
@pytest.mark.parametrize("name", REFUSED)
def test_what_no_second_encoding_would_catch_is_refused_at_once(name, decoder):
    with pytest.raises(InvalidCbor):
        decoder(REFUSED[name])


@pytest.mark.parametrize("decoder", [loosely, together])
def test_what_the_profile_may_nest_is_decoded(decoder):
    data = nested(limits.CBOR_DEPTH_MAX)
    assert encode(decoder(data)) == data


@pytest.mark.parametrize("count", SIZES)
def test_as_many_values_as_items_come_together(count):
    items = [encode(number) for number in range(count)]
    assert decode_together(items, bytes_max=5) == list(range(count))


def test_one_item_that_is_too_long_is_refused():
    items = [b"\x01", b"\x62ab", b"\x60"]
    assert decode_together(items, bytes_max=3) == [1, "ab", ""]
    with pytest.raises(InvalidCbor, match="3 bytes, at most 2 allowed"):
        decode_together(items, bytes_max=2)
    assert decode_together([], bytes_max=0) == []
