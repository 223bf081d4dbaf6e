"""One suite for every Pool."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from mesh.core.relay.filter import Filter
from mesh.core.relay.policy import WritePolicy
from mesh.pool.port import MemoryPool, QueueFull
from tests.mesh.peers import ALICE, BOB, NOW, make, serving
from tests.mesh.pools import pooling, rust_relay

ANYONE = WritePolicy(authors=None)

EVENTS = [make(kind=kind, at=NOW - kind, content=str(kind)) for kind in (1, 2, 3, 7)]
ALL = Filter(authors=frozenset({ALICE.pubkey}))


@asynccontextmanager
async def memory():
    yield MemoryPool()


@asynccontextmanager
async def own():
    """The pool on our own relay."""
    async with serving() as (_, url), pooling(url) as made:
        yield made


@asynccontextmanager
async def three():
    """On our own relay twice, and on rust-nostr's, which reconciles."""
    relays = serving(policy=ANYONE), serving(policy=ANYONE), rust_relay()
    async with relays[0] as (_, a), relays[1] as (_, b), relays[2] as c, pooling(a, b, c) as made:
        yield made


@pytest.fixture(params=[memory, own, three])
async def pool(request):
    async with request.param() as made, asyncio.timeout(60):
        yield made


async def take(events, count):
    return [(await anext(events)).id for _ in range(count)]


async def test_what_was_published_is_fetched_newest_first(pool):
    for event in reversed(EVENTS):
        assert (await pool.publish(event)).relays
    found = await pool.fetch([ALL])
    while len(found.events) < len(EVENTS):
        found = await pool.fetch([ALL])
    assert [event.id for event in found.events] == [event.id for event in EVENTS]
    assert found.faults == ()


async def test_a_limit_takes_the_newest_and_filters_are_one_question(pool):
    for event in EVENTS:
        await pool.publish(event)
    while len((await pool.fetch([ALL])).events) < len(EVENTS):
        pass
    newest = Filter(authors=frozenset({ALICE.pubkey}), limit=1)
    kind = Filter(kinds=frozenset({1, 3}))
    found = await pool.fetch([newest, kind])
    assert [event.kind for event in found.events] == [1, 3]


async def test_a_subscription_gives_what_is_stored_and_what_comes(pool):
    await pool.publish(EVENTS[0])
    async with pool.subscribe([ALL]) as events:
        assert await take(events, 1) == [EVENTS[0].id]
        await pool.publish(make(BOB))
        for event in EVENTS[1:]:
            await pool.publish(event)
        assert set(await take(events, 3)) == {event.id for event in EVENTS[1:]}


async def test_what_the_subscriber_has_already_is_not_given(pool):
    for event in EVENTS:
        await pool.publish(event)
    while len((await pool.fetch([ALL])).events) < len(EVENTS):
        pass
    known = [(event.created_at, event.id) for event in EVENTS[1:]]
    async with pool.subscribe([ALL], known=known) as events:
        assert await take(events, 1) == [EVENTS[0].id]


async def test_a_full_pool_says_so():
    pool = MemoryPool(events_max=1)
    await pool.publish(EVENTS[0])
    with pytest.raises(QueueFull, match="1 events kept, at most 1 allowed"):
        await pool.publish(EVENTS[1])


async def test_what_is_only_said_is_heard_by_who_listens_and_not_kept(pool):
    """Once for all that are there; a relay that was not connected in time does not matter."""
    live = [make(kind=20_001, at=NOW, content=str(number)) for number in range(200)]
    asked = Filter(kinds=frozenset({20_001}))
    at = [one.url for one in await pool.status()] if hasattr(pool, "status") else ["memory:"]
    heard = []
    async with pool.subscribe([asked]) as events, asyncio.TaskGroup() as group:

        async def speak():
            for event in live:
                await pool.say(event, to=at)
                await asyncio.sleep(0.02)

        speaking = group.create_task(speak())
        heard += await take(events, 2)
        speaking.cancel()
    assert set(heard) <= {event.id for event in live}
    assert len(set(heard)) == 2
    while (await pool.fetch([asked])).events:  # one that was under way comes to this question, too
        await asyncio.sleep(0.01)


async def test_an_error_of_who_reads_stays_that_error(pool):
    with pytest.raises(ZeroDivisionError):
        async with pool.subscribe([ALL]):
            raise ZeroDivisionError
