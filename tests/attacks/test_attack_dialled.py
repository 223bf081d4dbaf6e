"""Against a node that dials: what a relay answers before it is one."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from tests.mesh.liars import Liar
from tests.mesh.pools import listening, pooling

MOVED = "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n"
GREETED = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


@asynccontextmanager
async def answering(data):
    """A TCP server that says `data` to every client, and how often it was dialled."""
    dialled = []

    async def handle(reader, writer):
        with suppress(asyncio.IncompleteReadError):  # it was hung up on, at the end of a test
            dialled.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(data)
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", dialled


async def dialled_twice(data):
    """Have a pool dial who says this; it must be running still, and try again."""
    async with answering(data) as (url, dialled), pooling(url) as pool, asyncio.timeout(20):
        while len(dialled) < 2 or not (await pool.status())[0].last_error:
            await asyncio.sleep(0.01)
        assert not (await pool.status())[0].connected


async def test_a_relay_cannot_send_us_elsewhere():
    """A redirect would lead where no list of a stranger may: to machines of our own network."""
    inside = Liar()
    async with listening(inside) as url:
        await dialled_twice(MOVED.format(url).encode())
        assert inside.connections == 0


@pytest.mark.parametrize(
    "place",
    ["ws://h:99999/", "ws://[::1", "http://h/", "ws://" + "a" * 70 + ".example", "ws://u@/", "\x85",
     "ws://h:port", "//", ""],
)  # fmt: skip
async def test_no_place_that_a_relay_names_ends_the_node(place):
    """The pool is a task of the node: what it raises ends all of it."""
    await dialled_twice(MOVED.format(place).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 40,
        b"HTTP/1.1 \xff\xff\r\n\r\n",
        b"HTTP/1.1 999999 x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        f"{GREETED}Sec-WebSocket-Accept: \xe9\r\n\r\n".encode("latin-1"),
        f"{GREETED}Sec-WebSocket-Accept: a\r\nSec-WebSocket-Accept: b\r\n\r\n".encode(),
        f"{GREETED}Sec-WebSocket-Extensions: permessage-deflate; x=\r\n\r\n".encode(),
        f"{GREETED}Sec-WebSocket-Protocol: a, b\r\n\r\n".encode(),
        (GREETED + "x: y\r\n" * 1000 + "\r\n").encode(),
    ],
    ids=range(11),
)
async def test_no_greeting_of_a_relay_ends_the_node(data):
    await dialled_twice(data)
