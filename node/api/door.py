"""The door to the API's port: how many connections there are at once, of all and of one address.

Each connection is an open file, whether a word is said on it or not, and the ledger, its guard and
its folders need some, too: without a bound whoever reaches the port could end the node by opening
connections and waiting. So the soft limit of open files is raised as far as we may, and what comes
beyond a bound is hung up on. A part is kept for this machine's own: the operator, and a reverse
proxy, get in when strangers have taken the rest. Another is kept for the fleet's members and peers.
Strangers are told apart by IPv4 address and by IPv6 network of 64 bits: the rest of an address is
for whoever is there to choose (RFC 4291, section 2.5.1).

Not covered: a stranger with many addresses, or many such networks, keeps other strangers out, among
them an operator who comes from an address that no manifest names.
"""

import asyncio
import resource
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from mesh.complaints import Complaints
from mesh.places import address_of, is_here, place_of

Members: TypeAlias = Callable[[], frozenset[str]]
"""Addresses of the fleet's members and of peers, as far as they are known as addresses."""
BESIDE_THE_RELAY_MAX: Final = 384
"""Connections that are none of the relay's, which has a bound of its own: members of the fleet,
whoever asks a witness, the operator's commands. By default all together are 512."""
KEPT_FOR_MEMBERS: Final = 3
"""One of so many of these is for members alone: 128, one each of half of the largest fleet."""
FILES_MAX: Final = 16_384
"""All connections, those that the node makes, and its files."""

_log = structlog.get_logger("node.api.door")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many connections may be open: of this machine, and of others.

    `strangers`: of others that are none of the fleet's. `one`: of one of these. `member`: of one
    address of the fleet's.
    """

    ours: int
    others: int
    strangers: int
    one: int
    member: int

    @classmethod
    def under(cls, files: int, *, relay: int) -> "Bounds":
        """Bounds that leave half of so many open files to the node itself.

        `relay`: how many connections the relay takes. This machine's own are bounded likewise: a
        reverse proxy stands for all its clients. One address of the fleet's may have half: several
        members behind a router. Another one may have an eighth, so that it takes six to keep
        strangers out; a client of a relay has one connection, a browser six. What is kept for
        members is taken from what is beside the relay, which may be full of strangers.
        """
        most = min(BESIDE_THE_RELAY_MAX + relay, files // 4)
        kept = min(BESIDE_THE_RELAY_MAX, most) // KEPT_FOR_MEMBERS
        return cls(
            ours=most, others=most, strangers=most - kept, one=max(1, most // 8), member=most // 2
        )

    def admits(
        self, address: str, inside: list[str], members: frozenset[str] = frozenset()
    ) -> bool:
        """Tell whether one more may come from `address` beside those that are open."""
        here = is_here(address)
        alike = [one for one in inside if is_here(one) is here]
        if here:
            return len(alike) < self.ours
        if len(alike) >= self.others:
            return False
        if address in members:
            return alike.count(address) < self.member
        strange = [one for one in alike if one not in members]
        place = place_of(address)
        same = sum(place_of(one) == place for one in strange)
        return len(strange) < self.strangers and same < self.one


class _Guest(asyncio.Protocol):
    """A connection that has just come: aiohttp's from then on, if there is room for it."""

    def __init__(
        self, server: web.Server, bounds: Bounds, members: Members, complaints: Complaints
    ) -> None:
        self._server = server
        self._bounds = bounds
        self._members = members
        self._complaints = complaints

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand it over to aiohttp, or hang up."""
        assert isinstance(transport, asyncio.Transport)
        open_ = [one.transport for one in self._server.connections if one.transport is not None]
        address, inside = address_of(transport), list(map(address_of, open_))
        if not self._bounds.admits(address, inside, self._members()):
            transport.abort()
            self._complaints.of(place_of(address), f"{len(inside)} connections are open")
            return
        handler = self._server()
        transport.set_protocol(handler)
        handler.connection_made(transport)


async def listen(
    runner: web.AppRunner, listener: socket.socket, bounds: Bounds, members: Members
) -> asyncio.Server:
    """Serve a runner that was set up at a listening socket. Close what is returned before it."""
    server = runner.server
    assert server is not None
    complaints = Complaints(log=_log, what="a connection finds no room")
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: _Guest(server, bounds, members, complaints), sock=listener
    )


def more_files() -> int:
    """Raise the soft limit of open files, as far as we may; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return soft if soft != resource.RLIM_INFINITY else FILES_MAX


def addresses_in(urls: Iterable[str]) -> frozenset[str]:
    """Return the addresses that stand in URLs as such; names are not looked up."""
    found = set()
    for url in urls:
        with suppress(ValueError):
            found.add(str(ip_address(urlsplit(url).hostname or "")))
    return frozenset(found)
