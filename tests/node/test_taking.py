"""Who takes a task that is for any member: asked of both engines of the bus, one node after another.

With three nodes as processes it is in test_node_taking.py.
"""

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import pytest

from ledger.core.keys import Signer
from mesh.core.errors import InvalidSubject, NobodyThere, Refused
from mesh.core.fleet.manifest import Manifest, Member
from mesh.fleet.local_bus import LocalBus
from node.fleet.taking import BUSY_MESSAGES, GROUP, TRIES_MAX, Taking
from tests.mesh.natsd import NatsServer
from tests.mesh.test_bus import LONG, nats_bus, running, state
from tests.mesh.test_duties import Clock, direct_buses

KEYS = {name: Signer(bytes([number]) * 32) for number, name in enumerate(("ann", "bea", "cid"), 1)}


def hexed(name):
    return KEYS[name].public.hex()


MEMBERS = tuple(
    Member(ledger=key.public, nostr=key.public, name=name, roles=("jobs",))
    for name, key in KEYS.items()
)
FLEET = SimpleNamespace(
    manifest=Manifest(number=0, previous=b"", operator=KEYS["ann"].public, members=MEMBERS)
)


def taking(name, bus, *, able=(), agents=tuple(KEYS), waiting=0, live=None, seen=None):
    settled = asyncio.Event()
    fleet = SimpleNamespace(
        fleet=FLEET, ours=FLEET, settled=settled, signer=KEYS[name], able=able, seen=seen or {},
        own=SimpleNamespace(ledger=KEYS[name].public),
    )  # fmt: skip
    trusted = {hexed(one) for one in agents}
    count = waiting if callable(waiting) else lambda: waiting
    return Taking(
        bus=bus, live=live or bus, fleet=fleet, is_agent=trusted.__contains__, waiting=count
    )


@pytest.fixture(params=["local", "nats"])
async def bus_of(request, tmp_path):
    """Give each node its end of one bus: the same object in one process, or a connection each."""
    if request.param == "local":
        one = LocalBus()
        yield lambda: one
        return
    server = NatsServer(tmp_path / "nats").start()
    try:
        yield lambda: nats_bus(server.url)
    finally:
        server.kill()


async def all_answer(bus, wanted, word="any"):
    """Return when each of the queue group was picked once: from then on nobody is early."""
    asked, met = json.dumps({"giver": hexed("ann")}).encode(), set()
    async with asyncio.timeout(LONG):
        while met != wanted:
            try:
                answer = await bus.request(f"take.{word}", asked, seconds=LONG)
            except NobodyThere:
                await asyncio.sleep(0.01)
                continue
            met.add(json.loads(answer)["taker"])


@asynccontextmanager
async def taking_part(bus_of, *others):
    """Give the bus of who has a task, when the others listen."""
    buses = {id(bus): bus for bus in (bus_of() for _ in range(len(others) + 1))}
    ends = list(buses.values()) * (len(others) + 1)
    async with running(*buses.values()), asyncio.TaskGroup() as group:
        for bus in buses.values():
            await state(bus, "up")
        tasks = [
            group.create_task(taking(name, end, **how).run())
            for (name, how), end in zip(others, ends[1:], strict=False)
        ]
        await all_answer(ends[0], {hexed(name) for name, _ in others})
        yield ends[0]
        for task in tasks:
            task.cancel()


async def test_one_of_those_that_are_able_takes_it(bus_of):
    others = ("bea", {"able": ("gpu",)}), ("cid", {})
    async with taking_part(bus_of, *others) as bus:
        ann = taking("ann", bus)
        await all_answer(bus, {hexed("bea")}, "gpu")
        assert await ann.find("gpu") == hexed("bea")
        assert await ann.find("any") in {hexed("bea"), hexed("cid")}
        with pytest.raises(Refused, match=r"no member takes it \(oven\)"):
            await ann.find("oven")
        with pytest.raises(InvalidSubject):
            await ann.find("g p u")


async def test_who_is_busy_or_works_for_others_leaves_it_to_the_next(bus_of):
    others = ("bea", {"waiting": BUSY_MESSAGES}), ("cid", {"agents": ("bea",)})
    async with taking_part(bus_of, *others) as bus:
        with pytest.raises(Refused) as refused:
            await taking("ann", bus).find("any")
        assert TRIES_MAX >= 4, "four tries of a queue group of two"
        told = str(refused.value)
        assert ("bea: 8 messages wait there" in told) or ("cid: it does no tasks" in told)
    others = ("bea", {"waiting": BUSY_MESSAGES - 1}), ("cid", {"agents": ("bea",)})
    async with taking_part(bus_of, *others) as bus:
        found = [await _tried(taking("ann", bus)) for _ in range(8)]
        assert set(found) - {None} == {hexed("bea")}


async def _tried(node):
    try:
        return await node.find("any")
    except Refused:  # a queue group may pick the same one four times
        return None


@pytest.mark.parametrize(
    "answer",
    [b"", b"{}", b"\xff", b'{"taker":"no key"}', json.dumps({"taker": hexed("cid"), "x": 1}).encode(),
     json.dumps({"taker": "ee" * 32}).encode(), b'{"taker":"\xff"}'],
    ids=["empty", "nothing", "binary", "key", "more", "stranger", "text"],
)  # fmt: skip
async def test_what_anybody_may_answer_chooses_nobody(answer):
    bus, asked = LocalBus(), []

    async def liar():
        async with bus.subscribe("take.any", group=GROUP) as inbox:
            async for message in inbox:
                asked.append(message.data)
                await message.reply(answer)

    async with running(bus), asyncio.TaskGroup() as group:
        task = group.create_task(liar())
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="no member takes it"):
            await taking("ann", bus).find("any")
        assert len(asked) == 4, "it was heard each time, and believed never"
        task.cancel()


@pytest.mark.parametrize("word", [b"", b"{}", b'{"giver":"\xff"}', b'{"\xff":0}'])
async def test_what_anybody_may_ask_ends_nobody(bus_of, word):
    async with taking_part(bus_of, ("bea", {})) as bus:
        await bus.publish("take.any", word)
        await all_answer(bus, {hexed("bea")})


async def test_a_fleet_of_one_says_that_there_is_nobody():
    bus = LocalBus()
    alone = taking("ann", bus)
    alone.fleet.fleet = alone.fleet.ours = SimpleNamespace(
        manifest=Manifest(number=0, previous=b"", operator=KEYS["ann"].public, members=MEMBERS[:1])
    )
    with pytest.raises(Refused, match="there is nobody"):
        await alone.find("any")


def loads(**said):
    """What members said of their load, in thousandths of a core."""
    return {KEYS[name].public: SimpleNamespace(load=load) for name, load in said.items()}


async def listening(bus, name):
    """Return when a member hears who asks it straight."""
    asked = json.dumps({"giver": hexed("ann")}).encode()
    async with asyncio.timeout(LONG):
        while True:
            with suppress(NobodyThere):
                await bus.request(f"take.any.{hexed(name)}", asked, seconds=LONG)
                return
            await asyncio.sleep(0.01)


async def test_without_a_server_the_idlest_is_asked_first():
    """Straight over HTTP, one after the other; of whom nothing was heard comes last."""
    order = []

    def busy(name):
        return lambda: order.append(name) or BUSY_MESSAGES

    async with (
        direct_buses(*KEYS.values(), manifest=FLEET.manifest, clock=Clock()) as (ann, *others),
        asyncio.TaskGroup() as group,
    ):
        tasks = [
            group.create_task(taking(name, LocalBus(), live=end, waiting=busy(name)).run())
            for name, end in zip(("bea", "cid"), others, strict=True)
        ]
        for name in ("bea", "cid"):
            await listening(ann, name)
        for seen, wanted in (
            (loads(bea=900, cid=100), ["cid", "bea"]),
            (loads(bea=100, cid=900), ["bea", "cid"]),
            (loads(bea=999_999), ["bea", "cid"]),
            (loads(cid=999_999), ["cid", "bea"]),
        ):
            order.clear()
            with pytest.raises(Refused, match="8 messages wait there"):
                await taking("ann", LocalBus(), live=ann, seen=seen).find("any")
            assert order == wanted
        for task in tasks:
            task.cancel()
