import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.core import limits
from mesh.core.relay.policy import WritePolicy
from mesh.core.relay.session import Hangup, Offer, Query, Send
from tests.mesh.peers import (
    ALICE,
    BOB,
    FLEET,
    NOW,
    as_object,
    make,
    new_session,
)


def told(actions):
    """The messages an action list sends, decoded."""
    return [json.loads(action.text) for action in actions if isinstance(action, Send)]


class Client:
    """Feeds a session as a driver would, with queries answered when the test says."""

    def __init__(self, policy=FLEET):
        self.session = new_session(policy)

    def send(self, *message):
        return self.session.receive(json.dumps(message), now=NOW)

    def subscribe(self, name="s", *filters):
        (query,) = self.send("REQ", name, *(filters or ({},)))
        assert isinstance(query, Query)
        return query

    def stored(self, query, *events):
        return told(map(Send, self.session.stored(query, [(e.id, e.to_json()) for e in events])))

    def deliver(self, event):
        return told(map(Send, self.session.deliver(event, event.to_json())))


def test_an_event_of_the_fleet_is_offered():
    event = make()
    (action,) = Client().send("EVENT", as_object(event))
    assert isinstance(action, Offer)
    assert action.event.id == event.id


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (make(BOB), "blocked: this relay keeps events of its own fleet only"),
        (make(at=NOW + 901), "invalid: created_at is 901 s ahead of this relay, at most 900"),
        (make(tags=(("expiration", str(NOW)),)), "invalid: event has expired"),
    ],
    ids=["stranger", "future", "expired"],
)
def test_what_the_policy_refuses_gets_its_ok(event, words):
    ((verb, event_id, accepted, message),) = told(Client().send("EVENT", as_object(event)))
    assert (verb, event_id, accepted) == ("OK", event.id, False)
    assert message.startswith(words)


def test_an_open_policy_takes_anyone():
    (action,) = Client(WritePolicy(authors=None)).send("EVENT", as_object(make(BOB, at=NOW + 900)))
    assert isinstance(action, Offer)


def test_a_malformed_event_with_an_id_gets_its_ok_and_no_strike():
    event = {**as_object(make()), "kind": -1}
    client = Client()
    for _ in range(limits.STRIKES_MAX + 1):
        ((verb, event_id, accepted, message),) = told(client.send("EVENT", event))
        assert (verb, event_id, accepted) == ("OK", event["id"], False)
        assert message.startswith("invalid: ")


def test_stored_events_then_eose_then_live_ones():
    client = Client()
    query = client.subscribe("s", {"kinds": [1]}, {"kinds": [2], "limit": 0})
    assert [one.rows_max for one in query.filters] == [500, 0]
    old, new = make(content="old"), make(content="new")
    assert client.stored(query, old) == [["EVENT", "s", as_object(old)], ["EOSE", "s"]]
    assert client.deliver(new) == [["EVENT", "s", as_object(new)]]
    assert client.deliver(make(kind=3)) == []


def test_events_during_the_query_come_once_and_after_eose():
    client = Client()
    query = client.subscribe()
    both, late = make(content="both"), make(content="late")
    assert client.deliver(both) == client.deliver(late) == []
    got = client.stored(query, both)
    assert [message[0] for message in got] == ["EVENT", "EOSE", "EVENT"]
    assert [got[0][2]["id"], got[2][2]["id"]] == [both.id, late.id]


def test_a_replaced_subscription_drops_the_older_query():
    client = Client()
    first = client.subscribe("s", {"kinds": [1]})
    second = client.subscribe("s", {"kinds": [2]})
    assert client.stored(first, make()) == []
    assert client.stored(second) == [["EOSE", "s"]]
    assert client.deliver(make(kind=1)) == []
    assert client.session.subscriptions == 1


def test_a_closed_subscription_gets_nothing_more():
    client = Client()
    query = client.subscribe()
    assert client.send("CLOSE", "s") == []
    assert client.stored(query, make()) == []
    assert client.deliver(make()) == []
    assert client.session.failed(query, "error: x") == []


def test_a_query_that_failed_ends_its_subscription():
    client = Client()
    query = client.subscribe()
    assert client.session.failed(query, "error: x") == ['["CLOSED","s","error: x"]']
    assert client.session.subscriptions == 0


def test_one_event_comes_once_per_matching_subscription():
    client = Client()
    for name in ("a", "b"):
        client.stored(client.subscribe(name, {}, {"kinds": [1]}))
    assert [message[1] for message in client.deliver(make())] == ["a", "b"]


def test_subscriptions_are_bounded():
    client = Client()
    for number in range(limits.SUBSCRIPTIONS_MAX):
        client.subscribe(str(number))
    ((verb, name, message),) = told(client.send("REQ", "more", {}))
    assert (verb, name) == ("CLOSED", "more")
    assert "at most 32" in message
    client.subscribe("0")  # replacing is not adding
    assert client.session.subscriptions == limits.SUBSCRIPTIONS_MAX


def test_values_of_open_filters_are_bounded(monkeypatch):
    monkeypatch.setattr(limits, "SUBSCRIPTION_VALUES_MAX", 5)
    client = Client()
    client.subscribe("a", {"kinds": [1, 2]}, {"#t": ["x"], "ids": ["0" * 64]})
    ((verb, name, message),) = told(client.send("REQ", "b", {"kinds": [1, 2]}))
    assert (verb, name) == ("CLOSED", "b")
    assert "6 values in the filters of a connection, at most 5" in message
    client.subscribe("a", {"kinds": [1, 2, 3, 5, 6]})  # in place of its own
    client.send("CLOSE", "a")
    client.subscribe("b", {"authors": ["0" * 64]})


def test_live_events_during_a_query_are_bounded(monkeypatch):
    monkeypatch.setattr(limits, "PENDING_EVENTS_MAX", 2)
    client = Client()
    query = client.subscribe()
    assert [client.deliver(make(content=text)) for text in "ab"] == [[], []]
    ((verb, name, message),) = client.deliver(make(content="c"))
    assert (verb, name, message[:6]) == ("CLOSED", "s", "error:")
    assert client.stored(query) == []


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ([], "invalid: 1 to 10 filters allowed"),
        ([{}] * 11, "invalid: 1 to 10 filters allowed"),
        ([{}, {"ids": ["x"]}], "invalid: ids must be"),
        ([[]], "invalid: a filter is an object"),
        ([{"search": "x"}], "unsupported: filter contains unknown elements"),
    ],
    ids=["none", "many", "malformed", "no object", "unknown"],
)
def test_a_bad_req_is_closed(filters, words):
    client = Client()
    ((verb, name, message),) = told(client.send("REQ", "s", *filters))
    assert (verb, name) == ("CLOSED", "s")
    assert message.startswith(words)
    assert client.session.subscriptions == 0


BAD_FRAMES = {
    "nothing": "",
    "not json": "hello",
    "no array": "{}",
    "empty array": "[]",
    "two values": "[1] [2]",
    "no verb": "[1]",
    "unknown verb": '["HELLO","s",{}]',
    "count alone": '["COUNT"]',
    "auth without an id": '["AUTH",{"kind":22242}]',
    "neg id long": '["NEG-CLOSE","' + "x" * 65 + '"]',
    "neg not hex": '["NEG-MSG","s","6g"]',
    "neg odd hex": '["NEG-OPEN","s",{},"616"]',
    "neg number": '["NEG-MSG","s",61]',
    "neg é": '["NEG-MSG","s","é6"]',
    "event alone": '["EVENT"]',
    "two events": '["EVENT",{},{}]',
    "event no object": '["EVENT",1]',
    "event without id": '["EVENT",{"kind":1}]',
    "req alone": '["REQ"]',
    "req id empty": '["REQ","",{}]',
    "req id long": '["REQ","' + "x" * 65 + '",{}]',
    "req id number": '["REQ",1,{}]',
    "close number": '["CLOSE",1]',
    "deep": "[" * 60_000 + "]" * 60_000,
    "deep in an event": '["EVENT",' + '{"a":' * 20_000 + "1" + "}" * 20_000 + "]",
    "huge": '["REQ","s",{"ids":["' + "0" * limits.FRAME_BYTES_MAX + '"]}]',
    "huge number": '["REQ",' + "9" * 100_000 + "]",
    "lone surrogate": '["REQ","\\ud800",{}]',
    "raw surrogate": '["REQ","\ud800",{}]',
    "nan": '["REQ","s",{"limit":NaN}]',
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_frame_that_is_no_message_gets_a_notice(name):
    ((verb, message),) = told(new_session().receive(BAD_FRAMES[name], now=NOW))
    assert verb == "NOTICE"
    assert message.startswith("invalid: ")
    assert len(message) <= limits.NOTICE_CHARS_MAX


def test_too_many_of_them_end_the_new_session():
    session = new_session()
    answers = [session.receive("x", now=NOW) for _ in range(limits.STRIKES_MAX)]
    assert not any(isinstance(action, Hangup) for told in answers[:-1] for action in told)
    assert isinstance(answers[-1][-1], Hangup)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
VERBS = st.sampled_from(
    ["EVENT", "REQ", "CLOSE", "AUTH", "COUNT", "NEG-OPEN", "NEG-MSG", "NEG-CLOSE"]
)


@given(
    st.lists(
        st.text()
        | st.tuples(VERBS, JSON, JSON).map(json.dumps)
        | st.tuples(VERBS, JSON, JSON, JSON).map(json.dumps),
        max_size=30,
    )
)
def test_any_frames_are_answered_within_bounds(frames):
    session = new_session()
    for frame in frames:
        for action in session.receive(frame, now=NOW):
            if isinstance(action, Query):
                assert session.stored(action, [])[-1].startswith('["EOSE"')
            elif isinstance(action, Send):
                assert json.loads(action.text)[0] in {"OK", "CLOSED", "NOTICE", "AUTH", "NEG-ERR"}
    assert session.subscriptions <= limits.SUBSCRIPTIONS_MAX


def test_subscription_names_are_escaped_in_what_we_send():
    client = Client()
    name = '"],\n'
    assert client.stored(client.subscribe(name), make())[0][1] == name


def test_a_session_of_alice_hears_of_bob_too():
    client = Client()
    client.stored(client.subscribe("s", {"authors": [BOB.pubkey]}))
    assert client.deliver(make(ALICE)) == []
    assert len(client.deliver(make(BOB))) == 1
