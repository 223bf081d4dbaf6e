"""One connection to an MCP server, by the official SDK's client. Imported when there is a server.

The SDK negotiates: `server/discover` first (2026-07-28), else the `initialize` handshake of earlier
revisions. What a server may ask of a client is refused by offering nothing: no sampling (our models
are not its), no elicitation (the operator is asked by this node only), no roots. Results are taken
without the SDK's check against the server's own output schema (`runtime.mcp_results`).

Every wait here is bounded by the caller or by the seconds given; every list by a number of pages.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import httpx2
import mcp.types as wire
from mcp import Client, MCPError
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import TypeAdapter, ValidationError

from runtime.core import limits
from runtime.core.errors import AgentError, ToolFailed
from runtime.core.mcp_tools import Listed, plain
from runtime.core.tool import ToolResult
from runtime.mcp_http import streamable_http
from runtime.mcp_results import to_result
from runtime.mcp_stdio import Pipe, Start, stdio

_LIST_S: Final = 30.0
"""One page of a list, or one answer to the first question."""
_LISTEN_AGAIN_S: Final = 5.0
"""After a stream of notes broke off."""
_REASON_CHARS: Final = 300
_Result: Final[TypeAdapter[wire.CallToolResult | wire.InputRequiredResult]] = TypeAdapter(
    wire.CallToolResult | wire.InputRequiredResult
)


@dataclass(eq=False, slots=True, kw_only=True)
class Connection:
    """A server that answers. `changed` is set whenever its list of tools may be another."""

    client: Client
    pipe: Pipe
    changed: asyncio.Event

    @property
    def about(self) -> dict[str, str]:
        """What the server calls itself, and the revision of MCP that both speak."""
        info = self.client.server_info
        name = "" if info is None else plain(f"{info.name} {info.version}").strip()[:100]
        return {"server": name, "protocol": self.client.protocol_version}

    async def tools(self) -> list[Listed]:
        """Return what it lists. Raises AgentError."""
        found: list[Listed] = []
        cursor: str | None = None
        for _ in range(limits.MCP_PAGES_MAX):
            params = wire.PaginatedRequestParams(cursor=cursor)
            try:
                page = await self.client.session.list_tools(params=params)
            except (MCPError, ValidationError, RuntimeError, httpx2.HTTPError) as error:
                raise AgentError(f"it does not list its tools: {reason_of(error)}") from error
            found += [_listed(tool) for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None:
                break
        return found

    async def call(self, tool: str, arguments: Mapping[str, Any], seconds: float) -> ToolResult:
        """Call a tool. Raises ToolFailed."""
        request = wire.CallToolRequest(
            params=wire.CallToolRequestParams(name=tool, arguments=dict(arguments))
        )
        try:
            given = await self.client.session.send_request(
                request, _Result, request_read_timeout_seconds=seconds
            )
        except (MCPError, ValidationError, RuntimeError, httpx2.HTTPError) as error:
            gone = "; it is not known whether it was done" if self.pipe.ended.is_set() else ""
            raise ToolFailed(f"the MCP server says: {reason_of(error)}{gone}") from error
        if isinstance(given, wire.InputRequiredResult):
            raise ToolFailed("the MCP server wants to ask back, and this node lets none do that")
        return to_result(given)

    async def follow(self) -> None:
        """Be told of changes, where the revision wants that asked for. Ends if nothing is told."""
        tools = self.client.server_capabilities.tools
        modern = self.client.protocol_version in MODERN_PROTOCOL_VERSIONS
        if tools is None or not tools.list_changed or not modern:
            return
        while True:
            try:
                async with self.client.listen(tools_list_changed=True) as notes:
                    self.changed.set()  # one may have been missed before
                    async for _ in notes:
                        self.changed.set()
            except ListenNotSupportedError:
                return
            except (MCPError, SubscriptionLost, TimeoutError, httpx2.HTTPError):
                pass
            await asyncio.sleep(_LISTEN_AGAIN_S)


@asynccontextmanager
async def connect(
    target: Start | str, *, headers: Mapping[str, str], start_seconds: float
) -> AsyncIterator[Connection]:
    """Reach a server: start it, or go to its address. Raises AgentError, OSError."""
    pipe, changed = Pipe(), asyncio.Event()

    async def hear(message: IncomingMessage) -> None:
        if isinstance(message, wire.ToolListChangedNotification):
            changed.set()

    transport = streamable_http(target, headers) if isinstance(target, str) else stdio(target, pipe)
    client = Client(
        transport,
        read_timeout_seconds=_LIST_S,
        message_handler=hear,
        client_info=wire.Implementation(name="timmy", version=version("timmy-node")),
        cache=None,
    )
    connection = Connection(client=client, pipe=pipe, changed=changed)
    async with _entered(client, start_seconds):
        yield connection


@asynccontextmanager
async def _entered(client: Client, seconds: float) -> AsyncIterator[None]:
    """The client's block, the way into it bounded. Raises AgentError."""
    try:
        async with asyncio.timeout(seconds):
            await client.__aenter__()
    except TimeoutError as error:
        raise AgentError(f"no answer within {seconds:g} s") from error
    try:
        yield
    finally:
        await client.__aexit__(None, None, None)


def _listed(tool: wire.Tool) -> Listed:
    hints = tool.annotations
    return Listed(
        name=tool.name,
        description=tool.description or "",
        schema=tool.input_schema,
        read_only=bool(hints is not None and hints.read_only_hint),
    )


def kind_of(error: BaseException) -> str:
    """Return the kind of an error, for a log: none of its words."""
    return type(_first(error)).__name__


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def reason_of(error: BaseException) -> str:
    """Return what went wrong in a line of at most 300 characters, without a server's own signs."""
    error = _first(error)
    match error:
        case MCPError():
            text = error.message
        case ValidationError():
            text = "it sent what this revision of the protocol does not know"
        case OSError():
            text = error.strerror or str(error)
        case TimeoutError():
            text = "it took too long"
        case _:
            text = str(error)
    return plain(text or type(error).__name__).replace("\n", " ")[:_REASON_CHARS]
