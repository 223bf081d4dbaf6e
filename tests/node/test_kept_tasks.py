"""Tasks that wait for who has time: over both engines of the bus, one giver and some takers.

The giver's ledger is a dictionary here; the real one is in tests/gateways/test_tasking.py, and nodes
as processes in test_node_taking.py.
"""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import msgspec
import pytest

from mesh.core.errors import BusDown, Refused
from mesh.fleet.local_bus import LocalBus
from node.fleet.kept_tasks import KeptTasks
from tests.mesh.natsd import NatsServer
from tests.mesh.test_bus import LONG, nats_bus, running, state

ANN, BEA, CID = ("a1" * 32, "b2" * 32, "c3" * 32)
SOON = 0.05
NO_TEXT = b'{"giver":"\xff","id":"\xff"}'


@dataclass
class Ledger:
    """What a giver has on record: ids of tasks that wait, and who has the others."""

    waiting: dict = field(default_factory=dict)
    handed: dict = field(default_factory=dict)
    asked: int = 0

    async def keep(self, word, text, *, due_at):
        id_ = f"{len(self.waiting) + len(self.handed):032x}"
        self.waiting[id_] = SimpleNamespace(position=1, payload={"id": id_, "able": word})
        return self.waiting[id_]

    def kept(self):
        return list(self.waiting.values())

    async def hand(self, id_, key):
        self.asked += 1
        if id_ in self.waiting:
            self.handed[id_] = key
            del self.waiting[id_]


@dataclass
class Chooser:
    """`busy`: why it takes nothing. `finds`: who is found; nobody if empty."""

    busy: str = ""
    finds: list = field(default_factory=list)

    async def find(self, word):
        if not self.finds:
            raise Refused("no member takes it")
        return self.finds[0]

    def why_not(self, giver):
        return self.busy


def kept_tasks(bus, own, *, ledger=None, chooser=None, able=("any",)):
    return KeptTasks(
        bus=bus, live=bus, own=own, able=able, giver=ledger or Ledger(),
        chooser=chooser or Chooser(), later_seconds=SOON,
    )  # fmt: skip


@asynccontextmanager
async def at_work(*nodes):
    async with asyncio.timeout(LONG), running(*{id(n.bus): n.bus for n in nodes}.values()):
        for node in nodes:
            await state(node.bus, "up")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(node.run()) for node in nodes]
            yield
            for task in tasks:
                task.cancel()


async def reach(condition):
    while not condition():
        await asyncio.sleep(0.01)


@pytest.fixture
def server(tmp_path):
    made = NatsServer(tmp_path / "nats").start()
    yield made
    made.kill()


async def test_without_a_server_the_giver_asks_until_somebody_has_time():
    bus, ledger, chooser = LocalBus(), Ledger(), Chooser()
    ann = replace(kept_tasks(bus, ANN, ledger=ledger, chooser=chooser), live=object())
    async with at_work(ann):
        [one, other] = [await ann.keep(word, "count", due_at=0) for word in ("any", "gpu")]
        await asyncio.sleep(3 * SOON)
        assert not ledger.handed, "nobody has time"
        chooser.finds.append(BEA)
        await reach(lambda: not ledger.waiting)
    assert ledger.handed == {one.payload["id"]: BEA, other.payload["id"]: BEA}


async def test_over_a_server_one_that_is_able_and_has_time_takes_it(server):
    ledger, bus = Ledger(), {key: nats_bus(server.url) for key in (ANN, BEA, CID)}
    ann = kept_tasks(bus[ANN], ANN, ledger=ledger)
    bea = kept_tasks(bus[BEA], BEA, chooser=Chooser(busy="8 messages wait there"))
    cid = kept_tasks(bus[CID], CID, able=("any", "gpu"))
    async with at_work(ann, bea):
        tasks = [await ann.keep(word, "count", due_at=0) for word in ("any", "gpu")]
        await asyncio.sleep(3 * SOON)
        assert not ledger.handed, "one is busy, one is the giver's own"
        async with at_work(cid):
            await reach(lambda: not ledger.waiting)
    assert ledger.handed == {task.payload["id"]: CID for task in tasks}


async def test_what_waits_outlives_the_server_the_giver_and_an_answer_that_is_lost(server):
    ledger = Ledger()
    ann = kept_tasks(nats_bus(server.url), ANN, ledger=ledger)
    async with at_work(ann):
        task = await ann.keep("any", "count", due_at=0)
        await reach(lambda: ann._put)
    server.kill()
    server.start()
    bea_bus = nats_bus(server.url)
    bea = kept_tasks(bea_bus, BEA)
    lost = []

    async def request(subject, data, *, seconds):
        answer = await type(bea_bus).request(bea_bus, subject, data, seconds=seconds)
        if not lost:
            lost.append(answer)
            raise BusDown("the answer is lost")
        return answer

    bea_bus.request = request
    again = kept_tasks(nats_bus(server.url), ANN, ledger=ledger, able=())
    async with at_work(bea):
        await asyncio.sleep(3 * SOON)
        assert not ledger.handed, "the giver is away"
        async with at_work(again):
            await reach(lambda: ledger.asked > 1)
    assert ledger.handed == {task.payload["id"]: BEA}
    assert lost, "the first answer did not arrive"


async def test_what_is_no_word_of_ours_is_dropped_and_goes_round_no_more(server):
    ledger = Ledger()
    ann, bea = (kept_tasks(nats_bus(server.url), key, ledger=ledger) for key in (ANN, BEA))
    async with at_work(ann, bea):
        for data in (b"", b"{}", msgspec.json.encode({"giver": "x", "id": "y"}), NO_TEXT):
            await ann.bus.publish(f"given.{ANN}", data)
            await ann.bus.put("task.any", data, key=data.hex() or "none", seconds=LONG)
        unknown = msgspec.json.encode({"giver": ANN, "id": "f" * 32})
        await ann.bus.put("task.any", unknown, key="unknown", seconds=LONG)
        task = await ann.keep("any", "count", due_at=0)
        await reach(lambda: ledger.handed)
    assert ledger.handed == {task.payload["id"]: BEA}
