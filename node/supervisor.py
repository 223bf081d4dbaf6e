"""The life of a node: start every part, keep them under one task group, stop them in order.

Stopping is orderly for comfort, not for safety: a node killed at any moment has lost nothing it
acknowledged, and does at its next start what was left to do.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any, Final

import aiohttp
import structlog
from aiohttp import web

from attest.calendar import Calendars
from attest.state import FileState
from ledger.core import types
from ledger.core.errors import StoreDamaged, StoreError, StoreFull, StoreLocked, TimmyError
from ledger.core.event import Draft
from ledger.core.lineage import Lineage
from ledger.files import write_atomically
from ledger.log import Log
from ledger.views import NEAR
from mesh.core.errors import StoreError as MeshStoreError
from node.agent.local import make_local
from node.agent.models import find_ollama
from node.agent.secrets import api_token
from node.anchors.anchoring import bitcoind
from node.api.app import Api
from node.api.door import Bounds, listen, more_files
from node.api.mcp import McpEndpoint
from node.assembly import (
    Parts,
    assemble,
    check_config,
    open_ledger,
    read_snapshot,
    take_up,
)
from node.children.fathering import require_fathered
from node.children.wiring import make_kinship
from node.config import Config
from node.engine import choose_engine
from node.fleet.mirroring import require_newest_of
from node.home import Home
from node.identity.succession import Unlocked
from node.keeping import redacting
from node.keeping.folding import Progress
from node.mcp.backend import Address
from node.open import now_ms
from node.opened import Opened
from node.proxy.proxying import HOST
from runtime.screening import warm_up

_STOP_SECONDS: Final = 10.0
"""A turn under way may finish its present call; what is left is done at the next start."""
_VIEWS_SECONDS: Final = 0.5
_FILL_SECONDS: Final = 0.02
"""A breath between two chunks of a long index: the loop's own work goes first."""
_ERASE_SECONDS: Final = 1.0
"""How soon a purge of erased words that a reader held back is tried again."""
_PURGE_SECONDS: Final = 600.0

_log = structlog.get_logger("node")


_FULL_SECONDS: Final = 1.0
"""How soon a part looks again whether the disk has space."""


_KEYS: Final = {"api": "api.host and api.port", "proxy": "proxy.port"}


class PortTaken(TimmyError):
    """The API's address cannot be listened on."""


@asynccontextmanager
async def node(
    home: Home,
    config: Config,
    unlock: Callable[[Log, Lineage], Unlocked],
    progress: Progress = lambda *_: None,
) -> AsyncIterator["Node"]:
    """Open a home and start a node; leave the block to stop it.

    `progress` is told from a thread how far a long fold is, and ends the start by raising.
    """
    started_ms = now_ms()
    require_fathered(home)
    log, lineage = open_ledger(home)
    try:
        check_config(home, config, lineage.genesis)
        async with asyncio.TaskGroup() as group:  # the first waits for scrypt, the second for bwrap
            unlocking = group.create_task(asyncio.to_thread(unlock, log, lineage))
            choosing = group.create_task(choose_engine(config))
            reading = group.create_task(asyncio.to_thread(read_snapshot, home, log))
            group.create_task(asyncio.to_thread(warm_up))  # no word meets a cold screen
        home.anchors.mkdir(mode=0o700, exist_ok=True)
        async with AsyncExitStack() as stack:
            listener = stack.enter_context(_listen(config.api.host, config.api.port, "api"))
            proxy = _listen(HOST, config.proxy.port, "proxy") if config.proxy.enabled else None
            if proxy is not None:
                stack.enter_context(proxy)
            bitcoin = bitcoind(config.attest)
            if bitcoin is not None:
                await stack.enter_async_context(bitcoin)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            opened = Opened(
                home=home,
                config=config,
                log=log,
                lineage=lineage,
                keys=unlocking.result().keys,
                past=unlocking.result().past,
                sandbox=choosing.result(),
                session=session,
                ollama=await find_ollama(config, session),
                local=make_local(home, config, session, choosing.result().engine),
                bitcoin=bitcoin,
                anchors=stack.enter_context(FileState(home.anchors)),
                proxy=proxy,
                calendars=await stack.enter_async_context(_calendars(config)),
                started_ms=started_ms,
            )
            await require_newest_of(opened)
            taken = await asyncio.to_thread(
                take_up, home, log, lineage, opened.keys.log,
                earlier=reading.result(), progress=progress,
            )  # fmt: skip
            parts = assemble(opened, taken)
            started = Node(parts, listener, opened)
            async with started.running():
                yield started
    except BaseExceptionGroup as group:
        raise _plain(group) from group
    finally:
        log.close()


def _listen(host: str, port: int, section: str) -> socket.socket:
    """Take an address of node.toml's `section`, before anything is written. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, ValueError) as error:  # ValueError: a host that no resolver may be asked for
        number = getattr(error, "errno", None) or 0
        why = os.strerror(number) if number > 0 else "no such address"
        raise PortTaken(
            f"cannot listen on {host}:{port}: {why}",
            hint=f"stop what uses it, or set {_KEYS[section]} in node.toml (port 0: any free)",
        ) from error


def _calendars(config: Config) -> Calendars:
    section = config.attest
    return Calendars(configured=section.calendars, followed=section.calendars_followed)


def _plain(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error if all are ours or the machine's; the group if there is a bug."""
    known, bugs = group.split((TimmyError, OSError))
    if known is None or bugs is not None:
        return group
    first: BaseException = known
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


class Node:
    """A running node."""

    def __init__(self, parts: Parts, listener: socket.socket, opened: Opened) -> None:
        self.parts = parts
        self.host = parts.config.api.host
        self.port = int(listener.getsockname()[1])
        self._listener = listener
        self._server: asyncio.Server | None = None
        self._stopping = False
        url = parts.config.api.url or f"http://{self.host}:{self.port}"
        parts.fleet.own = replace(parts.fleet.own, urls=(url,))
        self.kinship = make_kinship(opened, parts, url)
        self.kinship.begin()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run everything while the block runs."""
        parts = self.parts
        token = api_token(parts.home)
        endpoint = McpEndpoint(parts.home, parts.config, Address(self.host, self.port, token))
        api = Api(parts, token, self.status, endpoint, self.kinship)
        runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=2.0)
        await parts.attester.attest()
        await parts.adopting.recover()
        await parts.constitution.recognise()
        with suppress(MeshStoreError):  # what is erased is not sent any more; tried again beside it
            await parts.post.wraps.settle()
        await self._append(types.NODE_STARTED.name, self._birthmark())
        try:
            async with asyncio.TaskGroup() as group:
                agent = group.create_task(self._lasting(parts.mind.host.run))
                others = [
                    group.create_task(self._lasting(parts.broadcast.run)),
                    group.create_task(self._lasting(parts.pool.run)),
                    group.create_task(parts.bus.run()),
                    group.create_task(self._lasting(parts.mirroring.run)),
                    group.create_task(self._lasting(self._keep_views)),
                    group.create_task(self._lasting(parts.attester.run)),
                    group.create_task(self._lasting(self._purge_relay)),
                    group.create_task(self._lasting(parts.anchoring.run)),
                    group.create_task(self._lasting(parts.stamping.run)),
                    group.create_task(self._lasting(parts.watch.run)),
                    group.create_task(self._lasting(parts.witnessed.run)),
                    group.create_task(self._lasting(parts.hearing.run)),
                    group.create_task(self._lasting(parts.gossiping.run)),
                    group.create_task(self._lasting(parts.telling.run)),
                    group.create_task(self._lasting(parts.routing.run)),
                    group.create_task(self._lasting(parts.duty.run)),
                    group.create_task(self._lasting(parts.taking.run)),
                    group.create_task(self._lasting(parts.scheduling.scheduler.run)),
                    group.create_task(self._lasting(parts.remembering.compactor.run)),
                    group.create_task(self._lasting(parts.scheduling.watcher.run)),
                    group.create_task(self._lasting(parts.mcp.run)),
                    group.create_task(self._lasting(parts.post.run)),
                    group.create_task(self._lasting(endpoint.run)),
                    group.create_task(self._lasting(self.kinship.run)),
                    group.create_task(self._lasting(parts.adopting.run)),
                    group.create_task(self._lasting(parts.stages.run)),
                ]
                if parts.local is not None:
                    others.append(group.create_task(parts.local.run()))
                if parts.aggregating is not None:
                    others.append(group.create_task(self._lasting(parts.aggregating.run)))
                if parts.handing_in is not None:
                    others.append(group.create_task(self._lasting(parts.handing_in.run)))
                await self._serve(runner)
                if parts.proxying is not None:
                    await parts.proxying.start()
                await parts.broadcast.step()
                try:
                    yield
                finally:
                    if parts.proxying is not None:
                        await parts.proxying.stop()
                    if parts.relay is not None:  # before the server: it waits for its clients
                        await parts.relay.hang_up()
                    await self._serve_no_more(runner)
                    await self._stop_agent(agent)
                    for task in others:
                        task.cancel()
        finally:
            await self._serve_no_more(runner)
            await self._close()

    async def _lasting(self, run: Callable[[], Awaitable[None]]) -> None:
        """Run a part, and again after a full disk ended it: what was left to do is still there."""
        while not self._stopping:
            try:
                return await run()
            except* (StoreFull, MeshStoreError) as group:
                _log.warning("a part waits for the disk", error=str(_plain(group)))
            await asyncio.sleep(_FULL_SECONDS)
        return None

    async def _serve(self, runner: web.AppRunner) -> None:
        await runner.setup()
        relay = self.parts.config.relay.connections_max
        bounds = Bounds.under(more_files(), relay=relay)
        self._server = await listen(runner, self._listener, bounds, self.parts.known_addresses)
        running = {"pid": os.getpid(), "host": self.host, "port": self.port}
        write_atomically(self.parts.home.running, json.dumps(running).encode())

    async def _serve_no_more(self, runner: web.AppRunner) -> None:
        if self._server is not None:
            self._server.close()
        await runner.cleanup()

    async def _stop_agent(self, agent: "asyncio.Task[None]") -> None:
        self._stopping = True
        self.parts.mind.host.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.shield(agent)
        agent.cancel()

    async def _close(self) -> None:
        parts = self.parts
        parts.home.running.unlink(missing_ok=True)
        with suppress(TimmyError):  # a full disk must not hide why we stop
            await self._append(types.NODE_STOPPED.name, {"reason": "stopped"})
            await asyncio.to_thread(parts.release.head)
        if parts.relay is not None:
            await parts.relay.close()
        await parts.pool.close()
        with suppress(TimmyError):
            parts.views.catch_up()
            await redacting.purge(parts.views)
        parts.views.close()
        await parts.post.close()
        if parts.aggregating is not None:
            parts.aggregating.aggregator.rounds.close_file()
        parts.witnessing.file.close()
        parts.attester.snapshots.close()

    async def _append(self, kind: str, payload: dict[str, Any]) -> None:
        await self.parts.log.append(Draft(type=kind, stream=types.NODE_STREAM, payload=payload))

    def _birthmark(self) -> dict[str, Any]:
        return {
            "version": version("timmy-node"),
            "python": ".".join(map(str, sys.version_info[:3])),
            "sandbox": self.parts.sandbox.engine.value,
            "models": self.parts.mind.chain.names,
            "tree": self.parts.mind.host.tree,
            **self._architecture(),
            "unreleased": self.parts.unreleased,
        }

    def _architecture(self) -> dict[str, bytes]:
        """The root of what the agent is made of; nothing where it cannot be read as a whole."""
        try:
            return {"architecture": self.parts.patching.present.read().root}
        except (TimmyError, OSError, ValueError) as error:
            _log.warning("the architecture cannot be read", why=str(error))
            return {}

    async def _keep_views(self) -> None:
        """Keep search near the head, so that no question waits for a rebuild; purge erased words.

        A purge that a reader held back, or a crash cut short, is tried until it succeeds.
        """
        log, views, size = self.parts.log, self.parts.views, 0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_ERASE_SECONDS if views.erasing else None):
                    await log.grown(size)
            size = log.size
            await self._fill_views()
            views.catch_up()
            await redacting.purge(views)
            await asyncio.sleep(_VIEWS_SECONDS)

    async def _fill_views(self) -> None:
        """Take in a long ledger beside the node's work; what search finds grows meanwhile."""
        views = self.parts.views
        while True:
            try:
                if views.behind <= NEAR:
                    return
                await asyncio.to_thread(views.fill)
            except StoreLocked:
                pass  # another program fills the same file: half of the work
            except StoreDamaged as error:
                if error.position is not None:
                    raise
                views.rebuild()
            await asyncio.sleep(_FILL_SECONDS)

    async def _purge_relay(self) -> None:
        while self.parts.relay is not None:
            await asyncio.sleep(_PURGE_SECONDS)
            await self.parts.relay.purge()

    async def status(self) -> dict[str, Any]:
        """How the node is: for `timmy status` and the API."""
        parts = self.parts
        head = parts.release.newest
        turns = parts.journal.turns
        return {
            "name": parts.genesis.name,
            "npub": parts.npub,
            "ledger": parts.log.ledger_id,
            "network": parts.genesis.network,
            "home": str(parts.home.path),
            "pid": os.getpid(),
            "api": f"http://{self.host}:{self.port}",
            "relay": f"ws://{self.host}:{self.port}/" if parts.relay else None,
            "uptime_s": (now_ms() - parts.started_ms) // 1000,
            "version": version("timmy-node"),
            "events": parts.log.size,
            "head": {"size": head.size, "root": head.root, "epoch": head.checkpoint.epoch},
            "models": parts.mind.chain.names,
            "answered_last": asdict(parts.mind.service.asking.last),
            "local": parts.local.value() if parts.local else None,
            "spent_today": {
                "tokens": parts.mind.budget.today.tokens,
                "microusd": parts.mind.budget.today.microusd,
            },
            "sandbox": parts.sandbox.engine.value,
            "sandbox_why": parts.sandbox.reason,
            "agent_lives": parts.mind.host.lives,
            "pending": len(turns.pending),
            "holds": [
                {"author": author, "since": min(begun.values()), "conversations": list(begun)}
                for author, begun in turns.holds.items()
            ],
            "approvals": [
                {"event": question.position, "tool": question.name}
                for question in parts.mind.tooling.questions
            ],
            "lineage": self.kinship.value(),
            "jobs": parts.scheduling.summary(),
            "alarms": parts.scheduling.alarms(),
            "anchoring": parts.anchoring.summary(),
            "held": parts.release.held,
            "witnessed": parts.witnessed.value(),
            "witness": parts.witnessing.value() if parts.witnessing.on() else None,
            "diverged": parts.witnessing.diverged(),
            "false_proofs": parts.witnessing.false,
            "gossip": parts.gossiping.value(),
            "aggregates": parts.aggregating is not None,
            "handed_in": await parts.handing_in.value() if parts.handing_in else None,
            "relays": [asdict(relay) for relay in await parts.pool.status()],
            "route": parts.routing.value(),
            "adoptions": parts.stages.summary(),
            "bus": asdict(parts.bus.status),
            "relay_connections": parts.relay.connections if parts.relay else 0,
            "nostr": gateway.value() if (gateway := parts.post.gateway) else None,
            "bridge": parts.post.bridge.value(),
            "clock_behind_ms": parts.log.clock_behind_ms,
            "search": {"taken": self._taken(), "of": parts.log.size},
            "self_check": parts.watch.value(),
            "redaction_pending": parts.log.erasing
            or parts.views.erasing
            or parts.post.wraps.owed.is_set(),
        }

    def _taken(self) -> int:
        try:
            return self.parts.views.size
        except StoreError:  # made anew by whoever uses it next
            return 0


def stop_on_signal() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set. Ask for it before anything is started."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    return stopping
