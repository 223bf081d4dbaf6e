"""MCP servers as an operator would have them: real ones, in processes of their own."""

import asyncio
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from runtime.core.chat import Reach
from runtime.core.mcp_tools import Offerer
from runtime.core.permissions import OtherCall
from runtime.core.tool import ToolContext
from runtime.mcp_process import Program
from runtime.mcp_servers import McpServers, Server
from runtime.sandbox import Engine
from runtime.toolbox import Toolbox
from tests.ports import free_port

SERVERS = Path(__file__).parent / "servers"
CONTEXT = ToolContext(
    folder="/nowhere", call=OtherCall(tool="Tool"), conversation="main", author="ada", message=1
)
SECONDS = 60.0
"""A server of the SDK starts in two; this guards against a hang and is no measure."""


def offerer(name: str = "f", **more) -> Offerer:
    return Offerer(name=name, **({"reach": Reach.LOCAL} | more))


def program(file: str, *args: str, **more) -> Program:
    """A server of tests/mcp/servers, unconfined unless said otherwise."""
    return Program(
        argv=[sys.executable, str(SERVERS / file), *args], **({"confined": False} | more)
    )


def stdio_server(
    file: str = "friendly.py", *args: str, of: Offerer | None = None, **more
) -> Server:
    return Server(offerer=of or offerer(), program=program(file, *args, **more))


@contextmanager
def http_server(file: str = "friendly.py"):
    """A server on a port of this machine; yields (its address, its process)."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(SERVERS / file), str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp", process
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def kept(*servers: Server, engine: Engine = Engine.NONE, check_seconds: float = 60.0):
    """Servers under a toolbox, for the time of a block; yields (toolbox, servers)."""
    box = Toolbox()
    clock = asyncio.get_running_loop().time
    all_of_them = McpServers(servers, box, engine, clock=clock, check_seconds=check_seconds)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(all_of_them.run())
        try:
            yield box, all_of_them
        finally:
            running.cancel()
    assert box.specs() == (), "a server that is over has no tools"


async def until(ready, what: str = "it is so") -> None:
    async with asyncio.timeout(SECONDS):
        while not ready():
            await asyncio.sleep(0.02)


async def call(box: Toolbox, name: str, **arguments):
    """Call a tool as the door of tools does."""
    return await box.call(box.entry(name), arguments, CONTEXT)
