"""Finding an Ollama on this machine, on loopback and nowhere else.

It is looked for when the node starts, and again by a turn that no model answered (`Seeker`).

Whoever listens there is taken for it: on a machine with users one does not trust, its address is
to be emptied in node.toml.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
import msgspec

from runtime.core.errors import ModelFailed
from runtime.endpoint import read_bounded

_TIMEOUT_S: Final = 2.0
"""A program on this machine answers in milliseconds; a start shall not wait for one that hangs."""
_PAUSE_S: Final = 60.0
"""Between two looks: whoever starts an Ollama waits no longer, and a turn costs a look at most."""
_BYTES_MAX: Final = 1024 * 1024
"""The list of a thousand models is a third of it."""
_NAME_CHARS_MAX: Final = 200


class _Model(msgspec.Struct):
    name: str


class _Tags(msgspec.Struct):
    models: list[_Model]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An Ollama: where it speaks OpenAI's format, and the model it was given last."""

    base_url: str
    model: str


async def find(session: aiohttp.ClientSession, address: str) -> Found | None:
    """Return the Ollama at `address` (a URL), or None if there is none or it has no model."""
    try:
        async with session.get(
            f"{address.rstrip('/')}/api/tags",
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
            allow_redirects=False,
        ) as response:
            if not response.ok:
                return None
            tags = msgspec.json.decode(await read_bounded(response, _BYTES_MAX), type=_Tags)
    except (aiohttp.ClientError, TimeoutError, OSError, ModelFailed):
        return None
    except (msgspec.DecodeError, UnicodeError, RecursionError):  # it may be anything
        return None
    names = [model.name for model in tags.models if 0 < len(model.name) <= _NAME_CHARS_MAX]
    return Found(base_url=f"{address.rstrip('/')}/v1", model=names[0]) if names else None


class Seeker:
    """Looks again for what was not there, or had no such model, when `look` was last asked."""

    def __init__(
        self,
        look: Callable[[], Awaitable[Found | None]],
        known: Found | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`known` is what the first look found; the next one may come at once."""
        self._look = look
        self._known = known
        self._clock = clock
        self._due = clock()

    async def seek(self) -> Found | None:
        """Return what is there and was not known; None else, and within a minute of the last look.

        Of turns that ask at once, one looks and the others go on.
        """
        if (now := self._clock()) < self._due:
            return None
        self._due = now + _PAUSE_S
        found = await self._look()
        if found is None or found == self._known:
            return None
        self._known = found
        return found
