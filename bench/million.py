"""A home with a million events: start, memory, what appending costs there, bytes an event.

The home is born by the node itself; then conversations are appended to its ledger by the ledger
alone: 34 turns of three events (a message, its answer, the end), three summaries and a distillation
each, as a node that lived them would have left them. The node is started once, until search is
filled and it has nothing more to do, so that what a start leaves for the next one is left.
It is kept under build/bench, by the digest of the sources of ledger and reducers, and a copy of its
ledger beside it for the appends, so that the home stays what it is.

`python -m bench.million grow LEDGER TEXTS` and `... open LEDGER` print one JSON object.
"""

import hashlib
import itertools
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from bench import texts
from bench.living import memory_mib, settle, started
from bench.ours import draft, now_ms
from ledger.core.event import Draft, Event
from ledger.log import Log
from ledger.replay import reducers_hash
from ledger.sqlite import SqliteStore
from ledger.views import Views
from node.keeping.folding import REDUCERS

EVENTS: Final = 1_000_000
_TURNS: Final = 34
"""Turns a conversation: about a hundred events."""
_SUMMARIES: Final = ((0, 8), (8, 16), (16, 24))
"""The turns that compaction sums up of so many."""
_BATCH_TALKS: Final = 10
_SAID: Final = 10_000
"""Events between two words about a long building."""
_REST_S: Final = 10.0
_AUTHOR: Final = "operator"
_TEXTS: Final = 20_000
"""Different texts; making a million would take longer than appending them."""
_GROW_BATCH: Final = 100
_GROW_BATCHES: Final = 30

Say = Callable[[str], None]


def sources_digest(root: Path) -> str:
    """16 hex digits that change with the code of ledger and reducers, and with this file."""
    found = hashlib.sha256(reducers_hash(REDUCERS))
    for path in sorted([*(root / "ledger").rglob("*.py"), Path(__file__)]):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def _stream(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:16]


def _turn(name: str, position: int, asked: str, answered: str) -> list[Draft]:
    stream, turn = _stream(name), position.to_bytes(16, "big")
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
            payload={"conversation": name, "turn": turn, "message": position},
            content={"text": answered},
        ),
        Draft(
            type="turn.finished",
            stream=stream,
            payload={"turn": turn, "message": position, "outcome": "answered"},
        ),
    ]


def _talk(name: str, position: int, source: Iterator[str]) -> list[Draft]:
    turns = range(position, position + 3 * _TURNS, 3)
    return [draft for at in turns for draft in _turn(name, at, next(source), next(source))]


def _upkeep(name: str, position: int, talk: Sequence[Event], source: Iterator[str]) -> list[Draft]:
    """The summaries and the distillation of a conversation; they stand at `position`."""
    messages, stream = [event.position for event in talk[::3]], _stream(name)
    drafts = []
    for number, (first, stop) in enumerate(_SUMMARIES):
        previous = {"previous": position + number - 1} if number else {}
        payload = {"conversation": name, "from": messages[first], "to": messages[stop - 1]}
        causes = tuple(event.cause for event in talk[3 * first : 3 * stop] if event.content)
        drafts.append(
            Draft(
                type="context.compacted",
                stream=stream,
                payload=payload | previous,
                content={"text": " ".join(next(source) for _ in range(first, stop))},
                causes=causes,
            )
        )
    facts = {"noted": 0, "known": 0, "dropped": 0, "mode": "rules"}
    span = {"conversation": name, "from": messages[0], "to": messages[-1]}
    return [*drafts, Draft(type="memory.distilled", stream=stream, payload=span | facts)]


def life(log: Log, events: int, say: Say) -> None:
    """Append conversations until the log has `events` events, or a few hundred more."""
    source = itertools.cycle(itertools.islice(texts.texts(), _TEXTS))
    begin, first = time.perf_counter(), log.size
    names = (f"c{number}" for number in itertools.count())
    while log.size < events:
        some = list(itertools.islice(names, _BATCH_TALKS))
        base, length = log.size, 3 * _TURNS
        drafts = [_talk(name, base + n * length, source) for n, name in enumerate(some)]
        said = log.append_now(*itertools.chain.from_iterable(drafts))
        kept: list[Draft] = []
        for number, name in enumerate(some):
            talk = said[number * length : (number + 1) * length]
            kept += _upkeep(name, log.size + len(kept), talk, source)
        log.append_now(*kept)
        if log.size // _SAID > base // _SAID:
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
        _rested(folder / "home", say)
    shutil.copyfile(folder / "home" / "ledger.db", folder / "growth.db")
    (folder / "done").touch()
    return folder


def _rested(home: Path, say: Say) -> None:
    """Wait until search has every event of the ledger, and the ledger grows no more."""
    known = None
    while (sizes := _sizes(home)) != known or sizes[0] != sizes[1]:
        known = sizes
        say(f"building: search has {sizes[1]:,} of {sizes[0]:,} events")
        time.sleep(_REST_S)


def _sizes(home: Path) -> tuple[int, int]:
    """Events of the ledger, and those that search has taken in."""
    store = SqliteStore.open_read_only(home / "ledger.db")
    with Log(store, clock=now_ms, entropy=os.urandom, reading=True) as log:
        views = Views(home / "views.db", log, at_most=0)
        try:
            return log.size, views.size
        finally:
            views.close()


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
