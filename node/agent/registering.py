"""Tools over HTTP that the operator registered: kept in <home>/tools.json, 0600, over restarts.

A program on this machine may be one, by http; on another only by https, and only if node.toml names
its host. Each has a secret that is made here, sent with each call, and shown once. That a tool came
or went is an event; its secret and its address's path are in the file alone.
"""

import json
import re
import secrets
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
import structlog

from genesis.keys import private
from ledger.core import hashing, types
from ledger.core.codec import encode
from ledger.core.errors import NotFound
from ledger.core.event import Draft
from node.home import Home
from runtime.core.chat import Reach
from runtime.core.errors import ToolRefused
from runtime.core.limits import URL_CHARS_MAX
from runtime.core.tool import Effect, Permission, ToolLimits, ToolSpec
from runtime.http_tool import HttpTool
from runtime.journal import Journal
from runtime.toolbox import Toolbox

FILE_BYTES_MAX: Final = 8 * 1024 * 1024
_log = structlog.get_logger(__name__)
TOOLSET: Final = "http"
_DIGEST: Final = "timmy-node 2026-11 registered tool v1"


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One tool as the file has it."""

    name: str
    description: str
    schema: dict[str, Any]
    url: str
    effect: str
    seconds: int
    secret: str


@dataclass(slots=True, kw_only=True)
class Registered:
    """Those of one node. `hosts`: where beside this machine a tool may be."""

    home: Home
    journal: Journal
    toolbox: Toolbox
    session: aiohttp.ClientSession
    hosts: frozenset[str]

    def load(self) -> None:
        """Put what the file has into the toolbox. Raises ToolRefused for a file that is none.

        A single tool that does not fit any more (its host is not named, its name is taken) is
        passed over, and the log says so.
        """
        for kept in self._read().values():
            try:
                self._put(kept)
            except ToolRefused as error:
                _log.warning("a registered tool is passed over", tool=kept.name, why=str(error))

    async def add(
        self,
        *,
        name: str,
        description: str,
        schema: dict[str, Any],
        url: str,
        effect: str,
        seconds: int,
    ) -> tuple[ToolSpec, str]:
        """Register a tool; return its spec and its secret. Raises ToolRefused, ToolTaken."""
        kept = _Kept(
            name=name,
            description=description,
            schema=schema,
            url=url,
            effect=effect,
            seconds=seconds,
            secret=secrets.token_urlsafe(32),
        )
        spec = self._put(kept)
        self._write(self._read() | {name: kept})
        digest = hashing.digest(_DIGEST, encode([name, description, json.dumps(schema), effect]))
        host = urlsplit(url).netloc
        await self._note(types.TOOL_ADDED.name, {"name": name, "spec": digest, "host": host})
        return spec, kept.secret

    async def remove(self, name: str) -> ToolSpec:
        """Take a tool out. Raises NotFound for one that was not registered here."""
        known = self._read()
        if known.pop(name, None) is None:
            raise NotFound(f"no tool {name} was registered over HTTP", hint="timmy tools list")
        self._write(known)
        spec = self.toolbox.remove(name)
        await self._note(types.TOOL_REMOVED.name, {"name": name})
        return spec

    def _put(self, kept: _Kept) -> ToolSpec:
        if kept.effect not in {effect.value for effect in Effect}:
            raise ToolRefused(f"effect is {kept.effect!r}, reads or writes expected")
        reach = self._reach(kept.url)
        spec = ToolSpec(
            name=kept.name,
            description=kept.description,
            schema=kept.schema,
            effect=Effect(kept.effect),
            permission=Permission(tool="Tool", specifier=lambda _: kept.name),
            limits=ToolLimits(seconds=kept.seconds),
            toolset=TOOLSET,
            reach=reach,
        )
        tool = HttpTool(
            name=kept.name,
            url=kept.url,
            seconds=kept.seconds,
            secret=kept.secret,
            session=self.session,
        )
        self.toolbox.register(spec, tool)
        return spec

    def _reach(self, url: str) -> Reach:
        """How far what the tool is told travels. Raises ToolRefused for where no tool may be."""
        hint = "http on this machine, or https on a host that tools.http_hosts in node.toml names"
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            raise ToolRefused("this is not the address of a tool", hint=hint) from error
        if len(url) > URL_CHARS_MAX or parts.username is not None or re.search(r"\s", url):
            raise ToolRefused("this is not the address of a tool", hint=hint)
        if _is_here(host) and parts.scheme in ("http", "https"):
            return Reach.LOCAL
        if host in self.hosts and parts.scheme == "https":
            return Reach.TRUSTED
        raise ToolRefused(f"no tool may be at {parts.scheme}://{host[:100]}", hint=hint)

    def _read(self) -> dict[str, _Kept]:
        path = self.home.tools
        if not path.exists():
            return {}
        try:
            kept = msgspec.json.decode(
                private.read(path, bytes_max=FILE_BYTES_MAX), type=list[_Kept]
            )
        except (msgspec.DecodeError, UnicodeError) as error:
            raise ToolRefused(
                f"{path} is not as the node wrote it", hint="mend it, or remove it and add anew"
            ) from error
        return {one.name: one for one in kept}

    def _write(self, kept: dict[str, _Kept]) -> None:
        private.replace(self.home.tools, msgspec.json.encode(list(kept.values())))

    async def _note(self, kind: str, facts: dict[str, Any]) -> None:
        await self.journal.append(Draft(type=kind, stream=types.NODE_STREAM, payload=facts))


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
