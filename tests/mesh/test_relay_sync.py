"""COUNT (NIP-45), the hint of EOSE (NIP-67) and NEG (NIP-77) over real sockets, and rust-nostr."""

import asyncio
import json
from datetime import timedelta

import nostr_sdk
import pytest

from mesh.core import limits
from mesh.core.errors import StoreError, TooMuchToRead
from mesh.core.negentropy import IdSet, Initiator
from mesh.core.relay import messages
from mesh.core.relay.policy import WritePolicy
from mesh.relay.sqlite import SqliteEventStore
from mesh.relay.store import MemoryEventStore
from tests.mesh.peers import ALICE, BOB, CAROL, NOW, as_object, make, serving
from tests.mesh.wire import client, rust_client

OPEN = WritePolicy(authors=None)
EVENTS = [make(at=NOW + at // 3, content=str(at), kind=1 + at % 2) for at in range(200)]
WRAP = make(CAROL, kind=1059, tags=(("p", ALICE.pubkey),), at=NOW - 1)


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    found = MemoryEventStore() if request.param == "memory" else SqliteEventStore(tmp_path / "r.db")
    found.add([*EVENTS, WRAP], now=NOW)
    return found


def item(event):
    return event.created_at, bytes.fromhex(event.id)


async def reconcile(wire, ours, name="n", **wanted):
    """Run an initiator over a connection; return what it learnt, or the refusal."""
    asking = Initiator(IdSet(map(item, ours)), frame_bytes_max=4096)
    await wire.send("NEG-OPEN", name, wanted, asking.open().hex())
    while True:
        verb, said_name, said = await wire.receive()
        assert said_name == name
        if verb == "NEG-ERR":
            return said
        assert verb == "NEG-MSG"
        message = asking.receive(bytes.fromhex(said))
        if message is None:
            return asking.have, asking.need
        await wire.send("NEG-MSG", name, message.hex())


def ids(events):
    return {bytes.fromhex(event.id) for event in events}


async def test_reconciliation_finds_what_each_side_lacks(store):
    async with serving(store) as (_, url), client(url) as wire:
        extra = [make(BOB, content=str(n)) for n in range(40)]
        have, need = await reconcile(wire, EVENTS[30:150] + extra)
        assert (have, need) == (ids(extra), ids(EVENTS[:30] + EVENTS[150:]))
        ones = [event for event in EVENTS if event.kind == 1]
        assert await reconcile(wire, [], kinds=[1]) == (set(), ids(ones))
        assert await reconcile(wire, ones, kinds=[1]) == (set(), set())


async def test_names_of_reconciliations_are_apart_from_those_of_subscriptions(store):
    async with serving(store) as (_, url), client(url) as wire:
        await wire.send("REQ", "n", {"kinds": [7]})
        assert await wire.receive() == ["EOSE", "n", ["finish"]]
        assert await reconcile(wire, EVENTS) == (set(), set())
        await wire.send("NEG-CLOSE", "n")
        await wire.send("NEG-MSG", "n", "61")
        verb, name, reason = await wire.receive()
        assert (verb, name, reason[:7]) == ("NEG-ERR", "n", "closed:")


async def test_private_ids_are_told_to_their_ends_only(store):
    async with serving(store) as (_, url), client(url) as wire:
        assert await reconcile(wire, EVENTS) == (set(), set())
        await wire.send("NEG-OPEN", "n", {"kinds": [1059]}, "61")
        (verb, challenge), refusal = await wire.receive(), await wire.receive()
        assert verb == "AUTH"
        assert refusal[:2] == ["NEG-ERR", "n"]
        assert refusal[2].startswith("auth-required:")
        await wire.send("COUNT", "c", {"kinds": [1059]})
        assert (await wire.receive())[2].startswith("auth-required:")
        await wire.send("COUNT", "c", {"ids": [WRAP.id]})
        assert await wire.receive() == ["COUNT", "c", {"count": 0}]
        await wire.prove(ALICE, url, challenge)
        assert await reconcile(wire, EVENTS) == (set(), ids([WRAP]))
        await wire.send("COUNT", "c", {"kinds": [1059]}, {"kinds": [1]})
        assert await wire.receive() == ["COUNT", "c", {"count": 101}]


async def test_counts_over_the_wire(store, monkeypatch):
    async with serving(store) as (_, url), client(url) as wire:
        await wire.send("COUNT", "c", {"limit": 1}, {"kinds": [1]})
        assert await wire.receive() == ["COUNT", "c", {"count": 200}]
        await wire.send("COUNT", "c", {"search": "x"})
        assert (await wire.receive())[2].startswith("unsupported:")
        await wire.send("COUNT", "c")
        assert (await wire.receive())[2].startswith("invalid:")


def test_a_count_at_its_bound_is_approximate():
    assert json.loads(messages.count("c", limits.COUNT_MAX - 1))[2] == {
        "count": limits.COUNT_MAX - 1
    }
    assert json.loads(messages.count("c", limits.COUNT_MAX))[2]["approximate"] is True


async def test_eose_says_whether_there_is_more(store):
    async with serving(store) as (_, url), client(url) as wire:
        for wanted, hint in (({"limit": 199}, "more"), ({"limit": 200}, "finish")):
            await wire.send("REQ", "s", wanted)
            assert (await wire.until("EOSE"))[-1] == ["EOSE", "s", [hint]]


REFUSED = {
    "unknown field": ([{"search": "x"}, "61"], "unsupported:"),
    "bad filter": ([{"kinds": ["x"]}, "61"], "invalid:"),
    "malformed message": ([{}, "6100"], "error:"),
    "empty message": ([{}, ""], "error:"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_not_reconciled(name, store):
    given, words = REFUSED[name]
    async with serving(store) as (relay, url), client(url) as wire:
        await wire.send("NEG-OPEN", "n", *given)
        verb, said_name, reason = await wire.receive()
        assert (verb, said_name) == ("NEG-ERR", "n")
        assert reason.startswith(words)
        assert relay._reconciler.items == 0


async def test_another_version_is_told_ours(store):
    async with serving(store) as (_, url), client(url) as wire:
        await wire.send("NEG-OPEN", "n", {}, "6200")
        assert await wire.receive() == ["NEG-MSG", "n", "61"]


async def test_reconciliations_are_bounded(store, monkeypatch):
    seconds = [NOW]
    monkeypatch.setattr(limits, "RECONCILIATION_ITEMS_TOTAL_MAX", 450)
    async with serving(store, clock=lambda: seconds[0]) as (relay, url), client(url) as other:
        async with client(url) as wire:
            for number in range(limits.RECONCILIATIONS_MAX):
                assert await reconcile(wire, [], str(number), kinds=[9]) == (set(), set())
            assert (await reconcile(wire, [], "more")).startswith("blocked: too many")
            assert await reconcile(wire, EVENTS, "0") == (set(), set())
            assert await reconcile(wire, EVENTS, "1") == (set(), set())
            assert relay._reconciler.items == 400
            assert (await reconcile(other, [])).startswith("blocked: too many")
            seconds[0] += limits.RECONCILIATION_IDLE_SECONDS
            assert await reconcile(other, EVENTS) == (set(), set())
            assert relay._reconciler.items == 200
            await wire.send("NEG-MSG", "0", "61")
            assert (await wire.receive())[2].startswith("closed:")
        async with asyncio.timeout(120):
            while relay.connections > 1:
                await asyncio.sleep(0.01)
        assert relay._reconciler.items == 200
    assert relay._reconciler.items == 0


async def test_a_query_too_big_to_reconcile_is_blocked(store, monkeypatch):
    monkeypatch.setattr(limits, "RECONCILIATION_ITEMS_MAX", 199)
    async with serving(store) as (_, url), client(url) as wire:
        assert await reconcile(wire, []) == "blocked: this query is too big"
        assert await reconcile(wire, [], limit=199) == (set(), ids(newest(199)))


def newest(number):
    return sorted(EVENTS, key=lambda event: (-event.created_at, event.id))[:number]


async def test_an_initiator_that_never_ends_is_ended(store, monkeypatch):
    monkeypatch.setattr(limits, "RECONCILIATION_ROUNDS_MAX", 3)
    async with serving(store) as (_, url), client(url) as wire:
        await wire.send("NEG-OPEN", "n", {}, "61")
        for _ in range(2):
            await wire.receive()
            await wire.send("NEG-MSG", "n", "61")
        await wire.receive()
        await wire.send("NEG-MSG", "n", "61")
        assert (await wire.receive())[2] == "closed: no end after 3 messages"


class Failing(MemoryEventStore):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def query(self, *given, **more):
        raise self.error

    count_matching = items = query


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreError("disk"), "error: could not read the store"),
        (TooMuchToRead("it looks through too much"), "error: it looks through too much, narrow it"),
    ],
)
async def test_a_read_that_fails_is_told(error, told):
    async with serving(Failing(error)) as (_, url), client(url) as wire:
        await wire.send("REQ", "s", {})
        assert await wire.receive() == ["CLOSED", "s", told]
        await wire.send("COUNT", "c", {})
        assert await wire.receive() == ["CLOSED", "c", told]
        reason = await reconcile(wire, [])
        big = "blocked: this query is too big"
        assert reason == (big if isinstance(error, TooMuchToRead) else told)


async def test_rust_nostr_syncs_both_ways(store, tmp_path):
    mine = [make(BOB, content=str(number)) for number in range(30)]
    wanted = nostr_sdk.Filter.from_json(json.dumps({"kinds": [1, 2]}))
    both = nostr_sdk.SyncOptions().direction(nostr_sdk.SyncDirection.BOTH)
    async with serving(store, policy=OPEN) as (_, url), asyncio.timeout(120):
        nostr_sdk.uniffi_set_event_loop(asyncio.get_running_loop())
        database = await nostr_sdk.NostrLmdb.open(str(tmp_path / "theirs"))
        async with rust_client(url, database=database) as theirs:
            for event in mine + EVENTS[:50]:
                await theirs.database().save_event(nostr_sdk.Event.from_json(event.to_json()))
            report = (await theirs.sync(wanted, opts=both)).report
            assert len(report.sent) == 30
            assert len(report.received) == 150
            held = await theirs.database().query(wanted)
            assert {event.id().to_hex() for event in held} == {e.id for e in mine + EVENTS}
        async with client(url) as wire:
            assert await reconcile(wire, EVENTS + mine) == (set(), set())


async def test_our_side_asks_a_relay_of_rust_nostr(tmp_path):
    """Their responder, with its own cut of frames, and our initiator."""
    nostr_sdk.uniffi_set_event_loop(asyncio.get_running_loop())
    theirs = nostr_sdk.LocalRelayBuilder().build()
    await theirs.run()
    url = str(await theirs.url())
    try:
        async with client(url) as wire, asyncio.timeout(120):
            for event in EVENTS[:40]:
                await wire.send("EVENT", as_object(event))
                assert (await wire.until("OK"))[-1][2] is True
            have, need = await reconcile(wire, EVENTS[10:], kinds=[1, 2])
            assert (have, need) == (ids(EVENTS[40:]), ids(EVENTS[:10]))
    finally:
        theirs.shutdown()


async def test_rust_nostr_counts_and_pages(store):
    async with serving(store) as (_, url), rust_client(url) as theirs, asyncio.timeout(120):
        wanted = nostr_sdk.Filter.from_json(json.dumps({"kinds": [1, 2], "limit": 7}))
        got = await theirs.fetch_events(
            nostr_sdk.ReqTarget.auto([wanted]), timeout=timedelta(seconds=20)
        )
        assert [event.id().to_hex() for event in got] == [event.id for event in newest(7)]
