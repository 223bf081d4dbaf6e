"""Clock jumps of years, and views that are gone or garbage: never fatal, never believed.

Both in this process, through the product's own classes: the clock is an argument of the log, and a
view is a file beside it. What a running node does when its machine's clock steps is the same code
(`tests/node/test_node_damage.py` starts one whose ledger is an hour ahead).
"""

import os
import random
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from ledger.core.audit import Audit
from ledger.core.errors import StoreError
from ledger.core.event import Draft
from ledger.core.tiles import Tree
from ledger.log import Log
from ledger.sqlite import SqliteStore
from ledger.views import Views

NOW_MS = 1_790_000_000_000
YEAR_MS = 31_536_000_000
WORDS = ("marmalade", "kettle", "roof", "letter")
JUMPS = (0, 1, 1000, -1000, YEAR_MS, -YEAR_MS, 40 * YEAR_MS, -40 * YEAR_MS)


class JumpingClock:
    """Goes on by a second a look, and now and then by up to forty years, in both directions."""

    def __init__(self, draw: random.Random) -> None:
        self.draw, self.now, self.told = draw, NOW_MS, []

    def __call__(self) -> int:
        self.now = max(0, self.now + 1000 + self.draw.choice(JUMPS))
        self.told.append(self.now)
        return self.now


def _message(text: str) -> Draft:
    return Draft(
        type="message.received",
        stream=b"c" * 16,
        payload={"author": "operator"},
        content={"text": text},
    )


def jump(folder: Path, seed: int, lives: int = 5) -> dict:
    """Append under a jumping clock through several openings. Raises AssertionError."""
    clock = JumpingClock(random.Random(seed))
    path = folder / f"clock-{seed}.db"
    SqliteStore.create(path).close()
    for _ in range(lives):
        with Log(SqliteStore.open(path), clock=clock, entropy=os.urandom) as log:
            newest = log.read(log.size - 1).ts_ms if log.size else 0
            for _ in range(20):
                event = log.append_now(_message("a word"))[0]
                assert event.ts_ms == max(newest, clock.told[-1]), "times go on, never back"
                newest = event.ts_ms
            behind = log.clock_behind_ms
            assert behind == max(0, newest - clock.told[-1])
    tiles: dict = {}
    with Log(SqliteStore.open(path), clock=clock, entropy=os.urandom) as log:
        audit = Audit(Tree(lambda level, index: tiles[level, index]))
        for record in log.records():
            audit.add(record)
        assert audit.tree.root() == log.tree.root()
        assert log.size == lives * 20
        return {"events": log.size, "jumps": sum(a > b for a, b in pairwise(clock.told))}


def _gone(path: Path, _draw: random.Random) -> None:
    path.unlink()


def _empty(path: Path, _draw: random.Random) -> None:
    path.write_bytes(b"")


def _cut(path: Path, draw: random.Random) -> None:
    os.truncate(path, draw.randrange(1, path.stat().st_size))


def _garbage(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.randbytes(path.stat().st_size))


def _zeros(path: Path, _draw: random.Random) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _flip(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def _flip_header(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[draw.randrange(100)] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def _foreign(path: Path, _draw: random.Random) -> None:
    path.unlink()
    SqliteStore.create(path).close()


DAMAGE: dict[str, Callable[[Path, random.Random], None]] = {
    "gone": _gone,
    "empty": _empty,
    "cut": _cut,
    "garbage": _garbage,
    "zeros": _zeros,
    "a flipped bit": _flip,
    "a flipped bit in the header": _flip_header,
    "another program's": _foreign,
}


def _asked(views: Views) -> list[list[int]]:
    views.catch_up()
    return [[hit.position for hit in views.search(word, limit=200)] for word in WORDS]


def damage_views(
    folder: Path, seed: int, *, running: bool, say: Callable[[str], None] = print
) -> dict:
    """Damage the views in each way, closed or `running`, and compare what search says afterwards.

    A view that is open may answer from its cache; it may not raise, and once opened again it must
    say what a view made anew says.
    """
    draw = random.Random(seed)
    ledger, path = folder / f"l{seed}{running}.db", folder / f"v{seed}{running}.db"
    SqliteStore.create(ledger).close()
    problems = []
    with Log(SqliteStore.open(ledger), clock=lambda: NOW_MS, entropy=os.urandom) as log:
        log.append_now(
            *(_message(" ".join(draw.choices(WORDS, k=30))) for _ in range(60)),
        )
        with closing(Views(folder / f"fresh{seed}{running}.db", log)) as fresh:
            right = [sorted(hits) for hits in _asked(fresh)]
        for name, damage in DAMAGE.items():
            problem = _damaged(log, path, draw, damage, right, running=running)
            if problem:
                problems.append(f"{name}, {'running' if running else 'stopped'}: {problem}")
                say(problems[-1])
    return {"ways": len(DAMAGE), "problems": problems}


def _damaged(
    log: Log,
    path: Path,
    draw: random.Random,
    damage: Callable[[Path, random.Random], None],
    right: list[list[int]],
    *,
    running: bool,
) -> str | None:
    views = Views(path, log)
    _asked(views)
    if not running:
        views.close()
    damage(path, draw)
    try:
        if running:
            _asked(views)
            views.close()
        with closing(Views(path, log)) as again:
            found = [sorted(hits) for hits in _asked(again)]
    except (StoreError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        for left in path.parent.glob(f"{path.name}*"):
            left.unlink()
    return None if found == right else "search says something else than before"


def run(folder: Path, *, seed: int, rounds: int, say: Callable[[str], None] = print) -> dict:
    """Jump and damage `rounds` times. Returns counts and problems."""
    problems: list[str] = []
    events = jumps = ways = 0
    for number in range(rounds):
        try:
            told = jump(folder, seed + number)
            events, jumps = events + told["events"], jumps + told["jumps"]
        except AssertionError as error:
            problems.append(f"clock, seed {seed + number}: {error}")
        for running in (False, True):
            damaged = damage_views(folder, seed + number, running=running, say=say)
            problems += damaged["problems"]
            ways += damaged["ways"]
    return {"events": events, "jumps back": jumps, "damaged views": ways, "problems": problems}
