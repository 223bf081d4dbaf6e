"""What the MCP server's tools stand on: the node's own HTTP API, and this home read beside it.

The same for `timmy mcp serve`, a process of its own, and for /mcp in the node: what a token may do
is decided in one place, and a client over MCP can do nothing that one over HTTP cannot.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiohttp

from ledger.core.errors import TimmyError
from node.client import Client, NodeSaid, NotRunning
from node.home import Home
from node.open import Reading, reading

T = TypeVar("T")
_REPLY_BYTES_MAX: Final = 64 * 1024 * 1024
_ERRORS_FROM: Final = 400


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node answers, and its token."""

    host: str
    port: int
    token: str

    @property
    def url(self) -> str:
        """Its base address; every address of the machine is also that of its loopback."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def address_of(home: Home) -> Address:
    """Find the node that runs a home. Raises NotRunning."""
    found = Client.find(home)
    return Address(found.host, found.port, found.token)


@dataclass(frozen=True, slots=True)
class Backend:
    """One node. `find` is asked for each request: it may have been restarted at another port."""

    home: Home
    find: Callable[[], Address]

    async def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, seconds: float = 60
    ) -> Any:
        """Send one request and return its JSON. Raises NodeSaid, NotRunning."""
        at = await asyncio.to_thread(self.find)
        headers = {"Authorization": f"Bearer {at.token}"}
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
                session.request(method, f"{at.url}{path}", json=body) as response,
            ):
                data = await response.content.read(_REPLY_BYTES_MAX)
                while chunk := await response.content.read(_REPLY_BYTES_MAX):
                    data += chunk
                status = response.status
        except (aiohttp.ClientError, OSError) as error:
            raise NotRunning("the node does not answer", hint="start it: timmy run") from error
        value = json.loads(data)
        if status >= _ERRORS_FROM:
            raise NodeSaid(str(value.get("error")), hint=value.get("hint"))
        return value

    async def read(self, look: Callable[[Reading], T]) -> T:
        """Look into the home's ledger, in a thread. Raises TimmyError."""

        def there() -> T:
            with reading(self.home) as opened:
                return look(opened)

        return await asyncio.to_thread(there)


def told(error: TimmyError) -> str:
    """An error and what to do about it, in one line."""
    return f"{error} (hint: {error.hint})" if error.hint else str(error)
