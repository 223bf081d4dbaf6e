import csv
import dataclasses
import json
import pathlib

import nostr_sdk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core import limits, nip01
from mesh.core.errors import InvalidEvent, InvalidSignature, UnsafeToMint
from mesh.core.nip01 import Event, NostrSigner, UnsignedEvent, VerifiedEvent, verify
from tests.mesh.peers import ALICE, BOB, NOW, as_object, make

VECTORS = pathlib.Path(__file__).parents[1] / "vectors/nostr/bip340-test-vectors.csv"


def bip340():
    with VECTORS.open(newline="") as file:
        return [row for row in csv.DictReader(file) if len(row["message"]) == 64]


@pytest.mark.parametrize("row", bip340(), ids=lambda row: f"{row['index']} {row['comment']}")
def test_signatures_follow_bip340(row):
    holds = nip01._signature_holds(
        row["public key"].lower(), row["signature"].lower(), bytes.fromhex(row["message"])
    )
    assert holds is (row["verification result"] == "TRUE")


def test_the_vectors_are_all_there():
    results = [row["verification result"] for row in bip340()]
    assert (results.count("TRUE"), results.count("FALSE")) == (5, 10)


# Everything JSON.stringify writes verbatim or by a short escape; other characters split relays.
MINTABLE = st.text(
    st.characters(codec="utf-8").filter(lambda char: not nip01._UNSAFE.search(char)), max_size=40
)


@given(
    content=MINTABLE,
    tags=st.lists(st.lists(MINTABLE, min_size=1, max_size=3).map(tuple), max_size=3).map(tuple),
    kind=st.integers(0, 65535),
)
@settings(max_examples=60)
def test_rust_nostr_agrees_on_what_we_sign(content, tags, kind):
    event = make(kind=kind, tags=tags, content=content)
    theirs = nostr_sdk.Event.from_json(event.to_json())
    assert theirs.verify()
    assert theirs.id().to_hex() == event.id


@given(content=st.text(st.characters(codec="utf-8"), max_size=60))
@settings(max_examples=100)
def test_we_agree_with_what_rust_nostr_signs(content):
    keys = nostr_sdk.Keys.parse(ALICE.secret.hex())
    theirs = nostr_sdk.EventBuilder(nostr_sdk.Kind(1), content).finalize(keys)
    event = verify(Event.from_json(theirs.as_json()))
    assert (event.id, event.content) == (theirs.id().to_hex(), content)


def test_control_characters_are_escaped_as_json_stringify_does():
    text = "".join(map(chr, range(0x20))) + '\x7f"\\/\u2028é😀'
    event = UnsignedEvent(pubkey=ALICE.pubkey, created_at=0, kind=1, content=text)
    escaped = event.serialize().decode().split(",[],", 1)[1][:-1]
    assert escaped == json.dumps(text, ensure_ascii=False)
    assert "\\u001f" in escaped
    assert "\\b\\t\\n\\u000b\\f\\r" in escaped


def test_json_roundtrip_and_size_are_exact():
    event = make(tags=(("e", "é"), ("x",)), content='"\n')
    assert Event.from_json(event.to_json()).to_json() == event.to_json()
    size = len(event.serialize()) + nip01._JSON_OVERHEAD_BYTES
    assert size == len(event.to_json().encode())


def test_verified_cannot_be_had_without_checking():
    fields = {f.name: getattr(make(content="a"), f.name) for f in dataclasses.fields(VerifiedEvent)}
    with pytest.raises(InvalidSignature, match="id is not that"):
        VerifiedEvent(**{**fields, "content": "b"})
    with pytest.raises(InvalidSignature, match="id is not that"):
        dataclasses.replace(make(content="a"), content="b")


def test_verify_names_what_is_wrong():
    event = Event.from_json(make(content="a").to_json())
    other = make(content="b")
    with pytest.raises(InvalidSignature, match="id is not that"):
        verify(dataclasses.replace(event, id=other.id))
    with pytest.raises(InvalidSignature, match="signature is not"):
        verify(dataclasses.replace(event, sig=other.sig))
    off_curve = UnsignedEvent(pubkey="f" * 64, created_at=0, kind=1)
    fields = {"pubkey": "f" * 64, "created_at": 0, "kind": 1, "sig": "0" * 128}
    with pytest.raises(InvalidSignature, match="signature is not"):
        verify(Event(id=off_curve.digest().hex(), **fields))


@pytest.mark.parametrize(
    "change",
    [
        {"pubkey": ALICE.pubkey.upper()},
        {"pubkey": ALICE.pubkey[:-1]},
        {"pubkey": None},
        {"id": "g" * 64},
        {"sig": "0" * 127},
        {"created_at": -1},
        {"created_at": 2**53},
        {"created_at": 1.5},
        {"created_at": "1"},
        {"created_at": True},
        {"kind": -1},
        {"kind": 65536},
        {"kind": 10**30},
        {"tags": None},
        {"tags": [[]]},
        {"tags": ["a"]},
        {"tags": [[1]]},
        {"tags": [[None]]},
        {"tags": [["t", "x" * 1025]]},
        {"tags": [["a"]] * 2001},
        {"content": 1},
        {"content": None},
        {"content": "x" * 65536},
        {"extra": 1},
    ],
    ids=lambda change: str(change)[:40],
)
def test_malformed_events_are_refused(change):
    with pytest.raises(InvalidEvent):
        Event.from_object({**as_object(make()), **change})


@pytest.mark.parametrize("name", ["id", "pubkey", "created_at", "kind", "tags", "content", "sig"])
def test_no_member_may_be_missing(name):
    value = as_object(make())
    del value[name]
    with pytest.raises(InvalidEvent):
        Event.from_object(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"id":"\\ud800"}',
        b'{"id":"\xff"}',
        "[" * 60_000,
        '{"kind":' + "1" * 60_000 + "}",
        make().to_json() + "x",
        " " * limits.EVENT_BYTES_MAX + make().to_json(),
        "\ud800",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_what_is_no_json_event_is_refused(text):
    with pytest.raises(InvalidEvent):
        Event.from_json(text)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_input_is_an_event_or_invalid(data):
    with pytest.raises(InvalidEvent):
        Event.from_json(data)


@pytest.mark.parametrize("char", ["\x00", "\x07", "\x0b", "\x1f", "\x7f"])
def test_the_signer_refuses_what_relays_hash_differently(char):
    with pytest.raises(UnsafeToMint, match=f"0x{ord(char):02x}"):
        make(content=f"a{char}")
    with pytest.raises(UnsafeToMint):
        make(tags=(("t", char),))


def test_the_signer_signs_only_its_own_events():
    event = UnsignedEvent(pubkey=BOB.pubkey, created_at=NOW, kind=1)
    with pytest.raises(InvalidEvent, match="this key is"):
        ALICE.sign(event)


def test_events_too_large_for_relays_are_not_minted():
    make(content="é" * 32_000)
    with pytest.raises(InvalidEvent, match="at most 65536"):
        make(content="é" * 33_000)


def test_a_lone_surrogate_is_refused():
    with pytest.raises(InvalidEvent, match="surrogate"):
        make(content="\ud800")


@pytest.mark.parametrize("secret", [b"", bytes(32), b"\xff" * 32, bytes(31), "a" * 32])
def test_impossible_secrets_are_refused_without_being_shown(secret):
    with pytest.raises(InvalidEvent) as caught:
        NostrSigner(secret)
    assert caught.value.__cause__ is None


def test_the_secret_is_not_in_the_repr():
    assert ALICE.secret.hex() not in repr(ALICE)
    assert repr(ALICE.secret) not in repr(ALICE)
    assert ALICE.public.hex() == ALICE.pubkey
