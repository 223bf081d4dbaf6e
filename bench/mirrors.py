"""Replication: a ledger of an agent, offered over HTTP on loopback, and a mirror that copies it.

Both ends are in one process and on one event loop, as both ends of a peer's are; files are apart.
The clock runs from the mirror's first request until all events are durable, verified and complete.
Bytes are those of the answers' bodies; a request is half a kilobyte of headers more.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from bench.ours import Found, draft, now_ms
from genesis.core.birth import sign_genesis
from genesis.core.keys import AgentKeys
from ledger.core.checkpoint import Checkpoint, sign_checkpoint
from ledger.core.event import Draft
from ledger.core.genesis import GenesisFacts, SoulDigest, key_digest
from ledger.core.keys import Signer
from ledger.log import Log
from ledger.sqlite import SqliteStore
from mesh.core.mirrors.copying import Ask
from mesh.core.nip01 import NostrSigner
from mesh.mirrors.folder import MirrorFolder
from mesh.mirrors.mirror import Mirror
from mesh.mirrors.offer import Offer
from mesh.mirrors.offering import Audience, Offering
from mesh.mirrors.source import Source

_SOUL: Final = b"# Bench\n"
_ROLES: Final = ("log", "nostr", "seal", "funding")
_POLL_SECONDS: Final = 0.002


def _signer(number: int) -> Signer:
    return Signer(bytes([number] * 32))


def _born() -> Draft:
    """A genesis that verifies: a mirror believes no other."""
    keys = AgentKeys(**{role: _signer(at) for at, role in enumerate(_ROLES, 1)})
    operator, output = _signer(8), _signer(9)
    facts = GenesisFacts(
        name="Bench",
        network="regtest",
        soul=SoulDigest.of(_SOUL),
        keys={**keys.public(), "operator": operator.public},
        next_key_digest=key_digest(_signer(10).public),
        recovery_key_digest=key_digest(_signer(11).public),
        recovery_output_key=output.public,
        architecture=bytes(32),
        entropy=("bench",),
        created_ms=0,
    )
    payload = sign_genesis(facts, keys=keys, operator=operator, recovery_output=output).to_payload()
    return Draft(type="genesis.born", stream=bytes(16), payload=payload)


class _Counted:
    """A source, and how many bytes it answered."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.received = 0

    async def answer(self, ledger_id: bytes, ask: Ask) -> bytes:
        data = await self._source.answer(ledger_id, ask)
        self.received += len(data)
        return data

    async def soul(self, ledger_id: bytes) -> bytes:
        return await self._source.soul(ledger_id)


def _filled(folder: Path, lines: list[str]) -> Log:
    log = Log(SqliteStore.create(folder / "ledger.db"), clock=now_ms, entropy=os.urandom)
    log.append_now(_born())
    for start in range(1, len(lines), 1000):
        stop = min(start + 1000, len(lines))
        log.append_now(*(draft(n, lines[n]) for n in range(start, stop)))
    return log


@asynccontextmanager
async def _offered(log: Log, node: NostrSigner, member: NostrSigner) -> AsyncIterator[str]:
    tree = log.tree
    checkpoint = Checkpoint(ledger_id=log.ledger_id, epoch=0, size=tree.size, root=tree.root())
    head = sign_checkpoint(checkpoint, _signer(1))
    offer = Offer(log=log, head=lambda: head)
    audience = Audience(members=frozenset({member.pubkey}))
    offering = Offering(
        node=node.pubkey, audience=lambda: audience, find=lambda _: offer,
        soul=lambda _: _SOUL, clock=lambda: now_ms() // 1000,
    )  # fmt: skip
    app = web.Application()
    app.add_routes(offering.routes())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "http://{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


async def _copied(folder: Path, log: Log) -> Found:
    node, member = NostrSigner(bytes([5] * 32)), NostrSigner(bytes([6] * 32))
    async with (
        _offered(log, node, member) as url,
        aiohttp.ClientSession() as session,
        asyncio.TaskGroup() as group,
    ):
        source = _Counted(
            Source(
                url=url, node=node.pubkey, signer=member, session=session,
                clock=lambda: now_ms() // 1000,
            )
        )  # fmt: skip
        mirror = Mirror(
            folder=MirrorFolder(folder / "mirror", log.ledger_id),
            sources=lambda: {"source": source},
            jitter=iter(random.random, None),
        )
        begin, busy = time.perf_counter(), time.process_time()
        running = group.create_task(mirror.run())
        while mirror.complete is None or mirror.complete.size < log.size:  # noqa: ASYNC110 - a mirror has no event for it
            await asyncio.sleep(_POLL_SECONDS)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - busy
        running.cancel()
    return {"count": log.size, "seconds": seconds, "cpu": cpu, "received": source.received}


def mirrored(folder: Path, lines: list[str]) -> Found:
    """Copy a ledger of as many events as there are lines."""
    with _filled(folder, lines) as log:
        return asyncio.run(_copied(folder, log))


def mirror_bytes(folder: Path, lines: list[str]) -> Found:
    """Bytes received for an event of it."""
    found = mirrored(folder, lines)
    return {"value": found["received"] / found["count"]}
