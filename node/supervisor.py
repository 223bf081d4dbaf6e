"""The life of a node: start every part, keep them under one task group, stop them in order.

Stopping is orderly for comfort, not for safety: a node killed at any moment has lost nothing it
acknowledged, and does at its next start what was left to do.
"""

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Final

import aiohttp
import structlog
from aiohttp import web

from attest.state import FileState
from genesis import private
from genesis.core.keys import AgentKeys
from ledger.core import types
from ledger.core.errors import StoreFull, TimmyError
from ledger.core.event import Draft
from ledger.files import write_atomically
from mesh.core.errors import StoreError as MeshStoreError
from node import redacting
from node.anchoring import bitcoind
from node.api import Api
from node.assembly import Opened, Parts, assemble, choose_engine, open_ledger
from node.config import ApiSection, Config
from node.home import Home
from node.open import now_ms
from runtime.screening import warm_up

_TOKEN_BYTES: Final = 32
_STOP_SECONDS: Final = 10.0
"""A turn under way may finish its present call; what is left is done at the next start."""
_VIEWS_SECONDS: Final = 0.5
_ERASE_SECONDS: Final = 1.0
"""How soon a purge of erased words that a reader held back is tried again."""
_PURGE_SECONDS: Final = 600.0

_log = structlog.get_logger("node")


_FULL_SECONDS: Final = 1.0
"""How soon a part looks again whether the disk has space."""


class PortTaken(TimmyError):
    """The API's address cannot be listened on."""


@asynccontextmanager
async def node(
    home: Home, config: Config, unlock: Callable[..., AgentKeys]
) -> AsyncIterator["Node"]:
    """Open a home and start a node; leave the block to stop it."""
    log, genesis = open_ledger(home)
    try:
        async with asyncio.TaskGroup() as group:  # the first waits for scrypt, the second for bwrap
            unlocking = group.create_task(asyncio.to_thread(unlock, genesis))
            choosing = group.create_task(choose_engine(config))
            group.create_task(asyncio.to_thread(warm_up))  # no word meets a cold screen
        home.anchors.mkdir(mode=0o700, exist_ok=True)
        async with AsyncExitStack() as stack:
            listener = stack.enter_context(_listen(config.api))
            bitcoin = bitcoind(config.attest)
            if bitcoin is not None:
                await stack.enter_async_context(bitcoin)
            opened = Opened(
                home=home,
                config=config,
                log=log,
                genesis=genesis,
                keys=unlocking.result(),
                engine=choosing.result(),
                session=await stack.enter_async_context(aiohttp.ClientSession()),
                bitcoin=bitcoin,
                anchors=stack.enter_context(FileState(home.anchors)),
            )
            parts = assemble(opened)
            started = Node(parts, listener)
            async with started.running():
                yield started
    except BaseExceptionGroup as group:
        raise _plain(group) from group
    finally:
        log.close()


def _listen(section: ApiSection) -> socket.socket:
    """Take the API's address, before anything is written. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in section.host else socket.AF_INET
    try:
        return socket.create_server((section.host, section.port), family=family)
    except (OSError, ValueError) as error:  # ValueError: a host that no resolver may be asked for
        number = getattr(error, "errno", None) or 0
        why = os.strerror(number) if number > 0 else "no such address"
        raise PortTaken(
            f"cannot listen on {section.host}:{section.port}: {why}",
            hint="stop what uses it, or set api.host and api.port in node.toml (port 0: any free)",
        ) from error


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

    def __init__(self, parts: Parts, listener: socket.socket) -> None:
        self.parts = parts
        self.host = parts.config.api.host
        self.port = int(listener.getsockname()[1])
        self._listener = listener
        self._stopping = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run everything while the block runs."""
        parts = self.parts
        api = Api(parts, _token(parts.home), self.status)
        runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=2.0)
        await parts.attester.attest()
        await self._append(types.NODE_STARTED.name, self._birthmark())
        try:
            async with asyncio.TaskGroup() as group:
                agent = group.create_task(self._lasting(parts.host.run))
                others = [
                    group.create_task(self._lasting(parts.broadcast.run)),
                    group.create_task(self._lasting(parts.publisher.run)),
                    group.create_task(self._lasting(self._keep_views)),
                    group.create_task(self._lasting(parts.attester.run)),
                    group.create_task(self._lasting(self._purge_relay)),
                    group.create_task(self._lasting(parts.anchoring.run)),
                ]
                await self._serve(runner)
                await parts.broadcast.step()
                try:
                    yield
                finally:
                    if parts.relay is not None:  # before the server: it waits for its clients
                        await parts.relay.close()
                    await runner.cleanup()
                    await self._stop_agent(agent)
                    for task in others:
                        task.cancel()
        finally:
            await runner.cleanup()
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
        await web.SockSite(runner, self._listener).start()
        running = {"pid": os.getpid(), "host": self.host, "port": self.port}
        write_atomically(self.parts.home.running, json.dumps(running).encode())

    async def _stop_agent(self, agent: "asyncio.Task[None]") -> None:
        self._stopping = True
        self.parts.host.stop()
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
        await parts.publisher.close()
        with suppress(TimmyError):
            parts.views.catch_up()
            await redacting.purge(parts.views)
        parts.views.close()
        parts.attester.snapshots.close()

    async def _append(self, kind: str, payload: dict[str, Any]) -> None:
        await self.parts.log.append(Draft(type=kind, stream=types.NODE_STREAM, payload=payload))

    def _birthmark(self) -> dict[str, Any]:
        return {
            "version": version("timmy-node"),
            "python": ".".join(map(str, sys.version_info[:3])),
            "sandbox": self.parts.engine.value,
            "models": self.parts.chain.names,
            "tree": self.parts.tree,
            "unreleased": self.parts.unreleased,
        }

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
            views.catch_up()
            await redacting.purge(views)
            await asyncio.sleep(_VIEWS_SECONDS)

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
            "models": parts.chain.names,
            "sandbox": parts.engine.value,
            "agent_lives": parts.host.lives,
            "pending": len(turns.pending),
            "holds": [
                {"author": author, "since": min(begun.values()), "conversations": list(begun)}
                for author, begun in turns.holds.items()
            ],
            "relays": [asdict(relay) for relay in await parts.publisher.status()],
            "relay_connections": parts.relay.connections if parts.relay else 0,
            "clock_behind_ms": parts.log.clock_behind_ms,
            "redaction_pending": parts.log.erasing or parts.views.erasing,
        }


def _token(home: Home) -> str:
    """Return the API's token, made at the first start."""
    if not home.token.exists():
        private.create(home.token, secrets.token_urlsafe(_TOKEN_BYTES).encode() + b"\n")
    return private.read(home.token, bytes_max=256).decode().strip()


def stop_on_signal() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set. Ask for it before anything is started."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    return stopping
