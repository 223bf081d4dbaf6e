"""The pool's writing half against rust-nostr's relay, our own, and relays that misbehave."""

import asyncio
import itertools
import json
from dataclasses import replace
from functools import partial
from typing import ClassVar

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from mesh.core import limits, nip17, nip59
from mesh.core.errors import Refused
from mesh.core.nip01 import Event, verify
from mesh.core.nip59 import Chance
from mesh.core.pool.minting import Reminter
from mesh.core.pool.routes import relay_url
from mesh.core.relay.filter import Filter
from mesh.pool.book import RelayBook
from mesh.pool.outbox import MemoryOutbox
from mesh.pool.port import QueueFull
from mesh.pool.relay_document import read_document
from mesh.pool.sqlite_outbox import SqliteOutbox
from mesh.relay.sqlite import SqliteEventStore
from mesh.relay.store import MemoryEventStore
from tests.mesh.peers import ALICE, BOB, NOW, make, serving
from tests.mesh.pools import (
    Script,
    delivered,
    fetch_with_rust,
    listening,
    make_pool,
    pooling,
    rust_relay,
    scripted,
    until,
)  # fmt: skip


async def test_what_is_said_is_tried_once_and_its_refusal_is_noted():
    """Two live events: one is refused, of one it is said that it comes too fast; none comes back."""
    words = ["blocked: not here", "rate-limited: slow down"]

    def answer(event, number):
        return [json.dumps(["OK", event["id"], False, words[number - 1]])] if number < 3 else ()

    live = [make(kind=20_001, content=str(number)) for number in range(2)]
    async with scripted(answer) as (script, url), pooling(url) as pool:
        for event in live:
            await pool.say(event, to=[url])
            await until(pool, lambda status, n=event: n.id in script.seen)
        (status,) = await until(pool, lambda status: status.last_error.startswith("rate-limited"))
        assert (status.refused, status.refusals, status.queued) == (1, {"blocked": 1}, 0)
    assert script.seen == [event.id for event in live]


async def test_what_is_said_to_who_is_not_there_is_gone_in_time():
    now = [NOW]
    pool = make_pool("ws://127.0.0.1:1", clock=lambda: now[0])
    events = [make(kind=20_001, content=str(n)) for n in range(limits.LIVE_EVENTS_MAX + 1)]
    for event in events:
        await pool.say(event, to=["ws://127.0.0.1:1"])
    [link] = pool._links.values()
    due = await link.delivery.due(())
    assert [one.id for one in due] == [one.id for one in events[1:17]], "the oldest made room"
    now[0] += limits.LIVE_EVENT_SECONDS_MAX + 1
    assert await link.delivery.due(()) == []
    await pool.close()


async def test_events_reach_rust_nostrs_relay_and_our_own():
    event = make(kind=78, content="note")
    store = MemoryEventStore()
    async with rust_relay() as theirs, serving(store) as (_, ours):
        async with pooling(theirs, ours) as pool:
            await pool.publish(event)
            for status in await until(pool, delivered):
                assert (status.accepted, status.refused, status.last_error) == (1, 0, "")
        assert json.loads((await fetch_with_rust(theirs, event))[0])["id"] == event.id
        assert store.count() == 1


async def test_a_relay_that_is_started_again_is_supplied(tmp_path):
    path = tmp_path / "relay.db"
    async with serving() as (_, url):
        port = int(url.split(":")[2].rstrip("/"))
    async with pooling(url) as pool:
        for text in ("first", "second", "third"):
            await pool.publish(make(content=text))
            await until(pool, lambda status: not status.connected and status.last_error)
            async with serving(SqliteEventStore(path), port=port):
                await until(pool, delivered)
    store = SqliteEventStore(path)
    assert store.count() == 3
    store.close()


async def test_what_was_queued_survives_a_restart_of_the_node(tmp_path):
    events = [make(content=str(number)) for number in range(40)]
    async with serving() as (_, url):
        port = int(url.split(":")[2].rstrip("/"))
    outbox = SqliteOutbox(tmp_path / "outbox.db")
    async with pooling(url, outbox=outbox) as pool:
        for event in events:
            await pool.publish(event)
    store = MemoryEventStore()
    async with serving(store, port=port):
        outbox = SqliteOutbox(tmp_path / "outbox.db")
        async with pooling(url, outbox=outbox) as pool:
            (status,) = await until(pool, delivered)
    assert status.accepted == store.count() == 40


async def test_a_refused_event_is_dropped_and_logged():
    good, bad = make(content="good"), make(BOB)
    store = MemoryEventStore()
    async with serving(store) as (_, url), pooling(url) as pool:
        with capture_logs() as logs:
            await pool.publish(bad)
            await pool.publish(good)
            (status,) = await until(pool, delivered)
        assert (status.accepted, status.refused) == (1, 1)
        assert status.last_error.startswith("blocked: ")
        assert status.refusals == {"blocked": 1}
    assert [line["event_id"] for line in logs if line["event"] == "event refused"] == [bad.id]
    assert store.count() == 1


async def test_without_relays_nothing_happens():
    async with pooling() as pool:
        await pool.publish(make())
        assert await pool.status() == []


@pytest.mark.parametrize(
    "url",
    ["", "http://x", "ws://", "wss:///path", "ws://x:99999", "x", "ws://[", f"ws://{'a' * 64}.b"],
)
async def test_other_urls_are_refused(url):
    with pytest.raises(Refused, match="not the URL of a relay") as caught:
        make_pool(url)
    assert "wss://" in caught.value.hint


async def test_a_dead_relay_does_not_hold_up_the_others():
    async with serving() as (_, dead):
        pass
    async with serving() as (_, alive), pooling(dead, alive) as pool:
        await pool.publish(make())
        statuses = await until(pool, lambda one: one.url == relay_url(dead) or not one.queued)
        found = [(one.url, one.queued) for one in statuses]
        assert found == [(relay_url(dead), 1), (relay_url(alive), 0)]
        await until(pool, lambda status: status.connected or status.last_error)


def ok(event, accepted=True, message=""):
    return json.dumps(["OK", event["id"], accepted, message])


@pytest.mark.parametrize("words", ["duplicate: have it", "ERROR: duplicate: have it"])
async def test_a_duplicate_counts_as_acknowledged(words):
    relay = scripted(lambda event, _: [ok(event, False, words)])
    async with relay as (script, url), pooling(url) as pool:
        await pool.publish(make())
        (status,) = await until(pool, delivered)
    assert (status.accepted, status.refused, len(script.seen)) == (1, 0, 1)


@pytest.mark.parametrize("words", ["rate-limited: slow down", "error: busy", "", "who knows"])
async def test_an_event_that_is_put_off_is_sent_again(words):
    def answer(event, number):
        return [ok(event, number > 3, words)]

    async with scripted(answer) as (script, url), pooling(url) as pool:
        await pool.publish(make())
        (status,) = await until(pool, delivered)
        assert (status.accepted, status.refused, len(script.seen)) == (1, 0, 4)
        assert status.last_error == (words or "refused without a reason")


async def test_an_event_put_off_for_ever_is_given_up_but_not_for_rate_limits(monkeypatch):
    monkeypatch.setattr(limits, "OUTBOX_ATTEMPTS_MAX", 2)
    limited, cursed, good = make(content="limited"), make(content="cursed"), make(content="good")
    words = {limited.id: "rate-limited: x", cursed.id: "error: x"}

    def answer(event, number):
        later = words.get(event["id"], "")
        return [ok(event, not later or (event["id"] == limited.id and number > 9), later)]

    async with scripted(answer) as (_, url), pooling(url) as pool:
        for event in (limited, cursed, good):
            await pool.publish(event)
        (status,) = await until(pool, delivered)
        assert (status.accepted, status.refused) == (2, 1)


async def test_a_silent_relay_is_dialled_again():
    def answer(event, number):
        return (
            [ok(event)] if number > 1 else ['["NOTICE","thinking"]', '["OK","x"]', '["AUTH","c"]']
        )

    async with scripted(answer) as (script, url), pooling(url, ack_seconds=0.1) as pool:
        await pool.publish(make())
        (status,) = await until(pool, delivered)
    assert len(script.seen) == 2
    assert status.last_error == "no answer within 0.1 s"


@pytest.mark.parametrize(
    "noise",
    ["not json", "{}", "[]", "[1]", "[" * 50_000, b"\xff\xfe", "x" * 200_000, "[]" * 600_000],
    ids=range(8),
)
async def test_noise_from_a_relay_ends_the_connection_not_the_pool(noise):
    def answer(event, number):
        return [ok(event)] if number > 1 else [noise] * limits.STRIKES_MAX

    async with scripted(answer) as (_, url), pooling(url) as pool:
        await pool.publish(make())
        (status,) = await until(pool, delivered)
    assert status.last_error
    assert len(status.last_error) <= limits.NOTICE_CHARS_MAX


async def test_oks_for_events_never_sent_change_nothing():
    event = make()
    stray = ok({"id": make(content="other").id})

    relay = scripted(lambda sent, _: [stray, ok(sent), ok(sent)])
    async with relay as (_, url), pooling(url) as pool:
        await pool.publish(event)
        (status,) = await until(pool, delivered)
    assert status.accepted == 1


async def test_no_more_than_the_window_is_unanswered():
    events = [make(content=str(number)) for number in range(limits.PUBLISH_WINDOW_EVENTS * 2)]
    async with scripted(lambda *_: []) as (script, url), pooling(url) as pool:
        for event in events:
            await pool.publish(event)
        await until(pool, lambda _: len(script.seen) >= limits.PUBLISH_WINDOW_EVENTS)
        await asyncio.sleep(0.1)
        assert script.seen == [event.id for event in events[: limits.PUBLISH_WINDOW_EVENTS]]


async def test_what_can_be_made_again_goes_with_its_relay_the_rest_is_delivered():
    store, outbox = MemoryEventStore(), MemoryOutbox()
    async with serving(store) as (_, theirs), serving() as (_, ours):
        outbox.put([relay_url(theirs)], make(content="head"), now=NOW, droppable=True)
        outbox.put([relay_url(theirs)], make(content="letter"), now=NOW)
        async with pooling(ours, outbox=outbox) as pool:
            while not store.count():
                await asyncio.sleep(0.01)
            statuses = await until(pool, lambda status: not status.queued)
            assert [status.own for status in statuses] == [True, False]
        assert [json.loads(row)["content"] for _, row in store.query([Filter()], now=NOW).rows] == [
            "letter"
        ]


async def test_relays_that_are_named_are_told_and_no_others():
    one, two = MemoryEventStore(), MemoryEventStore()
    async with serving(one) as (_, own), serving(two) as (_, named), pooling(own) as pool:
        queued = await pool.publish(make(), to=[named, named.rstrip("/")])
        assert queued.relays == (relay_url(named),)
        await until(pool, lambda status: not status.queued)
        assert (one.count(), two.count()) == (0, 1)


async def test_a_full_queue_says_so_and_keeps_what_it_has():
    outbox = MemoryOutbox(events_max=2)
    events = [make(content=str(number)) for number in range(4)]
    pool = make_pool("ws://127.0.0.1:1", "ws://127.0.0.1:2", outbox=outbox)
    for event in events[:2]:
        await pool.publish(event, to=["ws://127.0.0.1:1"])
    with capture_logs() as logs:
        queued = await pool.publish(events[2])
        with pytest.raises(QueueFull, match="the queues of 1 relays"):
            await pool.publish(events[3], to=["ws://127.0.0.1:1"])
    assert (queued.relays, queued.full) == (("ws://127.0.0.1:2",), ("ws://127.0.0.1:1",))
    assert [line["event"] for line in logs] == ["outbox full, event not queued"] * 2
    assert [one.event_id for one in outbox.due("ws://127.0.0.1:1", limit=9)] == [
        event.id for event in events[:2]
    ]
    await pool.close()


async def test_a_full_queue_is_delivered_after_a_restart(tmp_path):
    """More than fits was published while the relay was down; what was promised is there."""
    promised = []
    pool = make_pool("ws://127.0.0.1:1", outbox=SqliteOutbox(tmp_path / "o.db", events_max=20))
    for number in range(25):
        try:
            await pool.publish(make(content=str(number)), to=["ws://127.0.0.1:1"])
            promised.append(number)
        except QueueFull:
            pass
    await pool.close()
    store = MemoryEventStore()
    async with serving(store) as (_, url):
        outbox = SqliteOutbox(tmp_path / "o.db", events_max=20)
        outbox._db.execute("UPDATE outbox SET relay = ?", (relay_url(url),))
        async with pooling(url, outbox=outbox) as pool:
            await until(pool, delivered)
    rows = store.query([Filter()], now=NOW).rows
    assert {int(json.loads(row)["content"]) for _, row in rows} == set(promised) == set(range(20))


# ---- minting again ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "at", "now", "then"),
    [
        ("invalid: created_at too early", NOW - 9999, NOW, NOW),
        ("invalid: event too far in the future", NOW, NOW, NOW - 900),
    ],
)
async def test_an_event_whose_date_is_refused_is_minted_again(words, at, now, then):
    dates = []

    def answer(event, number):
        dates.append(event["created_at"])
        return [ok(event, number > 1, words)]

    async with scripted(answer) as (script, url), pooling(url, clock=lambda: now) as pool:
        await pool.publish(make(at=at, content="same"), item="ledger id")
        (status,) = await until(pool, delivered)
    assert dates == [at, then]
    assert (status.accepted, status.refused, len(set(script.seen))) == (1, 0, 2)


async def test_an_event_that_is_too_large_is_shrunk_and_the_bound_remembered():
    def smaller(event):
        return replace(event, content="") if event.content else None

    def answer(event, number):
        return [ok(event, not event["content"], "invalid: event too large")]

    shrink = Reminter(signer=ALICE, shrink=[smaller])
    big = [make(content="x" * 900), make(content="y" * 900)]
    relay = scripted(answer)
    async with relay as (script, url), pooling(url, remint=shrink) as pool:
        await pool.publish(big[0])
        await until(pool, delivered)
        await pool.publish(big[1])
        (status,) = await until(pool, delivered)
    assert (status.accepted, status.refused, len(script.seen)) == (2, 0, 3)
    assert script.seen[0] == big[0].id
    assert big[1].id not in script.seen
    assert status.limits["event_bytes_max"] == len(big[0].to_json()) - 1


@pytest.mark.parametrize("signer", [ALICE, BOB])
async def test_what_cannot_be_minted_again_is_refused(signer):
    """A size without a smaller form; a Nostr event of another key; a relay that never has enough."""

    def answer(event, number):
        return [ok(event, False, "invalid: created_at too early")]

    clock = iter(range(NOW, NOW + 1000))
    relay = scripted(answer)
    async with relay as (script, url), pooling(url, clock=lambda: next(clock)) as pool:
        await pool.publish(make(signer))
        (status,) = await until(pool, delivered)
    assert status.refused == 1
    assert len(script.seen) == (1 + limits.REMINTS_MAX if signer is ALICE else 1)


SEED = bytes([7]) * 32


def wrapped(text, *, signer=ALICE, seed=SEED):
    """A gift wrap for Bob of a message of now, dated more than an hour back."""
    rumors = (
        nip17.write(signer.pubkey, [BOB.pubkey], f"{text} {n}", now=NOW) for n in itertools.count()
    )
    made = (
        nip59.wrap(
            rumor, signer, BOB.pubkey, Chance.derived(seed, bytes.fromhex(rumor.id)), now=NOW
        )
        for rumor in rumors
    )
    return next(event for event in made if event.created_at < NOW - 3700)


def rewraps():
    return Reminter(signer=ALICE, once=partial(nip59.key_of, SEED))


def words_in(event):
    return nip17.read(nip59.open_wrap(verify(Event.from_object(event)), BOB)).text


class Recent:
    """Takes what is no older than an hour."""

    def __init__(self):
        self.events = []

    def __call__(self, event, number):
        self.events.append(event)
        return [ok(event, event["created_at"] >= NOW - 3600, "invalid: created_at is too old")]


async def test_a_wrap_whose_date_is_refused_gets_another_and_stays_what_it_is(tmp_path):
    """Also by a pool that begins with nothing but its disk; and of every form none is left there."""
    made, relay = wrapped("hello"), Recent()
    async with scripted(relay) as (_, url):
        pool = make_pool(url, outbox=SqliteOutbox(tmp_path / "outbox.db"))
        await pool.publish(made)
        await pool.close()
        outbox = SqliteOutbox(tmp_path / "outbox.db")
        async with pooling(url, outbox=outbox, remint=rewraps()) as pool:
            (status,) = await until(pool, delivered)
    assert (status.accepted, status.refused, status.undelivered) == (1, 0, {})
    first, then = relay.events
    assert (first["id"], then["created_at"]) == (made.id, NOW)
    assert then["pubkey"] == made.pubkey
    assert words_in(first) == words_in(then)


async def test_a_wrap_is_dated_within_what_the_document_says_before_it_is_sent():
    """By chance, as NIP-59 wants it; and a document that proves wrong is not believed again."""

    async def document(url):
        return json.dumps({"limitation": {"created_at_lower_limit": 3000}}).encode()

    made, more, relay = wrapped("one"), [wrapped(f"more {n}") for n in range(20)], Recent()
    async with scripted(relay) as (_, url), pooling(url, document=document, remint=rewraps()) as it:
        await until(it, lambda status: "age_seconds_max" in status.limits)
        for event in (made, *more):
            await it.publish(event)
        (status,) = await until(it, delivered)
    assert (status.accepted, len(relay.events)) == (21, 21)
    dates = {event["created_at"] for event in relay.events}
    assert min(dates) >= NOW - 1500
    assert len(dates) > 10


async def test_a_relay_that_is_stricter_than_its_document_gets_its_wraps():
    async def document(url):
        return json.dumps({"limitation": {"created_at_lower_limit": 172_800}}).encode()

    relay = Recent()
    async with scripted(relay) as (_, url), pooling(url, document=document, remint=rewraps()) as it:
        await until(it, lambda status: "age_seconds_max" in status.limits)
        await it.publish(wrapped("one"))
        (status,) = await until(it, delivered)
    assert (status.accepted, [event["created_at"] for event in relay.events][-1]) == (1, NOW)


async def test_a_sealed_message_that_is_refused_for_good_is_told_of_by_its_receiver():
    """Of a size that it has not; of a key that is not ours; each is logged, not only the first."""

    def answer(event, number):
        return [ok(event, False, "invalid: event too large")]

    events = [wrapped("one"), wrapped("two"), wrapped("three", seed=bytes(32))]
    with capture_logs() as logs:
        async with scripted(answer) as (_, url), pooling(url, remint=rewraps()) as pool:
            for event in events:
                await pool.publish(event)
            (status,) = await until(pool, delivered)
    assert status.undelivered == {BOB.pubkey: "invalid: event too large"}
    told = [log["event_id"] for log in logs if log["event"] == "a sealed message is not taken here"]
    assert sorted(told) == sorted(event.id for event in events)


async def test_an_event_that_makes_a_relay_hang_up_holds_up_no_other():
    poison, others = make(content="poison"), [make(content=str(n)) for n in range(5)]

    class Fragile(Script):
        async def __call__(self, socket):
            async for frame in socket:
                event = json.loads(frame)[1]
                if event["id"] == poison.id:
                    return
                self.seen.append(event["id"])
                await socket.send(ok(event))

    relay = Fragile(None)
    async with listening(relay) as url, pooling(url) as pool:
        for event in (poison, *others):
            await pool.publish(event)
        while len(set(relay.seen)) < len(others):
            await asyncio.sleep(0.01)
        (status,) = await pool.status()
        assert status.queued >= 1


# ---- authentication, documents, checks --------------------------------------------------------


class Doorkeeper:
    """Takes nothing without AUTH (NIP-42); lets in whom `allowed` says."""

    def __init__(self, allowed):
        self.allowed = allowed
        self.answers = []
        self.taken = []

    async def __call__(self, socket):
        await socket.send(json.dumps(["AUTH", "challenge"]))
        inside = False
        async for frame in socket:
            verb, event, *_ = json.loads(frame)
            if verb == "AUTH":
                self.answers.append(event)
                inside = event["pubkey"] in self.allowed
                await socket.send(ok(event, inside, "" if inside else "restricted: not you"))
            elif verb == "EVENT":
                if inside:
                    self.taken.append(event["id"])
                await socket.send(ok(event, inside, "" if inside else "auth-required: who?"))


async def test_a_relay_that_asks_is_told_who_we_are():
    door, event = Doorkeeper({ALICE.pubkey}), make()
    async with listening(door) as url, pooling(url) as pool:
        await pool.publish(event)
        (status,) = await until(pool, delivered)
        assert status.authenticated
    assert door.taken == [event.id]
    [answer] = [Event.from_object(one) for one in door.answers]
    assert verify(answer).kind == 22242
    assert answer.tags == (("relay", url), ("challenge", "challenge"))


@pytest.mark.parametrize("authenticate", [True, False])
async def test_who_is_not_let_in_keeps_his_events(authenticate):
    door = Doorkeeper({BOB.pubkey})
    async with listening(door) as url, pooling(url, authenticate=authenticate) as pool:
        await pool.publish(make())
        (status,) = await until(pool, lambda one: "auth-required" in one.last_error)
        assert (status.queued, status.refused, status.authenticated) == (1, 0, False)
    assert len(door.answers) == authenticate


async def test_what_a_relay_says_of_itself_is_kept_on_disk(tmp_path):
    """Our own relay's document, over HTTP; and one that is not to be had."""
    path = tmp_path / "relays.db"
    async with serving() as (_, url):
        async with pooling(url, book=RelayBook(path), document=read_document) as pool:
            (status,) = await until(pool, lambda one: one.limits)
        assert status.limits["future_seconds_max"] == limits.FUTURE_SECONDS_MAX
    async with pooling(url, book=RelayBook(path)) as pool:
        await until(pool, lambda one: one.limits == status.limits)
    book = RelayBook(path)
    assert book.read(now=NOW).limits[relay_url(url)].known() == status.limits
    assert not book.read(now=NOW + limits.BOOK_SECONDS_MAX + 1).limits
    book.close()


@pytest.mark.parametrize(
    "body", [b"x" * (limits.DOCUMENT_BYTES_MAX + 1), b"", None, "elsewhere"], ids=range(4)
)
async def test_a_document_that_is_none_is_no_document(body):
    async def answer(request):
        if body == "elsewhere":
            raise web.HTTPFound("http://127.0.0.1:1/")
        if body is None:
            return web.Response(status=500)
        return web.Response(body=body)

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    assert await read_document(f"ws://127.0.0.1:{port}") == b""
    await runner.cleanup()
    assert await read_document(f"ws://127.0.0.1:{port}") == b""


async def test_a_relay_that_loses_what_it_took_gets_it_again():
    """It says OK to everything, and drops the first of each; asked by ids, as it knows no NIP-77."""

    class Forgetful(Script):
        kept: ClassVar = {}

        async def __call__(self, socket):
            async for frame in socket:
                verb, what, *rest = json.loads(frame)
                if verb == "EVENT":
                    self.seen.append(what["id"])
                    if self.seen.count(what["id"]) > 1 or what["content"] != "lose":
                        self.kept[what["id"]] = what
                    await socket.send(ok(what))
                elif verb == "NEG-OPEN":
                    await socket.send(json.dumps(["NOTICE", "unknown message NEG-OPEN"]))
                elif verb == "REQ":
                    for event_id in rest[0]["ids"]:
                        if event_id in self.kept:
                            await socket.send(json.dumps(["EVENT", what, self.kept[event_id]]))
                    await socket.send(json.dumps(["EOSE", what]))

    relay, outbox = Forgetful(None), MemoryOutbox()
    lose, keep, replaceable = make(content="lose"), make(content="keep"), make(kind=10002)
    with capture_logs() as logs:
        async with listening(relay) as url, pooling(url, outbox=outbox, check_seconds=0.05) as pool:
            for event in (lose, keep, replaceable):
                await pool.publish(event)
            (status,) = await until(pool, lambda one: one.lost and delivered(one))
            while outbox.kept(url):
                await asyncio.sleep(0.01)
    assert (status.lost, sorted(relay.kept)) == (
        1,
        sorted(one.id for one in (lose, keep, replaceable)),
    )
    assert relay.seen.count(keep.id) == relay.seen.count(replaceable.id) == 1
    [told] = [line for line in logs if line["event"] == "relay fault"]
    assert lose.id in told["reason"]


async def test_faults_are_logged_once_and_counted():
    def answer(event, number):
        return ["nonsense", "nonsense", ok(event)]

    with capture_logs() as logs:
        async with scripted(answer) as (_, url), pooling(url) as pool:
            for number in range(3):
                await pool.publish(make(content=str(number)))
            (status,) = await until(pool, delivered)
    assert status.faults == {"sends what is no message": 6}
    assert len([line for line in logs if line["event"] == "relay fault"]) == 1
