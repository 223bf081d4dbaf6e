"""What gateway and home send each other: one form for each, signed, and what is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core.errors import InvalidEnvelope
from mesh.core.fleet import passing
from mesh.core.fleet.passing import (
    Answer,
    Elsewhere,
    Failed,
    Passed,
    Settled,
    Waiting,
    Withdrawn,
    Words,
    check_fresh,
    conversation_id,
    parse,
    sign,
)
from tests.mesh.peers import ALICE, BOB, NOW

CONVERSATION = conversation_id(b"f" * 32, "letters")
HEX32 = st.binary(min_size=32, max_size=32).map(bytes.hex)
NUMBER = st.integers(0, 2**53 - 1)
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200).filter(str.strip)
NAME = st.text(st.characters(codec="utf-8"), min_size=1, max_size=64).filter(str.isprintable)
EVERY = {"id": HEX32, "sent_at": NUMBER, "to": HEX32}
PAYLOADS = st.one_of(
    st.builds(
        Words, author=NAME, conversation=NAME, known=NUMBER, ledger=HEX32, position=NUMBER,
        taken_at=NUMBER, text=TEXT, watched=st.booleans(), **EVERY,
    ),
    st.builds(Settled, by=HEX32, **EVERY),
    st.builds(
        Answer, event=HEX32, ledger=HEX32, position=NUMBER, root=HEX32, size=NUMBER, text=TEXT,
        **EVERY,
    ),
    st.builds(Waiting, draft=st.text(st.characters(codec="utf-8"), max_size=200), **EVERY),
    st.builds(Elsewhere, home=HEX32, **EVERY),
    st.builds(Withdrawn, **EVERY),
    st.builds(Failed, reason=NAME, **EVERY),
)  # fmt: skip
WAITING = Waiting(draft="", id="11" * 32, sent_at=NOW, to="22" * 32)
SIGNED = sign(WAITING, conversation=CONVERSATION, signer=ALICE)


@settings(max_examples=80)
@given(PAYLOADS)
def test_what_is_signed_is_read(payload):
    found = sign(payload, conversation=CONVERSATION, signer=ALICE)
    assert parse(found.encode()) == found
    assert found.node == bytes.fromhex(ALICE.pubkey)


@settings(max_examples=200)
@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_nothing_but_an_envelope_is_read(data):
    with pytest.raises(InvalidEnvelope):
        parse(data)


@settings(max_examples=60)
@given(st.data())
def test_one_changed_byte_is_no_envelope(data):
    whole = bytearray(SIGNED.encode())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidEnvelope):
        parse(bytes(whole))


def test_a_signature_is_for_one_conversation_one_node_one_payload():
    other = conversation_id(b"f" * 32, "other")
    assert other != conversation_id(b"g" * 32, "other"), "a fleet's conversations are its own"
    for changed in ({"conversation_id": other}, {"node_id": BOB.pubkey}):
        whole = {
            "conversation_id": CONVERSATION, "node_id": ALICE.pubkey, "payload": WAITING,
            "signature": SIGNED.signature,
        }  # fmt: skip
        with pytest.raises(InvalidEnvelope, match="signature"):
            Passed(**whole | changed)


def test_one_form_of_each():
    value = json.loads(SIGNED.encode())
    for text in (json.dumps(value), json.dumps(value, sort_keys=True), ""):
        with pytest.raises(InvalidEnvelope):
            parse(text.encode())
    again = json.dumps(value, sort_keys=True, separators=(",", ":"))
    assert parse(again.encode()) == SIGNED
    with pytest.raises(InvalidEnvelope):
        parse(again.replace('"to"', '"more":1,"to"').encode())


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"id": "11"}, "id is not 64"),
        ({"to": "ZZ" * 32}, "to is not 64"),
        ({"sent_at": -1}, "sent_at must be"),
        ({"text": "  "}, "not blank"),
        ({"text": "x" * (passing.TEXT_BYTES_MAX + 1)}, "text of 1048577 bytes"),
        ({"author": ""}, "author of 0"),
        ({"conversation": "a\nb"}, "conversation of 3"),
        ({"position": 2**53}, "position must be"),
        ({"taken_at": -1}, "taken_at must be"),
    ],
)
def test_bounds(changed, why):
    whole = {
        "id": "11" * 32, "sent_at": NOW, "to": "22" * 32, "author": "ada", "conversation": "main",
        "known": 0, "ledger": "33" * 32, "position": 4, "taken_at": NOW, "text": "words",
        "watched": False,
    }  # fmt: skip
    with pytest.raises(InvalidEnvelope, match=why):
        Words(**whole | changed)


def test_too_large_and_too_old():
    with pytest.raises(InvalidEnvelope, match="at most 4000000"):
        parse(b"x" * (passing.BYTES_MAX + 1))
    check_fresh(WAITING, NOW + passing.SKEW_SECONDS_MAX)
    for off in (1, -1):
        with pytest.raises(InvalidEnvelope, match="3601 s off"):
            check_fresh(WAITING, NOW + off * (passing.SKEW_SECONDS_MAX + 1))
