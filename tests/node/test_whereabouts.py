"""Relay lists of those with whom a node talks: asked for at the right time, of the right people."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

from mesh.core import limits, nip17, nip19
from mesh.core.nip01 import NostrSigner
from mesh.pool.port import Fetched, MemoryPool
from mesh.sealed.handled import MemoryHandled
from mesh.sealed.mailbox import Mailbox
from node.config import load
from node.home import Home
from node.nostr.sights import NostrSights
from node.nostr.whereabouts import Whereabouts
from node.nostr.wiring import make_whereabouts, roles_of
from runtime.core.schedule import Watch
from tests.mesh.liars import Liar
from tests.mesh.peers import ALICE, BOB, CAROL, NOW, make
from tests.mesh.pools import listening, pooling
from tests.mesh.test_manifest import FLEET, A, B, C
from tests.mesh.test_pool_reading import relay_list

DAVE, EVE = (NostrSigner(bytes([number]) * 32) for number in (41, 42))


class Index(Liar):
    """A relay that has lists; whose it was asked for is in `keys`, question by question."""

    @property
    def keys(self):
        return [set(one["authors"]) for one in self.filters() if one["kinds"] == [10002]]


@asynccontextmanager
async def asking(index, people, **options):
    async with listening(index) as url, pooling(url, follow=True, hosts=["127.0.0.1"]) as pool:
        whereabouts = Whereabouts(pool=pool, people=lambda: people, look_s=0.01, **options)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(whereabouts.run())
            yield pool, whereabouts
            running.cancel()


async def until(predicate):
    async with asyncio.timeout(60):
        while not predicate():
            await asyncio.sleep(0.005)


def asked_for(index):
    return set().union(*index.keys)


async def test_lists_are_asked_for_at_start_and_for_who_is_added():
    index, people = Index([relay_list("ws://127.0.0.1:2")]), [BOB.pubkey]
    async with asking(index, people) as (pool, whereabouts):
        await until(lambda: BOB.pubkey in pool._routes)
        assert asked_for(index) == {BOB.pubkey}
        await until(lambda: BOB.pubkey in whereabouts._due)
        people.append(CAROL.pubkey)
        await until(lambda: CAROL.pubkey in whereabouts._due)
        assert {frozenset(keys) for keys in index.keys} == {
            frozenset({BOB.pubkey}), frozenset({CAROL.pubkey}),
        }  # fmt: skip
        questions = len(index.keys)
        await whereabouts.find(people)
        assert len(index.keys) == questions, "nobody is asked about twice a day"


async def test_lists_are_asked_for_again_next_day_and_sooner_where_a_relay_was_silent(monkeypatch):
    """The times are those of the loop, put back here by what they say."""
    monkeypatch.setattr(limits, "ANSWER_SECONDS_MAX", 0.2)
    index, people = Index(), [BOB.pubkey]
    async with asking(index, people) as (_, whereabouts):
        clock = asyncio.get_running_loop().time
        await until(lambda: BOB.pubkey in whereabouts._due)
        assert whereabouts._due[BOB.pubkey] - clock() > 86_000
        before = len(index.keys)
        whereabouts._due[BOB.pubkey] -= 86_400
        await until(lambda: len(index.keys) > before)
    async with asking(index, people, at=["ws://127.0.0.1:1"]) as (_, whereabouts):
        await until(lambda: BOB.pubkey in whereabouts._due)
        assert whereabouts._due[BOB.pubkey] - clock() <= 600


def configured(tmp_path, text):
    (tmp_path / "node.toml").write_text(text)
    return load(Home(path=tmp_path, state=tmp_path).config)


async def test_all_with_whom_the_node_talks_are_asked_about(tmp_path):
    """Who may talk, peers, members but itself, whom jobs follow; nobody unless it is wanted."""
    text = f"""[gateways.nostr]
enabled = true
operator = "{nip19.npub(ALICE.pubkey)}"
people = ["{BOB.pubkey}"]
agents = ["{CAROL.pubkey}"]
relays = ["wss://inbox.example"]
[bridge]
peers = ["{DAVE.pubkey}"]
"""
    fleet, sights = SimpleNamespace(fleet=None, own=A), NostrSights(MemoryPool())
    config = configured(tmp_path, text)
    given = (None, roles_of(config.gateways.nostr), sights, fleet)
    assert make_whereabouts(config, *given) is None
    config = configured(tmp_path, text + "[publish]\nfollow = true\n")
    found = make_whereabouts(config, *given)
    assert found.at == ["wss://inbox.example"]
    named = {one.pubkey for one in (ALICE, BOB, CAROL, DAVE)}
    assert set(found.people()) == named
    fleet.fleet = FLEET
    await sights.sight(Watch(what="nostr", path=f"/1/{nip19.npub(EVE.pubkey)}"))
    assert set(found.people()) == named | {EVE.pubkey, B.nostr.hex(), C.nostr.hex()}


async def test_where_somebody_takes_sealed_messages_is_looked_for_where_he_writes():
    """The two lists are at two relays: the first is ours, and names the second."""
    inbox = nip17.mint_inbox(BOB, ["wss://hers.example"], now=NOW)
    async with (
        listening(Liar([inbox])) as his,
        asking(Index([relay_list(his)]), []) as (pool, whereabouts),
    ):
        for find, found in ((None, ()), (whereabouts.find, ("wss://hers.example",))):
            box = Mailbox(pool, ALICE, MemoryHandled(), relays=(), clock=lambda: NOW, find=find)
            assert await box.inbox_of(BOB.pubkey) == found
            await box.close()


async def test_a_job_asks_where_an_author_writes_before_it_looks():
    said = []

    class Pool(MemoryPool):
        async def fetch(self, filters, *, at=None):
            said.append(("fetched", filters[0].authors))
            return Fetched(events=(make(BOB),))

    async def find(keys):
        said.append(("found", frozenset(keys)))

    sights = NostrSights(Pool())
    sights.find = find
    watch = Watch(what="nostr", path=f"/1/{nip19.npub(BOB.pubkey)}")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(sights.run())
        async with asyncio.timeout(60):
            while await sights.sight(watch) is None:
                await asyncio.sleep(0.005)
        running.cancel()
    by_bob = frozenset({BOB.pubkey})
    assert said == [("found", by_bob), ("fetched", by_bob)]
