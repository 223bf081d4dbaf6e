"""Starts an MCP server that speaks over its standard input and output (MCP, transports, stdio).

The server has one socket as both. Of its standard error the last 16 KiB are kept, for
`timmy mcp test`; no log has them, for they may quote what it was called with.

What it finds in its environment: PATH, HOME, LANG, TZ, and the variables that the operator names,
each by its name. Nothing else of the node's: no passphrase, no token, no model's key.

Confined (the default) it is held as a script is (`runtime.scripts`: no home, no /etc, no network,
memory and processes bounded), with the folders and the network that the operator opens for it; a
folder's name must at each start lead where it led when node.toml was read. Not
confined it runs as the node's user with all its files: a server that needs a session bus, a
container engine, a browser. The node's own folders are opened for none (`node.mcp.config`).

Not covered: what a server with the network does with what it is sent, and who else hears it; on
this machine it reaches every local port, the node's own among them, without the token. A server
outside the sandbox can read the token's file: confine it, or trust it as yourself.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runtime import sandbox
from runtime.bubblewrap import SCRIPT_ENV
from runtime.child import Child
from runtime.core.errors import AgentError
from runtime.sandbox import MIB, Engine, Mount, Openings, SandboxLimits

_LIMITS: Final = SandboxLimits(memory_bytes=1024 * MIB, pids=256)
"""Node.js reserves 600 MiB and starts a dozen threads before its first line."""
_KEPT: Final = ("PATH", "HOME", "LANG", "TZ")
_SHELL: Final = ("/bin/sh", "-c", 'exec "$@" >&0', "sh")
"""Makes the socket that is its standard input its standard output as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A server to start. `env` is what it is given beside the basic four."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    confined: bool = True
    network: bool = False
    shown: tuple[Mount, ...] = ()
    writable: tuple[Mount, ...] = ()
    folder: Path = Path("/")
    """Where it starts if it is not confined."""

    async def start(self, channel: socket.socket, engine: Engine) -> Child:
        """Start it with `channel` as its standard input and output; the channel belongs to it.

        Raises AgentError, SandboxError, OSError.
        """
        if not self.confined:
            return await self._bare(channel)
        if engine is Engine.NONE:
            channel.close()
            raise AgentError(
                "MCP servers cannot be confined on this machine",
                hint="timmy doctor says why; or say confined = false in its [[mcp]]",
            )
        try:
            self._check_mounts()
        except BaseException:
            channel.close()
            raise
        opened = Openings(
            shown=self.shown, writable=self.writable, network=self.network, environment=True
        )
        return await sandbox.spawn_script(
            [*_SHELL, *self.argv],
            channel,
            limits=_LIMITS,
            engine=engine,
            folder=None,
            opened=opened,
            env=SCRIPT_ENV | dict(self.env),
        )

    def _check_mounts(self) -> None:
        """Raise AgentError if a name leads elsewhere than when it was judged: at each start."""
        for mount in (*self.shown, *self.writable):
            if not mount.holds():
                raise AgentError(
                    f"{mount.at} led to {mount.real} when it was checked, and does no more",
                    hint="look who put a link there; a restart of the node checks it anew",
                )

    async def _bare(self, channel: socket.socket) -> Child:
        env = {name: os.environ[name] for name in _KEPT if name in os.environ}
        child = Child(wall_s=None)
        with channel:
            try:
                await child.start(
                    [*_SHELL, *self.argv],
                    channel,
                    folder=str(self.folder),
                    env=env | dict(self.env),
                )
            except BaseException:
                await child.abandon()
                raise
        return child
