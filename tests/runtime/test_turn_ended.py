"""A host that ends at any commit of a turn with two rounds of tools, and the one after it.

Before a commit: what it tells of was done and is not on record. After it: it is, and nobody was
told. Host, protocol, ledger and agent are the real ones; the agent runs in a thread, since it is
not the one that ends here.
"""

import asyncio
import json
import threading
from collections import Counter
from contextlib import suppress

import aiohttp
import pytest

from ledger.core import types
from runtime.agent.process import Agent
from runtime.agent.wire import Channel, Closed
from runtime.chain import Chain
from runtime.core.chat import Reach
from runtime.core.openai_wire import OpenAi
from runtime.endpoint import Endpoint
from runtime.gateway import Gateway
from runtime.journal import Journal
from runtime.recall import Recall
from runtime.service import Service
from tests.runtime.providers import streamer
from tests.runtime.test_turn_tools import Tools, asks
from tests.runtime.world import DIGEST_KEY, World, new_log, running, scan

ROUNDS = {
    0: [asks("look", "a", "c1"), asks("put", "notes/b", "c2")],
    2: [asks("put", "notes/c", "c1")],
    3: "Both are written.",
}
"""What the model says, by how many results it was told."""
COMMITS = 18
"""The start, a search, three times asking a model, three calls of three commits, the end."""


class Ends:
    """A log whose node ends at a commit. Whatever it does from then on comes to nothing."""

    def __init__(self, log, at: int | None, *, durable: bool) -> None:
        self._log, self._at, self._durable = log, at, durable
        self.commits: list[tuple[str, ...]] = []
        self.over, self.gone = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str):
        return getattr(self._log, name)

    async def append(self, *drafts):
        if not self.over.is_set():
            self.commits.append(tuple(draft.type for draft in drafts))
            last = len(self.commits) == self._at
            events = await self._log.append(*drafts) if self._durable or not last else []
            if not last:
                return events
            self.over.set()
        await self.gone.wait()
        raise asyncio.CancelledError


class Inside:
    """The real agent in a thread: what of `runtime.child.Child` a host needs."""

    def __init__(self, channel) -> None:
        self._channel = channel.dup()
        channel.close()
        self._channel.setblocking(True)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._channel, suppress(Closed, OSError):
            Agent(Channel(self._channel)).serve()

    def kill(self) -> None:
        with suppress(OSError):
            self._channel.shutdown(2)

    async def wait(self) -> int:
        await asyncio.to_thread(self._thread.join)
        return 0

    async def end(self) -> int:
        self.kill()
        return await self.wait()

    def stderr_tail(self) -> str:
        return ""


async def inside(_tree, channel) -> Inside:
    return Inside(channel)


class Scene:
    """One ledger, one model, and the nodes that live on them one after the other."""

    def __init__(self, server, session, folder) -> None:
        self.log, self.server, self.folder = new_log(), server, folder
        self.done: list[tuple[str, str]] = []
        self.link = Endpoint(
            name="smart", codec=OpenAi(), base_url=server.url, model="m", timeout_s=20,
            reach=Reach.LOCAL, session=session,
        )  # fmt: skip
        server.requests = _Rounds(server)

    def node(self, log) -> World:
        journal = Journal(log)
        recall = Recall(journal, scan(log))
        service = Service(
            journal, chain=Chain([self.link]), recall=recall, status=dict, digest_key=DIGEST_KEY
        )
        world = World(log, journal, Gateway(journal), service, recall, None, self.link)
        tools = Tools(world, str(self.folder))
        tools.desk.done = self.done
        return world

    async def live(self, ends: Ends) -> None:
        """Be a node until it ends."""
        host = self.node(ends).host(self.folder, spawn=inside)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            node = group.create_task(host.run())
            await ends.over.wait()
            node.cancel()
            ends.gone.set()

    async def answer(self, position: int) -> World:
        """Be a node that goes on until the message is answered."""
        world = self.node(self.log)
        async with running(world.host(self.folder, spawn=inside)) as host:
            assert world.text_of(await host.answer_to(position)) == ROUNDS[3]
        return world


class _Rounds(list):
    """Requests; each is answered by what it tells, so that one made twice is answered alike."""

    def __init__(self, server) -> None:
        super().__init__()
        self._server = server

    def append(self, body) -> None:
        super().append(body)
        reply = ROUNDS[sum(said["role"] == "tool" for said in body["messages"])]
        self._server.words = [reply] if isinstance(reply, str) else []
        self._server.calls = [] if isinstance(reply, str) else reply


@pytest.fixture
async def scene(tmp_path):
    async with streamer() as server, aiohttp.ClientSession() as session:
        yield lambda: Scene(server, session, tmp_path)


async def test_a_turn_that_nothing_ends_has_these_commits(scene):
    told = scene()
    ends = Ends(told.log, None, durable=True)
    message = await told.node(told.log).say("write both")
    world = told.node(ends)
    async with running(world.host(told.folder, spawn=inside)) as host:
        await host.answer_to(message.position)
    assert len(ends.commits) == COMMITS, ends.commits
    check(told, message, lost=0)


@pytest.mark.parametrize("durable", [False, True], ids=["before", "after"])
async def test_it_ends_there_and_nothing_is_done_twice(scene, durable):
    for at in range(1, COMMITS + 1):
        told = scene()
        ends = Ends(told.log, at, durable=durable)
        message = await told.node(told.log).say("write both")
        await told.live(ends)
        where = f"{'after' if durable else 'before'} commit {at}, {ends.commits[-1]}"
        of = Counter(event.type for event in told.log.events())
        lost = len(told.server.requests) - of[types.MODEL_REPLIED.name]
        assert lost <= of[types.MODEL_REQUESTED.name] - of[types.MODEL_REPLIED.name], where
        await told.answer(message.position)
        try:
            check(told, message, lost=lost)
        except AssertionError as error:
            raise AssertionError(where) from error


def check(told: Scene, message, *, lost: int) -> None:
    """`lost`: replies that were given, and the node did not live to record."""
    world = told.node(told.log)
    world.check_nothing_doubled()
    assert lost in (0, 1)
    assert len(told.server.requests) == 3 + lost
    of = Counter(event.type for event in told.log.events())
    for kind in (types.MODEL_REQUESTED, types.MODEL_REPLIED, types.TOOL_REQUESTED,
                 types.TOOL_DECIDED, types.TOOL_RETURNED):  # fmt: skip
        assert of[kind.name] == 3, kind.name
    assert of[types.MESSAGE_SENT.name] == of[types.TURN_FINISHED.name] == 1
    made = Counter(told.done)
    for returned in world.of(types.TOOL_RETURNED.name):
        arguments = json.loads(_cause(world, _cause(world, returned)).content["arguments"])
        times = made[returned.payload["name"], arguments["path"]]
        if returned.payload["name"] == "look":
            assert returned.payload["outcome"] == "done"
            assert times in (1, 2), "it only reads"
        elif returned.payload["outcome"] == "done":
            assert times == 1
        else:
            assert returned.payload["outcome"] == "interrupted"
            assert times <= 1
    check_causes(world, message)


def _cause(world: World, event):
    """What an event came of beside the message, which is its first cause."""
    first, cause = event.envelope.causes
    assert first.position == event.payload.get("message", first.position)
    return world.log.read(cause.position)


def check_causes(world: World, message) -> None:
    """From the answer back to the message, one event after the other."""
    [sent] = world.of(types.MESSAGE_SENT.name)
    replied = world.of(types.MODEL_REPLIED.name)
    assert _cause(world, sent) == replied[-1]
    for returned in world.of(types.TOOL_RETURNED.name):
        decided = _cause(world, returned)
        requested = _cause(world, decided)
        asked_by = _cause(world, requested)
        kinds = [event.type for event in (decided, requested, asked_by)]
        assert kinds == ["tool.decided", "tool.requested", "model.replied"]
        assert returned.payload["id"].startswith(f"{asked_by.position}-")
        for event in (returned, decided, requested):
            assert event.envelope.causes[0].position == message.position
    for reply, told in zip(replied, (0, 2, 3), strict=True):
        [cause] = reply.envelope.causes
        request = world.log.read(cause.position)
        seen = {world.log.read(one.position).type for one in request.envelope.causes}
        assert ("tool.returned" in seen) == bool(told)
