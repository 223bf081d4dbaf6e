"""The streamable HTTP transport of MCP, for the official SDK's client, over a bounded HTTP client.

The SDK follows redirects within an address's origin only, and bounds one event of a stream; here
whole answers are bounded too, compressed ones are refused (a kilobyte may be a gigabyte), and
neither proxies nor .netrc of the environment are asked: a key goes where node.toml says, nowhere
else. The SDK speaks httpx2, whose errors are no relatives of httpx's.

Not covered: OAuth (MCP, basic/authorization). A server that wants it is given a key that was got
another way.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx2
from mcp.client.streamable_http import streamable_http_client

from runtime.core import limits

_CONNECT_S: Final = 30.0
_SILENCE_S: Final = 600.0
"""A stream of notes may say nothing for long; a call has its own, shorter time."""


@asynccontextmanager
async def streamable_http(url: str, headers: Mapping[str, str]) -> AsyncIterator[Any]:
    """Yield the SDK's streams to the server at `url`."""
    async with (
        httpx2.AsyncClient(
            headers={"Accept-Encoding": "identity"} | dict(headers),
            timeout=httpx2.Timeout(_CONNECT_S, read=_SILENCE_S),
            transport=_Bounded(),
            trust_env=False,
        ) as client,
        streamable_http_client(
            url,
            http_client=client,
            terminate_on_close=False,  # a server that does not answer would hold up our stop
            max_sse_event_size=limits.MCP_MESSAGE_BYTES_MAX,
        ) as streams,
    ):
        yield streams


class _Bounded(httpx2.AsyncHTTPTransport):
    """Gives answers that end within MCP_MESSAGE_BYTES_MAX, streams of events apart."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        coding = response.headers.get("content-encoding", "identity")
        if coding.lower() != "identity":
            await response.aclose()
            raise httpx2.DecodingError(f"a compressed answer ({coding[:40]})", request=request)
        kind = response.headers.get("content-type", "")
        if not kind.lower().startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _Counted(response.stream)
        return response


class _Counted(httpx2.AsyncByteStream):
    """A body that breaks off beyond the bound."""

    def __init__(self, body: httpx2.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        async for chunk in self._body:
            count += len(chunk)
            if count > limits.MCP_MESSAGE_BYTES_MAX:
                most = limits.MCP_MESSAGE_BYTES_MAX
                # Of all its errors this is the one that the SDK takes as of one request only.
                raise httpx2.StreamError(f"an answer of more than {most} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._body.aclose()
