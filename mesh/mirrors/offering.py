"""Giving logs to others over HTTP: leaf hashes to whoever may watch, words to the fleet only.

    GET <prefix>/<ledger>/checkpoint             the newest head, a note (c2sp.org/tlog-tiles)
    GET <prefix>/<ledger>/tile/<L>/<N>[.p/<W>]   hashes, likewise
    GET <prefix>/<ledger>/leaves?start=&size=    leaf hashes and a path, likewise
    GET <prefix>/<ledger>/head?since=SIZE        the newest head, introduced    watchers, the fleet
    GET <prefix>/<ledger>/package?start=&size=   envelopes and a path           the fleet only
    GET <prefix>/<ledger>/bodies?start=&stop=    payloads and contents          the fleet only
    GET <prefix>/<ledger>/soul                   SOUL.md                        the fleet only

Requests are signed (`mesh.core.nip98`). A stranger learns nothing, not even which logs are here.
What is for the fleet is given to no member that names another manifest, or none: 409 until both
know the newest. Its own ledger each is given all the same.
Each peer has a few requests at a time, all of them together have a few more, and an answer that is
not taken in time is cut off: so what slow readers hold of this node's memory is bounded.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from ledger.core.errors import StoreError
from mesh.core import limits
from mesh.core.errors import InvalidSignedRequest
from mesh.core.nip98 import Recent, check_request
from mesh.mirrors.offer import LeafOffer, NotOffered, Offer
from mesh.places import place_at

PREFIX: Final = "/v1/mesh/logs"
_LEDGER: Final = re.compile("[0-9a-f]{64}")
_NUMBER: Final = re.compile("0|[1-9][0-9]{0,14}")
_TILE: Final = re.compile(r"([0-6])/((?:x[0-9]{3}/){0,4}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_TILE_WIDTH: Final = 256
_CHUNK_BYTES: Final = 64 * 1024
_REQUESTS_PER_PEER_MAX: Final = 2 * limits.MIRROR_REQUESTS_MAX
"""A mirror has MIRROR_REQUESTS_MAX under way; the rest is for one that was restarted."""
_REQUESTS_MAX: Final = 16
"""Times BODIES_BYTES_MAX: 64 MiB that slow readers can hold, for SEND_STALL_SECONDS_MAX."""
_STRANGERS_MAX: Final = _REQUESTS_MAX // 2
"""Where hashes are for everyone: slow strangers, under any names, leave members the other half."""
_WORDS: Final = frozenset({"package", "bodies", "soul"})
"""What is for the fleet only."""
_HASHES: Final = frozenset({"checkpoint", "tile", "leaves"})
"""What is for watchers, and for everyone if the operator says so."""
_BINARY: Final = "application/octet-stream"
_NOTE: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Who may read: public keys in hex. `everyone` may have hashes without a signature.

    Who changed keys, when and why, is not for everyone: an introduction holds those events whole.
    """

    members: frozenset[str]
    watchers: frozenset[str] = frozenset()
    everyone: bool = False
    fleet: Mapping[str, bytes] = field(default_factory=dict)
    """Of the members those in the manifest, with the ledger of each."""

    @property
    def known(self) -> frozenset[str]:
        """Those who are named."""
        return self.members | self.watchers


@dataclass(slots=True, kw_only=True)
class Offering:
    """The handlers. `find` gives what is offered of a ledger, `node` is our public key in hex."""

    node: str
    audience: Callable[[], Audience]
    find: Callable[[bytes], LeafOffer | None]
    soul: Callable[[bytes], bytes | None]
    clock: Callable[[], int]
    manifest: Callable[[], str | None] = lambda: None
    """Digest, in hex, of the newest manifest that is known here."""
    recent: Recent = field(default_factory=Recent)
    """Shared with whatever else takes signed requests of the same peers."""
    on_refused: Callable[[str, str], None] = lambda _peer, _why: None
    """Told by which address, and why, somebody was given nothing; of each request."""
    on_misread: Callable[[bytes, StoreError], None] = lambda _ledger, _error: None
    """Told of which ledger what was asked for could not be read, and why."""
    _busy: Counter[str] = field(default_factory=Counter)

    def routes(self) -> list[web.RouteDef]:
        """Of the HTTP API; they need no bearer token."""
        return [web.get(PREFIX + "/{ledger}/{what:.+}", self.handle)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        what = request.match_info["what"].split("/")[0]
        try:
            peer = self._peer(request, what)
        except InvalidSignedRequest as error:
            self.on_refused(place_at(request.transport), str(error))
            return _refuse(401, str(error), error.hint)
        except _OtherManifest as error:
            return _refuse(409, str(error), "manifests reach every member within a minute")
        if peer is None:
            self.on_refused(place_at(request.transport), f"it may not read {what}")
            return _refuse(403, "this node does not give that to you", "ask its operator")
        try:
            with self._place(peer):
                offer = self._offer(request)
                kind = _NOTE if what == "checkpoint" else _BINARY
                return await _send(request, await self._data(request, offer, what), kind)
        except NotOffered as error:
            return _refuse(404, str(error))
        except StoreError as error:
            self.on_misread(_ledger(request), error)
            return _refuse(503, str(error), error.hint)
        except _Busy as error:
            return _refuse(429, str(error), "wait for the answers to your other requests")

    def _offer(self, request: web.Request) -> LeafOffer:
        offer = self.find(_ledger(request))
        if offer is None:
            raise NotOffered("no such ledger is offered here")
        return offer

    def _peer(self, request: web.Request, what: str) -> str | None:
        """Who asks, if he may; None if not. Raises InvalidSignedRequest, _OtherManifest."""
        audience = self.audience()
        hashes = what in _HASHES
        header = request.headers.get("Authorization", "")
        if not header and hashes and audience.everyone:
            return request.remote or ""
        asked = check_request(
            header, request.path_qs, request.method, node=self.node, now=self.clock(),
            known=audience.known, recent=self.recent,
        )  # fmt: skip
        peer = asked.pubkey
        own = audience.fleet.get(peer)
        if what in _WORDS and own is not None and own.hex() != request.match_info["ledger"]:
            self._require_same_manifest(asked.manifest)
        watcher = peer in audience.watchers and (hashes or what == "head")
        allowed = peer in audience.members or watcher or (hashes and audience.everyone)
        return peer if allowed else None

    def _require_same_manifest(self, asked: str | None) -> None:
        """Raises _OtherManifest: of two nodes under two one does not know who was removed.

        Asked of who is in the manifest, but for its own ledger: a machine that lost its home has
        an old manifest, or none. A peer that node.toml names may be of no fleet, or of another.
        """
        known = self.manifest()
        if asked != known:
            raise _OtherManifest(f"the manifest here is {known}")

    @contextmanager
    def _place(self, peer: str) -> Iterator[None]:
        known = self.audience().known
        strangers = sum(count for one, count in self._busy.items() if one not in known)
        full = self._busy.total() >= _REQUESTS_MAX
        if peer not in known:
            full |= strangers >= _STRANGERS_MAX
        if full or self._busy[peer] >= _REQUESTS_PER_PEER_MAX:
            raise _Busy("too many requests at a time")
        self._busy[peer] += 1
        try:
            yield
        finally:
            self._busy[peer] -= 1
            if not self._busy[peer]:
                del self._busy[peer]

    async def _data(self, request: web.Request, offer: LeafOffer, what: str) -> bytes:
        if what in _WORDS:
            if not isinstance(offer, Offer):
                raise NotOffered("leaf hashes only are kept of it here")
            return await self._words(request, offer, what)
        match what:
            case "checkpoint":
                return offer.head().encode()
            case "tile":
                return offer.tile(*_tile(request.match_info["what"].removeprefix("tile/")))
            case "head":
                return offer.introduction(_number(request, "since"))
            case "leaves":
                start, size = _number(request, "start"), _number(request, "size")
                return offer.leaves(start, size)
        raise NotOffered("there is no such thing")

    async def _words(self, request: web.Request, offer: Offer, what: str) -> bytes:
        match what:
            case "package":
                return offer.package(_number(request, "start"), _number(request, "size"))
            case "bodies":
                start, stop = _number(request, "start"), _number(request, "stop")
                return await asyncio.to_thread(offer.bodies, start, stop)
            case "soul":
                found = self.soul(_ledger(request))
                if found is not None:
                    return found
        raise NotOffered("there is no such thing")


class _OtherManifest(Exception):
    """The asker knows another manifest than this node."""


class _Busy(Exception):
    """Too much is under way."""


async def _send(request: web.Request, data: bytes, kind: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": kind})
    response.content_length = len(data)
    try:
        async with asyncio.timeout(limits.SEND_STALL_SECONDS_MAX):
            await response.prepare(request)
            for at in range(0, len(data), _CHUNK_BYTES):
                await response.write(data[at : at + _CHUNK_BYTES])
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    return response


def _refuse(status: int, message: str, hint: str | None = None) -> web.Response:
    return web.json_response({"error": message, "hint": hint}, status=status)


def _ledger(request: web.Request) -> bytes:
    text = request.match_info["ledger"]
    if _LEDGER.fullmatch(text) is None:
        raise NotOffered("a ledger is named by 64 hexadecimal digits")
    return bytes.fromhex(text)


def _number(request: web.Request, name: str) -> int:
    text = request.query.get(name, "0")
    if _NUMBER.fullmatch(text) is None:
        raise NotOffered(f"{name} is not a number")
    return int(text)


def _tile(path: str) -> tuple[int, int, int]:
    """Level, index and width of a tile's path (c2sp.org/tlog-tiles). Raises NotOffered."""
    found = _TILE.fullmatch(path)
    if found is None:
        raise NotOffered("a tile is tile/<L>/<N>[.p/<W>]")
    index = int(found[2].replace("x", "").replace("/", ""))
    width = int(found[3]) if found[3] else _TILE_WIDTH
    if tile_path(int(found[1]), index, width) != path:
        raise NotOffered("a tile has one path")
    return int(found[1]), index, width


def tile_path(level: int, index: int, width: int = _TILE_WIDTH) -> str:
    """The path of a tile behind `tile/` (c2sp.org/tlog-tiles): 1234067 is x001/x234/067."""
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    return f"{level}/{'/'.join(groups)}" + (f".p/{width}" if width != _TILE_WIDTH else "")
