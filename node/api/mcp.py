"""/mcp: the node as an MCP server over streamable HTTP, beside its API and behind the same token.

The SDK speaks ASGI and the node aiohttp; between them stand the forty lines below. Sessions are not
kept: each request is whole in itself, so nothing grows with the number of clients.

A page in a browser cannot use it: besides the token, Host must be a name of this machine (or one of
mcp_server.hosts) and Origin, if there is one, as well (MCP, transports, security warning: DNS
rebinding).
"""

import asyncio
import importlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from aiohttp import web

from node.api.http import ClientGone, while_there
from node.config import Config
from node.home import Home
from node.mcp.backend import Address, Backend

PATH: Final = "/mcp"
_HERE: Final = ("127.0.0.1", "localhost", "[::1]")
_HINT: Final = "mcp_server.hosts in node.toml allows others"
_Message: TypeAlias = MutableMapping[str, Any]
_Asgi: TypeAlias = Callable[..., Awaitable[None]]
_READY_S: Final = 60.0
"""How long the first request waits for the SDK to be loaded: two seconds, on an idle machine."""


class McpEndpoint:
    """The endpoint of one node. It answers while `run` runs; switched off, it is not there."""

    def __init__(self, home: Home, config: Config, address: Address) -> None:
        self._enabled = config.mcp_server.enabled
        self._backend = Backend(home, lambda: address)
        own = (*_HERE, address.host)
        self._hosts = {*own, *(f"{host}:{address.port}" for host in own), *config.mcp_server.hosts}
        self._app: _Asgi | None = None
        self._ready = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        """What the application serves of it."""
        return [web.post(PATH, self._handle)] if self._enabled else []

    async def run(self) -> None:
        """Serve until cancelled."""
        if not self._enabled:
            return
        made = await asyncio.to_thread(importlib.import_module, "node.mcp.server")
        async with made.http_app(self._backend) as app:
            self._app = app
            self._ready.set()
            await asyncio.Event().wait()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Host", "") not in self._hosts:
            return _refuse(421, "not a name of this machine", _HINT)
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc not in self._hosts:
            return _refuse(
                403, "pages of other hosts may not ask", "mcp_server.hosts allows others"
            )
        async with asyncio.timeout(_READY_S):
            await self._ready.wait()
        assert self._app is not None
        answer = _Answer(request)
        body = await request.read()
        try:
            async with while_there(request):
                await self._app(_scope(request), _receiver(body), answer.send)
        except* ClientGone:
            pass
        return answer.response


class _Answer:
    """The response, as the application gives it piece by piece."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response = web.StreamResponse()

    async def send(self, message: _Message) -> None:
        if message["type"] == "http.response.start":
            self.response.set_status(message["status"])
            for name, value in message.get("headers", ()):
                self.response.headers[name.decode("latin-1")] = value.decode("latin-1")
            await self.response.prepare(self._request)
            return
        await self.response.write(message.get("body", b""))
        if not message.get("more_body", False):
            await self.response.write_eof()


def _receiver(body: bytes) -> Callable[[], Awaitable[_Message]]:
    """Gives the request once, and then waits: who goes away is noticed elsewhere."""
    given = False

    async def receive() -> _Message:
        nonlocal given
        if given:
            await asyncio.Event().wait()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _scope(request: web.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": request.path.encode(),
        "root_path": "",
        "query_string": request.query_string.encode(),
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
        "client": None,
        "server": None,
        "state": {},
    }


def _refuse(status: int, error: str, hint: str) -> web.Response:
    return web.json_response({"error": error, "hint": hint}, status=status)
