"""Our relay alone, as a process: `python -m bench.relay_process FOLDER`, until it is told to end.

As a node runs it, but that anybody may write. Prints its address in one line when it listens.
"""

import asyncio
import signal
import sys
import time
from pathlib import Path

from aiohttp import web

from mesh.core.nip11 import RelayInfo
from mesh.core.relay.policy import WritePolicy
from mesh.relay.server import Relay
from mesh.relay.sqlite import SqliteEventStore


async def serve(folder: Path) -> None:
    """Listen on loopback until SIGTERM."""
    relay = Relay(
        SqliteEventStore(folder / "relay.db"),
        WritePolicy(authors=None),
        RelayInfo(name="bench", pubkey="0" * 64, version="0"),
        lambda: int(time.time()),
    )
    app = web.Application()
    app.router.add_route("*", "/", relay.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print("ws://{}:{}".format(*runner.addresses[0][:2]), flush=True)
    await ended.wait()
    await relay.close()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
