"""Our pool at relays of other people: PyPI nostr-relay and npm @nostr-relay, real processes.

Neither speaks NIP-77, each has ways of its own; `QUIRKS` says which, and docs/spec/mesh.md how they
are met. Every test has keys of its own, so that one process of each relay serves them all.
"""

import asyncio
import itertools
import time
from contextlib import aclosing
from dataclasses import dataclass

import pytest

from mesh.core import limits, nip17, nip59
from mesh.core.nip01 import NostrSigner
from mesh.core.pool.minting import Reminter
from mesh.core.pool.relay_limits import RelayLimits
from mesh.core.pool.routes import relay_url
from mesh.core.relay.filter import Filter
from mesh.pool.book import RelayBook
from mesh.pool.sqlite_outbox import SqliteOutbox
from mesh.sealed.handled import MemoryHandled
from mesh.sealed.mailbox import Mailbox, keys_of_wraps
from tests.mesh.peers import as_object, make
from tests.mesh.pools import delivered, pooling, until
from tests.mesh.wire import client
from tests.nostr.relays import NPM, PYPI, absence, pypi_relay, relay

KEYS = itertools.count(100)
PAGE = limits.PAGE_EVENTS_MIN
QUIRKS = {
    PYPI: {
        "until leaves out its own second",
        "limit 0 gives everything",
        "of one second both addressable events are kept",
        "ephemeral events are stored",
        "expired events are taken",
        "protected events are taken from anybody",
        "COUNT is met by silence",
        "NEG-OPEN is met by silence",
        "a refusal names no event",
    },
    NPM: {
        "protected events are taken from anybody",
        "COUNT is met by a notice",
        "NEG-OPEN is met by a notice",
        "a forgery keeps its original out",
        "what was deleted is taken again and not stored",
        "an answer is repeated for a second",
    },
}


def new_key() -> NostrSigner:
    return NostrSigner(next(KEYS).to_bytes(32, "big"))


def now() -> int:
    """The real clock: these relays know no other."""
    return int(time.time())


def by(key, **more) -> Filter:
    return Filter(authors=frozenset({key.pubkey}), **more)


def ids(events) -> set[str]:
    return {event.id for event in events}


@dataclass
class Other:
    name: str
    url: str


@pytest.fixture(scope="module", params=[PYPI, NPM])
def other(request, tmp_path_factory):
    if why := absence(request.param):
        pytest.skip(why)
    with relay(request.param, tmp_path_factory.mktemp("relay")) as running:
        yield Other(request.param, running.url)


def at(other, key, **options):
    return pooling(other.url, signer=key, clock=now, **options)


async def put(other, *events):
    """Hand events over without our pool."""
    async with client(other.url) as wire:
        for event in events:
            await wire.send("EVENT", as_object(event))
            assert (await wire.until("OK"))[-1][2] is True


async def test_what_is_published_is_there_and_comes_back(other):
    key, begin = new_key(), now()
    events = [make(key, at=begin - n, content=f"żółw 🐢 {n}\n\"'") for n in range(30)]
    async with at(other, key) as pool:
        for event in events:
            await pool.publish(event)
        (status,) = await until(pool, delivered)
        found = await pool.fetch([by(key)])
    assert (status.accepted, status.refused, status.faults) == (30, 0, {})
    assert [event.id for event in found.events] == [event.id for event in events]
    assert found.faults == ()


async def test_pages_lose_nothing_whatever_until_means(other):
    """Seven events a second, pages of twenty: every page ends within a second."""
    key, begin = new_key(), now()
    events = [make(key, at=begin - n // 7, content=str(n)) for n in range(150)]
    await put(other, *events)
    book = RelayBook(None)
    book.note(relay_url(other.url), RelayLimits(page_events_max=PAGE), now=now())
    async with at(other, key, book=book) as pool:
        await until(pool, lambda status: status.connected)
        (status,) = await pool.status()
        assert status.limits["page_events_max"] == PAGE
        found = await pool.fetch([by(key)])
    assert ids(found.events) == ids(events)
    assert found.faults == ()


async def test_a_subscription_repairs_what_it_has_not_got(other, monkeypatch):
    """Half is here, half is there, nothing reconciles: all is brought, then what is new."""
    monkeypatch.setattr(limits, "NEG_SECONDS_MAX", 0.3)
    key, begin = new_key(), now()
    events = [make(key, at=begin - 100 - n // 5, content=str(n)) for n in range(60)]
    late = make(key, at=now(), content="late")
    await put(other, *events)
    held = [(event.created_at, event.id) for event in events[::2]]
    got = set()
    async with at(other, key) as pool, pool.subscribe([by(key)], known=held) as coming:
        async with asyncio.timeout(60), aclosing(coming):
            async for event in coming:
                got.add(event.id)
                if len(got) == 30:
                    await put(other, late)
                if event.id == late.id:
                    break
        await until(pool, lambda status: status.limits.get("reconciles") is False)
    assert got == ids([*events[1::2], late])


async def test_what_is_refused_is_dropped_and_holds_up_nothing(other):
    """Too far ahead: nostr-relay refuses without naming the event, the other takes any date.

    After it nostr-relay is slow on that connection; nobody else waits.
    """
    key, other_key = new_key(), new_key()
    ahead = make(other_key, at=now() + 7200, content="ahead")
    good = [make(key, content=str(n), at=now() - n) for n in range(5)]
    async with at(other, key) as pool:
        for event in [*good[:-1], ahead, good[-1]]:
            await pool.publish(event)
        (status,) = await until(pool, delivered)
    async with at(other, key) as pool:
        found = await pool.fetch([by(key)])
    refuses = other.name == PYPI
    assert (status.accepted, status.refused) == (5 + (not refuses), int(refuses))
    assert status.faults == {}
    assert ids(found.events) == ids(good)
    if refuses:
        assert status.last_error.endswith("is in the future")


async def test_an_event_too_large_for_it_is_refused_for_its_size(other):
    """The bound of nostr-relay is on the content, 4,096 characters; the other has 100 KB."""
    key = new_key()
    async with at(other, key) as pool:
        await pool.publish(make(key, content="x" * 5000, at=now()))
        (status,) = await until(pool, delivered)
    small = other.name == PYPI
    assert (status.refused, status.accepted) == (int(small), int(not small))
    assert ("event_bytes_max" in status.limits) is small


async def test_sealed_messages_reach_a_relay_that_takes_nothing_old(tmp_path):
    """nostr-relay that takes an hour, and says of no event which one it refuses."""
    if why := absence(PYPI):
        pytest.skip(why)
    key, reader, begin = new_key(), new_key(), now()
    with pypi_relay(tmp_path, oldest_s=3600) as running:
        await put(Other(PYPI, running.url), nip17.mint_inbox(reader, [running.url], now=begin))
        remint = Reminter(signer=key, once=keys_of_wraps(key))
        async with pooling(running.url, signer=key, clock=now, remint=remint) as pool:
            box = Mailbox(pool, key, MemoryHandled(), relays=(), clock=now)
            rumor = next(one for one in rumors(key, reader, begin) if is_old(box, one, begin))
            await box.send(rumor)
            (status,) = await until(pool, delivered)
            found = await pool.fetch([to(reader)])
            await box.close()
    assert (status.accepted, status.refused, status.undelivered) == (1, 0, {})
    [wrap] = found.events
    assert nip59.open_wrap(wrap, reader).rumor == rumor
    assert wrap.created_at >= begin


def rumors(key, reader, at):
    return (nip17.write(key.pubkey, [reader.pubkey], f"{n}", now=at) for n in itertools.count())


def is_old(box, rumor, at):
    """Whether the wrap of a message is dated two hours back and more, as chance has it."""
    return box._wrapped(rumor, nip17.readers(rumor)[0]).created_at < at - 7200


def to(reader):
    return Filter(kinds=frozenset({1059}), tags=(("p", frozenset({reader.pubkey})),))


async def test_what_it_lost_is_noticed_and_sent_once_more(other, monkeypatch, tmp_path):
    """Asked for by ids, since neither reconciles. @nostr-relay says OK again, and stores nothing."""
    monkeypatch.setattr(limits, "NEG_SECONDS_MAX", 0.3)
    key = new_key()
    event = make(key, at=now() - 5, content="to be lost")
    deletion = make(key, kind=5, at=now(), tags=(("e", event.id),))
    async with at(other, key, outbox=SqliteOutbox(tmp_path / "outbox.db")) as pool:
        await pool.publish(event)
        await until(pool, delivered)
    await put(other, deletion)
    again = SqliteOutbox(tmp_path / "outbox.db")
    async with at(other, key, outbox=again, check_seconds=0.05) as pool:
        (status,) = await until(pool, lambda status: status.lost and status.accepted)
    assert (status.lost, status.accepted) == (1, 1)


async def test_forgeries_are_refused_by_it_too(other):
    event = as_object(make(new_key(), at=now()))
    async with client(other.url) as wire:
        await wire.send("EVENT", event | {"sig": "00" * 64})
        assert (await wire.until("OK"))[-1][2] is False


# ---- its ways --------------------------------------------------------------------------------


async def stored(wire, name="q", **wanted):
    await wire.send("REQ", name, wanted)
    *events, _ = await wire.until("EOSE")
    await wire.send("CLOSE", name)
    return [event for verb, _, event in events if verb == "EVENT"]


async def taken(wire, event):
    """Whether it says that it took an event; None where its answer names none."""
    given = event if isinstance(event, dict) else as_object(event)
    await wire.send("EVENT", given)
    _, event_id, accepted, _ = (await wire.until("OK"))[-1]
    return accepted if event_id == given["id"] else None


async def met_by(wire, *message):
    """What a message is answered by: the answer to the REQ that follows comes after it."""
    await wire.send(*message)
    await wire.send("REQ", "after", {"ids": ["00" * 32]})
    first, *_ = await wire.until("EOSE")
    await wire.send("CLOSE", "after")
    return {"NOTICE": "a notice", "EOSE": "silence"}.get(first[0], "an answer")


async def reading(wire, key, second):
    pubkey = key.pubkey
    first, other = (make(key, kind=30078, at=second, tags=(("d", "x"),), content=c) for c in "ab")
    await taken(wire, make(key, at=second))
    for event in (first, other):
        await taken(wire, event)
    yield (
        not await stored(wire, authors=[pubkey], kinds=[1], until=second),
        ("until leaves out its own second"),
    )
    yield await stored(wire, authors=[pubkey], kinds=[1], limit=0), "limit 0 gives everything"
    yield (
        len(await stored(wire, authors=[pubkey], kinds=[30078])) > 1,
        ("of one second both addressable events are kept"),
    )
    again = {"authors": [pubkey], "kinds": [7]}
    await stored(wire, **again)
    await taken(wire, make(key, kind=7, at=second))
    yield not await stored(wire, **again), "an answer is repeated for a second"


async def asking(wire, key, second):
    wanted = {"authors": [key.pubkey]}
    for verb, message in (("COUNT", ()), ("NEG-OPEN", ("6100000200",))):
        how = await met_by(wire, verb, "x", wanted, *message)
        yield how != "an answer", f"{verb} is met by {how}"


async def taking(wire, key, second):
    ephemeral = make(key, kind=20_001, at=second)
    await taken(wire, ephemeral)
    yield await stored(wire, ids=[ephemeral.id]), "ephemeral events are stored"
    expired = make(key, at=second, tags=(("expiration", str(second - 10)),), content="e")
    if await taken(wire, expired):
        yield True, "expired events are taken"
    protected = make(key, at=second, tags=(("-",),), content="p")
    if await taken(wire, protected):
        yield True, "protected events are taken from anybody"


async def refusing(wire, key, second):
    event = make(key, at=second, content="forged first")
    said = await taken(wire, as_object(event) | {"sig": "00" * 64})
    yield said is None, "a refusal names no event"
    yield await taken(wire, event) is False, "a forgery keeps its original out"


async def deleting(wire, key, second):
    event = make(key, at=second, content="deleted")
    await taken(wire, event)
    await taken(wire, make(key, kind=5, at=second, tags=(("e", event.id),)))
    again = await taken(wire, event)
    there = bool(await stored(wire, ids=[event.id]))
    yield again and not there, "what was deleted is taken again and not stored"


async def test_its_ways_are_those_that_are_written_down(other):
    """When an update of a relay changes one, this tells, and docs/spec/mesh.md is to be mended."""
    found = set()
    for look in (reading, asking, taking, deleting, refusing):
        async with client(other.url) as wire:
            async for is_so, what in look(wire, new_key(), now() - 60):
                if is_so:
                    found.add(what)
    assert found == QUIRKS[other.name]
