"""Contestants in turn: a process each, A B C A B C, the first one another every round.

What disturbs a machine for a minute then disturbs them all. Every measurement begins in an empty
folder on the same disk and ends with its process.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import relays
from bench.ours import WRITERS
from bench.rows import OURS, QUICK_EVENTS, RELAYS, Row, Side
from bench.syncs import Counter, disk_rate

ROOT: Final = Path(__file__).parent.parent
_PEERS: Final = ROOT / "bench" / "peers"
_PEER_PYTHON: Final = ROOT / ".venv-bench" / "bin" / "python"
_SECONDS_MAX: Final = 600
"""A measurement takes seconds; one that takes ten minutes hangs."""
_COUNTED_ACKS: Final = 20
"""Acknowledgements in the counted run, twice that in the second one."""
_COUNTED_EACH: Final = 5
"""Events of each concurrent writer in the counted run: enough to meet the others."""

Say = Callable[[str], None]


class Unfit(Exception):
    """A contestant that is here could not do its work."""


@dataclass(slots=True)
class Result:
    """What one row gave. `values`, `disk` and `cpu_us` (an item) have one entry a round."""

    row: Row
    values: dict[str, list[float]] = field(default_factory=dict)
    syncs: dict[str, float] = field(default_factory=dict)
    disk: list[float] = field(default_factory=list)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def command(row: Row, name: str) -> list[str]:
    """How a contestant is started; the arguments ROW FOLDER COUNT TEXTS follow."""
    name, _, _ = name.partition(",")
    if row.driver:
        return [sys.executable, "-m", row.driver, name]
    if name == OURS:
        return [sys.executable, "-m", "bench.ours"]
    if name == "hypercore":
        return ["node", str(_PEERS / "hypercore_peer.mjs")]
    python = sys.executable if name == "git" else str(_PEER_PYTHON)
    return [python, str(_PEERS / f"{name}_peer.py")]


def absence(row: Row, name: str) -> str:
    """Why a contestant cannot take part; empty if it can."""
    name, _, _ = name.partition(",")
    if name == OURS:
        return ""
    if row.family == RELAYS:
        return relays.absence(name)
    if name == "git":
        return "" if shutil.which("git") else "git is not installed"
    if name == "hypercore":
        if shutil.which("node") is None:
            return "node is not installed"
        return "" if (_PEERS / "node_modules" / name).is_dir() else "not installed: make bench"
    found = _PEER_PYTHON.exists() and any(
        (_PEER_PYTHON.parent.parent / "lib").glob(f"*/site-packages/{name}")
    )
    return "" if found else "not installed: make bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """How rows are run: where, with which texts, how often."""

    folder: Path
    texts: Path
    rounds: int
    quick: bool
    only_ours: bool
    counter: Counter | None
    say: Say
    kept: dict[tuple[object, ...], dict[str, float]] = field(default_factory=dict)
    """Measurements that serve several rows."""

    def run(self, row: Row) -> Result:
        """Every round of one row, then the counting."""
        result = Result(row)
        present = self._present(row, result)
        for number in range(self.rounds):
            turn = number % len(present)
            result.disk.append(disk_rate(self.folder))
            for name in present[turn:] + present[:turn]:
                self.say(f"{row.name}: round {number + 1} of {self.rounds}, {name}")
                self._measure(result, number, name)
        if row.batch and self.counter is not None and self.counter.how:
            for name in present:
                self.say(f"{row.name}: counting what {name} makes durable")
                result.syncs[name] = self._syncs(row, name, self.counter)
        return result

    def _present(self, row: Row, result: Result) -> list[str]:
        found = []
        for name in row.sides:
            if self.only_ours and not name.startswith(OURS):
                continue
            if why := absence(row, name):
                result.absent[name] = why
            else:
                found.append(name)
        return found

    def _argv(self, row: Row, name: str, folder: Path, count: int) -> list[str]:
        work = (row.quick_work if self.quick else "") or row.sides[name].work or row.name
        return [*command(row, name), work, str(folder), str(count), str(self.texts)]

    def _measure(self, result: Result, number: int, name: str) -> None:
        row = result.row
        found = self._found(row, number, name)
        if row.figure:
            value = found[row.figure]
        else:
            value = found["value"] if "value" in found else found["count"] / found["seconds"]
        result.values.setdefault(name, []).append(value)
        if "cpu" in found and not row.figure:
            result.cpu_us.setdefault(name, []).append(found["cpu"] / found["count"] * 1e6)

    def _found(self, row: Row, number: int, name: str) -> dict[str, float]:
        """What a round's measurement gave; one that another row had carried out is not repeated."""
        count = self._events(row, row.sides[name])
        key = (number, *self._argv(row, name, self.folder, count))
        if key not in self.kept:
            self.kept[key] = self._carried_out(row, name, count)
        return self.kept[key]

    def _carried_out(self, row: Row, name: str, count: int) -> dict[str, float]:
        with self._empty() as folder:
            done = subprocess.run(
                self._argv(row, name, folder, count),
                env=environment(),
                capture_output=True,
                text=True,
                timeout=_SECONDS_MAX,
                check=False,
            )
        if done.returncode:
            raise Unfit(f"{name} fails at {row.name}: {done.stderr.strip()[-2000:]}")
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found

    def _events(self, row: Row, side: Side) -> int:
        quick = QUICK_EVENTS if row.quick_count is None else row.quick_count
        return min(side.count, quick) if self.quick else side.count

    def _syncs(self, row: Row, name: str, counter: Counter) -> float:
        """Durability calls an acknowledged commit: of a writer's event, or of a batch."""
        acks = WRITERS * _COUNTED_EACH if row.name.startswith("writers") else _COUNTED_ACKS
        found = []
        for factor in (1, 2):
            with self._empty() as folder:
                argv = self._argv(row, name, folder, factor * acks * row.batch)
                found.append(counter.count(argv, environment()))
        few, many = found
        if few is None or many is None:
            raise Unfit(f"{name} cannot be counted at {row.name}")
        return (many - few) / acks

    @contextmanager
    def _empty(self) -> Iterator[Path]:
        folder = self.folder / f"run-{time.monotonic_ns()}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def environment() -> dict[str, str]:
    """The environment of every child: this checkout is what runs."""
    return os.environ | {"PYTHONPATH": str(ROOT)}
