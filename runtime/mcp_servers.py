"""The MCP servers of a node: kept alive, and their tools kept in the toolbox while they are.

Each server has one task. It reaches the server, puts its tools in, lists again when the server says
that they changed (and once a minute in any case, which is also how a silent death is noticed), and
takes them out when the connection is over. Then it waits, a second, two, four, up to five minutes,
and begins again. A server that cannot be reached costs the node nothing else: no start waits for
one, no stop waits longer than the two seconds that a server is given to end by itself.

The SDK is imported by the first server, in a thread: a node without one never loads it.

Not covered: prompts and resources of servers (their tools only); sharing one server between nodes.
"""

import asyncio
import importlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from runtime.child import Child
from runtime.core.errors import AgentError, NoSuchTool, ToolFailed, ToolRefused
from runtime.core.mcp_tools import Offerer, Taken, take
from runtime.core.tool import Arguments, ToolContext, ToolResult, ToolSpec
from runtime.mcp_process import Program
from runtime.sandbox import Engine
from runtime.toolbox import Toolbox

if TYPE_CHECKING:
    from runtime.mcp_client import Connection

START_SECONDS: Final = 120.0
"""The first start of many is a download: npx and uvx fetch what they run."""
CHECK_SECONDS: Final = 60.0
_CALM_SECONDS: Final = 1.0
"""Between two lists: a server that always says "changed" is asked once a second."""
_WAIT_SECONDS_MIN: Final = 1.0
_WAIT_SECONDS_MAX: Final = 300.0
_LIVED_SECONDS: Final = 60.0
"""Whoever lived this long is not failing at its start: the waits begin anew."""
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server to use: `program` is started, or `url` is gone to with `headers`."""

    offerer: Offerer
    program: Program | None = None
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if (self.program is None) == (not self.url):
            raise AgentError(f"MCP server {self.offerer.name}: a command or a url, one of them")


@asynccontextmanager
async def reach(server: Server, engine: Engine) -> "AsyncIterator[Connection]":
    """Reach a server once; see `runtime.mcp_client.connect`."""
    client = await asyncio.to_thread(importlib.import_module, "runtime.mcp_client")
    program = server.program

    async def start(channel: socket.socket) -> Child:
        assert program is not None
        return await program.start(channel, engine)

    async with client.connect(
        server.url or start, headers=server.headers, start_seconds=START_SECONDS
    ) as connection:
        yield connection


class ServerTask:
    """The life of one server. Its `row` is for people."""

    def __init__(
        self,
        server: Server,
        toolbox: Toolbox,
        engine: Engine,
        *,
        clock: Callable[[], float] = time.monotonic,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self.server = server
        self._toolbox = toolbox
        self._engine = engine
        self._clock = clock
        self._check_seconds = check_seconds
        self._connection: Connection | None = None
        self._busy = 0
        self._taken = Taken(specs={})
        self._registered: dict[str, ToolSpec] = {}
        self._about: dict[str, str] = {}
        self._state = "starting"
        self._error = ""
        self._stopping = asyncio.Event()
        self.starts = 0

    def stop(self) -> None:
        """Have it end. Cancelling alone is not enough.

        The SDK's scopes (anyio) take a cancellation that comes while they unwind for their own.
        """
        self._stopping.set()

    @property
    def name(self) -> str:
        """The server's name."""
        return self.server.offerer.name

    def row(self) -> dict[str, Any]:
        """How it is."""
        return {
            "name": self.name,
            "state": self._state,
            "error": self._error,
            "tools": sorted(self._registered),
            "refused": [{"tool": tool, "why": why} for tool, why in self._taken.refused],
            "starts": self.starts,
            "privacy": self.server.offerer.reach.word,
            "confined": None if self.server.program is None else self.server.program.confined,
            **self._about,
        }

    async def run(self) -> None:
        """Keep it until it is stopped and cancelled."""
        wait_s = _WAIT_SECONDS_MIN
        while not self._stopping.is_set():
            self._state, began = "starting", self._clock()
            self.starts += 1
            try:
                await self._live()
            except Exception as error:  # noqa: BLE001 - a server's fault is not the node's end
                await self._note(error)
            finally:
                self._withdraw()
            if self._clock() - began >= _LIVED_SECONDS:
                wait_s = _WAIT_SECONDS_MIN
            self._state = "waiting"
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._stopping.wait()
            wait_s = min(2 * wait_s, _WAIT_SECONDS_MAX)

    async def call(self, tool: str, arguments: Arguments) -> ToolResult:
        """Call one of its tools. Raises ToolFailed."""
        connection = self._connection
        if connection is None:
            raise ToolFailed(f"the MCP server {self.name} is not there now; it is being restarted")
        self._busy += 1
        try:
            return await connection.call(tool, arguments, self.server.offerer.seconds)
        finally:
            self._busy -= 1

    async def _live(self) -> None:
        async with reach(self.server, self._engine) as connection:
            self._about = connection.about
            self._replace(await connection.tools())
            self._connection, self._state, self._error = connection, "ready", ""
            _LOG.info("MCP server %s: %d tools", self.name, len(self._registered))
            async with asyncio.TaskGroup() as group:
                following = group.create_task(connection.follow())
                try:
                    await self._keep(connection)
                finally:
                    following.cancel()
        raise AgentError(connection.pipe.reason or "it is gone")

    async def _keep(self, connection: "Connection") -> None:
        """List again on each change, and now and then; return when the connection has ended."""
        async with asyncio.TaskGroup() as group:
            ended = group.create_task(connection.pipe.ended.wait())
            stopping = group.create_task(self._stopping.wait())
            while not ended.done() and not stopping.done():
                changed = group.create_task(connection.changed.wait())
                await asyncio.wait(
                    {ended, stopping, changed},
                    timeout=self._check_seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                changed.cancel()
                if (
                    ended.done()
                    or stopping.done()
                    or (self._busy and not connection.changed.is_set())
                ):
                    continue  # one that works on a call may be unable to answer beside it
                connection.changed.clear()
                await self._list_again(connection)
                await asyncio.sleep(_CALM_SECONDS)
            ended.cancel()
            stopping.cancel()

    async def _list_again(self, connection: "Connection") -> None:
        try:
            self._replace(await connection.tools())
        except AgentError:
            if not self._busy:
                raise
            connection.changed.set()  # asked again when it has time

    def _replace(self, listed: Sequence[Any]) -> None:
        """Put in the toolbox what is new, take out what is gone, leave what is the same."""
        taken = take(listed, self.server.offerer)
        wanted = {spec.name: (original, spec) for original, spec in taken.specs.items()}
        for name, spec in list(self._registered.items()):
            if name not in wanted or wanted[name][1].to_value() != spec.to_value():
                self._remove(name)
        refused = list(taken.refused)
        for name, (original, spec) in wanted.items():
            if name in self._registered:
                continue
            try:
                self._toolbox.register(spec, _McpTool(self, original))
            except ToolRefused as error:
                refused.append((name, str(error)))
                continue
            self._registered[name] = spec
        self._taken = Taken(specs=taken.specs, refused=tuple(refused))

    def _withdraw(self) -> None:
        self._connection = None
        for name in list(self._registered):
            self._remove(name)

    def _remove(self, name: str) -> None:
        del self._registered[name]
        try:
            self._toolbox.remove(name)
        except NoSuchTool:  # somebody else took it out: then it is out
            return

    async def _note(self, error: Exception) -> None:
        client = await asyncio.to_thread(importlib.import_module, "runtime.mcp_client")
        self._error = client.reason_of(error)
        # Its own words may quote what it was called with, and a redaction reaches no log.
        _LOG.warning("MCP server %s is gone: %s", self.name, client.kind_of(error))


@dataclass(frozen=True, slots=True)
class _McpTool:
    """A tool of a server, under the name that the server has for it."""

    task: ServerTask
    original: str

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        del context  # a server is told the arguments and nothing of the conversation
        return await self.task.call(self.original, arguments)


class McpServers:
    """All of them."""

    def __init__(
        self,
        servers: Sequence[Server],
        toolbox: Toolbox,
        engine: Engine,
        *,
        clock: Callable[[], float] = time.monotonic,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self.tasks = [
            ServerTask(server, toolbox, engine, clock=clock, check_seconds=check_seconds)
            for server in servers
        ]

    def rows(self) -> list[dict[str, Any]]:
        """How each is."""
        return [task.row() for task in self.tasks]

    async def run(self) -> None:
        """Keep them until cancelled."""
        async with asyncio.TaskGroup() as group:
            for task in self.tasks:
                group.create_task(task.run())
            try:
                await asyncio.Event().wait()
            finally:
                for task in self.tasks:
                    task.stop()
