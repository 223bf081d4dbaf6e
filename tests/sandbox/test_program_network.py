"""What a program that is let have the network has: that, and no UNIX socket of this machine."""

import asyncio
import os
import socket

import pytest

from runtime.bubblewrap import Openings
from runtime.sandbox import SandboxLimits, spawn_script
from tests.sandbox.engines import ENGINES

TRY = """
import socket
def tried(family, address):
    try:
        with socket.socket(family) as s:
            s.settimeout(5)
            s.connect(address)
            return "reached"
    except OSError as error:
        return type(error).__name__
print("tcp", tried(socket.AF_INET, ("127.0.0.1", {port})))
print("abstract", tried(socket.AF_UNIX, "\\0{abstract}"))
print("path", tried(socket.AF_UNIX, "{path}"))
print("vsock", tried(40, (2, 1)))
"""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("network", [True, False])
async def test_the_network_is_no_way_to_the_desktop(engine, network, tmp_path):
    abstract, path = f"timmy-net-{os.getpid()}", str(tmp_path / "node.sock")
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as desktop,
        socket.socket(socket.AF_UNIX) as node,
    ):
        for listener, name in ((desktop, "\0" + abstract), (node, path)):
            listener.bind(name)
            listener.listen()
        text = TRY.format(port=tcp.getsockname()[1], abstract=abstract, path=path)
        ours, theirs = socket.socketpair()
        ours.close()
        child = await spawn_script(
            ["python3", "-c", text],
            theirs,
            limits=SandboxLimits(memory_bytes=256 << 20, pids=32, wall_s=60),
            engine=engine,
            folder=None,
            opened=Openings(network=network),
        )
        async with asyncio.timeout(90):
            assert await child.wait() == 0, child.stderr_tail()
    said = dict(line.split() for line in child.stderr_tail().splitlines())
    assert (said.pop("tcp") == "reached") is network
    assert "reached" not in said.values()
