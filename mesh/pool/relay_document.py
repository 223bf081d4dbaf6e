"""Getting a relay's information document (NIP-11): HTTP on the relay's own address."""

import asyncio
from contextlib import suppress

import aiohttp

from mesh.core import limits


async def read_document(url: str) -> bytes:
    """Return the document of the relay at `url` (ws:// or wss://), b"" if there is none to be had.

    Bounded in size and time, and no redirect is followed: what is fetched helps, and is no reason
    to be sent elsewhere.
    """
    with suppress(aiohttp.ClientError, OSError, ValueError, TimeoutError):
        async with asyncio.timeout(limits.DOCUMENT_SECONDS_MAX), aiohttp.ClientSession() as session:
            address = "http" + url.removeprefix("ws")
            headers = {"Accept": "application/nostr+json"}
            async with session.get(address, headers=headers, allow_redirects=False) as answer:
                if answer.status != 200:
                    return b""
                return await _all(answer)
    return b""


async def _all(answer: aiohttp.ClientResponse) -> bytes:
    """Read to the end, or nothing at all: a document that was cut says something else."""
    data = bytearray()
    async for chunk in answer.content.iter_any():
        data += chunk
        if len(data) > limits.DOCUMENT_BYTES_MAX:
            return b""
    return bytes(data)
