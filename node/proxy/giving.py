"""How the proxy gives out a reply: bytes as they come, and never the end before it is on record.

A body that is no stream is held back whole, up to a bound, so that it can still be refused; of a
stream only what follows its last word is. Not covered: what is said when there is no reply at all.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Final

import aiohttp
import structlog
from aiohttp import web

from ledger.core.errors import TimmyError
from node.api.http import ClientGone
from node.proxy.passage import Call, Passage
from runtime.core import limits
from runtime.core.proxied import Outcome
from runtime.core.proxy_routes import end_to_end

_GRACE_S: Final = 5.0
"""For the end of a connection, after a stream has said its last word."""
_log = structlog.get_logger("node.proxy")


class TooLarge(Exception):
    """A reply is longer than anybody's."""


class Giving:
    """Gives out a reply, but never its end before that is on record."""

    def __init__(self, request: web.Request, call: Call, idle_s: float) -> None:
        self._request = request
        self._call = call
        self._idle_s = idle_s
        self._response: web.StreamResponse | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._open = False

    @property
    def begun(self) -> bool:
        """Whether the upstream has answered anything."""
        return self._response is not None

    def begin(self, upstream: aiohttp.ClientResponse) -> None:
        """Take over status and headers."""
        headers = [*end_to_end(upstream.headers.items()), *event_header(self._call).items()]
        self._response = web.StreamResponse(
            status=upstream.status, reason=upstream.reason, headers=headers
        )
        given = upstream.headers
        self._call.passage.begin(
            upstream.status,
            given.get("Content-Type", ""),
            given.get("Content-Encoding", ""),
            given.get("x-request-id") or given.get("request-id"),
        )

    async def take(self, chunk: bytes) -> None:
        """Give out what may be given: of a stream all but its end, of another body none, or, when
        that is long, all but what came last.
        """
        passage = self._call.passage
        passage.take(chunk, now_s())
        if passage.size > limits.PROXY_REPLY_BYTES_MAX:
            raise TooLarge
        self._pending.append(chunk)
        self._pending_bytes += len(chunk)
        if passage.streams:
            if not passage.ended:
                await self._give(0)
        elif self._pending_bytes > limits.PROXY_HELD_BYTES_MAX:
            await self._give(1)

    async def _give(self, keep: int) -> None:
        give = len(self._pending) - keep
        for chunk in self._pending[:give]:
            await self._send(chunk)
        self._pending = self._pending[give:]
        self._pending_bytes = sum(len(chunk) for chunk in self._pending)

    async def _send(self, chunk: bytes) -> None:
        response = await self._prepared()
        await sent(response.write(chunk), self._idle_s)

    async def _prepared(self) -> web.StreamResponse:
        assert self._response is not None
        if not self._open:
            self._open = self._call.opened = True
            await sent(self._response.prepare(self._request), self._idle_s)
        return self._response

    async def ending(self, record: Awaitable[None]) -> None:
        """Wait for the record of the end; without one nothing more is given out."""
        try:
            await record
        except TimmyError:
            if self._open:
                _log.warning("a reply is cut off: its end cannot be recorded")
                cut(self._request)
                raise ClientGone from None
            raise

    async def finish(self) -> web.StreamResponse:
        """Give out the rest and the end."""
        await self._give(0)
        response = await self._prepared()
        await sent(response.write_eof(), self._idle_s)
        return response

    async def cut(self) -> web.StreamResponse:
        """Give out the rest and no end: the client sees what became of the upstream."""
        await self._give(0)
        response = await self._prepared()
        cut(self._request)
        return response


async def sent(sending: Awaitable[Any], idle_s: float) -> None:
    """Wait until bytes are taken. Raises ClientGone, also for a client that takes none."""
    try:
        async with asyncio.timeout(idle_s):
            await sending
    except (ConnectionError, TimeoutError) as error:
        raise ClientGone from error


async def chunks(upstream: aiohttp.ClientResponse, passage: Passage) -> AsyncIterator[bytes]:
    """Yield what comes, as it comes."""
    while True:
        try:
            async with asyncio.timeout(_GRACE_S if passage.ended else None):
                chunk = await upstream.content.readany()
        except TimeoutError:
            if passage.ended:  # it said its last word, and does not hang up
                return
            raise
        if not chunk:
            return
        yield chunk


def cut(request: web.Request) -> None:
    """Close a connection behind what was written, without the end of the answer."""
    if request.transport is not None:
        request.transport.close()


def fault(error: BaseException, *, begun: bool) -> tuple[Outcome, str, int]:
    """Return the outcome, a reason without anything that was sent, and our status for it."""
    if isinstance(error, TimeoutError):
        return "timeout", "nothing came in time", 504
    if begun:
        return "half", "the connection broke", 502
    match error:
        case aiohttp.ClientConnectorDNSError():
            reason = "its name is unknown"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            reason = "its certificate is not trusted"
        case aiohttp.ClientConnectorError():
            reason = "no connection"
        case aiohttp.ServerDisconnectedError() | ConnectionError():
            reason = "it hung up without an answer"
        case _:
            reason = "its answer is not HTTP"
    return "unreachable", reason, 502


def event_header(call: Call) -> dict[str, str]:
    """Name the event of the request to whoever sent it."""
    return {"Timmy-Event": str(call.requested.position)}


def now_s() -> float:
    """Seconds of a clock that only goes on."""
    return asyncio.get_running_loop().time()
