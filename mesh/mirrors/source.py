"""One place that a log is copied from: another node's `mesh.mirrors.offering`, over HTTP.

Every request is signed for that node. What comes back is bounded and believed in nothing: the state
machine of `mesh.core.mirrors.replica` checks it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import aiohttp

from mesh.core import limits
from mesh.core.errors import MeshError
from mesh.core.mirrors.copying import Ask, AskBodies, AskHead, AskLeaves, AskPackage
from mesh.core.nip01 import NostrSigner
from mesh.core.nip98 import sign_request
from mesh.mirrors.offering import PREFIX, tile_path

_SECONDS_MAX: Final = 60.0
"""For one answer: 4 MiB over a line of a megabit take half of it."""
_CONNECT_SECONDS_MAX: Final = 10.0
_SOUL_BYTES_MAX: Final = 64 * 1024
_WORDS_BYTES_MAX: Final = 300
_HASH_BYTES: Final = 32


class SourceFailed(MeshError):
    """There is no answer. `refused` if the node said so."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A node at `url` whose public key is `node`, in hex."""

    url: str
    node: str
    signer: NostrSigner
    session: aiohttp.ClientSession
    clock: Callable[[], int]
    manifest: str | None = None
    """Digest, in hex, of the newest manifest that the asker knows, if it is of a fleet."""

    async def answer(self, ledger_id: bytes, ask: Ask) -> bytes:
        """Ask; return the bytes of the answer. Raises SourceFailed."""
        match ask:
            case AskHead(since=since):
                path, bound = f"head?since={since}", limits.INTRODUCTION_BYTES_MAX
            case AskPackage(start=start, size=size):
                path, bound = f"package?start={start}&size={size}", limits.PACKAGE_BYTES_MAX
            case AskLeaves(start=start, size=size):
                path, bound = f"leaves?start={start}&size={size}", limits.LEAVES_BYTES_MAX
            case AskBodies(start=start, stop=stop):
                path, bound = f"bodies?start={start}&stop={stop}", limits.BODIES_BYTES_MAX
            case _:
                raise TypeError(f"no request: {ask!r}")
        return await self._get(f"{PREFIX}/{ledger_id.hex()}/{path}", bound)

    async def soul(self, ledger_id: bytes) -> bytes:
        """The SOUL.md that the node has of this log, unchecked. Raises SourceFailed."""
        return await self._get(f"{PREFIX}/{ledger_id.hex()}/soul", _SOUL_BYTES_MAX)

    async def tile(self, ledger_id: bytes, level: int, index: int, width: int) -> bytes:
        """The first `width` hashes of a tile, unchecked. Raises SourceFailed."""
        path = f"{PREFIX}/{ledger_id.hex()}/tile/{tile_path(level, index, width)}"
        return await self._get(path, width * _HASH_BYTES)

    async def post(self, path: str, data: bytes, *, bytes_max: int) -> bytes:
        """Send bytes to a path of the node; return the answer. Raises SourceFailed."""
        return await self._request("POST", path, bytes_max, data)

    async def _get(self, path: str, bytes_max: int) -> bytes:
        return await self._request("GET", path, bytes_max)

    async def _request(
        self, method: str, path: str, bytes_max: int, data: bytes | None = None
    ) -> bytes:
        url = f"{self.url}{path}"
        header = sign_request(
            self.signer, url, method, node=self.node, now=self.clock(), manifest=self.manifest
        )
        timeout = aiohttp.ClientTimeout(total=_SECONDS_MAX, sock_connect=_CONNECT_SECONDS_MAX)
        try:
            async with self.session.request(
                method,
                url,
                data=data,
                headers={"Authorization": header},
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                if response.status != HTTPStatus.OK:
                    words = await _read(response, _WORDS_BYTES_MAX, cut=True)
                    told = words.decode(errors="replace")
                    raise SourceFailed(f"{response.status}: {told}", refused=True)
                return await _read(response, bytes_max)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise SourceFailed(f"{type(error).__name__}: {error}") from error


async def _read(response: aiohttp.ClientResponse, bytes_max: int, *, cut: bool = False) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        data += chunk
        if len(data) > bytes_max:
            if cut:
                break
            raise SourceFailed(f"an answer of more than {bytes_max} bytes")
    return bytes(data[:bytes_max])
