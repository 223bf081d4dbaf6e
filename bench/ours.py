"""Our side of every row. One process a measurement: `python -m bench.ours ROW FOLDER COUNT TEXTS`.

Prints one JSON line: {"count": what was done, "seconds": in that time, "cpu": of all its threads}
or {"value": x}. Making the drafts is inside the clock; opening and closing are not.
"""

import asyncio
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from attest.core.header import HEADER_BYTES, REGTEST, verify_headers
from bench import seals, texts, turning
from ledger.core.checkpoint import Checkpoint, sign_checkpoint
from ledger.core.event import Draft
from ledger.core.keys import Signer
from ledger.core.merkle import leaf_hash, verify_inclusion
from ledger.core.state import BASIC_REDUCERS
from ledger.log import Log
from ledger.proof import prove
from ledger.release import Release
from ledger.replay import proven, replay
from ledger.sqlite import SqliteStore
from ledger.views import Views

SIGNER: Final = Signer(b"\x11" * 32)
CONVERSATIONS: Final = 50
WRITERS: Final = 100
_DEPTH: Final = 12
"""Levels of a block of 4,096 transactions, what mainnet's hold."""
_STRIDE: Final = 7919
"""A prime: positions far apart, every one different."""
_STREAMS: Final = [number.to_bytes(16, "big") for number in range(1, CONVERSATIONS + 1)]

Found = dict[str, float]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def draft(number: int, text: str) -> Draft:
    """A message of a person in one of fifty conversations."""
    return Draft(
        type="message.received",
        stream=_STREAMS[number % CONVERSATIONS],
        payload={"author": "operator"},
        content={"text": text},
    )


def create(folder: Path) -> Log:
    log = Log(SqliteStore.create(folder / "ledger.db"), clock=now_ms, entropy=os.urandom)
    log.append_now(Draft(type="genesis.born", stream=bytes(16), payload={}))
    return log


def filled(folder: Path, lines: list[str]) -> Log:
    """A closed and opened log of as many events as there are lines, event 0 included."""
    with create(folder) as log:
        for start in range(1, len(lines), 1000):
            stop = min(start + 1000, len(lines))
            log.append_now(*(draft(n, lines[n]) for n in range(start, stop)))
    return Log(SqliteStore.open(folder / "ledger.db"), clock=now_ms, entropy=os.urandom)


def timed(count: int, work: Callable[[], object]) -> Found:
    begin, busy = time.perf_counter(), time.process_time()
    work()
    return {
        "count": count,
        "seconds": time.perf_counter() - begin,
        "cpu": time.process_time() - busy,
    }


def _append(folder: Path, lines: list[str], batch: int, *, signed: bool = False) -> Found:
    with create(folder) as log:
        release = Release.begin(log, folder / "state", SIGNER) if signed else None

        def work() -> None:
            for start in range(0, len(lines), batch):
                stop = min(start + batch, len(lines))
                log.append_now(*(draft(n, lines[n]) for n in range(start, stop)))
                if release is not None:
                    release.head()

        return timed(len(lines), work)


def _writers(folder: Path, lines: list[str]) -> Found:
    each = max(1, len(lines) // WRITERS)

    async def write(log: Log, writer: int) -> None:
        for number in range(writer * each, (writer + 1) * each):
            await log.append(draft(number, lines[number]))

    async def everybody(log: Log) -> None:
        async with asyncio.TaskGroup() as group:
            for writer in range(len(lines) // each):
                group.create_task(write(log, writer))

    with create(folder) as log:
        return timed(len(lines) // each * each, lambda: asyncio.run(everybody(log)))


def _replay(folder: Path, lines: list[str], *, strict: bool) -> Found:
    with filled(folder, lines) as log:
        root = log.tree.root()
        head = Checkpoint(ledger_id=log.ledger_id, epoch=0, size=log.size, root=root)
        events = log.events if strict else partial(proven, log, head)
        return timed(log.size, lambda: replay(events(), BASIC_REDUCERS))


def _proofs(folder: Path, lines: list[str], *, verify: bool) -> Found:
    with filled(folder, lines) as log:
        size, root = log.size, log.tree.root()
        positions = [number * _STRIDE % size for number in range(max(1, size // 5))]

        def make() -> list[list[bytes]]:
            return [log.tree.inclusion(at, size) for at in positions]

        if not verify:
            return timed(len(positions), make)
        leaves = [leaf_hash(record.envelope) for record in log.records()]
        proofs = list(zip(positions, make(), strict=True))

        def check() -> None:
            for at, path in proofs:
                verify_inclusion(leaves[at], at, size, path, root)

        return timed(len(proofs), check)


def queries(count: int) -> list[str]:
    """Every second one is of two words."""
    known = texts.words()
    return [
        known[n * _STRIDE % len(known)] + (f" {known[n * 31 % len(known)]}" if n % 2 else "")
        for n in range(count)
    ]


def _search(folder: Path, lines: list[str]) -> Found:
    with filled(folder, lines) as log:
        views = Views(folder / "views.db", log)
        views.catch_up()
        asked = queries(max(2, len(lines) // 100))
        try:
            return timed(len(asked), lambda: [views.search(query, limit=20) for query in asked])
        finally:
            views.close()


def _seals(folder: Path, lines: list[str]) -> seals.Seals:
    """A chain of as many links as there are lines; the rounds and rows that follow find it."""
    return seals.seals(folder.parent, len(lines))


def _headers(folder: Path, lines: list[str]) -> Found:
    raw = _seals(folder, lines).headers
    return timed(len(raw) // HEADER_BYTES, lambda: verify_headers(REGTEST, 1, raw))


def _transitions(folder: Path, lines: list[str]) -> Found:
    return timed(len(lines), _seals(folder, lines).short.verify)


def _year(folder: Path, lines: list[str]) -> Found:
    found = timed(1, _seals(folder, lines).verify)
    return {"value": found["seconds"], "count": 1, "cpu": found["cpu"]}


def _leaf_bytes(folder: Path, lines: list[str]) -> Found:
    """The difference that a second event makes to a proof of one."""
    with filled(folder, lines) as log:
        tree = log.tree
        head = Checkpoint(ledger_id=log.ledger_id, epoch=0, size=tree.size, root=tree.root())
        lengths = []
        for also in ((), (log.size // 2,)):
            file = io.BytesIO()
            prove(log, [sign_checkpoint(head, SIGNER)], 1, file, also=also)
            lengths.append(len(file.getvalue()))
    return {"value": lengths[1] - lengths[0]}


def _verify_start(_folder: Path, lines: list[str]) -> Found:
    examples = Path(__file__).parent.parent / "examples"
    command = [sys.executable, "-m", "attest.verify", str(examples / "good.proof")]
    taken = []
    for _ in lines:
        begin = time.perf_counter()
        subprocess.run(
            [*command, "--soul", str(examples / "SOUL.md")], check=True, stdout=subprocess.DEVNULL
        )
        taken.append(time.perf_counter() - begin)
    return {"value": 1000 * statistics.median(taken)}


def _bytes(folder: Path, lines: list[str]) -> Found:
    filled(folder, lines).close()
    return {"value": (folder / "ledger.db").stat().st_size / len(lines)}


def _mirrored(folder: Path, lines: list[str]) -> Found:
    from bench import mirrors  # it makes its ledger with what is here

    return mirrors.mirrored(folder, lines)


def _mirror_bytes(folder: Path, lines: list[str]) -> Found:
    from bench import mirrors

    return mirrors.mirror_bytes(folder, lines)


WORK: Final[dict[str, Callable[[Path, list[str]], Found]]] = {
    "append-1": lambda folder, lines: _append(folder, lines, 1),
    "append-100": lambda folder, lines: _append(folder, lines, 100),
    "append-1000": lambda folder, lines: _append(folder, lines, 1000),
    "append-1000-signed": lambda folder, lines: _append(folder, lines, 1000, signed=True),
    "writers-100": _writers,
    "replay": lambda folder, lines: _replay(folder, lines, strict=False),
    "replay-strict": lambda folder, lines: _replay(folder, lines, strict=True),
    "prove": lambda folder, lines: _proofs(folder, lines, verify=False),
    "verify": lambda folder, lines: _proofs(folder, lines, verify=True),
    "search": _search,
    "mirror": _mirrored,
    "mirror-bytes": _mirror_bytes,
    "headers": _headers,
    "transitions": _transitions,
    "year": _year,
    "link-bytes": lambda _folder, _lines: {"value": seals.link_bytes(_DEPTH)},
    "leaf-bytes": _leaf_bytes,
    "verify-start": _verify_start,
    "bytes": _bytes,
    "turn-10": lambda folder, lines: turning.measure(folder, 10, len(lines)),
    "turn-1000": lambda folder, lines: turning.measure(folder, 1_000, len(lines)),
    "turn-100000": lambda folder, lines: turning.measure(folder, 100_000, len(lines)),
}


def main(row: str, folder: str, count: str, source: str) -> None:
    """Carry out one measurement and print it."""
    found: dict[str, Any] = WORK[row](Path(folder), texts.read(Path(source), int(count)))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
