"""The link of the chain that a model of this machine is.

It is asked only while its server is ready, so that a node whose model is being loaded, or was given
up, answers at once by the next link. Its identity is the digest of its weights: what was found out
about them holds for exactly them, whatever the file is called (docs/SAFETY.md).

The server streams always, since a stream that nobody reads any more is where it stops working.
It cannot say in a stream that a prompt is too long for it, it breaks off; so the prompt's tokens
are counted first, by the server, and an overflow does not count against the link.
"""

from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import msgspec

from runtime.core.chat import DraftSink, ModelRequest, Price, Reach, Reply
from runtime.core.errors import ModelFailed
from runtime.core.openai_wire import OpenAi
from runtime.core.tested import weights_identity
from runtime.endpoint import Endpoint, read_bounded
from runtime.local import HOST, LocalServer

NAME: Final = "local"
_COUNT_BYTES_MAX: Final = 1024
_TEMPLATE_TOKENS: Final = 16
"""What a chat template puts around one message, at most: a role and two marks."""


class _Count(msgspec.Struct):
    count: int


class _Nobody:
    """Nobody watches the words come."""

    def add(self, _text: str) -> None:
        """See `DraftSink`."""

    def reset(self) -> None:
        """See `DraftSink`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLink:
    """A link over a `LocalServer`; `session` is the node's."""

    server: LocalServer
    session: aiohttp.ClientSession
    timeout_s: float
    """For the first word, and for each pause after it."""

    name: str = NAME
    reach: Reach = Reach.LOCAL
    tasks: frozenset[str] = frozenset()
    price: Price | None = None

    @property
    def identity(self) -> str:
        """The digest of its weights."""
        return weights_identity(self.server.digest)

    async def reply(self, request: ModelRequest, draft: DraftSink | None = None) -> Reply:
        """See `runtime.core.chat.Link`. Raises ModelFailed."""
        if (unable := self.server.unable) is not None:
            raise ModelFailed(unable[:200], counts=False)
        await self._check_room(request)
        endpoint = Endpoint(
            name=self.name,
            codec=OpenAi(),
            base_url=self.server.base_url,
            model=self.server.alias,
            timeout_s=self.timeout_s,
            reach=self.reach,
            session=self.session,
        )
        return await endpoint.reply(request, _Nobody() if draft is None else draft)

    async def _check_room(self, request: ModelRequest) -> None:
        text = "".join(text for _, text in request.messages)
        counted = await self._count(text) + _TEMPLATE_TOKENS * len(request.messages)
        room = self.server.settings.context_tokens
        if counted >= room:
            raise ModelFailed(
                f"context overflow: some {counted} tokens of at most {room}", counts=False
            )

    async def _count(self, text: str) -> int:
        """Ask the server how many tokens a text has; it answers after whatever is at work."""
        url = f"http://{HOST}:{self.server.port}/extras/tokenize/count"
        body: dict[str, Any] = {"input": text, "model": self.server.alias}
        timeout = aiohttp.ClientTimeout(total=self.timeout_s)
        try:
            async with self.session.post(url, json=body, timeout=timeout) as response:
                if response.status != 200:
                    raise ModelFailed(f"failed (status {response.status})")
                data = await read_bounded(response, _COUNT_BYTES_MAX)
            return msgspec.json.decode(data, type=_Count).count
        except TimeoutError as error:
            raise ModelFailed(f"no reply in {self.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ModelFailed(f"not reachable: {type(error).__name__}") from error
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ModelFailed("malformed: not a count") from error
