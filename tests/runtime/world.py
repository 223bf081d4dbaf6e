"""A small real world for the runtime's tests: a log, a provider on loopback, agent processes."""

import asyncio
import os
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
from aiohttp import web

import runtime.agent
from ledger.core import types
from ledger.core.event import Draft, Event
from ledger.log import Log
from ledger.memory import MemoryStore
from runtime.chain import Chain
from runtime.connection import ConnectionLimits, Identity
from runtime.core.agenda import BEGUN
from runtime.core.bounds import TurnBounds
from runtime.core.chat import Reach
from runtime.core.openai_wire import OpenAi
from runtime.core.session import SessionLimits
from runtime.endpoint import Endpoint
from runtime.gateway import Gateway
from runtime.host import AgentHost, HostLimits
from runtime.journal import Journal
from runtime.recall import Recall
from runtime.responder import Responder
from runtime.sandbox import Child, Engine, SandboxLimits, spawn
from runtime.service import Service

TREES = Path(__file__).parent / "trees"
DIGEST_KEY = bytes(range(32))


def new_log(*, clock: Callable[[], int] | None = None) -> Log:
    log = Log(
        MemoryStore(),
        clock=clock or (lambda: time.time_ns() // 1_000_000),
        entropy=os.urandom,
    )
    log.append_now(Draft(type=types.GENESIS.name, stream=bytes(16), payload={"network": "regtest"}))
    return log


def scan(log: Log):
    """A search that is a scan: positions of events that share a word with the query, newest first."""

    async def search(query: str, limit: int, before: int) -> list[int]:
        wanted = set(query.lower().split())
        found = [
            event.position
            for event in log.events(0, min(before, log.size))
            if event.content and wanted & set(str(event.content.get("text", "")).lower().split())
        ]
        return found[::-1][:limit]

    return search


class Provider:
    """An OpenAI-shaped server. `behave` is how it answers; requests are kept."""

    def __init__(self) -> None:
        self.behave = "ok"
        self.requests: list[dict] = []
        self.headers: list[dict] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.text = "a reply"
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        self.headers.append(dict(request.headers))
        await self.gate.wait()
        if self.behave.isdigit():
            return web.Response(status=int(self.behave), text="no")
        match self.behave:
            case "timeout":
                await asyncio.sleep(30)
            case "garbage":
                return web.Response(body=b"\xff\xfe{not json")
            case "shape":
                return web.json_response({"choices": []})
            case "empty":
                return web.json_response({"choices": [{"message": {"content": "  \n"}}]})
            case "null":
                return web.json_response({"choices": [{"message": {"content": None}}]})
            case "surrogate":
                return web.Response(body=b'{"choices":[{"message":{"content":"\\ud800"}}]}')
            case "large":
                return web.json_response({"choices": [{"message": {"content": "x" * 300_000}}]})
            case "endless":
                response = web.StreamResponse()
                await response.prepare(request)
                for _ in range(100):
                    await response.write(b" " * 65_536)
                return response
            case "redirect":
                raise web.HTTPFound("http://127.0.0.1:1/elsewhere")
            case "cut":
                request.transport.abort()
        return web.json_response(
            {
                "model": "tiny-1",
                "choices": [{"message": {"content": self.text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 11, "completion_tokens": 3},
            }
        )


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    server = Provider()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        server.gate.set()
        await runner.cleanup()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that tells nobody when it happens: a process, a server."""
    while not condition():
        await asyncio.sleep(0.01)


def tree_of(folder: Path, variant: str | None = None, plan: str = "") -> Path:
    """Copy the real agent into `folder`, spoilt by a variant of tests/runtime/trees."""
    source = Path(runtime.agent.__file__).parent
    tree = folder / f"tree-{variant}"
    shutil.copytree(source, tree, ignore=shutil.ignore_patterns("__pycache__"))
    if variant is not None:
        (tree / "main.py").rename(tree / "boot.py")
        shutil.copy(TREES / "main.py", tree / "main.py")
        shutil.copy(TREES / f"{variant}.py", tree / "variant.py")
        (tree / "plan").write_text(plan)
    return tree


async def bare(tree: Path, channel) -> Child:
    return await spawn(tree, channel, limits=SandboxLimits(), engine=Engine.NONE)


BOUNDS = TurnBounds(seconds=10.0)
LIMITS = HostLimits(
    connection=ConnectionLimits(
        session=SessionLimits(handshake_s=5.0, pong_s=0.6),
        ping_s=0.1,
        tick_s=0.02,
        stop_s=1.0,
    ),
    backoff_first_s=0.01,
    backoff_max_s=0.05,
)


@dataclass
class World:
    log: Log
    journal: Journal
    gateway: Gateway
    service: Service
    recall: Recall
    provider: Provider
    tiny: Endpoint

    def host(self, tree: Path, limits: HostLimits = LIMITS, spawn=bare) -> AgentHost:
        return AgentHost(
            journal=self.journal,
            gateway=self.gateway,
            service=self.service,
            spawn=spawn,
            tree=tree,
            identity=Identity(name="Timmy", soul="Be honest."),
            limits=limits,
        )

    def ask(self, chain: Chain) -> None:
        """Let the service ask other models from now on."""
        self.change(chain=chain)

    def change(self, **what: object) -> None:
        """Let the service ask models otherwise from now on: chain, privacy, budget, bounds."""
        self.service.asking = replace(self.service.asking, **what)

    async def say(self, text: str, conversation: str = "home", author: str = "ann") -> Event:
        return await self.gateway.receive(
            text, conversation=conversation, author=author, gateway="test"
        )

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.log.events() if event.type == kind]

    def text_of(self, event: Event) -> str:
        return event.content["text"]

    def check_nothing_doubled(self) -> None:
        """Each step has one result, each turn one end, each message at most one answer."""
        results = Counter(
            (event.payload["turn"], event.payload["step"])
            for event in self.log.events()
            if "step" in event.payload and event.type not in BEGUN
        )
        ends = Counter(event.payload["turn"] for event in self.of(types.TURN_FINISHED.name))
        answers = Counter(event.payload["message"] for event in self.of(types.MESSAGE_SENT.name))
        for counted in (results, ends, answers):
            assert [key for key, count in counted.items() if count > 1] == []


@asynccontextmanager
async def a_world(log: Log | None = None) -> AsyncIterator[World]:
    log = new_log() if log is None else log
    async with provider() as server, aiohttp.ClientSession() as session:
        journal = Journal(log)
        recall = Recall(journal, scan(log))

        def status() -> dict:
            return {"events": log.size, "models": ["tiny"], "uptime_s": 5, "name": "Timmy"}

        tiny = Endpoint(
            name="tiny",
            base_url=server.url,
            model="tiny-1",
            timeout_s=5.0,
            session=session,
            key="sk-secret",
            codec=OpenAi(),
            reach=Reach.LOCAL,
        )
        service = Service(
            journal,
            chain=Chain([tiny, Responder(recall, status)]),
            recall=recall,
            status=status,
            digest_key=DIGEST_KEY,
            bounds=lambda: BOUNDS,
        )
        try:
            yield World(log, journal, Gateway(journal), service, recall, server, tiny)
        finally:
            log.close()


@asynccontextmanager
async def running(host: AgentHost) -> AsyncIterator[AgentHost]:
    """Run a host around the body; stopping must be quick and clean."""
    async with asyncio.TaskGroup() as group:
        group.create_task(host.run())
        try:
            async with asyncio.timeout(120):
                yield host
        finally:
            host.stop()
