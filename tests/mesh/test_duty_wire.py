"""Words about planned runs as bytes: they read back, and whatever else there is is refused."""

import dataclasses
import hashlib

import cbor2
import pytest
from coincurve import PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.core import codec
from ledger.core.keys import Signer
from mesh.core.errors import InvalidDuty
from mesh.core.fleet.duty import Ask, Grant, Refusal
from mesh.core.fleet.duty_wire import (
    MESSAGE_BYTES_MAX,
    TIME_S_MAX,
    WHY_CHARS_MAX,
    Begun,
    Signed,
    author,
    body_of,
    read,
    sign,
)

ALICE, BOB = Signer(bytes([1]) * 32), Signer(bytes([2]) * 32)
ids = st.sampled_from([ALICE.public, BOB.public])
anyone = st.binary(min_size=32, max_size=32)
times = st.integers(0, TIME_S_MAX)
runs = st.binary(min_size=16, max_size=32)
manifests = st.sampled_from([b"", b"m" * 32])
printable = st.characters(exclude_categories=("C", "Z"), include_characters=" ")
why = st.text(printable, max_size=WHY_CHARS_MAX)


def asks(members):
    return st.builds(
        Ask, run=runs, planned_s=times, until_s=times, member=members, manifest=manifests
    )


words = st.one_of(
    asks(ids),
    st.builds(Grant, ask=asks(anyone), voter=ids),
    st.builds(Refusal, ask=asks(anyone), voter=ids, why=why, holder=st.none() | anyone),
    st.builds(
        Begun,
        run=runs,
        planned_s=times,
        member=ids,
        manifest=manifests,
        fence=st.binary(min_size=16, max_size=16),
    ),
)
ASK = Ask(run=b"r" * 16, planned_s=1, until_s=2, member=ALICE.public, manifest=b"m" * 32)


def signer_of(word) -> Signer:
    return ALICE if author(word) == ALICE.public else BOB


@given(words)
def test_a_word_reads_back_and_has_one_form(word):
    message = sign(word, signer_of(word))
    signed = read(message)
    assert signed.word == word
    assert signed.to_bytes() == message
    assert len(message) <= MESSAGE_BYTES_MAX


def test_the_form_is_the_one_that_is_written_down():
    """A twin of docs/spec/mesh.md, in another library's CBOR and hashlib."""
    for word, said in (
        (ASK, [1, "ask", ASK.run, 1, 2, ASK.member, ASK.manifest]),
        (Grant(ask=ASK, voter=BOB.public), [1, "grant", [ASK.run, 1, 2, ASK.member, ASK.manifest], BOB.public]),
        (
            Refusal(ask=ASK, voter=BOB.public, why="no", holder=None),
            [1, "refusal", [ASK.run, 1, 2, ASK.member, ASK.manifest], BOB.public, "no", None],
        ),
        (
            Begun(run=ASK.run, planned_s=1, member=ALICE.public, manifest=b"", fence=b"f" * 16),
            [1, "begun", ASK.run, 1, ALICE.public, b"", b"f" * 16],
        ),
    ):  # fmt: skip
        body = cbor2.dumps(said)
        assert body_of(word) == body
        tag = hashlib.sha256(b"timmy/duty/v1").digest()
        digest = hashlib.sha256(tag + tag + body).digest()
        signature = PrivateKey(signer_of(word).secret).sign_schnorr(digest)
        assert read(cbor2.dumps([body, signature])).word == word


@given(words, st.data())
def test_no_bit_can_be_changed(word, data):
    message = bytearray(sign(word, signer_of(word)))
    place = data.draw(st.integers(0, 8 * len(message) - 1))
    message[place // 8] ^= 1 << place % 8
    with pytest.raises(InvalidDuty):
        read(bytes(message))


@given(st.binary(max_size=200))
@example(b"\x82\x40\x40")
@example(bytes(MESSAGE_BYTES_MAX + 1))
def test_bytes_of_anybody_are_refused_by_name(data):
    with pytest.raises(InvalidDuty):
        read(data)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 2**63 - 1)
    | st.text(max_size=4)
    | st.binary(max_size=40)
    | ids
)
shapes = st.recursive(scalars, lambda inner: st.lists(inner, max_size=7), max_leaves=12)


@given(
    st.sampled_from(["ask", "grant", "refusal", "begun", "?"]),
    st.lists(shapes, max_size=6),
    shapes,
)
def test_a_body_of_any_shape_is_refused_by_name(kind, more, version):
    for body in ([1, kind, *more], [version, kind, *more], version):
        with pytest.raises(InvalidDuty):
            read(codec.encode([codec.encode(body), bytes(64)]))


@given(words)
def test_a_word_is_taken_from_its_author_only(word):
    other = BOB if signer_of(word) is ALICE else ALICE
    with pytest.raises(InvalidDuty, match="this key is"):
        sign(word, other)
    signature = read(sign(word, signer_of(word))).signature
    with pytest.raises(InvalidDuty):
        Signed(word=word, signature=bytes(64))
    field = "voter" if isinstance(word, Grant | Refusal) else "member"
    with pytest.raises(InvalidDuty):
        Signed(word=dataclasses.replace(word, **{field: other.public}), signature=signature)


@pytest.mark.parametrize(
    "bad",
    [
        dataclasses.replace(ASK, run=b"short"),
        dataclasses.replace(ASK, manifest=b"m"),
        dataclasses.replace(ASK, planned_s=TIME_S_MAX + 1),
        dataclasses.replace(ASK, until_s=-1),
        Refusal(ask=ASK, voter=ALICE.public, why="two\nlines"),
        Refusal(ask=ASK, voter=ALICE.public, why="x" * (WHY_CHARS_MAX + 1)),
        Begun(run=ASK.run, planned_s=1, member=ALICE.public, manifest=b"", fence=b""),
    ],
)
def test_a_word_out_of_bounds_is_not_signed(bad):
    with pytest.raises(InvalidDuty):
        sign(bad, ALICE)
