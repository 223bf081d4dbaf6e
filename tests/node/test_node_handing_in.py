"""When heads are handed in, how failures wait, and what a restart knows: at a real door, or at none."""

from contextlib import asynccontextmanager
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web

from attest.aggregator import Aggregator
from attest.aggregator_client import AggregatorClient
from attest.core import limits
from attest.core.errors import AggregatorRefused, StateDamaged
from attest.rounds import Rounds
from attest.state import FileState, MemoryState
from genesis.keys import keystore
from ledger.core import types
from ledger.core.errors import TimmyError
from ledger.release import Release
from node import console
from node.anchors.aggregating import Aggregating, log_key_of
from node.anchors.anchoring import Anchoring
from node.anchors.handing_in import HandingIn
from node.api import aggregate as aggregate_api
from node.api.app import _status_of, refuse
from node.config import load
from node.open import lineage_of, open_log
from node.sections.base import ConfigError
from tests.ledger.makers import fact, message
from tests.node.test_node_handoff import places
from tests.node.world import PASSPHRASE, Home
from tests.ports import free_port

DAY_S = 86_400
NOW_S = 1_800_000_000


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("handing") / "user").configure()
    home.run("init", "--name", "Ada").good()
    return home


class Agent:
    """A ledger with its keys, whose heads are handed in; the clock is the test's."""

    def __init__(self, home, log):
        self.log, self.lineage, self.now_s = log, lineage_of(log), NOW_S
        keys = keystore.unlock_agent(home.path, PASSPHRASE)
        self.release = Release.open(log, home.state, keys.log, key_at=self.lineage.key_at)
        unused = ("anchorer", "network", "funding", "seal_sats", "poll_s")
        self.anchoring = Anchoring(
            **dict.fromkeys(unused),
            home=places(home),
            log=log,
            release=self.release,
            lineage=self.lineage,
        )

    def handing_in(self, url, session, state, *, every="daily"):
        return HandingIn(
            anchoring=self.anchoring,
            client=AggregatorClient(url=url, session=session),
            state=state,
            every=every,
            now_s=lambda: self.now_s,
        )

    @property
    def notes(self):
        events = self.log.stream(types.SEAL_STREAM, last=100)
        return [e.payload for e in events if e.type == types.ANCHOR_REQUESTED.name]


@pytest.fixture
def agent(born, tmp_path):
    home = born.copy(tmp_path / "user")
    with open_log(places(home), write=True) as log:
        yield Agent(home, log)


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


@web.middleware
async def refusing(request, handler):
    try:
        return await handler(request)
    except TimmyError as error:
        return refuse(_status_of(error), str(error), error.hint)


@asynccontextmanager
async def serving(port, *found, middlewares=()):
    app = web.Application(middlewares=middlewares)
    app.add_routes(found)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def an_aggregator(folder, port):
    """The real door over the real aggregator; its seal is of no matter here."""
    rounds = Rounds(folder / "rounds.db")
    inner = Aggregator(
        rounds=rounds, anchorer=None, log_key_of=log_key_of, now_ms=lambda: 1000 * NOW_S
    )
    itself = SimpleNamespace(
        home=SimpleNamespace(anchors=folder, proofs=folder),
        log=SimpleNamespace(ledger_id=b"\xff" * 32),
    )
    door = Aggregating(
        anchoring=itself, aggregator=inner, lineage=None, interval_s=3600, poll_s=3600
    )
    try:
        async with serving(port, *aggregate_api.routes(door), middlewares=[refusing]) as url:
            yield url, inner
    finally:
        rounds.close_file()


async def test_once_a_day_if_anything_was_said(agent, session, tmp_path):
    async with an_aggregator(tmp_path, free_port()) as (url, inner):
        with FileState(tmp_path / "state") as state:
            mine = agent.handing_in(url, session, state)
            assert "nothing yet" in console.handed_in(await mine.value())
            await mine.step()
            first = (await mine.value())["size"]
            assert inner.rounds.known(agent.log.ledger_id).head.size == first
            assert (await mine.value())["done"]
            assert f"it has {first} events" in console.handed_in(await mine.value())
            agent.log.append_now(message("more"))
            agent.now_s += DAY_S - 1
            await mine.step()
            assert (await mine.value())["size"] == first, "not before the day is over"
        with FileState(tmp_path / "state") as state:
            mine = agent.handing_in(url, session, state)
            agent.now_s += 1
            await mine.step()
            second = (await mine.value())["size"]
            assert second > first
            assert inner.rounds.known(agent.log.ledger_id).head.size == second
            assert len(agent.notes) == 2
            agent.now_s += 9 * DAY_S
            await mine.step()
            assert len(agent.notes) == 2, "nothing was said"
            agent.log.append_now(fact(7))
            never = agent.handing_in(url, session, state, every="never")
            await never.step()
            assert len(agent.notes) == 2
            assert (await never.now())["size"] > second, "asked for, it is"


async def test_a_failure_waits_twice_as_long_each_time_and_a_restart_knows(
    agent, session, tmp_path
):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with FileState(tmp_path / "state") as state:
        mine = agent.handing_in(url, session, state)
        for tries, wait_s in ((1, 60), (2, 120), (3, 240)):
            await mine.step()
            told = await mine.value()
            assert (told["tries"], told["next_ms"]) == (tries, 1000 * (agent.now_s + wait_s))
            assert told["trouble"].startswith(f"no answer from {url}: ClientConnectorError")
            assert "events wait, next attempt" in console.handed_in(told)
            agent.now_s += wait_s - 1
            await mine.step()
            assert await mine.value() == told, "not before it is due"
            agent.now_s += 1
        assert len(agent.notes) == 1, "the same head each time"
    async with an_aggregator(tmp_path, port) as (_, inner):
        with FileState(tmp_path / "state") as state:
            mine = agent.handing_in(url, session, state)
            await mine.step()
            told = await mine.value()
            assert (told["done"], told["tries"], told["trouble"]) == (True, 0, "")
            assert inner.rounds.known(agent.log.ledger_id).head.size == told["size"]
    assert len(agent.notes) == 1


async def test_after_a_day_in_vain_a_newer_head_waits_in_its_place(agent, session):
    mine = agent.handing_in(f"http://127.0.0.1:{free_port()}", session, MemoryState())
    await mine.step()
    first = await mine.value()
    agent.log.append_now(message("more"))
    agent.now_s += DAY_S
    await mine.step()
    second = await mine.value()
    assert (first["size"] < second["size"], second["tries"]) == (True, 1)
    assert second["next_ms"] == 1000 * (agent.now_s + 60)
    for _ in range(40):
        agent.now_s = (await mine.value())["next_ms"] // 1000
        await mine.step()
    told = await mine.value()
    assert told["next_ms"] == 1000 * (agent.now_s + limits.AGGREGATOR_WAIT_S_MAX)
    agent.now_s -= 30 * DAY_S  # the clock was wrong, and is set
    await mine.step()
    assert (await mine.value())["tries"] == told["tries"] + 1
    with pytest.raises(AggregatorRefused, match="no answer"):
        await mine.now()


async def test_what_the_aggregator_has_already_is_not_sent_again(agent, session, tmp_path):
    async with an_aggregator(tmp_path, free_port()) as (url, _):
        state = MemoryState()
        mine = agent.handing_in(url, session, state)
        await mine.step()
        record = await state.get("handed-in")
        await state.put("handed-in", record | {"done": 0})  # a crash after it was taken
        agent.log.append_now(message("more"))
        await agent.handing_in(url, session, MemoryState()).step()  # and a newer one by hand
        await mine.step()
        assert (await mine.value())["done"]


def answer(status, text):
    async def door(_request):
        return web.Response(status=status, text=text, headers={"Location": "/elsewhere"})

    return door


@pytest.mark.parametrize(
    ("known", "taken", "reason"),
    [
        ((200, '{"size": 999}'), (200, "{}"), "has a head of 999 events, this ledger holds"),
        ((200, '{"size": -1}'), (200, "{}"), "answers with no size"),
        ((200, '{"size": true}'), (200, "{}"), "answers with no size"),
        ((200, "<html>"), (200, "<html>"), "answers with no size"),
        ((500, "{}"), (200, "{}"), "answers 500: no reason given"),
        ((302, ""), (200, "{}"), "answers 302"),
        ((200, "x" * (limits.AGGREGATOR_ANSWER_BYTES_MAX + 1)), (200, ""), "an answer over"),
        ((200, "[" * 100_000), (200, ""), "answers with no size"),
        ((422, "{}"), (422, '{"error": "full\\nof it"}'), r"answers 422: full\nof it"),
        ((200, '{"size": null}'), (200, '{"size": 0}'), "took 0 events"),
    ],
)
async def test_an_aggregator_that_answers_otherwise_is_named_with_its_reason(
    agent, session, known, taken, reason
):
    async with serving(
        free_port(),
        web.get("/v1/aggregate/{ledger}", answer(*known)),
        web.post("/v1/aggregate", answer(*taken)),
    ) as url:
        mine = agent.handing_in(url, session, MemoryState())
        await mine.step()
        told = await mine.value()
        assert reason in told["trouble"]
        assert (told["done"], told["tries"]) == (False, 1)
        assert "\n" not in console.handed_in(told)


async def test_a_damaged_record_is_said(agent, session):
    state = MemoryState()
    mine = agent.handing_in("http://127.0.0.1:9", session, state)
    await mine.step()
    good = await state.get("handed-in")
    for bad in ({}, good | {"note": b"x"}, good | {"tries": "1"}):
        await state.put("handed-in", bad)
        with pytest.raises(StateDamaged, match="handed in is damaged"):
            await mine.step()
        assert "is damaged" in (await mine.value())["trouble"]


async def test_a_head_that_is_handed_in_is_no_anchor_of_the_day(agent, session, monkeypatch):
    """Else a node that does both would never ask for its own."""
    monkeypatch.setattr("node.anchors.anchoring.now_ms", lambda: 10**15)
    asked = []

    async def now(self):
        asked.append(self.log.size)

    monkeypatch.setattr(Anchoring, "now", now)
    agent.log.append_now(message("said"))
    await agent.anchoring.keep_note(agent.release.head(), key=agent.anchoring.key(b"open"))
    agent.log.append_now(message("said later"))
    before = max(event.position for event in agent.log.stream(types.SEAL_STREAM, last=1))
    await agent.handing_in("http://127.0.0.1:9", session, MemoryState()).step()
    assert agent.notes[-1]["handed_in"]
    agent.anchoring.every, agent.anchoring._last = "daily", SimpleNamespace(links=())
    await agent.anchoring._daily()
    assert asked == [agent.log.size]
    assert before < agent.log.size


@pytest.mark.parametrize("url", ["http://10.0.0.1:8787", "ftp://x", "https://", "https://a?b", "x"])
def test_an_address_that_is_none_is_refused(tmp_path, url):
    path = tmp_path / "node.toml"
    path.write_text(f'[aggregate]\nsubmit_to = "{url}"\n')
    with pytest.raises(ConfigError, match="no address of an aggregator"):
        load(path)
    path.write_text('[aggregate]\nsubmit_to = "https://aggregator.example/"\n')
    with pytest.raises(ConfigError, match="ends in a slash"):
        load(path)
