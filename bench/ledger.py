"""The ledger alone: append at three batch sizes, with and without a signed head; replay; proofs."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ledger.core.event import Draft
from ledger.core.keys import Signer
from ledger.core.merkle import leaf_hash, verify_inclusion
from ledger.core.state import BASIC_REDUCERS
from ledger.log import Log
from ledger.release import Release
from ledger.replay import replay
from ledger.sqlite import SqliteStore

WORDS = "x" * 200
SIGNER = Signer(b"\x11" * 32)


def drafts(count: int) -> list[Draft]:
    """Messages of 200 characters in fifty conversations."""
    return [
        Draft(
            type="message.received",
            stream=(number % 50).to_bytes(16, "big"),
            payload={"author": "operator"},
            content={"text": WORDS},
        )
        for number in range(count)
    ]


def _log(path: Path) -> Log:
    log = Log(SqliteStore.create(path), clock=lambda: time.time_ns() // 10**6, entropy=os.urandom)
    log.append_now(Draft(type="genesis.born", stream=bytes(16), payload={}))
    return log


def _rate(count: int, begin: float) -> float:
    return count / (time.perf_counter() - begin)


def _appends(folder: Path) -> Iterator[tuple[str, float, str]]:
    for batch, total in ((1, 2000), (100, 20_000), (1000, 50_000)):
        with _log(folder / f"append-{batch}.db") as log:
            work = drafts(batch)
            begin = time.perf_counter()
            for _ in range(total // batch):
                log.append_now(*work)
            yield f"append, {batch} a commit, durable", _rate(total, begin), "events/s"
    with _log(folder / "signed.db") as log:
        release = Release.begin(log, folder / "state", SIGNER)
        work = drafts(1000)
        begin = time.perf_counter()
        for _ in range(30):
            log.append_now(*work)
            release.head()
        yield "append, 1000 a commit, head signed and guarded", _rate(30_000, begin), "events/s"


async def _writers(folder: Path) -> tuple[str, float, str]:
    with _log(folder / "writers.db") as log:
        [one] = drafts(1)

        async def write() -> None:
            for _ in range(100):
                await log.append(one)

        begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(write())
        return "append, 100 concurrent writers, durable", _rate(10_000, begin), "events/s"


def ledger_rows(folder: Path) -> list[tuple[str, float, str]]:
    """Measure the ledger."""
    rows = list(_appends(folder))
    rows.append(asyncio.run(_writers(folder)))
    with _log(folder / "read.db") as log:
        for _ in range(50):
            log.append_now(*drafts(1000))
        size, root = log.size, log.tree.root()
        begin = time.perf_counter()
        replay(log.events(), BASIC_REDUCERS)
        rows.append(("replay, every commitment checked", _rate(size, begin), "events/s"))
        positions = [number * 7919 % size for number in range(3000)]
        begin = time.perf_counter()
        paths = [log.tree.inclusion(at, size) for at in positions]
        rows.append(("inclusion proofs made (50k events)", _rate(3000, begin), "proofs/s"))
        leaves = [leaf_hash(next(log.records(at, at + 1)).envelope) for at in positions]
        begin = time.perf_counter()
        for at, leaf, path in zip(positions, leaves, paths, strict=True):
            verify_inclusion(leaf, at, size, path, root)
        rows.append(("inclusion proofs verified", _rate(3000, begin), "proofs/s"))
        log.close()
        begin = time.perf_counter()
        path = folder / "read.db"
        Log(SqliteStore.open(path), clock=lambda: 0, entropy=os.urandom).close()
        rows.append(("open a log of 50k events", (time.perf_counter() - begin) * 1000, "ms"))
        rows.append(("bytes an event on disk", path.stat().st_size / size, "bytes"))
    return rows
