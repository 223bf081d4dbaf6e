"""npm nostr-tools in a process of its own: what web clients of Nostr are made of."""

import asyncio
import json
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.nostr.relays import HERE

_LINE_BYTES_MAX = 4 * 1024 * 1024


class Failed(Exception):
    """nostr-tools threw; its words."""


def absence() -> str:
    """Why it cannot run here; empty if it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    here = (HERE / "node_modules" / "nostr-tools").is_dir()
    return "" if here else "nostr-tools is not installed: make test, with npm and a network"


class NostrTools:
    """Calls of client.mjs, one at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._calls = 0

    async def __call__(self, call: str, **given):
        self._calls += 1
        request = {"id": self._calls, "call": call, "given": given}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        async with asyncio.timeout(60):
            await self._process.stdin.drain()
            line = await self._process.stdout.readline()
        answer = json.loads(line)
        assert answer["id"] == self._calls
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["value"]


@asynccontextmanager
async def nostr_tools() -> AsyncIterator[NostrTools]:
    """Run it for the time of a block."""
    process = await asyncio.create_subprocess_exec(
        "node", str(HERE / "client.mjs"), stdin=PIPE, stdout=PIPE, limit=_LINE_BYTES_MAX
    )
    try:
        yield NostrTools(process)
    finally:
        process.stdin.close()
        async with asyncio.timeout(60):
            await process.wait()
