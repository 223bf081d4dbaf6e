"""The relay over real sockets: raw websockets, rust-nostr, plain HTTP."""

import asyncio
import json
import socket
import threading
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from urllib.parse import urlsplit

import aiohttp
import nostr_sdk
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mesh.core import limits, nip11
from mesh.core.errors import StoreError
from mesh.core.nip01 import Event, verify
from mesh.relay.sqlite import SqliteEventStore
from mesh.relay.store import MemoryEventStore
from mesh.witnesses.checkpoints import CheckpointKinds, Published, mint_checkpoint
from tests.mesh.peers import ALICE, BOB, NOW, as_object, make, serving
from tests.mesh.wire import client, rust_client


async def test_publish_query_and_live_events():
    async with serving() as (relay, url), client(url) as writer, client(url) as reader:
        old, new = make(content="old"), make(content="new", at=NOW + 1)
        await writer.send("EVENT", as_object(old))
        assert await writer.receive() == ["OK", old.id, True, ""]
        await reader.send("REQ", "s", {"authors": [ALICE.pubkey]})
        assert await reader.until("EOSE") == [
            ["EVENT", "s", as_object(old)],
            ["EOSE", "s", ["finish"]],
        ]
        await writer.send("EVENT", as_object(new))
        assert await reader.receive() == ["EVENT", "s", as_object(new)]
        await reader.send("CLOSE", "s")
        assert relay.connections == 2


async def test_ok_of_every_kind():
    events = [
        make(content="a"),
        make(content="a"),
        make(BOB),
        make(kind=20001),
        make(kind=0, at=NOW + 1),
        make(kind=0, at=NOW),
    ]
    forged = {**as_object(make(content="b")), "sig": make(content="c").sig}
    async with serving() as (_, url), client(url) as wire:
        answers = {}
        for event in [*map(as_object, events), forged]:
            await wire.send("EVENT", event)
            verb, event_id, accepted, message = await wire.receive()
            assert (verb, event_id) == ("OK", event["id"])
            answers.setdefault(event_id, []).append((accepted, message))
        assert answers[events[0].id] == [(True, ""), (True, "duplicate: already have this event")]
        assert answers[events[2].id][0][1].startswith("blocked: ")
        assert answers[events[3].id] == [(True, "")]
        assert answers[events[5].id] == [(True, "duplicate: have a newer version of it")]
        assert answers[forged["id"]] == [(False, "invalid: the signature is not the author's")]
        await wire.send("REQ", "s", {})
        stored = [message[2]["id"] for message in (await wire.until("EOSE"))[:-1]]
        assert set(stored) == {events[0].id, events[4].id}


async def test_events_of_our_node_reach_subscribers_and_the_disk(tmp_path):
    event = make(BOB, kind=78)
    async with (
        serving(SqliteEventStore(tmp_path / "relay.db")) as (relay, url),
        client(url) as wire,
    ):
        await wire.send("REQ", "s", {"kinds": [78]})
        await wire.until("EOSE")
        assert (await relay.publish(event)).accepted
        assert await wire.receive() == ["EVENT", "s", as_object(event)]
        again = await relay.publish(event)
        assert (again.accepted, again.message[:10]) == (True, "duplicate:")
    async with serving(SqliteEventStore(tmp_path / "relay.db")) as (_, url), client(url) as wire:
        await wire.send("REQ", "s", {"kinds": [78]})
        assert (await wire.receive())[2] == as_object(event)


async def test_a_pipelined_burst_is_answered_in_full(tmp_path):
    events = [make(content=str(number)) for number in range(300)]
    async with serving(SqliteEventStore(tmp_path / "relay.db")) as (_, url), client(url) as wire:
        async with asyncio.TaskGroup() as group:
            group.create_task(send_all(wire, events))
            oks = [await wire.receive() for _ in events]
        assert [(ok[1], ok[2]) for ok in oks] == [(event.id, True) for event in events]
        await wire.send("REQ", "s", {"limit": 500})
        assert len(await wire.until("EOSE")) == 301


async def send_all(wire, events):
    for event in events:
        await wire.send("EVENT", as_object(event))


class SlowDisk(MemoryEventStore):
    """Takes a batch only when it is let, and says what it has taken."""

    def __init__(self):
        super().__init__()
        self.taken, self.waiting = set(), lambda: 0
        self.longest, self.turns = 0, threading.Semaphore(0)

    def add(self, events, *, now):
        assert self.turns.acquire(timeout=60)
        self.longest = max(self.longest, self.waiting())
        outcomes = super().add(events, now=now)
        self.taken |= {event.id for event in events}
        return outcomes


async def test_a_slow_disk_holds_up_answers_and_fills_no_memory():
    """OK comes after the commit, however long that takes; what a client may have waiting is bounded,
    and who only reads is answered meanwhile."""
    disk = SlowDisk()
    events = [make(content=str(number)) for number in range(3 * limits.OFFERS_MAX)]
    async with serving(disk) as (relay, url), client(url) as wire, client(url) as other:
        disk.waiting = lambda: len(relay._committer._pending)
        async with asyncio.TaskGroup() as group:
            group.create_task(send_all(wire, events))
            for event in events:
                disk.turns.release()  # one batch for each: more than there are
                verb, event_id, accepted, _ = await wire.receive()
                assert (verb, event_id, accepted) == ("OK", event.id, True)
                assert event_id in disk.taken
        # a queue of them, one that is being answered, one that waits for the queue
        assert 0 < disk.longest <= limits.OFFERS_MAX + 2
        await other.send("REQ", "s", {"limit": 1})
        assert len(await other.until("EOSE")) == 2


async def test_nothing_falls_between_stored_and_live(tmp_path):
    """Subscribe again and again while events pour in: each sees all of them."""
    events = [make(content=str(number)) for number in range(200)]
    async with serving(SqliteEventStore(tmp_path / "relay.db")) as (_, url), client(url) as writer:

        async def watch(delay):
            async with client(url) as reader:
                await asyncio.sleep(delay)
                await reader.send("REQ", "s", {"limit": 500})
                seen = set()
                while len(seen) < len(events):
                    message = await reader.receive()
                    if message[0] == "EVENT":
                        seen.add(message[2]["id"])

        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(watch(number * 0.01))
            group.create_task(send_all(writer, events))
            for _ in events:
                assert (await writer.receive())[2] is True


async def test_rust_nostr_receives_a_live_checkpoint_and_verifies_it():
    published = Published(ledger="ab" * 32, size=7, root="cd" * 32, note="o\n7\nzQ==\n\n— o s\n")
    event = mint_checkpoint(ALICE, published, now=NOW, kinds=CheckpointKinds())
    wanted = nostr_sdk.Filter.from_json(json.dumps({"kinds": [78], "#x": ["cd" * 32]}))
    async with serving() as (relay, url), rust_client(url) as theirs, asyncio.timeout(120):
        heard = theirs.notifications()
        await theirs.subscribe(nostr_sdk.ReqTarget.auto([wanted]))
        while not (
            (note := await heard.next()).is_MESSAGE()
            and note.message.as_enum().is_END_OF_STORED_EVENTS()
        ):
            pass
        await relay.publish(make(kind=78, tags=(("x", "00"),)))
        await relay.publish(event)
        while not (note := await heard.next()).is_NEW_EVENT():
            pass
        assert note.event.verify()
    found = verify(Event.from_json(note.event.as_json()))
    assert found == event
    assert Published.parse(found, CheckpointKinds()) == published


async def test_rust_nostr_publishes_and_fetches(tmp_path):
    keys = nostr_sdk.Keys.parse(ALICE.secret.hex())
    note = nostr_sdk.EventBuilder(nostr_sdk.Kind(1), "hello").finalize(keys)
    now = note.created_at().as_secs()
    store = SqliteEventStore(tmp_path / "relay.db")
    async with serving(store, clock=lambda: now) as (_, url), rust_client(url) as theirs:
        sent = await theirs.send_event(note)
        assert len(sent.success) == 1
        target = nostr_sdk.ReqTarget.auto([nostr_sdk.Filter().id(note.id())])
        found = await theirs.fetch_events(target, timeout=timedelta(seconds=5))
        assert [one.as_json() for one in found] == [note.as_json()]


async def test_nip11_and_plain_http():
    async with serving() as (_, url), aiohttp.ClientSession() as http:
        address = url.replace("ws:", "http:")
        async with http.get(address, headers={"Accept": "application/nostr+json"}) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert answer.content_type == "application/nostr+json"
            document = json.loads(await answer.text())
        assert document["pubkey"] == document["self"] == ALICE.pubkey
        assert document["limitation"]["max_message_length"] == limits.FRAME_BYTES_MAX
        assert document["limitation"]["restricted_writes"] is True
        assert document["supported_nips"] == list(nip11.SUPPORTED_NIPS)
        assert nostr_sdk.RelayInformationDocument.from_json(json.dumps(document))
        async with http.get(address) as answer:
            assert (answer.status, answer.content_type) == (200, "text/plain")
        async with http.options(address) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Headers"] == "*"


HOSTILE = {
    "binary": b"\x00\xff",
    "not json": "hello",
    "unknown verb": '["HELLO","s",{},"61"]',
    "not hex": '["NEG-OPEN","s",{},"6"]',
    "deep": "[" * 60_000 + "]" * 60_000,
    "lone surrogate": '["REQ","\\ud800"]',
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_frames_get_a_notice_and_harm_nobody(name):
    async with serving() as (_, url), client(url) as wire:
        await wire.ws.send(HOSTILE[name])
        verb, text = await wire.receive()
        assert (verb, text[:8]) == ("NOTICE", "invalid:")
        await wire.send("REQ", "s", {})
        assert await wire.receive() == ["EOSE", "s", ["finish"]]


async def test_a_flood_of_nonsense_is_closed():
    async with serving() as (relay, url), client(url) as wire, client(url) as bystander:
        for _ in range(limits.STRIKES_MAX):
            await wire.ws.send("nonsense")
        for _ in range(limits.STRIKES_MAX):
            assert (await wire.receive())[0] == "NOTICE"
        assert await wire.closed() == 1008
        await bystander.send("REQ", "s", {})
        assert await bystander.receive() == ["EOSE", "s", ["finish"]]
        assert relay.connections == 1


async def test_a_frame_too_large_is_closed():
    async with serving() as (_, url), client(url) as wire:
        await wire.ws.send("x" * (limits.FRAME_BYTES_MAX + 1))
        assert await wire.closed() == 1009


async def test_text_that_is_not_utf8_is_closed():
    async with serving() as (_, url), client(url) as wire:
        await wire.ws.send(b"\xff\xfe", text=True)
        assert await wire.closed() == 1007


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
ASK = b'["REQ","s",{"kinds":[1]}]'
PLAIN, MASKED = bytes([0x81, len(ASK)]) + ASK, bytes([0x81, 0x80 | len(ASK)]) + bytes(4) + ASK


@pytest.mark.parametrize("waits", [True, False], ids=["after the answer", "with the handshake"])
@pytest.mark.parametrize("frames", [PLAIN, MASKED + PLAIN, b"\x89\x00", b"\x88\x00"])
async def test_a_frame_that_is_not_masked_closes_the_connection(frames, waits):
    """RFC 6455 section 5.1: the close frame carries 1002, and nothing unmasked is answered."""
    async with serving() as (relay, url), asyncio.timeout(120):
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        if waits:
            writer.write(UPGRADE)
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(frames)
        else:
            writer.write(UPGRADE + frames)
            head = await reader.readuntil(b"\r\n\r\n")
        said = await reader.read()
        writer.close()
        assert head.startswith(b"HTTP/1.1 101 ")
        assert said[0] == 0x88
        assert int.from_bytes(said[2:4]) == 1002
        assert b"unmasked frame" in said
        async with client(url) as other:
            await other.send("REQ", "s", {"kinds": [1]})
            assert (await other.receive())[0] == "EOSE"
        while relay.connections:
            await asyncio.sleep(0.01)


async def test_a_client_that_vanishes_is_forgotten():
    async with serving() as (relay, url):
        async with client(url) as wire:
            await wire.send("REQ", "s", {})
            await wire.until("EOSE")
            wire.ws.transport.abort()
        async with asyncio.timeout(120):
            while relay.connections:
                await asyncio.sleep(0.01)
        assert (await relay.publish(make())).accepted


async def test_connections_are_bounded():
    async with serving(connections_max=1) as (_, url), client(url):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url, proxy=None):
                pass
        assert refused.value.response.status_code == 503


async def raw_subscriber(url):
    """A client that subscribes to everything and then never reads again."""
    host, port = url.removeprefix("ws://").rstrip("/").split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, (host, int(port)))
    await loop.sock_sendall(
        sock,
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    )
    frame = b'["REQ","s",{}]'
    await loop.sock_sendall(sock, bytes([0x81, 0x80 | len(frame), 0, 0, 0, 0]) + frame)
    answer = b""
    while b'["EOSE","s",' not in answer:
        answer += await loop.sock_recv(sock, 4096)
    return sock


async def test_a_slow_reader_is_closed_and_others_go_on():
    content = "x" * 60_000
    async with serving(send_queue_bytes_max=256 * 1024) as (relay, url), client(url) as good:
        slow = await raw_subscriber(url)
        await good.send("REQ", "s", {})
        await good.until("EOSE")
        sent = 0
        async with asyncio.timeout(120):
            while relay.connections == 2:
                assert (
                    await relay.publish(make(kind=20001, at=NOW + sent, content=content))
                ).accepted
                sent += 1
                await good.receive()
        assert sent < 500
        slow.close()
        await relay.publish(make(content="after"))
        assert (await good.receive())[2]["content"] == "after"


async def test_all_slow_readers_together_are_bounded_and_others_go_on():
    """No queue is beyond its own bound; together they are, and the longest is given up."""
    content = "x" * 60_000
    async with serving(send_queues_bytes_max=512 * 1024) as (relay, url), client(url) as good:
        slow = [await raw_subscriber(url) for _ in range(3)]
        await good.send("REQ", "s", {})
        await good.until("EOSE")
        sent = 0
        async with asyncio.timeout(120):
            while relay.connections > 1:
                event = make(kind=20001, at=NOW + sent, content=content)
                assert (await relay.publish(event)).accepted
                sent += 1
                assert (await good.receive())[2]["id"] == event.id
                if relay.connections == 2:  # the last of them fits into the bound
                    slow[0].close(), slow[1].close(), slow[2].close()
        assert sent < 500


async def test_events_that_wait_for_the_store_are_bounded_over_all_connections(monkeypatch):
    monkeypatch.setattr(limits, "OFFERED_BYTES_MAX", 2000)
    events = [make(content="x" * 900 + str(number)) for number in range(60)]
    async with serving() as (relay, url), client(url) as one, client(url) as other:
        async with asyncio.TaskGroup() as group:
            group.create_task(send_all(one, events[:30]))
            group.create_task(send_all(other, events[30:]))
            for wire, sent in ((one, events[:30]), (other, events[30:])):
                assert [(await wire.receive())[1] for _ in sent] == [event.id for event in sent]
        assert relay._committer._bytes == 0


async def test_a_reader_that_asks_and_never_reads_is_closed(monkeypatch):
    monkeypatch.setattr(limits, "SEND_STALL_SECONDS_MAX", 0.1)
    ask = b'["REQ","s",{}]'
    frame = bytes([0x81, 0x80 | len(ask), 0, 0, 0, 0]) + ask
    async with serving() as (relay, url):
        slow = await raw_subscriber(url)
        for number in range(16):
            await relay.publish(make(at=NOW + number, content="x" * 60_000))
        await asyncio.get_running_loop().sock_sendall(slow, frame * 50)
        async with asyncio.timeout(120):
            while relay.connections:
                await asyncio.sleep(0.01)
        slow.close()


async def test_a_reply_larger_than_the_queue_closes_only_its_reader():
    events = [make(at=NOW + number, content="x" * 60_000) for number in range(5)]
    async with serving(send_queue_bytes_max=100_000) as (relay, url), client(url) as wire:
        for event in events:
            await relay.publish(event)
        await wire.send("REQ", "s", {})
        assert await wire.closed() == 1008
        async with client(url) as other:
            await other.send("REQ", "s", {"limit": 1})
            assert len(await other.until("EOSE")) == 2


class BrokenStore(MemoryEventStore):
    """A disk that fails, for as long as it is told to."""

    broken = True

    def add(self, events, *, now):
        if self.broken:
            raise StoreError("no space left")
        return super().add(events, now=now)

    def query(self, filters, **given):
        if self.broken:
            raise StoreError("no space left")
        return super().query(filters, **given)


async def test_a_failing_store_is_told_and_survived():
    store = BrokenStore()
    async with serving(store) as (_, url), client(url) as wire:
        event = make()
        await wire.send("EVENT", as_object(event))
        assert await wire.receive() == ["OK", event.id, False, "error: could not store the event"]
        await wire.send("REQ", "s", {})
        assert await wire.receive() == ["CLOSED", "s", "error: could not read the store"]
        store.broken = False
        await wire.send("EVENT", as_object(event))
        assert await wire.receive() == ["OK", event.id, True, ""]


async def test_closing_the_relay_says_so_to_its_clients():
    async with serving() as (relay, url), client(url) as wire:
        await wire.send("REQ", "s", {})
        await wire.until("EOSE")
        async with asyncio.TaskGroup() as group:
            group.create_task(relay.close())
            assert await wire.closed() == 1001
        assert relay.connections == 0


async def test_expired_events_are_purged():
    now = NOW

    def clock():
        return now

    store = MemoryEventStore()
    async with serving(store, clock=clock) as (relay, url), client(url) as wire:
        await relay.publish(make(tags=(("expiration", str(NOW + 1)),)))
        now = NOW + 1
        await wire.send("REQ", "s", {})
        assert await wire.receive() == ["EOSE", "s", ["finish"]]
        assert await relay.purge() == 1
        refused = await relay.publish(make(tags=(("expiration", str(NOW + 1)),)))
        assert (refused.accepted, refused.message) == (False, "invalid: event has expired")


class Slow(MemoryEventStore):
    """Counts as slowly as the widest query; tells how often it was asked."""

    asked = 0

    def count_matching(self, *args, **more):
        self.asked += 1
        time.sleep(0.05)
        return super().count_matching(*args, **more)


async def test_an_event_waits_for_a_few_readers_and_not_for_all():
    """The node's own heads go through the queue in which strangers' questions stand."""
    store = Slow()
    async with serving(store) as (relay, url), AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(client(url)) for _ in range(24)]
        for one in readers:
            await one.send("COUNT", "a", {"kinds": [1]})
        while store.asked < 3:
            await asyncio.sleep(0.005)
        before = store.asked
        assert (await relay.publish(make())).accepted
        assert store.asked - before <= 6
        for one in readers:
            assert (await one.receive())[0] == "COUNT"
