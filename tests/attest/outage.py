"""A real wire that breaks: a proxy in front of a node's RPC that drops one request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from attest.bitcoind import Bitcoind
from attest.core.header import REGTEST
from tests.attest.world import Backend


@dataclass
class Wire:
    """Cuts the connection at request number `cut` (from 1; 0: never), and stays cut if `down`.

    `after`: the node has done what was asked, and nobody hears of it.
    """

    cut: int = 0
    after: bool = False
    down: bool = False
    seen: int = 0
    methods: list[str] = field(default_factory=list)

    def reset(self, cut: int, *, after: bool, down: bool = False) -> None:
        self.cut, self.after, self.down, self.seen = cut, after, down, 0

    @property
    def is_cut(self) -> bool:
        return bool(self.cut) and (self.seen == self.cut or (self.down and self.seen > self.cut))


@asynccontextmanager
async def through_a_wire(backend: Backend) -> AsyncIterator[tuple[Bitcoind, Wire]]:
    wire = Wire()

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        wire.seen += 1
        if wire.is_cut and not wire.after:
            return cut_off(request)
        headers = {"Authorization": request.headers["Authorization"]}
        async with session.post(backend.url, data=body, headers=headers) as answer:
            status, found = answer.status, await answer.read()
        if wire.is_cut:
            return cut_off(request)
        return web.Response(status=status, body=found, content_type="application/json")

    application = web.Application()
    application.router.add_post("/", handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with (
            aiohttp.ClientSession() as session,
            Bitcoind(url=url, credentials=backend.cookie, network=REGTEST) as node,
        ):
            yield node, wire
    finally:
        await runner.cleanup()


def cut_off(request: web.Request) -> web.Response:
    """No answer, no goodbye."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response(status=503)
