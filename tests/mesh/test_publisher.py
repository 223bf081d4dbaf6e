"""The publisher against rust-nostr's relay, our own, and relays that misbehave."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta

import nostr_sdk
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.server import serve

from mesh.core import limits
from mesh.core.backoff import Backoff
from mesh.core.errors import Refused
from mesh.outbox import MemoryOutbox
from mesh.publisher import Publisher
from mesh.sqlite import SqliteEventStore
from mesh.sqlite_outbox import SqliteOutbox
from mesh.store import MemoryEventStore
from tests.mesh.peers import BOB, make, serving

QUICK = Backoff(first_seconds=0.02, cap_seconds=0.05)


@asynccontextmanager
async def publishing(*urls, outbox=None, **options):
    publisher = Publisher(
        urls, outbox or MemoryOutbox(), jitter=lambda: 0.5, backoff=QUICK, **options
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(publisher.run())
        try:
            async with asyncio.timeout(120):
                yield publisher
        finally:
            running.cancel()
    assert not any(status.connected for status in await publisher.status())
    await publisher.close()


async def until(publisher, predicate):
    """Wait until the status of every relay satisfies the predicate; returns the statuses."""
    while not all(map(predicate, statuses := await publisher.status())):
        await asyncio.sleep(0.01)
    return statuses


def delivered(status):
    return status.connected and not status.queued


@asynccontextmanager
async def rust_relay():
    nostr_sdk.uniffi_set_event_loop(asyncio.get_running_loop())
    generous = nostr_sdk.RateLimit(max_reqs=500, notes_per_minute=1_000_000)
    relay = nostr_sdk.LocalRelayBuilder().addr("127.0.0.1").rate_limit(generous).build()
    await relay.run()
    try:
        yield str(await relay.url())
    finally:
        relay.shutdown()


async def fetch_with_rust(url, event):
    client = nostr_sdk.ClientBuilder().build()
    await client.add_relay(nostr_sdk.RelayUrl.parse(url))
    await client.connect(and_wait=timedelta(seconds=5))
    wanted = nostr_sdk.Filter.from_json(json.dumps({"ids": [event.id]}))
    target = nostr_sdk.ReqTarget.auto([wanted])
    found = await client.fetch_events(target, timeout=timedelta(seconds=5))
    await client.shutdown()
    return [one.as_json() for one in found]


async def test_events_reach_rust_nostrs_relay_and_our_own():
    event = make(kind=78, content="note")
    store = MemoryEventStore()
    async with rust_relay() as theirs, serving(store) as (_, ours):
        async with publishing(theirs, ours) as publisher:
            await publisher.publish(event)
            for status in await until(publisher, delivered):
                assert (status.accepted, status.refused, status.last_error) == (1, 0, "")
        assert json.loads((await fetch_with_rust(theirs, event))[0])["id"] == event.id
        assert store.count() == 1


async def test_a_relay_that_is_started_again_is_supplied(tmp_path):
    path = tmp_path / "relay.db"
    async with serving() as (_, url):
        port = int(url.split(":")[2].rstrip("/"))
    async with publishing(url) as publisher:
        for text in ("first", "second", "third"):
            await publisher.publish(make(content=text))
            await until(publisher, lambda status: not status.connected and status.last_error)
            async with serving(SqliteEventStore(path), port=port):
                await until(publisher, delivered)
    store = SqliteEventStore(path)
    assert store.count() == 3
    store.close()


async def test_what_was_queued_survives_a_restart_of_the_node(tmp_path):
    events = [make(content=str(number)) for number in range(40)]
    async with serving() as (_, url):
        port = int(url.split(":")[2].rstrip("/"))
    outbox = SqliteOutbox(tmp_path / "outbox.db")
    async with publishing(url, outbox=outbox) as publisher:
        for event in events:
            await publisher.publish(event)
    store = MemoryEventStore()
    async with serving(store, port=port):
        outbox = SqliteOutbox(tmp_path / "outbox.db")
        async with publishing(url, outbox=outbox) as publisher:
            (status,) = await until(publisher, delivered)
    assert status.accepted == store.count() == 40


async def test_a_refused_event_is_dropped_and_logged():
    good, bad = make(content="good"), make(BOB)
    store = MemoryEventStore()
    async with serving(store) as (_, url), publishing(url) as publisher:
        with capture_logs() as logs:
            await publisher.publish(bad)
            await publisher.publish(good)
            (status,) = await until(publisher, delivered)
        assert (status.accepted, status.refused) == (1, 1)
        assert status.last_error.startswith("blocked: ")
    assert [line["event_id"] for line in logs if line["event"] == "event refused"] == [bad.id]
    assert store.count() == 1


async def test_without_relays_nothing_happens():
    async with publishing() as publisher:
        await publisher.publish(make())
        assert await publisher.status() == []


@pytest.mark.parametrize(
    "url",
    ["", "http://x", "ws://", "wss:///path", "ws://x:99999", "x", "ws://[", f"ws://{'a' * 64}.b"],
)
async def test_other_urls_are_refused(url):
    with pytest.raises(Refused, match="not the URL of a relay") as caught:
        Publisher([url], MemoryOutbox(), jitter=lambda: 0.5)
    assert "wss://" in caught.value.hint


async def test_a_dead_relay_does_not_hold_up_the_others():
    async with serving() as (_, dead):
        pass
    async with serving() as (_, alive), publishing(dead, alive) as publisher:
        await publisher.publish(make())
        statuses = await until(publisher, lambda one: one.url == dead or not one.queued)
        assert [(one.url, one.queued) for one in statuses] == [(dead, 1), (alive, 0)]
        await until(publisher, lambda status: status.connected or status.last_error)


class Script:
    """A relay of a few lines: `answer(event, number)` gives the texts to send."""

    def __init__(self, answer):
        self.answer = answer
        self.seen = []

    async def __call__(self, socket):
        async for frame in socket:
            event = json.loads(frame)[1]
            self.seen.append(event["id"])
            for text in self.answer(event, len(self.seen)):
                await socket.send(text)


def ok(event, accepted=True, message=""):
    return json.dumps(["OK", event["id"], accepted, message])


@asynccontextmanager
async def scripted(answer):
    script = Script(answer)
    async with serve(script, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield script, f"ws://127.0.0.1:{port}"


@pytest.mark.parametrize("words", ["duplicate: have it", "ERROR: duplicate: have it"])
async def test_a_duplicate_counts_as_acknowledged(words):
    relay = scripted(lambda event, _: [ok(event, False, words)])
    async with relay as (script, url), publishing(url) as publisher:
        await publisher.publish(make())
        (status,) = await until(publisher, delivered)
    assert (status.accepted, status.refused, len(script.seen)) == (1, 0, 1)


@pytest.mark.parametrize("words", ["rate-limited: slow down", "error: busy", "", "who knows"])
async def test_an_event_that_is_put_off_is_sent_again(words):
    def answer(event, number):
        return [ok(event, number > 3, words)]

    async with scripted(answer) as (script, url), publishing(url) as publisher:
        await publisher.publish(make())
        (status,) = await until(publisher, delivered)
        assert (status.accepted, status.refused, len(script.seen)) == (1, 0, 4)
        assert status.last_error == (words or "refused without a reason")


async def test_an_event_put_off_for_ever_is_given_up_but_not_for_rate_limits(monkeypatch):
    monkeypatch.setattr(limits, "OUTBOX_ATTEMPTS_MAX", 2)
    limited, cursed, good = make(content="limited"), make(content="cursed"), make(content="good")
    words = {limited.id: "rate-limited: x", cursed.id: "error: x"}

    def answer(event, number):
        later = words.get(event["id"], "")
        return [ok(event, not later or (event["id"] == limited.id and number > 9), later)]

    async with scripted(answer) as (_, url), publishing(url) as publisher:
        for event in (limited, cursed, good):
            await publisher.publish(event)
        (status,) = await until(publisher, delivered)
        assert (status.accepted, status.refused) == (2, 1)


async def test_a_silent_relay_is_dialled_again():
    def answer(event, number):
        return (
            [ok(event)] if number > 1 else ['["NOTICE","thinking"]', '["OK","x"]', '["AUTH","c"]']
        )

    async with scripted(answer) as (script, url), publishing(url, ack_seconds=0.1) as publisher:
        await publisher.publish(make())
        (status,) = await until(publisher, delivered)
    assert len(script.seen) == 2
    assert status.last_error == "no answer within 0.1 s"


@pytest.mark.parametrize(
    "noise", ["not json", "{}", "[]", "[1]", "[" * 50_000, b"\xff\xfe", "x" * 200_000]
)
async def test_noise_from_a_relay_ends_the_connection_not_the_publisher(noise):
    def answer(event, number):
        return [ok(event)] if number > 1 else [noise]

    async with scripted(answer) as (_, url), publishing(url) as publisher:
        await publisher.publish(make())
        (status,) = await until(publisher, delivered)
    assert status.last_error
    assert len(status.last_error) <= limits.NOTICE_CHARS_MAX


async def test_oks_for_events_never_sent_change_nothing():
    event = make()
    stray = ok({"id": make(content="other").id})

    relay = scripted(lambda sent, _: [stray, ok(sent), ok(sent)])
    async with relay as (_, url), publishing(url) as publisher:
        await publisher.publish(event)
        (status,) = await until(publisher, delivered)
    assert status.accepted == 1


async def test_no_more_than_the_window_is_unanswered():
    events = [make(content=str(number)) for number in range(limits.PUBLISH_WINDOW_EVENTS * 2)]
    async with scripted(lambda *_: []) as (script, url), publishing(url) as publisher:
        for event in events:
            await publisher.publish(event)
        await until(publisher, lambda _: len(script.seen) >= limits.PUBLISH_WINDOW_EVENTS)
        await asyncio.sleep(0.1)
        assert script.seen == [event.id for event in events[: limits.PUBLISH_WINDOW_EVENTS]]


async def test_queues_of_relays_taken_out_of_the_configuration_are_dropped():
    outbox = MemoryOutbox()
    outbox.put(["ws://gone"], make())
    async with serving() as (_, url), publishing(url, outbox=outbox) as publisher:
        await until(publisher, delivered)
        assert outbox.count("ws://gone") == 0
