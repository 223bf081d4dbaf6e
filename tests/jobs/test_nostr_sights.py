"""Jobs that follow what an author publishes: plans, and looks that only go forward."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from mesh.core import nip19
from mesh.pool.port import Fetched, MemoryPool
from node.nostr.sights import PLACES_MAX, NostrSights, place_of
from runtime.core.errors import JobRefused
from runtime.core.schedule import Watch
from runtime.core.whens import describe, parse_when
from tests.mesh.peers import ALICE, BOB, NOW, make

NPUB = nip19.npub(ALICE.pubkey)
PLAN = Watch(what="nostr", path=f"/30023/{NPUB}")


def test_a_plan_is_a_kind_and_an_author():
    found = parse_when(f" on  Nostr 30023   {NPUB} ", now_s=0, offset=lambda _: 0)
    assert found == PLAN
    assert describe(found) == f"on nostr 30023 {NPUB}"
    assert parse_when(describe(found), now_s=0, offset=lambda _: 0) == found
    assert place_of(found) == (30023, ALICE.pubkey)


@pytest.mark.parametrize(
    "text",
    ["on nostr", "on nostr 1", f"on nostr {NPUB}", f"on nostr x {NPUB}", f"on nostr 1 {NPUB} 2",
     "on nostr 1 npub1x", f"on nostr 1 {ALICE.pubkey}"],
)  # fmt: skip
def test_plans_that_are_none(text):
    with pytest.raises(JobRefused):
        parse_when(text, now_s=0, offset=lambda _: 0)


@pytest.mark.parametrize("path", [f"/70000/{NPUB}", f"/1/{NPUB[:-1]}q"])
async def test_keys_and_kinds_that_are_none(path):
    with pytest.raises(JobRefused):
        await NostrSights(MemoryPool()).sight(Watch(what="nostr", path=path))


@asynccontextmanager
async def looking(pool, **options):
    sights = NostrSights(pool, **options)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(sights.run())
        try:
            async with asyncio.timeout(60):
                yield sights
        finally:
            task.cancel()


async def told(sights, other_than=None):
    while (found := await sights.sight(PLAN)) in {None, other_than}:
        await asyncio.sleep(0.005)
    return found


async def test_looks_change_with_the_newest_event_and_never_go_back():
    pool = MemoryPool()
    async with looking(pool) as sights:
        absent = await told(sights)
        await pool.publish(make(kind=1, content="another kind"))
        await pool.publish(make(BOB, kind=30023, tags=(("d", "x"),), content="another author"))
        assert await sights.sight(PLAN) == absent
        await pool.publish(make(kind=30023, at=NOW, tags=(("d", "x"),)))
        first = await told(sights, absent)
        await pool.publish(make(kind=30023, at=NOW + 1, tags=(("d", "y"),)))
        second = await told(sights, first)
        await pool.publish(make(kind=30023, at=NOW - 9, tags=(("d", "z"),)))
        await asyncio.sleep(0.05)
        assert await sights.sight(PLAN) == second
    async with looking(pool) as again:  # after a restart, whatever comes first
        assert await told(again) == second


async def test_as_long_as_relays_do_not_tell_nothing_is_said():
    class Deaf(MemoryPool):
        deaf = True

        async def fetch(self, filters, *, at=None):
            found = await super().fetch(filters, at=at)
            return Fetched(events=(), faults=(("ws://x/", "silent"),)) if self.deaf else found

    pool = Deaf()
    await pool.publish(make(kind=30023, tags=(("d", "x"),)))
    async with looking(pool, again_s=0.01) as sights:
        assert await sights.sight(PLAN) is None
        await asyncio.sleep(0.05)
        assert await sights.sight(PLAN) is None
        pool.deaf = False
        assert await told(sights)


async def test_files_are_looked_at_as_before_and_authors_are_bounded(tmp_path):
    sights = NostrSights(MemoryPool())
    assert await sights.sight(Watch(what="file", path=str(tmp_path)))
    for kind in range(PLACES_MAX):
        assert await sights.sight(Watch(what="nostr", path=f"/{kind}/{NPUB}")) is None
    with pytest.raises(JobRefused, match=f"at most {PLACES_MAX}"):
        await sights.sight(PLAN)
