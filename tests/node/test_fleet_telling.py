"""What a node says to its fleet: each member hears it, whatever the others do with it.

Leases are of an hour: what a member is told again here it is told because somebody asked for it, and
a silent one is silent for as long as a test lasts.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import aiohttp
import pytest
from aiohttp import web

from mesh.core.fleet.manifest import URLS_MAX, WITNESS, sign_manifest
from mesh.core.fleet.routing import Times
from node.fleet.files import FleetFiles
from node.fleet.members import FleetNode, signed_first
from node.fleet.proposals import next_manifest
from node.fleet.telling import Telling
from node.fleet.ways import WAYS_MAX, first_answer
from tests.ledger.makers import open_log
from tests.mesh.test_manifest import OPERATOR, member, signer
from tests.spec import agent

WAIT = 60.0
PRESENCE, MANIFEST = "/fleet/presence", "/fleet/manifest"


async def until(ready):
    async with asyncio.timeout(WAIT):
        while not ready():
            await asyncio.sleep(0.01)


@dataclass
class Peer:
    """Another member: which number it says it knows, and which paths it says nothing about."""

    number: int = 0
    silent: tuple[str, ...] = ()
    status: int = 200
    """What it answers to a manifest."""
    before: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)
    """What happens before it answers."""
    body: bytes = b""
    """What it answers instead of a number."""
    heard: list[str] = field(default_factory=list)
    url: str = ""

    async def answer(self, request):
        await request.read()
        path = "/fleet/" + request.path.rpartition("/")[2]
        self.heard.append(path)
        await self.before()
        if path in self.silent:
            await asyncio.Event().wait()
        status = 200 if path == PRESENCE else self.status
        if self.body:
            return web.Response(body=self.body)
        return web.json_response({"number": self.number}, status=status)


@asynccontextmanager
async def serving(*peers):
    """Each of them at an address of its own."""
    runners = []
    try:
        for peer in peers:
            app = web.Application()
            app.router.add_post("/{path:.*}", peer.answer)
            runners.append(web.AppRunner(app, access_log=None, shutdown_timeout=0.1))
            await runners[-1].setup()
            await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
            peer.url = f"http://127.0.0.1:{runners[-1].addresses[0][1]}"
        yield
    finally:
        for runner in runners:
            await runner.cleanup()


@pytest.fixture
async def founder(tmp_path):
    async with aiohttp.ClientSession() as session:
        with open_log() as log:
            log.append_now(agent.genesis_draft())
            node = FleetNode(
                files=FleetFiles(tmp_path / "fleet"), own=member("founder", WITNESS),
                signer=signer("founder"), log=log, session=session, times=Times(lease_s=3600),
            )  # fmt: skip
            first = signed_first(node.draft("http://127.0.0.1:1"), OPERATOR)
            await node.take(first.encode(), approve=True)
            yield node


async def moves(node, *members):
    """The next manifest, with these taken in."""
    made = next_manifest(node.fleet.manifest, add=list(members), remove=set())
    await node.take(sign_manifest(made, OPERATOR).encode(), approve=True)


def at(name, *urls):
    return replace(member(name, "home"), urls=urls)


@asynccontextmanager
async def telling(node):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Telling(node=node).run())
        yield
        task.cancel()


def count(peer, path=PRESENCE):
    return peer.heard.count(path)


@pytest.mark.parametrize("silent", [PRESENCE, MANIFEST])
async def test_a_silent_member_keeps_nobody_from_hearing_that_we_are_there(founder, silent):
    """It says nothing at all at any of its addresses, or asks for a chain and takes none of it."""
    good, bad = Peer(number=99), Peer(silent=(silent,))
    async with serving(good, bad):
        await moves(founder, at("good", good.url))
        await moves(founder, at("bad", *(f"{bad.url}/{number}" for number in range(URLS_MAX))))
        async with telling(founder):
            await until(lambda: good.heard and silent in bad.heard)
            await until(lambda: founder.changed.set() or count(good) >= 4)
            assert count(bad) == 1, "whose turn is under way is passed over"
            assert member("good", "home").ledger in founder.reached_ms


@pytest.mark.parametrize(
    "body",
    [
        b"{}", b"\xff", b'{"number":0,"manifests":["\xff"]}', b'{"\xff":0}',
        b'{"number":0,"more":' + b"[" * 9999 + b"]" * 9999 + b"}",
        b'{"number":0,"manifests":["xy","\xc3\xa9","00"]}',
    ],
    ids=["none", "binary", "no text", "no name", "deep", "no hex"],
)  # fmt: skip
async def test_whatever_a_member_answers_it_is_asked_again_and_the_others_too(founder, body):
    good, bad = Peer(number=99), Peer(body=body)
    async with serving(good, bad):
        await moves(founder, at("good", good.url), at("bad", bad.url))
        async with telling(founder):
            await until(lambda: founder.changed.set() or min(count(good), count(bad)) >= 3)
        assert member("bad", "home").ledger not in founder.reached_ms


async def test_who_was_passed_over_is_told_when_its_turn_is_over(founder):
    """A manifest comes while a member thinks: it hears of it then, not a third of a lease later."""
    gate = asyncio.Event()
    peer = Peer(number=99, before=gate.wait)
    async with serving(peer):
        await moves(founder, at("slow", peer.url))
        async with telling(founder):
            await until(lambda: peer.heard)
            await moves(founder)
            gate.set()
            await until(lambda: count(peer) >= 2)


async def test_what_changes_in_a_round_is_told_in_the_next_at_once(founder):
    """The round is not over, for one that thinks, and another is told anew."""
    good = Peer(number=99)

    async def change():
        await until(lambda: founder.reached_ms)
        founder.changed.set()

    thinks = Peer(number=99, before=change)
    async with serving(good, thinks):
        await moves(founder, at("good", good.url), at("thinks", thinks.url))
        async with telling(founder):
            await until(lambda: count(good) >= 2)


async def test_who_refuses_a_manifest_is_sent_no_other_in_that_turn(founder):
    peer = Peer(status=503)
    async with serving(peer):
        await moves(founder, at("one", peer.url))
        for _ in range(5):
            await moves(founder)
        async with telling(founder):
            await until(lambda: founder.changed.set() or len(peer.heard) >= 8)
        assert peer.heard[:8] == [PRESENCE, MANIFEST] * 4


async def test_a_silent_address_does_not_stand_before_the_others(founder):
    """The way that answers is found beside one that says nothing; with presence, and in general."""
    waits, cancelled = asyncio.Event(), []

    async def ask(url, seconds):
        assert seconds > 0
        if url == "silent":
            try:
                await waits.wait()
            finally:
                cancelled.append(url)
        return None if url == "refuses" else url

    short = 0.05 * WAYS_MAX
    assert await first_answer(ask, ("silent", "refuses", "good", "late"), short) == "good"
    assert cancelled == ["silent"]
    assert await first_answer(ask, ("refuses", "refuses"), WAIT) is None
    assert await first_answer(ask, (), WAIT) is None

    bad, good = Peer(silent=(PRESENCE,)), Peer(number=99)
    founder.times = Times(lease_s=3)
    async with serving(bad, good):
        await moves(founder, at("one", f"{bad.url}/a", f"{bad.url}/b", good.url))
        async with telling(founder):
            await until(lambda: good.heard)
            await until(lambda: founder.reached_ms)
