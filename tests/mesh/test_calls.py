"""Live calls: what a wrap says, who is answered, what a relay can do to a call."""

import asyncio
import base64
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.core import calls, limits, nip17, nip59
from mesh.core.errors import InvalidWrap, TooLong
from mesh.core.fleet.joining import SLICE_BYTES, Asking, make_request, slice_of
from mesh.core.nip59 import Chance
from mesh.core.relay.filter import Filter
from mesh.core.relay.policy import WritePolicy
from mesh.pool.port import MemoryPool
from mesh.relay.store import MemoryEventStore
from mesh.sealed.calls import LiveCalls, Unanswered
from tests.mesh.liars import Liar
from tests.mesh.peers import ALICE, BOB, CAROL, NOW, as_object, make, serving
from tests.mesh.pools import listening, pooling
from tests.mesh.test_manifest import A, signer
from tests.mesh.wire import client

FOUND_CONTENT_MAX = 4096
"""Characters: what nostr-relay takes as it comes (tests/nostr/test_other_relays.py)."""


def wrapped(rumor, author=BOB, *, to=ALICE, live=True, name=b""):
    chance = Chance.derived(bytes(32), name)
    expires = NOW + limits.LIVE_CALL_SECONDS_MAX
    return nip59.wrap(rumor, author, to.pubkey, chance, now=NOW, live=live, expires=expires)


def read(rumor, *, live=True, now=NOW):
    return calls.read(nip59.open_wrap(wrapped(rumor, live=live), ALICE), now=now)


@given(st.binary(max_size=300), st.sampled_from([None, "ab" * 32]))
def test_a_call_is_read_as_it_was_made(body, answers):
    rumor = calls.make(BOB.pubkey, body, now=NOW, answers=answers)
    found = read(rumor)
    assert (found.author, found.body, found.answers) == (BOB.pubkey, body, answers)
    assert found.id == rumor.id


def test_a_message_is_no_call():
    assert read(nip17.write(BOB.pubkey, [ALICE.pubkey], "hello", now=NOW)) is None


def test_what_is_none_is_refused_by_its_name():
    good = calls.make(BOB.pubkey, b"x", now=NOW)
    with pytest.raises(InvalidWrap, match="that relays keep"):
        read(good, live=False)
    bound = limits.LIVE_CALL_SECONDS_MAX
    for off in (-bound, bound):
        assert read(good, now=NOW + off) is not None
    for off in (-bound - 1, bound + 1):
        with pytest.raises(InvalidWrap, match=f"{bound + 1} s off"):
            read(good, now=NOW + off)
    with pytest.raises(InvalidWrap, match="base64"):
        read(replace(good, content="é"))
    with pytest.raises(InvalidWrap, match="base64"):
        read(replace(good, content="AA==AA"))
    with pytest.raises(InvalidWrap, match="no question"):
        read(replace(good, tags=(("e", "zz"),)))
    large = bytes(limits.LIVE_CALL_BYTES_MAX + 1)
    with pytest.raises(InvalidWrap, match="12289 bytes"):
        read(replace(good, content=base64.b64encode(large).decode()))
    with pytest.raises(TooLong):
        calls.make(BOB.pubkey, large, now=NOW)


def test_a_request_to_join_and_a_slice_fit_what_small_relays_take():
    """One byte more of the slice would not matter; some hundred would."""
    urls = ("http://[2001:db8:1234:5678:9abc:def0:1234:5678]:65535",)
    request = make_request(bytes(16), replace(A, urls=urls, name="n" * 40), signer("a"))
    asking = Asking(request=request, after=2**31, offset=4_000_000)
    answer = slice_of([bytes(5000)], 100)
    assert len(answer) > SLICE_BYTES
    for body, answers in ((asking.encode(), None), (answer, "ab" * 32)):
        wrap = wrapped(calls.make(BOB.pubkey, body, now=NOW, answers=answers))
        assert len(wrap.content) <= FOUND_CONTENT_MAX, len(body)


# ---- by a pool -----------------------------------------------------------------------------------

AT = ("ws://127.0.0.1:1",)


def caller(pool, who, clock=lambda: NOW):
    return LiveCalls(pool=pool, signer=who, clock=clock, retry_s=0.05)


async def backwards(call):
    return call.body[::-1]


@asynccontextmanager
async def answering(pool, who=ALICE, answer=backwards, at=AT):
    async with asyncio.TaskGroup() as group:
        running = group.create_task(caller(pool, who).serve(answer, at=at))
        try:
            async with asyncio.timeout(60):
                yield
        finally:
            running.cancel()


async def ask(pool, body, *, who=BOB, of=ALICE, at=AT, seconds=30):
    async with caller(pool, who).line(of.pubkey, at=at) as line:
        return await line.ask(body, seconds=seconds)


async def test_who_is_there_answers():
    pool = MemoryPool()
    async with answering(pool):
        async with caller(pool, BOB).line(ALICE.pubkey, at=AT) as line:
            for body in (b"abc", b"", b"xyz"):
                assert await line.ask(body, seconds=30) == body[::-1]
        assert await ask(pool, b"other", who=CAROL) == b"rehto"
    assert (await pool.fetch([Filter()])).events == (), "nothing is kept"


async def test_who_comes_later_is_asked_again():
    pool = MemoryPool()

    async def late():
        await asyncio.sleep(0.2)
        async with answering(pool):
            await done.wait()

    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(late())
        assert await ask(pool, b"ab") == b"ba"
        done.set()


async def test_nobody_s_answer_is_taken_but_that_of_who_was_asked():
    """Another one answers the very question, and who was asked answers another one."""
    pool, seen = MemoryPool(), []

    async def thief(call):
        seen.append(call.id)
        return b"mine"

    async def silent(call):
        for wrong in (None, "00" * 32):
            told = calls.make(ALICE.pubkey, b"wrong", now=NOW, answers=wrong)
            await caller(pool, ALICE).say(told, call.author, AT)
        stolen = calls.make(CAROL.pubkey, b"mine", now=NOW, answers=call.id)
        await caller(pool, CAROL).say(stolen, call.author, AT)

    async with answering(pool, CAROL, thief), answering(pool, ALICE, silent):
        with pytest.raises(Unanswered, match=r"within 0\.3 s"):
            await ask(pool, b"abc", seconds=0.3)
    assert seen == [], "it was not sealed for him"


async def test_what_is_no_question_costs_nobody_anything():
    pool, seen = MemoryPool(), []

    async def note(call):
        seen.append(call.body)

    old = calls.make(BOB.pubkey, b"old", now=NOW - limits.LIVE_CALL_SECONDS_MAX - 1)
    for_bob = calls.make(CAROL.pubkey, b"not yours", now=NOW)
    async with answering(pool, answer=note):
        await asyncio.sleep(0)
        await pool.say(make(BOB, kind=21059, tags=(("p", ALICE.pubkey),), content="junk"), to=AT)
        await pool.say(wrapped(old), to=AT)
        stray = wrapped(for_bob, CAROL, to=BOB)
        await pool.say(replace_receiver(stray, ALICE), to=AT)
        while b"last" not in seen:
            await pool.say(wrapped(calls.make(BOB.pubkey, b"last", now=NOW)), to=AT)
            await asyncio.sleep(0.01)
    assert set(seen) == {b"last"}


def replace_receiver(event, other):
    """The same words in a wrap that says it is for another one."""
    return make(CAROL, kind=event.kind, tags=(("p", other.pubkey),), content=event.content)


async def test_a_flood_is_cut_off_and_the_next_second_is_another(monkeypatch):
    monkeypatch.setattr(limits, "LIVE_CALLS_PER_SECOND_MAX", 3)
    pool, seen, now = MemoryPool(), [], [NOW]

    async def note(call):
        seen.append(call.body)

    async with asyncio.TaskGroup() as group:
        served = caller(pool, ALICE, clock=lambda: now[0]).serve(note, at=AT)
        running = group.create_task(served)
        while not pool._readers:
            await asyncio.sleep(0)
        for number in range(9):
            rumor = calls.make(BOB.pubkey, bytes([number]), now=NOW)
            await pool.say(wrapped(rumor, name=bytes([number])), to=AT)
        [queue] = pool._readers
        while not queue.empty():
            await asyncio.sleep(0)
        now[0] += 1
        await pool.say(wrapped(calls.make(BOB.pubkey, b"later", now=NOW)), to=AT)
        async with asyncio.timeout(30):
            while b"later" not in seen:
                await asyncio.sleep(0.001)
        running.cancel()
    assert seen == [b"\x00", b"\x01", b"\x02", b"later"]


# ---- by relays -----------------------------------------------------------------------------------

STRANGERS = WritePolicy(
    authors=frozenset({ALICE.pubkey}), callees=frozenset({ALICE.pubkey})
)  # as a node has it that waits for newcomers


async def test_our_relay_carries_a_stranger_s_call_and_keeps_nothing():
    store = MemoryEventStore()
    async with (
        serving(store, policy=STRANGERS) as (_, url),
        pooling(signer=ALICE) as hers,
        pooling(signer=BOB) as his,
        answering(hers, at=[url]),
    ):
        assert await ask(his, b"abc", at=[url]) == b"cba"
        (status,) = await his.status()
        assert (status.authenticated, status.refused) == (True, 0)
    assert store.count() == 0


async def test_our_relay_gives_a_live_call_to_its_proven_receiver_alone():
    """Not to who asks without a proof, to another one, nor to the receiver who comes later."""
    wrap = wrapped(calls.make(BOB.pubkey, b"secret", now=NOW))
    named = {"kinds": [21059], "#p": [ALICE.pubkey]}
    async with serving(policy=STRANGERS) as (_, url), client(url) as hers, client(url) as his:
        await his.send("REQ", "s", {})
        await his.until("EOSE")
        await his.send("REQ", "s", named)
        challenge = (await his.until("CLOSED"))[0][1]
        await his.prove(BOB, url, challenge)
        await his.send("REQ", "s", named)
        assert (await his.until("CLOSED"))[-1][2].startswith("restricted:")
        await his.send("REQ", "all", {})
        await his.until("EOSE")
        await hers.send("REQ", "s", named)
        await hers.prove(ALICE, url, (await hers.until("CLOSED"))[0][1])
        await hers.send("REQ", "s", named)
        await hers.until("EOSE")
        await his.send("EVENT", as_object(wrap))
        assert await hers.receive() == ["EVENT", "s", as_object(wrap)]
        assert await his.receive() == ["OK", wrap.id, True, ""], "and no event before it"
        async with client(url) as later:
            await later.send("REQ", "s", named)
            await later.prove(ALICE, url, (await later.until("CLOSED"))[0][1])
            await later.send("REQ", "s", named)
            assert await later.receive() == ["EOSE", "s", ["finish"]]
            await later.send("COUNT", "c", named)
            assert (await later.receive())[2]["count"] == 0
        await his.send("COUNT", "c", {"ids": [wrap.id]})
        assert (await his.receive())[2]["count"] == 0


@pytest.mark.parametrize(
    ("policy", "why"),
    [(replace(STRANGERS, callees=frozenset()), "blocked"),
     (replace(STRANGERS, callees=frozenset({BOB.pubkey})), "blocked")],
    ids=["no invitation", "of another"],
)  # fmt: skip
async def test_a_closed_door_is_said(policy, why):
    async with serving(policy=policy) as (_, url), pooling(signer=BOB) as his:
        with pytest.raises(Unanswered):
            await ask(his, b"abc", at=[url], seconds=0.5)
        (status,) = await his.status()
        assert status.refused > 0
        assert status.last_error.startswith(why)


async def test_the_fleet_brings_live_wraps_to_strangers_and_no_kept_ones():
    policy = replace(STRANGERS, callees=frozenset())
    to_bob = wrapped(calls.make(ALICE.pubkey, b"x", now=NOW), ALICE, to=BOB)
    kept = make(CAROL, kind=1059, tags=(("p", BOB.pubkey),))
    for keys, live, stored in (
        (frozenset(), "auth-required", "blocked"),
        (frozenset({BOB.pubkey}), "blocked", "blocked"),
        (frozenset({ALICE.pubkey}), None, "blocked"),
    ):
        for event, said in ((to_bob, live), (kept, stored)):
            refusal = policy.refusal(event, now=NOW, keys=keys)
            assert (refusal and refusal.split(":")[0]) == said


class Parrot(Liar):
    """Keeps what is ephemeral, and gives all of it again, whenever something comes."""

    async def add(self, event):
        self.events[event.id] = event
        for one in list(self.events.values()):
            await super().add(one)


async def test_a_relay_that_says_everything_again_changes_no_answer():
    """Same wraps are dropped by their ids; an old answer is none to a new question."""
    bodies = []

    async def count(call):
        bodies.append(call.body)
        return b"%s %d" % (call.body, bodies.count(call.body))

    async with (
        listening(Parrot()) as url,
        pooling(signer=ALICE) as hers,
        answering(hers, answer=count, at=[url]),
    ):
        for _ in range(2):  # the second time from a pool that has seen nothing
            async with (
                pooling(signer=BOB) as his,
                caller(his, BOB).line(ALICE.pubkey, at=[url]) as line,
            ):
                for body in (b"a", b"b", b"c"):
                    said = await line.ask(body, seconds=30)
                    assert said.startswith(body)
    assert set(bodies) == {b"a", b"b", b"c"}


async def test_a_relay_that_is_silent_ends_a_call_in_time():
    async with listening(Liar(silent=("REQ", "EVENT"))) as url, pooling(signer=BOB) as his:
        with pytest.raises(Unanswered, match=r"nobody answered within 0\.3 s"):
            await ask(his, b"abc", at=[url], seconds=0.3)
        (status,) = await his.status()
        assert status.connected
