"""Running pools, and relays for them that are real servers: rust-nostr's, and scripts that lie."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import nostr_sdk
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from mesh.core.pool.backoff import Backoff
from mesh.pool.book import RelayBook
from mesh.pool.outbox import MemoryOutbox
from mesh.pool.relays import PoolSettings, RelayPool
from tests.mesh.peers import ALICE, NOW

QUICK = Backoff(first_seconds=0.02, cap_seconds=0.05)
SETTINGS = ("read", "follow", "hosts", "authenticate", "ack_seconds", "check_seconds")


async def no_document(url):
    return b""


def make_pool(*urls, outbox=None, book=None, **options):
    said = {name: options.pop(name) for name in SETTINGS if name in options}
    settings = PoolSettings(write=urls, backoff=QUICK, **said)
    given = {"signer": ALICE, "clock": lambda: NOW, "document": no_document} | options
    made = (outbox or MemoryOutbox(), book or RelayBook(None))
    return RelayPool(settings, *made, jitter=lambda: 0.5, **given)


@asynccontextmanager
async def pooling(*urls, **options):
    """Run a pool; afterwards no relay is connected, and all is closed."""
    pool = make_pool(*urls, **options)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(pool.run())
        try:
            async with asyncio.timeout(120):
                yield pool
        finally:
            running.cancel()
    assert not any(status.connected for status in await pool.status())
    await pool.close()


async def until(pool, predicate):
    """Wait until the status of every relay satisfies the predicate; returns the statuses."""
    while not all(map(predicate, statuses := await pool.status())):
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


class Script:
    """A relay of a few lines: `answer(event, number)` gives the texts to send for each EVENT.

    Questions are answered by silence.
    """

    def __init__(self, answer):
        self.answer = answer
        self.seen = []

    async def __call__(self, socket):
        async for frame in socket:
            verb, event, *_ = json.loads(frame)
            if verb == "EVENT":
                self.seen.append(event["id"])
                for text in self.answer(event, len(self.seen)):
                    await socket.send(text)


@asynccontextmanager
async def listening(handler, **options):
    """Serve websockets with `handler` on loopback; yields the URL."""

    async def quietly(socket):
        with suppress(ConnectionClosed):
            await handler(socket)

    async with serve(quietly, "127.0.0.1", 0, **options) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def scripted(answer):
    script = Script(answer)
    async with listening(script) as url:
        yield script, url
