"""Conversation envelopes: the page's example, one form for each, and what is refused."""

import hashlib
import json
import pathlib
import re

import pytest
from coincurve import PublicKeyXOnly
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core import envelope, limits, nip59
from mesh.core.envelope import Envelope, Message, Report, Task, parse, sign
from mesh.core.errors import InvalidEnvelope
from mesh.core.nip01 import made_safe
from mesh.core.nip59 import Chance, Rumor, open_wrap, wrap
from tests.mesh.peers import ALICE, BOB, NOW

PAGE = (pathlib.Path(__file__).parents[2] / "docs/spec/mesh.md").read_text()
CONVERSATION = "22" * 16
TASK = Task(id="11" * 16, sent_at=NOW, text="look at the gate", to=BOB.pubkey)
SIGNED = sign(TASK, conversation_id=CONVERSATION, signer=ALICE, aux=bytes(32))
IDS = st.binary(min_size=16, max_size=16).map(bytes.hex)
FIELDS = {
    "id": IDS,
    "sent_at": st.integers(0, 2**53 - 1),
    "text": st.text(min_size=1, max_size=300).map(made_safe).filter(str.strip),
    "to": st.binary(min_size=32, max_size=32).map(bytes.hex),
}
PAYLOADS = (
    st.builds(Message, **FIELDS)
    | st.builds(Task, due_at=st.integers(0, 2**53 - 1), **FIELDS)
    | st.builds(Report, outcome=st.sampled_from(["answered", "refused", "failed"]), **FIELDS)
)


def test_the_example_of_the_page():
    [text] = re.findall(r"^    (\{\"conversation_id\":\".*\})$", PAGE, re.MULTILINE)
    assert parse(text) == SIGNED
    assert SIGNED.to_json() == text


def test_the_signature_by_the_words_of_the_page():
    """A second reading of the page, with json and hashlib alone."""
    value = json.loads(SIGNED.to_json())
    signature = bytes.fromhex(value.pop("signature"))
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    tag = hashlib.sha256(b"timmy/envelope/v1").digest()
    digest = hashlib.sha256(tag + tag + text).digest()
    assert PublicKeyXOnly(bytes.fromhex(value["node_id"])).verify(signature, digest)


@settings(max_examples=60)
@given(PAYLOADS, IDS)
def test_what_is_signed_is_read(payload, conversation):
    found = sign(payload, conversation_id=conversation, signer=ALICE)
    text = found.to_json()
    assert parse(text) == found
    assert (
        json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        == text
    )


@given(st.text(max_size=300) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_anything_is_refused(text):
    with pytest.raises(InvalidEnvelope):
        parse(text)


@given(st.data())
def test_a_changed_character_is_noticed(data):
    text = SIGNED.to_json()
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda c: c != text[at]))
    with pytest.raises(InvalidEnvelope):
        parse(text[:at] + other + text[at + 1 :])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"due_at":0,', "", "canonical"),
        ('{"conv', '{ "conv', "canonical"),
        ('"type":"task"', '"type":"task","type":"task"', "canonical"),
        ('"id":"11', '"x":1,"id":"11', "unknown field"),
        ('"type":"task"', '"type":"order"', "order"),
        ('"due_at":0', '"due_at":0.0', "float"),
        ('"due_at":0', '"due_at":-1', "due_at must be"),
        ('"due_at":0', '"due_at":null', "null"),
        ("look at the gate", " ", "blank"),
        ("look at the gate", "\\u0007", "may not"),
        ("look at the gate", "look at the date", "not that of its node"),
        (BOB.pubkey, ALICE.pubkey, "not that of its node"),
        (BOB.pubkey, "x", "to is not"),
        (ALICE.pubkey, BOB.pubkey, "not that of its node"),
        (ALICE.pubkey, "f" * 64, "not that of its node"),
        (ALICE.pubkey, "F" * 64, "lower-case"),
        (CONVERSATION, "2" * 31, "conversation_id is not"),
        ("11" * 16, "11" * 15, "id is not"),
        (SIGNED.signature, "0" * 128, "not that of its node"),
        (SIGNED.signature, "", "lower-case"),
    ],
)
def test_what_is_refused(old, new, words):
    text = SIGNED.to_json()
    assert text.count(old) == 1
    with pytest.raises(InvalidEnvelope, match=words):
        parse(text.replace(old, new))


def test_bounds():
    most = limits.ENVELOPE_TEXT_BYTES_MAX
    at_most = Message(id="11" * 16, sent_at=0, text="é" * (most // 2), to=BOB.pubkey)
    assert parse(sign(at_most, conversation_id=CONVERSATION, signer=ALICE).to_json())
    with pytest.raises(InvalidEnvelope, match=f"text of {most + 1} bytes"):
        Message(id="11" * 16, sent_at=0, text="x" * (most + 1), to=BOB.pubkey)
    quotes = Message(id="11" * 16, sent_at=0, text='"' * most, to=BOB.pubkey)
    with pytest.raises(InvalidEnvelope, match=f"at most {limits.ENVELOPE_BYTES_MAX}"):
        sign(quotes, conversation_id=CONVERSATION, signer=ALICE)
    with pytest.raises(InvalidEnvelope, match="envelope of"):
        parse("x" * limits.ENVELOPE_BYTES_MAX)
    with pytest.raises(InvalidEnvelope, match="conversation_id"):
        sign(TASK, conversation_id="", signer=ALICE)


@pytest.mark.parametrize("character", ["x", '"', "\n", "é", "\\"])
def test_every_envelope_that_is_signed_fits_into_a_wrap(character):
    """The largest of each kind of text, found by halving."""
    low, high, found = 1, limits.ENVELOPE_TEXT_BYTES_MAX, SIGNED
    while low < high:
        middle = (low + high + 1) // 2
        try:
            payload = Task(id="11" * 16, sent_at=NOW, text="x" + character * middle, to=BOB.pubkey)
            found, low = sign(payload, conversation_id=CONVERSATION, signer=ALICE), middle
        except InvalidEnvelope:
            high = middle - 1
    rumor = Rumor(
        pubkey=ALICE.pubkey,
        created_at=NOW,
        kind=envelope.CARRIER_KIND,
        tags=(("p", BOB.pubkey),),
        content=found.to_json(),
    )
    event = wrap(rumor, ALICE, BOB.pubkey, Chance.derived(bytes(32), b"x"), now=NOW)
    assert parse(open_wrap(event, BOB).rumor.content) == found
    assert len(event.to_json()) <= limits.EVENT_BYTES_MAX


def test_an_envelope_is_checked_wherever_it_is_made():
    with pytest.raises(InvalidEnvelope, match="not that of its node"):
        Envelope(
            conversation_id=CONVERSATION,
            node_id=BOB.pubkey,
            payload=TASK,
            signature=SIGNED.signature,
        )


def test_the_numbers_of_the_page():
    numbers = set(map(int, re.findall(r"\b\d{4,6}\b", PAGE)))
    assert {
        limits.NIP44_WRITE_BYTES_MAX,
        limits.NIP44_READ_BYTES_MAX,
        limits.RUMOR_BYTES_MAX,
        limits.SEALED_TEXT_BYTES_MAX,
        limits.ENVELOPE_BYTES_MAX,
        limits.ENVELOPE_TEXT_BYTES_MAX,
        nip59.WRAP_KIND,
        nip59.LIVE_WRAP_KIND,
    } <= numbers
    assert f"kind {envelope.CARRIER_KIND}" in PAGE
    assert envelope.TAG in PAGE
