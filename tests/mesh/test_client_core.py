"""Our side of a relay connection, without one: what is believed, what is a fault, who is let in."""

import json
from contextlib import suppress

import hypothesis.strategies as st
import pytest
from hypothesis import given

from mesh.core import limits
from mesh.core.errors import InvalidMessage
from mesh.core.pool import client_messages as wire
from mesh.core.pool.client import (
    Again,
    Answered,
    Client,
    Ended,
    Fault,
    FaultKind,
    Got,
    Hangup,
    Noticed,
    Reconciled,
    Send,
    Sign,
    Stored,
    auth_event,
)  # fmt: skip
from mesh.core.relay.filter import Filter, parse_filter, to_object
from tests.mesh.peers import ALICE, BOB, NOW, as_object, make

NOTES = Filter(kinds=frozenset({1}), limit=3)


def dump(*items):
    return json.dumps(items)


def told(client, *items):
    return client.receive(dump(*items))


def kinds(actions):
    return [one.kind for one in actions if isinstance(one, Fault)]


@pytest.fixture
def client():
    return Client(can_authenticate=True)


def test_an_event_that_was_asked_for_is_handed_on(client):
    event = make()
    [sent] = client.request("a", [NOTES])
    assert json.loads(sent.text) == ["REQ", "a", {"kinds": [1], "limit": 3}]
    [got] = told(client, "EVENT", "a", as_object(event))
    assert isinstance(got, Got)
    assert (got.event, got.stored, got.name) == (event, True, "a")
    assert told(client, "EOSE", "a") == [Stored(name="a")]
    [live] = told(client, "EVENT", "a", as_object(make(content="later")))
    assert not live.stored


def test_what_the_owner_has_costs_no_signature(client):
    event = as_object(make()) | {"sig": "00" * 64}
    client.request("a", [NOTES], skip={event["id"]}.__contains__)
    assert told(client, "EVENT", "a", event) == [Again(name="a", event_id=event["id"])]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"sig": "00" * 64}, FaultKind.BAD_EVENT),
        ({"content": "other"}, FaultKind.BAD_EVENT),
        ({"pubkey": BOB.pubkey}, FaultKind.BAD_EVENT),
        ({"kind": 2}, FaultKind.UNASKED),
        ({"kind": -1}, FaultKind.BAD_EVENT),
        ({"extra": 1}, FaultKind.BAD_EVENT),
    ],
)
def test_events_that_are_not_what_they_must_be_are_faults(client, change, kind):
    client.request("a", [NOTES])
    [fault] = told(client, "EVENT", "a", as_object(make()) | change)
    assert (type(fault), fault.kind) == (Fault, kind)


def test_what_nobody_asked_for_is_a_fault_unless_it_was_under_way(client):
    event = as_object(make())
    for message in (["EVENT", "x", event], ["EOSE", "x"], ["CLOSED", "x", ""], ["NEG-MSG", "x", "61"],
                    ["OK", event["id"], True, ""], ["NEG-ERR", "x", "closed"]):  # fmt: skip
        assert kinds(told(client, *message)) == [FaultKind.UNASKED]
    client.request("x", [NOTES])
    assert client.close("x") == [Send('["CLOSE","x"]')]
    assert client.close("x") == []
    assert told(client, "EVENT", "x", event) == told(client, "EOSE", "x") == []


def test_too_many_faults_end_the_connection(client):
    for _ in range(limits.STRIKES_MAX - 1):
        assert not any(isinstance(one, Hangup) for one in client.receive("noise"))
    *_, last = client.receive("noise")
    assert isinstance(last, Hangup)


@pytest.mark.parametrize(
    "frame",
    ["", "{}", "[]", "[1]", "[" * 50_000, b"\xff", '["EVENT","a"]', '["OK","x",true]', '["EOSE"]',
     '["EOSE",5]', '["AUTH",1]', '["NEG-MSG","a","xyz"]', '["EOSE","' + "x" * 99 + '"]',
     "x" * (limits.RELAY_FRAME_BYTES_MAX + 1)],
)  # fmt: skip
def test_what_is_no_message_is_a_fault(client, frame):
    assert kinds(client.receive(frame)) == [FaultKind.NO_MESSAGE]


def test_messages_of_a_newer_dialect_are_passed_over(client):
    assert told(client, "HELLO", {"a": 1}) == []
    assert told(client, "NOTICE", "x" * 999) == [Noticed("x" * limits.NOTICE_CHARS_MAX)]


def test_more_stored_events_than_asked_for_end_the_request(client, monkeypatch):
    monkeypatch.setattr(limits, "PENDING_EVENTS_MAX", 2)
    client.request("a", [NOTES])
    for number in range(5):
        assert isinstance(told(client, "EVENT", "a", as_object(make(content=str(number))))[0], Got)
    actions = told(client, "EVENT", "a", as_object(make(content="one too many")))
    assert [type(one) for one in actions] == [Send, Ended, Fault]
    assert kinds(actions) == [FaultKind.FLOOD]
    assert client.requests == 0


def test_requests_are_bounded(client):
    for number in range(limits.REQUESTS_MAX):
        client.request(str(number), [NOTES])
    [ended] = client.request("more", [NOTES])
    assert isinstance(ended, Ended)
    for number in range(limits.REQUESTS_MAX):
        client.close(str(number))
    assert len(client._ended) == limits.CLOSED_NAMES_MAX


def offered(client, *contents):
    events = [make(content=content) for content in contents]
    for event in events:
        client.offer(event.id, event.to_json())
    return [event.id for event in events]


def refused(event_id, message):
    return Answered(event_id=event_id, accepted=False, message=message)


def test_a_refusal_without_a_name_is_that_of_the_one_event_that_waits(client):
    [one] = offered(client, "a")
    assert told(client, "OK", "", False, "invalid: x") == [refused(one, "invalid: x")]
    assert not client.in_flight
    assert kinds(told(client, "OK", "", False, "invalid: x")) == [FaultKind.UNASKED]


def test_refusals_without_names_wait_until_they_can_be_of_no_other_events(client):
    one, two, three = offered(client, "a", "b", "c")
    assert told(client, "OK", "", False, "invalid: first") == []
    assert told(client, "OK", "", False, "invalid: second") == []
    taken = Answered(event_id=two, accepted=True, message="")
    assert told(client, "OK", two, True, "") == [
        taken,
        refused(one, "invalid: first"),
        refused(three, "invalid: second"),
    ]
    [four] = offered(client, "d")
    assert client.in_flight == {four}
    assert told(client, "OK", four, True, "") == [
        Answered(event_id=four, accepted=True, message="")
    ]


def test_nothing_is_taken_without_its_name(client):
    offered(client, "a")
    assert kinds(told(client, "OK", "", True, "")) == [FaultKind.NO_MESSAGE]


def test_a_reconciliation_goes_back_and_forth(client):
    [sent] = client.reconcile("n", NOTES, b"a\x00")
    assert json.loads(sent.text) == ["NEG-OPEN", "n", {"kinds": [1], "limit": 3}, "6100"]
    assert told(client, "NEG-MSG", "n", "61FF") == [Reconciled(name="n", message=b"a\xff")]
    assert client.go_on("n", b"a") == [Send('["NEG-MSG","n","61"]')]
    assert kinds(told(client, "EOSE", "n")) == [FaultKind.UNASKED]
    assert client.close("n") == [Send('["NEG-CLOSE","n"]')]
    assert client.go_on("n", b"a") == []
    client.reconcile("m", NOTES, b"a")
    [ended] = told(client, "NEG-ERR", "m", "blocked: too big")
    assert ended == Ended(name="m", message="blocked: too big")


# ---- authentication ---------------------------------------------------------------------------


def signed(challenge):
    return BOB.sign(auth_event(pubkey=BOB.pubkey, url="wss://r", challenge=challenge, now=NOW))


def test_a_challenge_alone_is_not_answered(client):
    assert told(client, "AUTH", "c") == []


@pytest.mark.parametrize("first", ["challenge", "refusal"])
def test_who_is_let_in_says_everything_again(client, first):
    event = make()
    [offer] = client.offer(event.id, event.to_json())
    [request] = client.request("a", [NOTES])
    if first == "challenge":
        assert told(client, "AUTH", "c") == []
    asked = told(client, "OK", event.id, False, "ERROR: auth-required: who are you")
    asked += told(client, "CLOSED", "a", "auth-required: x")
    if first == "refusal":
        assert asked == []
        asked = told(client, "AUTH", "c")
    assert asked == [Sign("c")]
    answer = signed("c")
    assert client.authenticate(answer) == [Send(f'["AUTH",{answer.to_json()}]')]
    assert told(client, "OK", answer.id, True, "") == [request, offer]
    assert client.authenticated
    assert told(client, "OK", event.id, True, "")[0].accepted
    assert told(client, "CLOSED", "a", "auth-required: still not") == [
        Ended(name="a", message="auth-required: still not")
    ]


def test_who_is_not_let_in_hears_of_it_once(client):
    event = make()
    client.offer(event.id, event.to_json())
    client.request("a", [NOTES])
    told(client, "AUTH", "c")
    told(client, "OK", event.id, False, "auth-required: x")
    told(client, "CLOSED", "a", "auth-required: x")
    answer = signed("c")
    client.authenticate(answer)
    fault, ended, answered = told(client, "OK", answer.id, False, "restricted: not a member")
    assert fault == Fault(kind=FaultKind.AUTH_REFUSED, reason="restricted: not a member")
    assert isinstance(ended, Ended)
    assert answered == Answered(event_id=event.id, accepted=False, message="auth-required: x")
    client.offer(event.id, event.to_json())
    assert isinstance(told(client, "OK", event.id, False, "auth-required: x")[0], Answered)


def test_without_a_signer_the_refusal_is_handed_on():
    client = Client(can_authenticate=False)
    client.request("a", [NOTES])
    told(client, "AUTH", "c")
    assert isinstance(told(client, "CLOSED", "a", "auth-required: x")[0], Ended)


def test_challenges_are_bounded(client):
    assert kinds(told(client, "AUTH", "")) == [FaultKind.CHALLENGES]
    assert kinds(told(client, "AUTH", "x" * 999)) == [FaultKind.CHALLENGES]
    for _ in range(limits.CHALLENGES_MAX):
        last = told(client, "AUTH", "c")
    assert kinds(last) == [FaultKind.CHALLENGES]


def test_the_answer_names_the_relay_that_we_dialled():
    event = signed("c")
    assert (event.kind, event.tags) == (22242, (("relay", "wss://r"), ("challenge", "c")))


# ---- any input --------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
VERBS = st.sampled_from(
    ["EVENT", "OK", "EOSE", "CLOSED", "NOTICE", "AUTH", "NEG-MSG", "NEG-ERR", "?"]
)
NAMES = st.sampled_from(["a", "n", make().id, "61", True, as_object(make())])


@given(st.lists(st.tuples(VERBS, st.lists(NAMES | JSON, max_size=4)), max_size=30))
def test_nothing_a_relay_says_raises_or_grows(messages):
    client = Client(can_authenticate=True)
    client.request("a", [NOTES])
    client.reconcile("n", NOTES, b"a")
    client.offer(make().id, make().to_json())
    for verb, items in messages:
        for action in client.receive(json.dumps([verb, *items])):
            if isinstance(action, Sign):
                client.give_up_auth("no key")
    assert client.requests <= 2
    assert len(client.in_flight) <= 1


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_noise_is_refused_or_read(frame):
    with suppress(InvalidMessage):
        wire.parse_from_relay(frame)


@given(
    st.builds(
        Filter,
        ids=st.none() | st.frozensets(st.just(make().id)),
        authors=st.none() | st.frozensets(st.sampled_from([ALICE.pubkey, BOB.pubkey])),
        kinds=st.none() | st.frozensets(st.integers(0, 65535), max_size=5),
        tags=st.just(()) | st.just((("d", frozenset({"x", "y"})),)),
        since=st.none() | st.integers(0, 2**40),
        until=st.none() | st.integers(0, 2**40),
        limit=st.none() | st.integers(0, 5000),
    )
)
def test_a_filter_is_read_as_it_was_written(one):
    assert parse_filter(json.loads(json.dumps(to_object(one)))) == one


def test_what_nip_67_adds_to_an_eose_is_read():
    assert wire.parse_from_relay('["EOSE","a"]').more is None
    assert wire.parse_from_relay('["EOSE","a",["more"]]').more is True
    assert wire.parse_from_relay('["EOSE","a","finish"]').more is False
