"""NIP-42: whose key, for which relay, by which name; and NIP-70 and direct messages behind it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.core import limits
from mesh.core.relay import privacy
from mesh.core.relay.auth import Authentication, names_at, relay_name
from mesh.core.relay.filter import parse_filter
from mesh.core.relay.policy import WritePolicy
from mesh.core.relay.session import Hangup, Offer, Query, Send
from tests.mesh.peers import (
    ALICE,
    BOB,
    CAROL,
    CHALLENGE,
    FLEET,
    NOW,
    URL,
    as_object,
    authenticating,
    make,
    new_session,
)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("ws://relay.example", "ws://relay.example:80"),
        ("WSS://Relay.Example/", "wss://relay.example:443"),
        ("wss://relay.example:443//", "wss://relay.example:443"),
        ("wss://relay.example./nostr/", "wss://relay.example:443/nostr"),
        ("wss://user:pw@relay.example/?a=b#c", "wss://relay.example:443"),
        ("ws://[0:0::1]:8787/", "ws://::1:8787"),
        ("ws://[::ffff:127.0.0.1]:8787", "ws://127.0.0.1:8787"),
        (" ws://127.0.0.1:8787 ", "ws://127.0.0.1:8787"),
    ],
)
def test_one_way_to_write_an_address(url, name):
    assert relay_name(url) == name


@pytest.mark.parametrize(
    "url",
    ["", "relay.example", "https://relay.example", "ws://", "ws://x:99999", "ws://[::1", "ws:x"],
)
def test_what_is_no_address_has_no_name(url):
    assert relay_name(url) is None


@given(st.text() | st.text().map("ws://{}".format))
def test_any_text_is_an_address_or_none(text):
    name = relay_name(text)
    assert name is None or name.startswith(("ws://", "wss://"))


def test_the_address_that_was_dialled_is_a_name():
    assert names_at("192.0.2.7", 8787) == {"ws://192.0.2.7:8787"}
    assert names_at("127.0.0.1", 8787) == {"ws://127.0.0.1:8787", "ws://localhost:8787"}
    assert names_at("::1", 80, "/r") == {"ws://::1:80/r", "ws://localhost:80/r"}
    assert names_at("::ffff:10.0.0.1", 80) == {"ws://10.0.0.1:80"}
    assert names_at("::ffff:127.0.0.1", 80) == names_at("127.0.0.1", 80)
    assert names_at("fe80::1%eth0", 80) == {"ws://fe80::1%eth0:80"}
    assert names_at("", 80) == names_at("[", 80) == frozenset()


def accepted(event, *, now=NOW, names=frozenset({URL})):
    auth = Authentication(CHALLENGE, names)
    complaint = auth.accept(event, now=now)
    assert (complaint is None) is (auth.keys == {event.pubkey})
    return complaint


def test_a_key_is_proved_by_signing_the_challenge_for_this_relay():
    assert accepted(authenticating(ALICE)) is None
    assert accepted(authenticating(ALICE, url=URL + "/")) is None
    for shift in (-limits.AUTH_SECONDS_MAX, limits.AUTH_SECONDS_MAX):
        assert accepted(authenticating(ALICE, at=NOW + shift)) is None


def forged(event):
    return type(event).__base__(**{**as_object(event), "tags": event.tags, "sig": make().sig})


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (authenticating(ALICE, challenge="d" * 32), "not the challenge"),
        (authenticating(ALICE, challenge=""), "not the challenge"),
        (authenticating(ALICE, url="wss://evil.example"), "signed for another relay"),
        (authenticating(ALICE, url="not an address"), "signed for another relay"),
        (authenticating(ALICE, at=NOW - 601), "601 s from this relay's, at most 600"),
        (authenticating(ALICE, at=NOW + 601), "601 s from this relay's, at most 600"),
        (authenticating(ALICE, kind=1), "kind 1, expected 22242"),
        (make(kind=22242), "not the challenge"),
        (forged(authenticating(ALICE)), "signature is not the author's"),
    ],
    ids=["challenge", "empty", "relay", "no relay", "old", "ahead", "kind", "no tags", "forged"],
)
def test_anything_else_proves_nothing(event, words):
    assert words in accepted(event)


def test_a_relay_without_a_name_accepts_nobody():
    assert "another relay" in accepted(authenticating(ALICE), names=frozenset())


def test_keys_of_one_connection_are_bounded(monkeypatch):
    monkeypatch.setattr(limits, "AUTH_KEYS_MAX", 2)
    auth = Authentication(CHALLENGE, frozenset({URL}))
    assert auth.accept(authenticating(ALICE), now=NOW) is None
    assert auth.accept(authenticating(BOB), now=NOW) is None
    assert "at most 2 keys" in auth.accept(authenticating(CAROL), now=NOW)
    assert auth.accept(authenticating(BOB, at=NOW + 1), now=NOW) is None
    assert auth.keys == {ALICE.pubkey, BOB.pubkey}


class Client:
    """A session driven by hand: what it sends back, decoded."""

    def __init__(self, policy=FLEET):
        self.session = new_session(policy)

    def send(self, *message):
        actions = self.session.receive(json.dumps(message), now=NOW)
        told = [action.text for action in actions if isinstance(action, Send)]
        return [json.loads(text) for text in told] or actions

    def prove(self, signer):
        event = authenticating(signer)
        assert self.send("AUTH", as_object(event)) == [["OK", event.id, True, ""]]

    def heard(self, event):
        return [json.loads(text) for text in self.session.deliver(event, event.to_json())]


WRAP = make(CAROL, kind=1059, tags=(("p", ALICE.pubkey),))
LIVE_WRAP = make(CAROL, kind=21059, tags=(("p", ALICE.pubkey),))
DIRECT = make(ALICE, kind=4, tags=(("p", BOB.pubkey),))


def test_the_challenge_comes_once_before_the_refusal_that_asks_for_it():
    client = Client()
    wanted = {"kinds": [1059], "#p": [ALICE.pubkey]}
    refusal = [
        "CLOSED",
        "s",
        "auth-required: direct messages are for those who wrote or receive them",
    ]
    assert client.send("REQ", "s", wanted) == [["AUTH", CHALLENGE], refusal]
    assert client.send("REQ", "s", wanted) == [refusal]
    client.prove(ALICE)
    (query,) = client.send("REQ", "s", wanted)
    assert isinstance(query, Query)
    assert query.keys == {ALICE.pubkey}


def test_direct_messages_of_others_are_restricted():
    client = Client()
    client.prove(BOB)
    for wanted in (
        {"kinds": [1059], "#p": [ALICE.pubkey]},
        {"kinds": [1059, 21059], "authors": [BOB.pubkey], "#p": [ALICE.pubkey]},
        {"kinds": [4], "authors": [ALICE.pubkey], "#p": [CAROL.pubkey]},
    ):
        ((verb, _, text),) = client.send("REQ", "s", wanted)
        assert (verb, text[:11]) == ("CLOSED", "restricted:")
    for wanted in (
        {"kinds": [4], "authors": [ALICE.pubkey]},
        {"kinds": [4], "#p": [ALICE.pubkey], "authors": [BOB.pubkey]},
        {"kinds": [1059, 1], "#p": [ALICE.pubkey]},
        {"kinds": [1059]},
        {},
    ):
        (query,) = client.send("REQ", "s", wanted)
        assert isinstance(query, Query)


def test_live_direct_messages_go_to_their_ends_only():
    stranger, receiver, sender = Client(), Client(), Client()
    receiver.prove(ALICE)
    sender.prove(CAROL)
    for client in (stranger, receiver, sender):
        (query,) = client.send("REQ", "s", {})
        client.session.stored(query, [])
    for event in (WRAP, LIVE_WRAP):
        assert stranger.heard(event) == []
        assert receiver.heard(event) == [["EVENT", "s", as_object(event)]]
        assert sender.heard(event) == [["EVENT", "s", as_object(event)]]
    assert (sender.heard(DIRECT), len(receiver.heard(DIRECT))) == ([], 1)
    assert len(stranger.heard(make())) == 1
    stranger.prove(BOB)  # a subscription that is open hears more from then on
    assert len(stranger.heard(DIRECT)) == 1


@given(
    st.sampled_from([WRAP, LIVE_WRAP, DIRECT, make(), make(BOB, kind=1059)]),
    st.sets(st.sampled_from([ALICE, BOB, CAROL])),
)
def test_who_may_read_agrees_with_the_dumb_twin(event, signers):
    ends = {event.pubkey} | {tag[1] for tag in event.tags if tag[0] == "p"}
    keys = frozenset(signer.pubkey for signer in signers)
    assert privacy.may_read(event, keys) is (
        event.kind not in {4, 1059, 21059} or bool(ends & keys)
    )


@given(
    st.sampled_from([WRAP, LIVE_WRAP, DIRECT]),
    st.sets(st.sampled_from([ALICE.pubkey, BOB.pubkey, CAROL.pubkey])),
    st.sets(st.sampled_from([ALICE.pubkey, BOB.pubkey]), min_size=1) | st.none(),
    st.sets(st.sampled_from([ALICE.pubkey, CAROL.pubkey]), min_size=1) | st.none(),
)
def test_a_filter_that_would_find_something_to_read_is_never_refused(event, keys, to, authors):
    given_filter = {"kinds": [event.kind]}
    if to is not None:
        given_filter["#p"] = sorted(to)
    if authors is not None:
        given_filter["authors"] = sorted(authors)
    one = parse_filter(given_filter)
    finds = one.matches(event) and privacy.may_read(event, frozenset(keys))
    as_wrap_author = event.kind in privacy.GIFT_WRAPS and event.pubkey in keys
    if finds and not as_wrap_author:
        assert privacy.refusal([one], frozenset(keys)) is None


def test_a_protected_event_is_taken_from_its_author_only():
    event = make(tags=(("-",),))
    client = Client()
    challenge, (verb, event_id, accepted, text) = client.send("EVENT", as_object(event))
    assert challenge == ["AUTH", CHALLENGE]
    assert (verb, event_id, accepted, text[:14]) == ("OK", event.id, False, "auth-required:")
    client.prove(BOB)
    ((_, _, accepted, text),) = client.send("EVENT", as_object(event))
    assert (accepted, text[:11]) == (False, "restricted:")
    client.prove(ALICE)
    (action,) = client.send("EVENT", as_object(event))
    assert isinstance(action, Offer)


def test_a_gift_wrap_to_the_fleet_is_brought_by_the_fleet():
    policy = WritePolicy(authors=frozenset({ALICE.pubkey, BOB.pubkey}))
    client = Client(policy)
    challenge, (_, _, accepted, text) = client.send("EVENT", as_object(WRAP))
    assert challenge == ["AUTH", CHALLENGE]
    assert (accepted, text[:14]) == (False, "auth-required:")
    client.prove(CAROL)
    ((_, _, accepted, text),) = client.send("EVENT", as_object(WRAP))
    assert (accepted, text[:8]) == (False, "blocked:")
    client.prove(BOB)
    assert isinstance(client.send("EVENT", as_object(WRAP))[0], Offer)
    to_a_stranger = make(CAROL, kind=1059, tags=(("p", CAROL.pubkey),))
    ((_, _, accepted, text),) = client.send("EVENT", as_object(to_a_stranger))
    assert (accepted, text[:8]) == (False, "blocked:")


def test_an_authentication_event_is_never_taken_for_keeping():
    event = authenticating(ALICE)
    ((_, _, accepted, text),) = Client().send("EVENT", as_object(event))
    assert (accepted, text[:8]) == (False, "invalid:")


def test_false_proofs_end_the_session():
    client = Client()
    bad = as_object(authenticating(ALICE, challenge="x"))
    for _ in range(limits.STRIKES_MAX - 1):
        ((verb, _, accepted, _),) = client.send("AUTH", bad)
        assert (verb, accepted) == ("OK", False)
    actions = client.session.receive(json.dumps(["AUTH", bad]), now=NOW)
    assert isinstance(actions[-1], Hangup)
    ((verb, _),) = Client().send("AUTH", "challenge")
    assert verb == "NOTICE"
    ((verb, _, accepted, _),) = Client().send("AUTH", {**bad, "kind": -1})
    assert (verb, accepted) == ("OK", False)
