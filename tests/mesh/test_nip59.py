"""Gift wraps and direct messages: the NIPs' own examples, both ways with rust-nostr, and forgeries."""

import json
import pathlib
from dataclasses import replace

import nostr_sdk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core import limits, nip17, nip19, nip44
from mesh.core.errors import (
    InvalidEvent,
    InvalidSignature,
    InvalidWrap,
    MeshError,
    TooLong,
    UnsafeToMint,
)
from mesh.core.nip01 import Event, NostrSigner, UnsignedEvent, made_safe, verify
from mesh.core.nip59 import Chance, Rumor, key_of, open_wrap, wrap
from tests.mesh.peers import ALICE, BOB, NOW, make

FOLDER = pathlib.Path(__file__).parents[1] / "vectors/nostr"
NIP17 = json.loads((FOLDER / "nip17.vectors.json").read_text())
NIP59 = json.loads((FOLDER / "nip59.vectors.json").read_text())
SEED = bytes([9]) * 32
EVE = NostrSigner(bytes([3]) * 32)


def chance(name=b"one"):
    return Chance.derived(SEED, name)


def chat(text="hello", *, author=ALICE, to=BOB, **more):
    return nip17.write(author.pubkey, [to.pubkey], text, now=NOW, **more)


def signer(nsec):
    return NostrSigner(nip19.decode(nsec).secret)


# ---- the NIPs' own examples ----------------------------------------------------------------------


def test_the_wraps_in_nip_17():
    sender, receiver = signer(NIP17["sender_nsec"]), signer(NIP17["receiver_nsec"])
    for one, reader in zip(NIP17["wraps"], (receiver, sender), strict=True):
        event = verify(Event.from_object(one))
        for_whom = receiver if one["tags"][0][1] == receiver.pubkey else sender
        message = nip17.read(open_wrap(event, for_whom))
        assert (message.text, message.author) == (NIP17["message"], sender.pubkey)
        assert message.room == {sender.pubkey, receiver.pubkey}
        assert reader.pubkey in message.room


def test_the_wrap_in_nip_59():
    rumor, seal, outer = NIP59["events"]
    author = NostrSigner(bytes.fromhex(NIP59["author_sk"]))
    reader = NostrSigner(bytes.fromhex(NIP59["recipient_sk"]))
    opened = open_wrap(verify(Event.from_object(outer)), reader)
    assert opened.rumor.pubkey == author.pubkey
    assert opened.rumor.content == rumor["content"]
    assert opened.rumor.id == rumor["id"]
    assert opened.wrap_id == outer["id"]
    assert nip17.read(opened) is None  # a kind 1, no chat
    assert verify(Event.from_object(seal)).pubkey == author.pubkey


# ---- both ways with rust-nostr -------------------------------------------------------------------


def sdk_open(event, reader):
    keys = nostr_sdk.Keys.parse(reader.secret.hex())
    gift = nostr_sdk.Event.from_json(event.to_json())
    return nostr_sdk.UnwrappedGift.from_gift_wrap(keys, gift)


@settings(max_examples=15)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=200).map(made_safe))
def test_rust_nostr_opens_our_wraps(text):
    event = wrap(chat(text), ALICE, BOB.pubkey, chance(), now=NOW)
    gift = sdk_open(event, BOB)
    assert gift.sender().to_hex() == ALICE.pubkey
    rumor = json.loads(gift.rumor().as_json())
    assert (rumor["kind"], rumor["content"], rumor["id"]) == (14, text, chat(text).id)
    assert rumor["tags"] == [["p", BOB.pubkey]]


@settings(max_examples=15)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=200).map(made_safe))
def test_we_open_wraps_of_rust_nostr(text):
    keys = nostr_sdk.Keys.parse(BOB.secret.hex())
    to = nostr_sdk.PublicKey.parse(ALICE.pubkey)
    rumor = nostr_sdk.EventBuilder(nostr_sdk.Kind(14), text).tags([nostr_sdk.Tag.public_key(to)])
    gift = nostr_sdk.nip59_make_gift_wrap(keys, to, rumor.finalize_unsigned(keys.public_key()))
    message = nip17.read(open_wrap(verify(Event.from_json(gift.as_json())), ALICE))
    assert (message.text, message.author) == (text, BOB.pubkey)


# ---- what a wrap shows ---------------------------------------------------------------------------


def test_a_wrap_shows_its_receiver_and_a_rough_date_only():
    event = wrap(chat(), ALICE, BOB.pubkey, chance(), now=NOW)
    assert (event.kind, event.tags) == (1059, (("p", BOB.pubkey),))
    assert event.pubkey not in {ALICE.pubkey, BOB.pubkey}
    assert ALICE.pubkey not in event.to_json()
    assert 0 <= NOW - event.created_at <= 2 * 24 * 3600
    opened = open_wrap(event, BOB)
    assert opened.rumor.created_at == NOW
    assert not opened.live


def test_a_live_wrap_is_dated_now_and_ephemeral():
    event = wrap(chat(), ALICE, BOB.pubkey, chance(), now=NOW, live=True, expires=NOW + 60)
    assert (event.kind, event.created_at) == (21059, NOW)
    assert ("expiration", str(NOW + 60)) in event.tags
    assert open_wrap(event, BOB).live


def test_the_same_name_makes_the_same_wrap_and_another_name_another():
    one = wrap(chat(), ALICE, BOB.pubkey, chance(), now=NOW)
    assert one == wrap(chat(), ALICE, BOB.pubkey, chance(), now=NOW)
    other = wrap(chat(), ALICE, BOB.pubkey, chance(b"other"), now=NOW)
    assert (one.id, one.pubkey, one.created_at) != (other.id, other.pubkey, other.created_at)
    assert one.pubkey != other.pubkey
    assert SEED.hex() not in repr(chance())
    assert str(chance().seal_nonce) not in repr(chance())


@given(st.binary(max_size=40))
def test_derived_ages_are_in_bounds(name):
    found = chance(name)
    assert 0 <= found.seal_age_s <= limits.WRAP_AGE_SECONDS_MAX
    assert 0 <= found.wrap_age_s <= limits.WRAP_AGE_SECONDS_MAX
    assert found.seal_nonce != found.wrap_nonce


def test_chance_out_of_bounds():
    with pytest.raises(InvalidWrap, match="age of 172801 s"):
        replace(chance(), wrap_age_s=172_801)
    with pytest.raises(InvalidWrap, match="seed of 3 bytes"):
        Chance.derived(b"abc", b"")


# ---- forgeries -----------------------------------------------------------------------------------


def forged(inner_json, *, sealer=EVE, kind=13, reader=BOB, tags=(), resign=True):
    """A wrap with anything inside, made by Eve."""
    shared = nip44.conversation_key(sealer.secret, reader.pubkey)
    seal = make(
        sealer, kind=kind, tags=tags, content=nip44.encrypt(shared, inner_json, bytes(32))
    ).to_json()
    if not resign:
        seal = seal.replace('"created_at":', '"created_at":1', 1)
    once = NostrSigner(bytes([7]) * 32)
    key = nip44.conversation_key(once.secret, reader.pubkey)
    return make(
        once, kind=1059, tags=(("p", reader.pubkey),), content=nip44.encrypt(key, seal, bytes(32))
    )


def test_nobody_speaks_as_another():
    with pytest.raises(InvalidWrap, match=f"a message of {ALICE.pubkey}, sealed by {EVE.pubkey}"):
        open_wrap(forged(chat(author=ALICE).to_json()), BOB)


def test_a_seal_whose_signature_is_wrong():
    with pytest.raises((InvalidSignature, InvalidEvent)):
        open_wrap(forged(chat(author=EVE).to_json(), resign=False), BOB)


def test_an_event_whose_signature_is_wrong_is_no_wrap_at_all():
    event = wrap(chat(), ALICE, BOB.pubkey, chance(), now=NOW)
    with pytest.raises(InvalidSignature):
        replace(event, content=event.content[:-4] + "AAA=")


def test_what_is_sealed_must_be_a_seal():
    with pytest.raises(InvalidWrap, match="holds a kind 1 event"):
        open_wrap(forged(chat(author=EVE).to_json(), kind=1), BOB)


def test_a_signed_message_is_refused():
    signed = json.loads(chat(author=EVE).to_json()) | {"sig": "0" * 128}
    with pytest.raises(InvalidWrap, match="must not be signed"):
        open_wrap(forged(json.dumps(signed)), BOB)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "0" * 64},
        {"id": None},
        {"content": 1},
        {"tags": [[]]},
        {"pubkey": "x"},
        {"created_at": -1},
        {"kind": 70_000},
        {"content": "\ud800"},
    ],
    ids=str,
)
def test_what_is_no_message(change):
    inner = json.dumps(json.loads(chat(author=EVE).to_json()) | change)
    with pytest.raises(InvalidWrap):
        open_wrap(forged(inner), BOB)


def test_members_nobody_knows_are_passed_over():
    inner = json.dumps(json.loads(chat("hi", author=EVE).to_json()) | {"sig": None, "seen": [1]})
    assert open_wrap(forged(inner), BOB).rumor.content == "hi"


def test_wraps_for_others_and_what_is_no_wrap():
    event = wrap(chat(), ALICE, BOB.pubkey, chance(), now=NOW)
    with pytest.raises(InvalidWrap, match=f"a wrap for {BOB.pubkey}"):
        open_wrap(event, ALICE)
    with pytest.raises(InvalidWrap, match="kind 1 is no gift wrap"):
        open_wrap(make(), ALICE)
    with pytest.raises(InvalidWrap, match="message of"):
        wrap(chat(author=BOB), ALICE, BOB.pubkey, chance(), now=NOW)
    with pytest.raises(MeshError):
        wrap(chat(), ALICE, "f" * 64, chance(), now=NOW)


@given(st.text(max_size=200))
def test_anything_in_a_wrap_is_read_or_refused(inner):
    try:
        text = inner or "x"
        event = forged(made_safe(text))
        assert isinstance(open_wrap(event, BOB).rumor, Rumor)
    except MeshError:
        pass


def test_a_rumor_cannot_be_signed():
    with pytest.raises(AttributeError):
        chat().sig  # noqa: B018 - that there is none is the test
    assert not isinstance(chat(), UnsignedEvent)


# ---- direct messages -----------------------------------------------------------------------------


def test_a_message_goes_to_every_receiver_and_to_its_author():
    rumor = nip17.write(ALICE.pubkey, [BOB.pubkey, EVE.pubkey, BOB.pubkey], "hi", now=NOW)
    assert nip17.readers(rumor) == (BOB.pubkey, EVE.pubkey, ALICE.pubkey)
    found = set()
    for reader in (ALICE, BOB, EVE):
        event = wrap(rumor, ALICE, reader.pubkey, chance(reader.public), now=NOW)
        message = nip17.read(open_wrap(event, reader))
        found.add((message.id, message.text, message.room))
    assert found == {(rumor.id, "hi", frozenset({ALICE.pubkey, BOB.pubkey, EVE.pubkey}))}


def test_answers_and_subjects():
    rumor = chat("yes", answers="ab" * 32, subject="dinner")
    message = nip17.read(open_wrap(wrap(rumor, ALICE, BOB.pubkey, chance(), now=NOW), BOB))
    assert (message.answers, message.subject) == ("ab" * 32, "dinner")


def test_receivers_out_of_bounds():
    many = [bytes([n + 1]).hex() * 32 for n in range(11)]
    for receivers in ([], many):
        with pytest.raises(InvalidWrap, match=f"{len(receivers)} receivers, 1 to 10"):
            nip17.write(ALICE.pubkey, receivers, "x", now=NOW)
    bad = Rumor(pubkey=EVE.pubkey, created_at=NOW, kind=14, tags=(("p", "x"),), content="x")
    with pytest.raises(InvalidWrap, match="receivers must be"):
        nip17.read(open_wrap(forged(bad.to_json()), BOB))


def test_the_largest_message_makes_an_event_that_relays_take():
    text = "x" * limits.SEALED_TEXT_BYTES_MAX
    event = wrap(chat(text, answers="ab" * 32), ALICE, BOB.pubkey, chance(), now=NOW)
    assert len(event.to_json()) < 56 * 1024 < limits.EVENT_BYTES_MAX
    assert nip17.read(open_wrap(event, BOB)).text == text
    with pytest.raises(TooLong, match="28001 bytes as JSON, at most 28000") as caught:
        chat(text + "x")
    assert caught.value.hint == "send them in parts"


def test_one_more_step_of_padding_would_be_too_much():
    rumor = Rumor(pubkey=ALICE.pubkey, created_at=NOW, kind=14, content="x" * 28_500)
    with pytest.raises(TooLong, match=f"at most {limits.RUMOR_BYTES_MAX}"):
        wrap(rumor, ALICE, BOB.pubkey, chance(), now=NOW)
    seal_bytes = 4 * -(-(67 + nip44.padded_bytes(limits.RUMOR_BYTES_MAX + 1)) // 3) + 350
    assert 4 * -(-(67 + nip44.padded_bytes(seal_bytes)) // 3) > limits.EVENT_BYTES_MAX


def test_characters_that_clients_hash_differently_are_not_minted():
    with pytest.raises(UnsafeToMint, match="0x07"):
        wrap(chat("ring \x07"), ALICE, BOB.pubkey, chance(), now=NOW)
    assert made_safe("ring \x07 \ud800 é\n") == "ring � ? é\n"
    with pytest.raises(InvalidWrap, match="lone surrogate"):
        chat("\ud800")


@given(st.text(max_size=600), st.integers(12, 200))
def test_split_words_are_the_same_words(text, bytes_max):
    text = made_safe(text)
    parts = nip17.split(text, bytes_max)
    assert "".join(parts) == text
    assert all(
        part and len(json.dumps(part, ensure_ascii=False).encode()) <= bytes_max + 60
        for part in parts
    )
    for part in parts:
        size = nip17._json_bytes(part)
        assert size <= bytes_max


def test_words_are_cut_where_a_reader_would():
    assert nip17.split("one two three\nfour five", 16) == ["one two three\n", "four five"]
    assert nip17.split("aaaa bbbb cccc dddd", 12) == ["aaaa bbbb ", "cccc dddd"]
    assert nip17.split("x" * 30, 12) == ["x" * 12, "x" * 12, "x" * 6]
    assert nip17.split("", 12) == []


# ---- where a person reads ------------------------------------------------------------------------


def test_inbox_relays():
    urls = ["wss://one.example", "ws://127.0.0.1:7000"]
    event = nip17.mint_inbox(ALICE, urls, now=NOW)
    assert (event.kind, nip17.inbox_relays(event)) == (10050, tuple(urls))
    assert nip17.inbox_relays(make(kind=10002, tags=(("relay", "wss://one.example"),))) == ()


def test_of_a_strange_list_the_usable_relays_count():
    tags = [("relay", url) for url in ("http://x", "wss://", "", "wss://a.example ", "wss://a:0")]
    tags += [
        ("relay",),
        ("r", "wss://no.example"),
        ("relay", "wss://a.example"),
        ("relay", "wss://["),
    ]
    tags += [("relay", f"wss://{n}.example") for n in range(9)] + [("relay", "wss://" + "x" * 300)]
    found = nip17.inbox_relays(make(kind=10050, tags=tuple(tags)))
    assert found == ("wss://a.example", "wss://0.example", "wss://1.example", "wss://2.example")


# ---- the key of a wrap, found again --------------------------------------------------------------


def test_who_has_the_seed_finds_the_key_of_his_wrap_and_of_no_other():
    made = wrap(chat(), ALICE, BOB.pubkey, chance(), now=NOW)
    assert key_of(SEED, made) == chance().key
    assert key_of(bytes(32), made) is None
    others = [
        wrap(chat(), ALICE, BOB.pubkey, Chance.derived(bytes(32), b"one"), now=NOW),
        wrap(chat(), ALICE, BOB.pubkey, chance(), now=NOW, live=True),
        make(ALICE, kind=1059, content="nonsense"),
        make(ALICE, kind=1059, content=made.content),
        make(ALICE, kind=1, content=made.content),
    ]
    assert [key_of(SEED, one) for one in others] == [None] * len(others)
