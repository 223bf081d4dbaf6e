"""`python -m tests.regtest --port N --datadir D`: one ready line, then serve until SIGTERM."""

import argparse
import asyncio
import signal
from pathlib import Path

from tests.regtest.chain import KernelChain
from tests.regtest.rpc import Calls
from tests.regtest.server import Server, write_cookie


async def serve(port: int, datadir: Path, without: list[str]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    cookie = write_cookie(datadir / "regtest")
    server = Server(Calls(KernelChain(datadir / "regtest" / "kernel"), without=without), cookie)
    bound = await server.start(port)
    print("ready", bound, cookie, flush=True)
    await stop.wait()
    await server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.regtest")
    parser.add_argument("--port", type=int, default=18443, help="0 picks a free one")
    parser.add_argument("--datadir", type=Path, required=True, help="must be empty or new")
    parser.add_argument("--without", action="append", default=[], metavar="METHOD")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.datadir, arguments.without))


if __name__ == "__main__":
    main()
