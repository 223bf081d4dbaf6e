"""A link of the chain over HTTP: one provider, one model, one key.

The key is sent in one header to one host, never followed through a redirect, and never part of a
message, a repr or a log line. A reply is streamed if somebody watches it grow, and taken whole
otherwise; half a stream is a failure.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp

from runtime.core.chat import DraftSink, ModelRequest, Price, Reach, Reply, without_tools
from runtime.core.errors import ModelFailed
from runtime.core.limits import NAME_CHARS_MAX, REPLY_BYTES_MAX
from runtime.core.sse import Events
from runtime.core.wire import Codec, ToolsRefused, check_status, check_tools

_CHUNK_BYTES = 64 * 1024
_STREAM_FACTOR = 10
"""A stream may take so many times the time-out in sum, as long as no pause takes one."""
_BODY_BYTES_MAX = 8 * REPLY_BYTES_MAX
"""JSON writes one byte as up to six, and a body has more in it than the reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`base_url` with a codec's path behind it. `session` is the node's; it is not closed here."""

    name: str
    codec: Codec
    base_url: str
    model: str
    timeout_s: float
    reach: Reach
    session: aiohttp.ClientSession = field(repr=False)
    key: str | None = field(default=None, repr=False)
    tasks: frozenset[str] = frozenset()
    price: Price | None = None
    streams: bool = True
    tools: bool = True
    """Whether it takes tools; if not, it is told in words what was called and returned."""

    @property
    def identity(self) -> str:
        """The provider's name of the model, and where it is."""
        return f"{self.model}@{urlsplit(self.base_url).netloc}"[:NAME_CHARS_MAX]

    async def reply(self, request: ModelRequest, draft: DraftSink | None = None) -> Reply:
        """Ask once; once more without tools if it is these that it does not take.

        Raises ModelFailed.
        """
        if not self.tools:
            request = without_tools(request)
        try:
            return await self._ask(request, draft)
        except ToolsRefused:
            return await self._ask(without_tools(request), draft)

    async def _ask(self, request: ModelRequest, draft: DraftSink | None) -> Reply:
        if draft is not None and self.streams:
            return await self._streamed(request, draft)
        async with self._asked(request, stream=False) as response:
            reply = self.codec.whole(await read_bounded(response, _BODY_BYTES_MAX), self.model)
        if draft is not None:
            draft.add(reply.text)
        return reply

    async def _streamed(self, request: ModelRequest, draft: DraftSink) -> Reply:
        stream, events = self.codec.stream(self.model), Events()
        async with self._asked(request, stream=True) as response:
            if response.content_type != "text/event-stream":
                reply = self.codec.whole(await read_bounded(response, _BODY_BYTES_MAX), self.model)
                draft.add(reply.text)
                return reply
            async for chunk in response.content.iter_any():
                for data in events.feed(chunk):
                    if words := stream.take(data):
                        draft.add(words)
        return stream.reply()

    @asynccontextmanager
    async def _asked(
        self, request: ModelRequest, *, stream: bool
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        total = self.timeout_s * (_STREAM_FACTOR if stream else 1)
        try:
            async with self.session.post(
                self.base_url.rstrip("/") + self.codec.path,
                json=self.codec.body(self.model, request, stream=stream),
                headers=self.codec.headers(self.key),
                timeout=aiohttp.ClientTimeout(
                    total=total, sock_connect=self.timeout_s, sock_read=self.timeout_s
                ),
                allow_redirects=False,
            ) as response:
                body = b"" if response.ok else await read_bounded(response, _BODY_BYTES_MAX)
                if request.offered:
                    check_tools(response.status, body)
                check_status(response.status, body, response.headers.get("Retry-After"))
                yield response
        except TimeoutError as error:
            raise ModelFailed(f"no reply in {self.timeout_s:g} s") from error
        except aiohttp.ClientConnectorDNSError as error:
            raise ModelFailed("not reachable: its name is unknown") from error
        except aiohttp.ClientPayloadError as error:
            raise ModelFailed("half a reply: the connection broke") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ModelFailed(f"not reachable: {type(error).__name__}") from error


async def read_bounded(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """Read a body of at most `bytes_max`. Raises ModelFailed for a longer one."""
    data = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        data += chunk
        if len(data) > bytes_max:
            raise ModelFailed(f"malformed: more than {bytes_max} bytes")
    return bytes(data)
