"""The pool's reading half against relays that lie, hide, repeat, flood, fall silent, or drop us."""

import asyncio
import json
import random
import threading
from dataclasses import replace
from functools import partial

import pytest
from structlog.testing import capture_logs

from mesh.core import limits
from mesh.core.errors import Refused
from mesh.core.nip01 import NostrSigner
from mesh.core.pool.routes import relay_url
from mesh.core.relay.filter import Filter
from mesh.pool.book import RelayBook
from tests.mesh.liars import Liar
from tests.mesh.peers import ALICE, BOB, NOW, as_object, make, serving
from tests.mesh.pools import listening, make_pool, pooling, rust_relay, until

EVENTS = [make(at=NOW - number, content=str(number)) for number in range(60)]
TIED = [make(at=NOW, content=str(number)) for number in range(30)]
WRAPS = Filter(kinds=frozenset({1}))
EVERYTHING = list


def ids(events):
    return {event.id for event in events}


async def fetch(relay, filters=(WRAPS,), **options):
    async with listening(relay) as url, pooling(url, **options) as pool:
        found = await pool.fetch(filters)
        (status,) = await pool.status()
    return found, status


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"cap": 7},
        {"cap": 7, "exclusive": True},
        {"cap": 7, "reconciles": EVERYTHING},
        {"order": lambda rows: rows[::-1]},
        {"cap": 7, "order": lambda rows: random.Random(1).sample(rows, len(rows))},
        {"order": lambda rows: rows * 3},
        {"early_eose": True},
        {"silent": ("NEG-OPEN",)},
        {"doorkeeper": True},
    ],
    ids=range(10),
)
async def test_everything_is_fetched_once(knobs, monkeypatch):
    monkeypatch.setattr(limits, "NEG_SECONDS_MAX", 0.3)
    found, status = await fetch(Liar(EVENTS, **knobs))
    assert [event.id for event in found.events] == [event.id for event in EVENTS]
    assert found.faults == ()
    assert status.faults == {}


async def test_a_second_that_holds_more_than_a_page_is_told_or_reconciled():
    found, _ = await fetch(Liar(TIED, cap=7, reconciles=EVERYTHING))
    assert ids(found.events) == ids(TIED)
    assert found.faults == ()
    relay = Liar([*TIED, *EVENTS[1:]], cap=20)
    book = RelayBook(None)
    found, status = await fetch(relay, book=book)
    assert ids(found.events) >= ids(EVENTS[1:])
    [(url, fault)] = found.faults
    assert (url, fault) == (status.url, f"more events in second {NOW} than it gives at once")


async def test_what_a_relay_hides_when_asked_shows_when_it_reconciles():
    relay = Liar(EVENTS, reconciles=EVERYTHING)
    hidden = ids(EVENTS[::10])

    def stored(one):
        rows = Liar.stored(relay, one)
        return rows if one.ids else [event for event in rows if event.id not in hidden]

    relay.stored = stored
    found, status = await fetch(relay)
    assert ids(found.events) == ids(EVENTS)
    assert status.limits["reconciles"] is True


async def test_what_is_listed_and_never_handed_over_is_a_fault():
    found, status = await fetch(Liar(EVENTS, hides=ids(EVENTS[:2]), reconciles=EVERYTHING))
    assert ids(found.events) == ids(EVENTS[2:])
    assert status.faults == {"names events that it does not hand over": 1}


@pytest.mark.parametrize(
    "answer",
    ["61", "ff", "6200", "61" + "00" * 300_000, "60"],
)
async def test_a_relay_that_garbles_reconciliations_is_walked_through(answer):
    relay = Liar(EVENTS)

    async def compare(socket, name, message):
        await socket.send(json.dumps(["NEG-MSG", name, answer]))

    relay.compare = compare
    found, _ = await fetch(relay)
    assert ids(found.events) == ids(EVENTS)


def forged(name, _):
    good = as_object(make(content="x"))
    yield json.dumps(["EVENT", name, good | {"content": "y"}])
    yield json.dumps(["EVENT", name, good | {"sig": "00" * 64}])
    yield json.dumps(["EVENT", name, as_object(make(kind=2))])
    yield json.dumps(["EVENT", "another", good])
    yield json.dumps(["EOSE", "another"])
    yield json.dumps(["OK", good["id"], True, ""])
    yield "[]"


async def test_forgeries_and_what_was_not_asked_for_are_faults_not_events():
    said = []

    def once(name, number):
        rows = [] if said else list(forged(name, number))
        said.extend(rows)
        return rows

    with capture_logs() as logs:
        found, status = await fetch(Liar(EVENTS, extra=once))
    assert ids(found.events) == ids(EVENTS)
    assert status.faults == {
        "hands over events that are not their author's": 2,
        "hands over what was not asked for": 4,
        "sends what is no message": 1,
    }
    assert len([line for line in logs if line["event"] == "relay fault"]) == 3


async def test_a_relay_that_floods_ends_its_own_connection(monkeypatch):
    """Forged events without end; what came before is kept, and the relay is left alone longer."""
    flood = Liar(EVENTS[:3], extra=lambda name, _: [forged_one(name)] * 500)
    found, status = await fetch(flood)
    assert found.faults
    assert status.faults["hands over events that are not their author's"] >= limits.STRIKES_MAX


def forged_one(name):
    return json.dumps(["EVENT", name, as_object(make()) | {"sig": "00" * 64}])


async def test_events_made_up_for_ever_are_cut(monkeypatch):
    """Each of them is signed: whoever floods can do that, too."""
    monkeypatch.setattr(limits, "FETCH_EVENTS_MAX", 300)
    endless = Liar([make(BOB, at=NOW - n, content=str(n)) for n in range(900)], cap=100)
    async with listening(endless) as url, pooling(url) as pool:
        found = await pool.fetch([WRAPS])
    assert 300 <= len(found.events) < 400
    assert found.faults == ((url, "more than 300 events"),)


async def test_bytes_of_one_fetch_are_bounded(monkeypatch):
    monkeypatch.setattr(limits, "PAGE_BYTES_MAX", 30_000)
    big = [make(at=NOW - n, content="x" * 5000) for n in range(20)]
    found, _ = await fetch(Liar(big))
    assert ids(found.events) == ids(big)


@pytest.mark.parametrize("silent", [("REQ",), ("REQ", "NEG-OPEN")])
async def test_a_silent_relay_holds_up_no_other(silent, monkeypatch):
    monkeypatch.setattr(limits, "ANSWER_SECONDS_MAX", 0.3)
    quiet, good = Liar(EVENTS, silent=silent), Liar(EVENTS)
    both = listening(quiet), listening(good)
    async with both[0] as a, both[1] as b, pooling(a, b, "ws://127.0.0.1:1") as pool:
        found = await pool.fetch([WRAPS])
        status = await pool.status()
    assert ids(found.events) == ids(EVENTS)
    assert dict(found.faults).keys() == {a, "ws://127.0.0.1:1"}
    assert dict(found.faults)[a] == "no answer within 0.3 s"
    assert [one.faults for one in status][:2] == [{"does not answer": 1}, {}]


async def test_a_relay_that_drops_us_loses_a_fetch_but_not_a_subscription():
    relay = Liar(EVENTS, drops_after=23)
    async with listening(relay) as url, pooling(url) as pool:
        assert (await pool.fetch([WRAPS])).faults
        relay.drops_after = 40
        async with pool.subscribe([WRAPS]) as events:
            got = [await anext(events) for _ in EVENTS]
    assert ids(got) == ids(EVENTS)
    assert relay.connections > 2


# ---- subscriptions ----------------------------------------------------------------------------


@pytest.mark.parametrize("reconciles", [None, EVERYTHING])
async def test_wraps_dated_back_come_over_lost_connections(reconciles):
    """Two days back at random, as NIP-59 has it; also those that came while we were away."""
    relay = Liar(EVENTS, reconciles=reconciles)
    rng = random.Random(7)
    late = [make(at=NOW - rng.randrange(172_800), content=f"late {n}") for n in range(20)]
    got = set()
    async with listening(relay) as url, pooling(url) as pool, pool.subscribe([WRAPS]) as events:
        got |= {(await anext(events)).id for _ in EVENTS}
        for event in late[:5]:
            await relay.add(event)
        got |= {(await anext(events)).id for _ in late[:5]}
        for socket in list(relay.sockets):
            await socket.close()
        relay.events |= {event.id: event for event in late[5:]}
        got |= {(await anext(events)).id for _ in late[5:]}
    assert got == ids(EVENTS) | ids(late)
    assert not any("since" in one for one in relay.filters())


async def test_a_subscription_that_comes_back_asks_only_for_what_is_new():
    relay = Liar(EVENTS, reconciles=EVERYTHING)
    known = [(event.created_at, event.id) for event in EVENTS[5:]]
    async with (
        listening(relay) as url,
        pooling(url) as pool,
        pool.subscribe([WRAPS], known=known) as events,
    ):
        got = [await anext(events) for _ in range(5)]
    assert ids(got) == ids(EVENTS[:5])
    by_id = [one for one in relay.filters() if "ids" in one]
    assert [len(one["ids"]) in {4, 5} for one in by_id] == [True]  # one came live, perhaps before
    assert len(relay.filters()) == 2


async def test_a_slow_reader_loses_nothing(monkeypatch):
    monkeypatch.setattr(limits, "READER_EVENTS_MAX", 4)
    relay = Liar(EVENTS[:10], reconciles=EVERYTHING)
    async with listening(relay) as url, pooling(url) as pool, pool.subscribe([WRAPS]) as events:
        got = [(await anext(events)).id]
        for event in EVENTS[10:]:
            await relay.add(event)
        await until(pool, lambda status: status.connected)
        while len(got) < len(EVENTS):
            got.append((await anext(events)).id)
    assert sorted(got) == sorted(ids(EVENTS))


async def test_several_relays_give_each_event_once():
    relays = [Liar(EVENTS[:40], reconciles=EVERYTHING), Liar(EVENTS[20:]), Liar(EVENTS, cap=9)]
    async with (
        listening(relays[0]) as a,
        listening(relays[1]) as b,
        listening(relays[2]) as c,
        pooling(a, b, c) as pool,
        pool.subscribe([WRAPS]) as events,
    ):
        got = [(await anext(events)).id for _ in EVENTS]
        new, end = make(content="new"), make(content="end")
        for relay in relays:
            await relay.add(new)
        assert (await anext(events)).id == new.id
        await relays[2].add(end)
        assert (await anext(events)).id == end.id
    assert sorted(got) == sorted(ids(EVENTS))


async def test_a_refused_subscription_is_tried_again():
    relay = Liar(EVENTS)
    answer, refusals = relay.answer, []

    async def refuse(socket, name):
        if len(refusals) < 3:
            refusals.append(name)
            await socket.send(json.dumps(["CLOSED", name, "error: too many subscriptions"]))
        else:
            await answer(socket, name)

    relay.answer = refuse
    async with listening(relay) as url, pooling(url) as pool, pool.subscribe([WRAPS]) as events:
        got = [await anext(events) for _ in EVENTS]
    assert ids(got) == ids(EVENTS)
    assert len(refusals) == 3


async def test_a_relay_that_lets_nobody_read_is_asked_with_our_name():
    relay = Liar(EVENTS, doorkeeper=True)
    async with listening(relay) as url, pooling(url) as pool:
        async with pool.subscribe([WRAPS]) as events:
            got = [await anext(events) for _ in EVENTS]
        (status,) = await pool.status()
    assert ids(got) == ids(EVENTS)
    [(_, [answer])] = [one for one in relay.asked if one[0] == "AUTH"]
    assert (answer["pubkey"], status.authenticated) == (ALICE.pubkey, True)


# ---- who is asked -----------------------------------------------------------------------------


def relay_list(url, *, at=NOW, signer=BOB):
    return make(signer, kind=10002, at=at, tags=(("r", url),))


async def test_nobody_is_dialled_for_a_list_that_names_our_own_network(monkeypatch):
    theirs = Liar([make(BOB)])
    async with listening(theirs) as url, serving() as (_, ours), pooling(ours, follow=True) as pool:
        assert pool.learn(relay_list(url))
        found = await pool.fetch([Filter(authors=frozenset({BOB.pubkey}))])
        assert (found.events, theirs.connections) == ((), 0)
        assert (await pool.publish(make(tags=(("p", BOB.pubkey),)))).relays == (relay_url(ours),)


@pytest.mark.parametrize("follow", [True, False])
async def test_authors_are_read_where_they_write_and_written_to_where_they_read(
    follow, monkeypatch
):
    monkeypatch.setattr("mesh.core.pool.routes.is_public", lambda url: True)
    theirs = Liar([make(BOB)])
    async with (
        listening(theirs) as url,
        serving() as (_, ours),
        pooling(ours, follow=follow) as pool,
    ):
        assert pool.learn(relay_list(url))
        found = await pool.fetch([Filter(authors=frozenset({BOB.pubkey}))])
        queued = await pool.publish(make(tags=(("p", BOB.pubkey),)))
        assert len(found.events) == follow
        assert queued.relays == (relay_url(ours), *([url] if follow else []))


async def test_routes_are_found_and_outlive_a_restart(tmp_path, monkeypatch):
    """The newest list counts; one dated ahead of our clock does not."""
    monkeypatch.setattr("mesh.core.pool.routes.is_public", lambda url: True)
    lists = [
        relay_list("wss://new.example"),
        relay_list("wss://old.example", at=NOW - 9),
        relay_list("wss://ahead.example", at=NOW + 99_999),
    ]
    kinds = replace(WRAPS, kinds=frozenset({10002}))
    async with listening(Liar(lists)) as url:
        book = RelayBook(tmp_path / "relays.db")
        async with pooling(url, follow=True, book=book) as pool:
            await pool.find_routes([BOB.pubkey])
            assert len((await pool.fetch([kinds])).events) == 3
        book = RelayBook(tmp_path / "relays.db")
        async with pooling(url, follow=True, book=book) as pool:
            await until(pool, lambda status: status.connected)
            queued = await pool.publish(make(tags=(("p", BOB.pubkey),)))
    assert queued.relays == (url, "wss://new.example")


async def test_only_who_asks_for_lists_learns_them(monkeypatch):
    """Not who reads events of that kind for another reason."""
    monkeypatch.setattr("mesh.core.pool.routes.is_public", lambda url: True)
    tagged = make(tags=(("p", BOB.pubkey),))
    listed = Liar([relay_list("wss://new.example")])
    async with listening(listed) as url, pooling(url, follow=True) as pool:
        assert len((await pool.fetch([replace(WRAPS, kinds=frozenset({10002}))])).events) == 1
        assert (await pool.publish(tagged)).relays == (url,)
        assert await pool.find_routes([BOB.pubkey])
        assert (await pool.publish(tagged)).relays == (url, "wss://new.example")


async def test_lists_are_found_at_relays_that_are_named_too(monkeypatch):
    """And one that does not answer is told of."""
    monkeypatch.setattr("mesh.core.pool.routes.is_public", lambda url: True)
    monkeypatch.setattr(limits, "ANSWER_SECONDS_MAX", 0.3)
    listed = Liar([relay_list("wss://new.example")])
    async with (
        listening(listed) as index,
        listening(Liar()) as url,
        pooling(url, follow=True) as pool,
    ):
        assert await pool.find_routes([BOB.pubkey], at=[index])
        queued = await pool.publish(make(tags=(("p", BOB.pubkey),)))
        assert queued.relays == (url, "wss://new.example")
        assert not await pool.find_routes([BOB.pubkey], at=["ws://127.0.0.1:1"])


async def test_a_subscription_goes_on_where_its_author_writes_by_now():
    """Learnt after it began, changed, and gone again: nothing is dialled for what no list names."""
    by_bob = Filter(authors=frozenset({BOB.pubkey}))
    homes = [Liar([make(BOB, content=str(number))]) for number in range(2)]
    async with (
        listening(homes[0]) as one,
        listening(homes[1]) as other,
        pooling(follow=True, hosts=["127.0.0.1"]) as pool,
        pool.subscribe([by_bob]) as events,
    ):
        for number, url in enumerate((one, other)):
            assert pool.learn(relay_list(url, at=NOW + number))
            assert (await anext(events)).content == str(number)
        while any(link.wanted for link in pool._links.values() if link.url == one):
            await asyncio.sleep(0.01)
        await homes[1].add(make(BOB, content="live"))
        assert (await anext(events)).content == "live"


async def test_a_subscription_at_what_is_no_relay_is_refused():
    async with pooling() as pool:
        with pytest.raises(Refused, match="not the URL of a relay"):
            async with pool.subscribe([WRAPS], at=["nowhere"]):
                pass


async def test_relays_that_lists_name_are_bounded_together(monkeypatch):
    """Whatever asks for them; those that are named by whoever asks have room of their own."""
    monkeypatch.setattr(limits, "LEARNT_RELAYS_MAX", 2)
    authors = [NostrSigner(bytes([number]) * 32) for number in range(11, 15)]
    pool = make_pool("ws://127.0.0.1:1", follow=True, hosts=["127.0.0.1"])
    for number, author in enumerate(authors, 2):
        assert pool.learn(relay_list(f"ws://127.0.0.1:{number}", signer=author))
    held = [pool._asked([Filter(authors=frozenset({one.pubkey}))], None) for one in authors[:2]]
    for link in (links[-1] for links in held):
        link._wanted += 1
    told = make(tags=tuple(("p", one.pubkey) for one in authors))
    assert (await pool.publish(told)).relays == tuple(f"ws://127.0.0.1:{n}" for n in (1, 2, 3))
    assert (await pool.publish(make(), to=["ws://127.0.0.1:9"])).relays
    assert [one.url for one in await pool.status()] == [
        f"ws://127.0.0.1:{number}" for number in (1, 2, 3, 9)
    ]
    held[0][-1]._wanted -= 1  # who is wanted no more makes room
    assert (await pool.publish(make(tags=(("p", authors[3].pubkey),)))).relays[-1].endswith(":5")
    await pool.close()


async def test_a_sealed_message_goes_to_no_relay_that_its_receiver_s_list_names():
    pool = make_pool("ws://127.0.0.1:1", follow=True, hosts=["127.0.0.1"])
    assert pool.learn(relay_list("ws://127.0.0.1:2"))
    for kind, relays in ((1, 2), (1059, 1), (21059, 1)):
        event = make(kind=kind, tags=(("p", BOB.pubkey),))
        assert len((await pool.publish(event)).relays) == relays
    await pool.close()


async def test_what_was_learnt_is_kept_though_the_pool_ends_while_it_waits_for_the_disk(tmp_path):
    book, busy = RelayBook(tmp_path / "relays.db"), threading.Event()
    async with pooling(book=book) as pool:
        while pool._group is None:  # it reads what it knows, by the same thread
            await asyncio.sleep(0.001)
        at_work = pool._worker.submit(partial(busy.wait, 60))
        assert pool.learn(relay_list("wss://new.example"))
        while not pool._news.empty():
            await asyncio.sleep(0.001)
        asyncio.get_running_loop().call_later(0.05, busy.set)
    assert await at_work
    again = RelayBook(tmp_path / "relays.db")
    assert [event.pubkey for event in again.read(now=NOW).lists] == [BOB.pubkey]
    again.close()


async def test_relays_at_once_are_bounded(monkeypatch):
    monkeypatch.setattr(limits, "LINKS_MAX", 3)
    pool = make_pool("ws://127.0.0.1:1")
    for number in range(2, 9):
        await pool.publish(make(), to=[f"ws://127.0.0.1:{number}"])
    assert len(await pool.status()) == 3
    assert pool._outbox.count("ws://127.0.0.1:2") == 1
    await pool.close()


async def test_a_relay_of_others_is_hung_up_on_when_nothing_is_wanted(monkeypatch):
    monkeypatch.setattr(limits, "IDLE_SECONDS", 0.1)
    theirs = Liar(EVENTS)
    async with listening(theirs) as url, pooling() as pool:
        assert ids((await pool.fetch([WRAPS], at=[url])).events) == ids(EVENTS)
        await until(pool, lambda status: not status.connected)
        assert ids((await pool.fetch([WRAPS], at=[url])).events) == ids(EVENTS)
    assert theirs.connections == 2


async def test_who_wants_a_relay_while_its_queue_is_looked_at_is_not_missed():
    """A relay that was never asked: its queue is counted in a thread, and meanwhile it is wanted."""
    async with listening(Liar()) as one, listening(Liar(EVENTS)) as url, pooling(one) as pool:
        await until(pool, lambda status: status.connected)
        assert (await pool.fetch([WRAPS], at=[url])).faults == ()


async def test_a_pool_that_does_not_run_answers_with_a_reason(monkeypatch):
    monkeypatch.setattr(limits, "ANSWER_SECONDS_MAX", 0.1)
    pool = make_pool("ws://127.0.0.1:1")
    found = await pool.fetch([WRAPS])
    assert found.faults == (("ws://127.0.0.1:1", "not connected within 0.1 s"),)
    await pool.close()


async def test_what_rust_nostrs_relay_has_is_reconciled(monkeypatch):
    async with rust_relay() as url, pooling(url) as pool:
        for event in EVENTS:
            await pool.publish(event)
        await until(pool, lambda status: not status.queued)
        found = await pool.fetch([WRAPS])
        (status,) = await pool.status()
        known = [(event.created_at, event.id) for event in EVENTS[3:]]
        async with pool.subscribe([WRAPS], known=known) as events:
            got = {(await anext(events)).id for _ in range(3)}
    assert ids(found.events) == ids(EVENTS)
    assert (status.limits["reconciles"], got) == (True, ids(EVENTS[:3]))
