"""The stdio transport of MCP over one socket, for the official SDK's client; bounded.

One JSON-RPC message a line, UTF-8 (MCP 2025-11-25, basic/transports#stdio). The SDK's own transport
keeps a line of any length; here a line beyond MCP_MESSAGE_BYTES_MAX, more than a few lines that are
no messages, or an end of file ends the connection, and more than MCP_MESSAGES_PER_S_MAX messages a
second are read no faster than that.

The SDK speaks anyio: its two streams are made here, and served by two asyncio tasks.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from runtime.child import Child
from runtime.core import limits
from runtime.tasks import to_its_end

Start: TypeAlias = Callable[[socket.socket], Awaitable[Child]]
_Read: TypeAlias = MemoryObjectSendStream["SessionMessage | Exception"]
_Write: TypeAlias = MemoryObjectReceiveStream[SessionMessage]
Streams: TypeAlias = tuple[
    MemoryObjectReceiveStream["SessionMessage | Exception"], MemoryObjectSendStream[SessionMessage]
]
"""What the SDK reads from and writes to."""
_GRACE_S: Final = 2.0
"""Between the end of its input and SIGKILL: MCP's lifecycle, shutdown."""


@dataclass(eq=False, slots=True)
class Pipe:
    """How a connection is: set `ended` with a reason when nothing more will come."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    reason: str = ""
    stderr: str = ""
    """The last of its standard error, once it is over. For its operator's eyes, never for a log."""

    def end(self, reason: str) -> None:
        """Say that it is over. The first reason counts."""
        self.reason = self.reason or reason
        self.ended.set()


@asynccontextmanager
async def stdio(start: Start, pipe: Pipe) -> AsyncIterator[Streams]:
    """Start a server, yield the SDK's streams, and leave nothing of it behind.

    Raises what `start` does.
    """
    ours, theirs = socket.socketpair()
    try:
        child = await start(theirs)
    except BaseException:
        ours.close()
        raise
    try:
        ours.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        reader, writer = await asyncio.open_connection(
            sock=ours, limit=limits.MCP_MESSAGE_BYTES_MAX
        )
        to_sdk, read_stream = anyio.create_memory_object_stream["SessionMessage | Exception"](0)
        write_stream, from_sdk = anyio.create_memory_object_stream[SessionMessage](0)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(_receive(reader, to_sdk, pipe)),
                    group.create_task(_send(writer, from_sdk, pipe)),
                ]
                yield read_stream, write_stream
                for task in tasks:
                    task.cancel()
        finally:
            for stream in (to_sdk, read_stream, write_stream, from_sdk):
                stream.close()
            writer.close()  # the end of its input, before it is killed
    finally:
        pipe.end("closed")
        await to_its_end(_over(child))
        pipe.stderr = child.stderr_tail()


async def _over(child: Child) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_GRACE_S):
            await child.wait()
    await child.end()


async def _receive(reader: asyncio.StreamReader, to_sdk: _Read, pipe: Pipe) -> None:
    """Pass messages on until there are none, or one that is none of ours to read."""
    garbage, pace = 0, _Pace()
    with to_sdk:
        while True:
            try:
                line = await reader.readline()
            except ValueError:
                most = limits.MCP_MESSAGE_BYTES_MAX
                return pipe.end(f"it sent a message of more than {most} bytes")
            except ConnectionError:
                line = b""
            if not line:
                return pipe.end("it ended")
            await pace.step()
            try:
                message = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValueError:
                garbage += bool(line.strip())
                if garbage > limits.MCP_GARBAGE_LINES_MAX:
                    return pipe.end("it writes what is no message to its standard output")
                continue
            try:
                await to_sdk.send(SessionMessage(message))
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                return None


async def _send(writer: asyncio.StreamWriter, from_sdk: _Write, pipe: Pipe) -> None:
    with from_sdk:
        try:
            async for item in from_sdk:
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                writer.write(text.encode() + b"\n")
                await writer.drain()
        except (ConnectionError, anyio.ClosedResourceError):
            pipe.end("it reads no more")


@dataclass(eq=False, slots=True)
class _Pace:
    """So many messages a second, and then a wait for the next second."""

    second: int = 0
    count: int = 0

    async def step(self) -> None:
        now = time.monotonic()
        if int(now) != self.second:
            self.second, self.count = int(now), 0
        self.count += 1
        if self.count > limits.MCP_MESSAGES_PER_S_MAX:
            await asyncio.sleep(self.second + 1 - now)
