"""A home with a million events: start, memory, what appending costs there, bytes an event.

The home is born by the node itself; then turns of three events (a message, its answer, the end)
are appended to its ledger by the ledger alone, a hundred events a conversation, and the node is
started once, so that search is filled and whatever a start leaves behind for the next one is left.
It is kept under build/bench, by the digest of the ledger's sources, and a copy of its ledger beside
it for the appends, so that the home stays what it is.

`python -m bench.million grow LEDGER TEXTS` and `... open LEDGER` print one JSON object.
"""

import hashlib
import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench import texts
from bench.living import memory_mib, settle, started
from bench.ours import draft, now_ms
from ledger.core.event import Draft
from ledger.log import Log
from ledger.sqlite import SqliteStore

EVENTS: Final = 1_000_000
_TURNS: Final = 34
"""Turns a conversation: about a hundred events."""
_TURN_EVENTS: Final = 3
_BATCH_TURNS: Final = 330
_AUTHOR: Final = "operator"
_TEXTS: Final = 20_000
"""Different texts; making a million would take longer than appending them."""
_GROW_BATCH: Final = 100
_GROW_BATCHES: Final = 30

Say = Callable[[str], None]


def sources_digest(root: Path) -> str:
    """16 hex digits that change with the ledger's code, and with this file."""
    found = hashlib.sha256()
    for path in sorted([*(root / "ledger").rglob("*.py"), Path(__file__)]):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def _turn(number: int, position: int, asked: str, answered: str) -> list[Draft]:
    name = f"c{number // _TURNS}"
    stream = hashlib.sha256(name.encode()).digest()[:16]
    turn = number.to_bytes(16, "big")
    facts = {"conversation": name, "author": _AUTHOR}
    return [
        Draft(
            type="message.received",
            stream=stream,
            payload=facts | {"screen": "pass"},
            content={"text": asked},
        ),
        Draft(
            type="message.sent",
            stream=stream,
            payload={"conversation": name, "turn": turn},
            content={"text": answered},
        ),
        Draft(
            type="turn.finished",
            stream=stream,
            payload={"turn": turn, "message": position, "outcome": "answered"},
        ),
    ]


def life(log: Log, events: int, say: Say) -> None:
    """Append turns until the log has `events` events, or a turn more."""
    source = itertools.cycle(itertools.islice(texts.texts(), _TEXTS))
    begin, first = time.perf_counter(), log.size
    turns = itertools.count()
    while log.size < events:
        batch: list[Draft] = []
        for number in itertools.islice(turns, _BATCH_TURNS):
            at = log.size + len(batch)
            if at >= events:
                break
            batch += _turn(number, at, next(source), next(source))
        log.append_now(*batch)
        rate = (log.size - first) / (time.perf_counter() - begin)
        say(f"building: {log.size:,} of {events:,} events, {rate:,.0f}/s")


def _opened(path: Path) -> Log:
    return Log(SqliteStore.open(path), clock=now_ms, entropy=os.urandom)


def home(cache: Path, root: Path, events: int, say: Say) -> Path:
    """The folder of a home with so many events, built if it is not there."""
    folder = cache / f"{events}-{sources_digest(root)}"
    if (folder / "done").exists():
        return folder
    for old in cache.glob(f"{events}-*"):
        shutil.rmtree(old)
    settle(folder)
    say("building: birth")
    with started(folder):
        pass
    with _opened(folder / "home" / "ledger.db") as log:
        life(log, events, say)
    say("building: the first start, which fills search")
    with started(folder):
        pass
    shutil.copyfile(folder / "home" / "ledger.db", folder / "growth.db")
    (folder / "done").touch()
    return folder


def start(folder: Path, idle_s: float) -> dict[str, float]:
    """Start the node as a user does, and look at its memory `idle_s` later."""
    with started(folder) as running:
        time.sleep(idle_s)
        return {
            "start-1m": running.start_ms / 1000,
            "memory-1m": memory_mib(running.pid),
            "peak-1m": memory_mib(running.pid, "VmHWM"),
        }


def weights(folder: Path) -> dict[str, float]:
    """Bytes an event, of ledger and of search."""
    with _opened(folder / "growth.db") as log:
        size = log.size
    return {
        "bytes-1m": (folder / "growth.db").stat().st_size / size,
        "views-1m": (folder / "home" / "views.db").stat().st_size / size,
    }


def plain(path: Path, events: int) -> None:
    """Make a ledger of the bench's plain messages, to grow."""
    source = itertools.cycle(itertools.islice(texts.texts(), _TEXTS))
    with Log(SqliteStore.create(path), clock=now_ms, entropy=os.urandom) as log:
        log.append_now(Draft(type="genesis.born", stream=bytes(16), payload={}))
        for begin in range(1, events, 1000):
            stop = min(begin + 1000, events)
            log.append_now(*(draft(n, next(source)) for n in range(begin, stop)))


def grow(path: Path, lines: list[str]) -> float:
    """Append batches of 100: microseconds an event."""
    with _opened(path) as log:
        log.append_now(*(draft(n, lines[n]) for n in range(_GROW_BATCH)))
        begin = time.perf_counter()
        for batch in range(_GROW_BATCHES):
            at = batch * _GROW_BATCH
            log.append_now(*(draft(n, lines[n % len(lines)]) for n in range(at, at + _GROW_BATCH)))
        passed = time.perf_counter() - begin
    return passed / (_GROW_BATCH * _GROW_BATCHES) * 1e6


def opening(path: Path) -> float:
    """Open a log as its writer: milliseconds."""
    begin = time.perf_counter()
    log = _opened(path)
    passed = time.perf_counter() - begin
    log.close()
    return passed * 1000


if __name__ == "__main__":
    what, at = sys.argv[1], Path(sys.argv[2])
    lines = texts.read(Path(sys.argv[3]), _GROW_BATCH * _GROW_BATCHES) if what == "grow" else []
    print(json.dumps({"value": grow(at, lines) if what == "grow" else opening(at)}))
