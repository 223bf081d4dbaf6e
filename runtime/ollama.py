"""Finding an Ollama on this machine: asked once when the node starts, on loopback and nowhere else.

Whoever listens there is taken for it: on a machine with users one does not trust, its address is
to be emptied in node.toml.
"""

from dataclasses import dataclass
from typing import Final

import aiohttp
import msgspec

from runtime.core.errors import ModelFailed
from runtime.endpoint import read_bounded

_TIMEOUT_S: Final = 2.0
"""A program on this machine answers in milliseconds; a start shall not wait for one that hangs."""
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
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError, ModelFailed):
        return None
    names = [model.name for model in tags.models if 0 < len(model.name) <= _NAME_CHARS_MAX]
    return Found(base_url=f"{address.rstrip('/')}/v1", model=names[0]) if names else None
