"""Sessions over a store, in any order of events, subscriptions, proofs and late queries.

The twin keeps every published event in a list and reads the rules aloud: what a subscription must
have been told, in which order, by the end. Queries are answered late, as a busy store does it.
"""

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core.relay.filter import parse_filter
from mesh.core.relay.policy import WritePolicy
from mesh.core.relay.session import Offer, Query
from mesh.relay.sqlite import SqliteEventStore
from mesh.relay.store import MemoryEventStore, Outcome
from tests.mesh.peers import ALICE, BOB, CAROL, NOW, as_object, authenticating, make, new_session

OPEN = WritePolicy(authors=None)
SIGNERS = (ALICE, BOB, CAROL)
NOTES = [
    make(signer, kind=kind, at=NOW + at, tags=tags)
    for signer in (ALICE, BOB)
    for kind in (1, 10002, 20001)
    for at in (0, 1)
    for tags in ((), (("t", "x"),))
]
LETTERS = [
    make(signer, kind=kind, at=NOW + at, tags=(("p", to.pubkey),))
    for signer, to in ((ALICE, BOB), (BOB, ALICE), (CAROL, ALICE))
    for kind in (4, 1059, 21059)
    for at in (0, 1)
]
REQUESTS = [
    make(signer, kind=5, tags=tuple(("e", event.id) for event in (NOTES + LETTERS)[start::3]))
    for signer in (ALICE, BOB)
    for start in range(3)
]
EVENTS = NOTES + LETTERS + REQUESTS
BY_ID = {event.id: event for event in EVENTS}

CLIENTS = st.integers(0, 1)
NAMES = st.sampled_from("ab")
FILTERS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "kinds": st.lists(st.sampled_from([1, 4, 5, 1059, 10002, 20001, 21059]), max_size=3),
            "authors": st.lists(st.sampled_from([ALICE.pubkey, BOB.pubkey]), max_size=2),
            "#p": st.lists(st.sampled_from([ALICE.pubkey, BOB.pubkey]), max_size=2),
            "limit": st.integers(0, 4),
        },
    ),
    min_size=1,
    max_size=2,
) | st.just([{}])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), CLIENTS, st.sampled_from(NOTES)),
        st.tuples(st.just("publish"), CLIENTS, st.sampled_from(LETTERS)),
        st.tuples(st.just("publish"), CLIENTS, st.sampled_from(EVENTS)),
        st.tuples(st.just("subscribe"), CLIENTS, NAMES, FILTERS),
        st.tuples(st.just("close"), CLIENTS, NAMES),
        st.tuples(st.just("prove"), CLIENTS, st.sampled_from(SIGNERS)),
        st.tuples(st.just("answer"), CLIENTS),
        st.tuples(st.just("answer"), CLIENTS),
    ),
    min_size=30,
    max_size=60,
)


def readable(event, keys):
    ends = {event.pubkey} | {tag[1] for tag in event.tags if tag[0] == "p"}
    return event.kind not in {4, 1059, 21059} or bool(ends & keys)


class Client:
    """A session, and what the twin says that it must be told for each subscription."""

    def __init__(self):
        self.session = new_session(OPEN)
        self.keys = set()
        self.asked = []  # queries that the store has not answered yet
        self.open = {}  # name: the filters, and live events that wait for the stored ones
        self.told = []
        self.expected = []

    def send(self, *message):
        return self.session.receive(json.dumps(message), now=NOW)

    def subscribe(self, name, filters):
        self.open.pop(name, None)
        actions = self.send("REQ", name, *filters)
        if not isinstance(actions[-1], Query):
            verb, refused, reason = json.loads(actions[-1].text)
            assert (verb, refused) == ("CLOSED", name)
            asks = {kind for one in filters for kind in one.get("kinds", [])}
            assert asks & {4, 1059, 21059}
            assert reason.startswith("restricted:" if self.keys else "auth-required:")
            return
        self.asked.append(actions[-1])
        parsed = [parse_filter(one) for one in filters]
        self.open[name] = {"filters": parsed, "waiting": [], "query": actions[-1]}

    def hear(self, event):
        self.told += map(json.loads, self.session.deliver(event, event.to_json()))
        if not readable(event, self.keys):
            return
        for name, one in self.open.items():
            if any(each.matches(event) for each in one["filters"]):
                message = ["EVENT", name, as_object(event)]
                waiting = one["waiting"]
                if waiting is None:
                    self.expected.append(message)
                elif message not in waiting:
                    waiting.append(message)

    def answer(self, store, twin):
        if not self.asked:
            return
        query = self.asked.pop(0)
        found = store.query(query.filters, now=NOW, keys=query.keys)
        self.told += map(json.loads, self.session.stored(query, found.rows))
        one = self.open.get(query.subscription)
        if one is None or one["query"] is not query:
            return
        rows = [
            json.loads(text) for _, text in twin.query(query.filters, now=NOW, keys=query.keys).rows
        ]
        had = {row["id"] for row in rows}
        name = query.subscription
        self.expected += [["EVENT", name, row] for row in rows]
        self.expected.append(["EOSE", name])
        self.expected += [live for live in one["waiting"] if live[2]["id"] not in had]
        one["waiting"] = None


def play(steps, store, twin):
    clients = [Client(), Client()]
    for verb, number, *given_step in steps:
        client = clients[number]
        match verb, given_step:
            case "publish", [event]:
                (offer,) = client.send("EVENT", as_object(event))
                assert isinstance(offer, Offer)
                (outcome,) = store.add([event], now=NOW)
                assert twin.add([event], now=NOW) == [outcome]
                if outcome in {Outcome.STORED, Outcome.EPHEMERAL}:
                    for each in clients:
                        each.hear(event)
            case "subscribe", [name, filters]:
                client.subscribe(name, filters)
            case "close", [name]:
                assert client.send("CLOSE", name) == []
                client.open.pop(name, None)
            case "prove", [signer]:
                client.send("AUTH", as_object(authenticating(signer)))
                client.keys.add(signer.pubkey)
            case "answer", []:
                client.answer(store, twin)
    return clients


@given(STEPS)
@settings(max_examples=50, deadline=None)
def test_every_subscription_is_told_what_the_twin_says_and_nothing_else(steps):
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteEventStore(Path(folder) / "relay.db")
        try:
            clients = play(steps, store, MemoryEventStore())
        finally:
            store.close()
    for client in clients:
        assert client.told == client.expected
        for message in client.told:
            if message[0] == "EVENT":
                assert readable(BY_ID[message[2]["id"]], client.keys)
