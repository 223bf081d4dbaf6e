"""A tool that is a program over HTTP: called by POST, with a secret of its own, bounded and timed.

    POST <url>   {"name", "arguments", "conversation"}   with the header Timmy-Tool-Secret
    answer       200, JSON {"text", "is_error"?}, or text/plain

The program can tell by the secret that this node calls. No redirect is followed, no more than
BODY_BYTES read. One that keeps failing is left alone for a while (`runtime.core.breaker`), so that
a dead tool costs a time-out now and then, and not one in every turn.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import msgspec

from runtime.core.breaker import Breaker
from runtime.core.errors import ToolFailed
from runtime.core.limits import TOOL_RESULT_BYTES_MAX
from runtime.core.tool import Arguments, ToolContext, ToolResult

HEADER: Final = "Timmy-Tool-Secret"
BODY_BYTES: Final = 8 * TOOL_RESULT_BYTES_MAX
"""JSON writes one byte as up to six; what is beyond a result's bound is cut by the toolbox."""
_CHUNK_BYTES: Final = 64 * 1024


class _Answer(msgspec.Struct):
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTool:
    """`session` is the node's; it is not closed here."""

    name: str
    url: str
    seconds: float
    secret: str = field(repr=False)
    session: aiohttp.ClientSession = field(repr=False)
    breaker: Breaker = field(default_factory=Breaker)
    clock: Callable[[], float] = time.monotonic

    async def call(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        rests_s = self.breaker.rests_s(self.clock())
        if rests_s:
            raise ToolFailed(f"{self.name} failed too often, it is left alone for {rests_s:.0f} s")
        try:
            result = await self._ask(arguments, context)
        except TimeoutError as error:
            self.breaker.failed(self.clock())
            raise ToolFailed(f"no answer within {self.seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            self.breaker.failed(self.clock())
            raise ToolFailed(f"not reachable: {type(error).__name__}") from error
        except ToolFailed:
            self.breaker.failed(self.clock())
            raise
        self.breaker.succeeded()
        return result

    async def _ask(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        body = {
            "name": self.name,
            "arguments": dict(arguments),
            "conversation": context.conversation,
        }
        async with self.session.post(
            self.url,
            json=body,
            headers={HEADER: self.secret},
            timeout=aiohttp.ClientTimeout(total=self.seconds),
            allow_redirects=False,
        ) as response:
            if response.status != 200:
                raise ToolFailed(f"it answered with status {response.status}")
            data = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                data += chunk
                if len(data) > BODY_BYTES:
                    raise ToolFailed(f"it answered with more than {BODY_BYTES} bytes")
            if response.content_type == "text/plain":
                return ToolResult(text=data.decode(errors="replace"))
        try:
            answer = msgspec.json.decode(bytes(data), type=_Answer)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ToolFailed("its answer is neither text/plain nor JSON with a text") from error
        return ToolResult(text=answer.text, is_error=answer.is_error)
