"""Authentication over real sockets, and what only those may read whom it concerns."""

import asyncio
import json
from datetime import timedelta

import nostr_sdk
import pytest

from mesh.core.relay.policy import WritePolicy
from mesh.relay.sqlite import SqliteEventStore
from mesh.relay.store import MemoryEventStore
from tests.mesh.peers import ALICE, BOB, CAROL, as_object, make, serving
from tests.mesh.wire import client, rust_client, rust_keys

INBOX = WritePolicy(authors=frozenset({ALICE.pubkey, BOB.pubkey}), inbox_work_bits=0)
WRAP = make(CAROL, kind=1059, tags=(("p", ALICE.pubkey),))


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    return MemoryEventStore() if request.param == "memory" else SqliteEventStore(tmp_path / "r.db")


async def test_stored_gift_wraps_are_for_their_receiver(store):
    wanted = {"kinds": [1059]}
    async with serving(store, policy=INBOX) as (_, url), client(url) as wire:
        await wire.send("EVENT", as_object(WRAP))
        assert await wire.receive() == ["OK", WRAP.id, True, ""]
        await wire.send("REQ", "s", {}, {"ids": [WRAP.id]})
        assert await wire.receive() == ["EOSE", "s", ["finish"]]
        await wire.send("REQ", "s", wanted)
        (verb, challenge), (_, _, refusal) = await wire.until("CLOSED")
        assert (verb, refusal[:14]) == ("AUTH", "auth-required:")
        await wire.prove(BOB, url, challenge)
        await wire.send("REQ", "s", wanted)
        assert await wire.receive() == ["EOSE", "s", ["finish"]]
        await wire.prove(ALICE, url, challenge)  # a second key on one connection
        for ask in (wanted, {}, {"ids": [WRAP.id]}):
            await wire.send("REQ", "s", ask)
            assert await wire.until("EOSE") == [
                ["EVENT", "s", as_object(WRAP)],
                ["EOSE", "s", ["finish"]],
            ]


async def test_each_connection_has_its_own_challenge():
    async with serving() as (_, url), client(url) as one, client(url) as other:
        challenges = []
        for wire in (one, other):
            await wire.send("REQ", "s", {"kinds": [1059]})
            challenges.append((await wire.until("CLOSED"))[0][1])
        assert challenges[0] != challenges[1]
        assert min(map(len, challenges)) >= 32


async def test_the_host_header_is_not_believed():
    """Another relay passes our challenge on to its client, and says that we are it."""
    evil = "ws://evil.example/"
    async with (
        serving(urls=["wss://relay.example/"]) as (_, url),
        client(url, additional_headers={"X-Forwarded-Host": "evil.example"}) as wire,
    ):
        await wire.send("REQ", "s", {"kinds": [1059]})
        challenge = (await wire.until("CLOSED"))[0][1]
        with pytest.raises(AssertionError, match="signed for another relay"):
            await wire.prove(ALICE, evil, challenge)
        await wire.prove(ALICE, "wss://relay.example", challenge)
        await wire.prove(ALICE, url.replace("127.0.0.1", "localhost"), challenge)


async def test_a_policy_may_change_under_open_connections():
    async with serving() as (relay, url), client(url) as wire:
        event = make(BOB)
        await wire.send("EVENT", as_object(event))
        assert (await wire.receive())[2] is False
        relay.adopt(INBOX)
        await wire.send("EVENT", as_object(event))
        assert await wire.receive() == ["OK", event.id, True, ""]


async def test_rust_nostr_proves_its_key_and_sends_a_protected_event():
    protected = make(tags=(("-",),))
    theirs_event = nostr_sdk.Event.from_json(protected.to_json())
    now = nostr_sdk.Timestamp.now().as_secs()  # which it signs its proof with
    async with serving(clock=lambda: now) as (_, url):
        async with rust_client(url, ALICE) as theirs, asyncio.timeout(120):
            sent = await theirs.send_event(theirs_event)
            assert len(sent.success) == 1
        async with rust_client(url, BOB) as theirs, asyncio.timeout(120):
            sent = await theirs.send_event(theirs_event)
            assert "restricted:" in str(sent.failed)


async def test_rust_nostr_reads_its_gift_wraps_and_nobody_elses(store):
    wrap = nostr_sdk.nip17_make_private_msg(
        rust_keys(CAROL), rust_keys(ALICE).public_key(), "hello"
    )
    policy = WritePolicy(authors=frozenset({ALICE.pubkey, BOB.pubkey}), inbox_work_bits=0)
    now = nostr_sdk.Timestamp.now().as_secs()
    wanted = nostr_sdk.Filter.from_json(json.dumps({"kinds": [1059]}))
    async with serving(store, policy=policy, clock=lambda: now) as (_, url), asyncio.timeout(120):
        async with rust_client(url) as theirs:
            assert len((await theirs.send_event(wrap)).success) == 1
        found = {}
        for signer in (ALICE, BOB):
            async with rust_client(url, signer) as theirs:
                target = nostr_sdk.ReqTarget.auto([wanted])
                got = await theirs.fetch_events(target, timeout=timedelta(seconds=20))
                found[signer] = [event.id().to_hex() for event in got]
        assert found == {ALICE: [wrap.id().to_hex()], BOB: []}
