"""The recording proxy as a part of the node: its address, its upstreams, its life.

It is off unless node.toml says otherwise, listens on this machine only, and speaks to the upstreams
that node.toml names and to nobody else.
"""

import socket
from typing import Any, Final

import aiohttp
from aiohttp import web

from ledger.core import hashing
from node.api.door import more_files
from node.api.proxy import ProxyApi, ProxyLimits
from node.opened import Opened
from node.sections.proxy import ProxySection
from runtime.core.proxy_routes import Upstream
from runtime.journal import Journal
from runtime.recording import Recorder

HOST: Final = "127.0.0.1"
_KEPT_S: Final = 10.0
"""A connection that is kept for the next request: providers hang up after a minute or so."""
_STOP_S: Final = 2.0


class Proxying:
    """The proxy of a running node."""

    def __init__(
        self, section: ProxySection, listener: socket.socket, journal: Journal, digest_key: bytes
    ) -> None:
        self._section = section
        self._listener = listener
        self._recorder = Recorder(journal, digest_key=digest_key)
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._api: ProxyApi | None = None
        self.upstreams = upstreams_of(section)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    async def start(self) -> None:
        """End what an earlier life left open, then listen."""
        await self._recorder.settle()
        more_files()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        self._api = ProxyApi(
            self.upstreams,
            self._recorder,
            self._session,
            ProxyLimits(exchanges_max=self._section.exchanges_max, idle_s=self._section.idle_s),
            blocks=self._section.screen == "block",
        )
        self._runner = web.AppRunner(
            self._api.application(),
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=_KEPT_S,
            shutdown_timeout=_STOP_S,
        )
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener).start()

    async def stop(self) -> None:
        """Take no more; what is under way is cut off and recorded so."""
        if self._api is not None:
            self._api.stopping = True
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def summary(self) -> dict[str, Any]:
        """What API and command line tell of it."""
        return {
            "address": f"http://{HOST}:{self.port}",
            "screen": self._section.screen,
            "upstreams": [
                {"name": one.name, "base_url": one.base_url, "wire": one.wire}
                for one in self.upstreams
            ],
            "under_way": self._recorder.under_way,
            "waiting": self._api.waiting if self._api is not None else 0,
            "streams": [
                {
                    "name": one.name,
                    "stream": one.stream,
                    "exchanges": one.exchanges,
                    "crises": one.crises,
                    "newest": one.newest,
                }
                for one in self._recorder.standings
            ],
        }


def upstreams_of(section: ProxySection) -> tuple[Upstream, ...]:
    """Return the upstreams of node.toml, in its order."""
    return tuple(
        Upstream(name=one.name, base_url=one.base_url, wire=one.wire) for one in section.upstreams
    )


def make_proxying(opened: Opened, journal: Journal) -> Proxying | None:
    """Make the proxy, if node.toml asks for one."""
    if opened.proxy is None:
        return None
    digest_key = hashing.digest(hashing.STEP_KEY, opened.keys.log.secret)
    return Proxying(opened.config.proxy, opened.proxy, journal, digest_key)
