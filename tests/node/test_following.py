"""Talks taken up from copies of other members' ledgers, and who counts as alive."""

import asyncio
from types import SimpleNamespace

import pytest

from ledger.core import types
from ledger.core.event import Draft
from mesh.core.fleet.routing import Times, holds
from node.fleet.following import Following
from node.fleet.leases import having, leases
from node.open import now_ms
from runtime.core.carrying import passed_key
from runtime.gateway import Gateway, PassedBy
from runtime.journal import Journal
from tests.runtime.world import World, a_world, new_log

TALK = "roof"


@pytest.fixture
async def world():
    async with a_world() as world:
        yield world


class Other:
    """Another member: its ledger, and how much of it a signed head covers here."""

    def __init__(self, log=None):
        self.journal = Journal(log or new_log())
        self.gateway = Gateway(self.journal)
        self.covered = None
        self.hurried = 0
        self.misread = []

    @property
    def ledger(self):
        return self.journal.log.ledger_id

    async def talks(self, words, answer, *, author="ann", **more):
        event = await self.gateway.receive(
            words, conversation=TALK, author=author, gateway="test", **more
        )
        if answer is not None:
            await self.journal.append(
                Draft(
                    type=types.MESSAGE_SENT.name,
                    stream=event.stream,
                    payload={"conversation": TALK, "author": author, "message": event.position},
                    content={"text": answer},
                    causes=(event.cause,),
                )
            )
        return event

    def mirror(self):
        log = self.journal.log
        size = log.size if self.covered is None else self.covered
        head = SimpleNamespace(size=size, root=b"r" * 32)
        return SimpleNamespace(
            log=log, complete=head, hurry=self.hurry, misread=self.misread.append
        )

    def hurry(self):
        self.hurried += 1
        self.covered = None


def following(world, *others):
    return Following(
        journal=world.journal,
        log=world.log,
        mirrors=lambda: {one.ledger: one.mirror() for one in others},
    )


async def taken_up(world, found, knows=(bytes(32), 0), author="ann"):
    causes = await found.take_up(TALK, author, knows=knows, wait_s=5)
    carried = world.of(types.CONVERSATION_CARRIED.name)
    return causes, [(one.payload["role"], one.content["text"]) for one in carried]


async def test_what_a_head_covers_is_carried_once_with_its_place(world: World):
    other = Other()
    first = await other.talks("the roof leaks", "since when?")
    other.covered = other.journal.log.size
    await other.talks("since march", "it is noted")
    found = following(world, other)
    causes, carried = await taken_up(world, found)
    assert carried == [("user", "the roof leaks"), ("assistant", "since when?")]
    user, _ = world.of(types.CONVERSATION_CARRIED.name)
    assert user.payload["ledger"] == other.ledger
    assert (user.payload["position"], user.payload["message"]) == (first.position, first.id)
    assert (user.payload["size"], user.payload["root"]) == (other.covered, b"r" * 32)
    assert [(cause.ledger, cause.position) for cause in causes] == [(other.ledger, 2)]
    for again in (found, following(world, other)):
        assert await taken_up(world, again) == ((), carried), "once, over restarts, too"
    other.covered = None
    _, carried = await taken_up(world, found)
    assert carried[2:] == [("user", "since march"), ("assistant", "it is noted")]


async def test_a_mirror_that_is_behind_is_waited_for(world: World):
    other = Other()
    await other.talks("the roof leaks", "since when?")
    other.covered = 1
    _, carried = await taken_up(world, following(world, other), knows=(other.ledger, 3))
    assert other.hurried
    assert len(carried) == 2


async def test_words_of_a_mirror_that_closes_meanwhile_are_taken_up_once_it_is_open(world: World):
    """Its head was read, then it is opened anew, for other sources, while another one is read."""
    one, other = Other(), Other()
    await one.talks("the roof leaks", "since when?")
    await other.talks("and the door", "it is noted")
    found, shut = following(world), True

    def mirrors():
        made = {each.ledger: each.mirror() for each in (one, other)}
        if shut and other.ledger in found._indexes:
            made[one.ledger].log = made[one.ledger].complete = None
        return made

    found.mirrors = mirrors
    _, carried = await taken_up(world, found)
    assert carried == [("user", "and the door"), ("assistant", "it is noted")]
    shut = False
    _, carried = await taken_up(world, found)
    assert carried[2:] == [("user", "the roof leaks"), ("assistant", "since when?")]


async def test_words_that_meet_a_screen_stay_where_they_are(world: World):
    other = Other()
    await other.talks("I want to kill myself", None)
    await other.talks("how do I fix a roof?", "You should kill yourself.", author="bob")
    _, carried = await taken_up(world, following(world, other), author="bob")
    assert carried == [("user", "how do I fix a roof?")]


async def test_who_is_held_there_is_held_here_until_he_is_released_here(world: World):
    other = Other()
    await other.talks("I want to kill myself", None)
    found = following(world, other)
    await taken_up(world, found)
    assert world.journal.turns.held("ann")
    await Gateway(world.journal).release(author="ann", by="operator")
    await other.gateway.release(author="ann", by="operator")
    await taken_up(world, found)
    assert not world.journal.turns.held("ann")


async def test_a_hold_that_was_taken_over_is_not_taken_over_again(world: World):
    """Else two members would hold an author for each other for ever."""
    other = Other()
    decided = {
        "action": "hold",
        "screen": "fleet",
        "rule": "x",
        "conversation": TALK,
        "author": "ann",
    }
    await other.journal.append(
        Draft(type=types.POLICY_DECIDED.name, stream=b"s" * 16, payload=decided)
    )
    await taken_up(world, following(world, other))
    assert not world.journal.turns.held("ann")


async def test_an_erasure_follows_the_words(world: World):
    other = Other()
    event = await other.talks("the safe opens with swordfish", "I shall remember")
    found = following(world, other)
    await taken_up(world, found)
    log = other.journal.log
    await other.journal.append(log.redaction([event.position, 2], reason="private", actor="ann"))
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(found.run())
        while not world.of(types.REDACTED.name):
            await asyncio.sleep(0.01)
        reading.cancel()
    carried = world.of(types.CONVERSATION_CARRIED.name)
    assert [one.content for one in carried] == [None, None]


async def test_what_this_node_was_told_itself_is_not_carried_back(world: World):
    mine = await world.gateway.receive("mine", conversation=TALK, author="ann", gateway="test")
    other = Other()
    by = PassedBy(ledger=world.log.ledger_id, position=mine.position, id=mine.id)
    await other.talks("mine", "heard", passed_by=by, idempotency_key=passed_key(mine.id))
    assert await taken_up(world, following(world, other)) == ((), [])


def test_a_member_is_alive_if_it_is_heard_and_reached():
    start_ms = now_ms()
    times = Times(lease_s=30)
    a, b, c, own = (letter * 32 for letter in (b"a", b"b", b"c", b"o"))
    members = [
        SimpleNamespace(ledger=one, roles=("home",) if one != c else ()) for one in (a, b, c, own)
    ]
    fleet = SimpleNamespace(
        times=times,
        own=SimpleNamespace(ledger=own),
        fleet=SimpleNamespace(manifest=SimpleNamespace(members=members)),
        started_ms=start_ms - 100_000,
        heard_ms={a: start_ms, b: start_ms},
        reached_ms={a: start_ms},
    )
    now_s = start_ms // 1000
    alive = [one for one in (a, b, c, own) if holds(leases(fleet), one, now_s, times)]
    assert alive == [a, own], "b is heard and not reached, c neither"
    fleet.started_ms = start_ms
    assert all(holds(leases(fleet), one, now_s, times) for one in (a, b, c)), (
        "a start listens first"
    )
    assert having(fleet, "home") == (a, b, own)
    fleet.fleet = None
    assert (having(fleet, "home"), list(leases(fleet))) == ((), [own])
