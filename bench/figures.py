"""Figures of ours alone, against goals of their own: a million events, and a whole node."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import aggregates, living, million, successors
from bench.contest import ROOT, Say, environment
from bench.syncs import disk_rate

_STARTS: Final = 2
"""Starts on a million events: without a snapshot each takes a minute."""
_LIVES: Final = 3
_SIZES: Final = (10_000, 100_000)
_GROWN_SECONDS_MAX: Final = 600
_FORKED: Final = (1000, 100_000)
"""Beside the largest."""
_FORK_MS: Final = {100_000: 700.0}
"""At most so long a fork takes, in milliseconds, by the events of its parent: who asked waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number a round. `most` is the goal: the median is to be at or below it."""

    name: str
    title: str
    unit: str
    most: float | None = None
    values: list[float] = field(default_factory=list)
    disk: list[float] = field(default_factory=list)


def of_forks(size: int) -> dict[str, Figure]:
    """What is measured of the successors of an agent with so many events, by what it is."""
    of = f"of {size:,} events"
    return {
        "fork": Figure(
            name=f"fork-{size}", title=f"a fork, its state checked, its process started, {of}",
            unit="ms", most=_FORK_MS.get(size),
        ),
        "copy": Figure(name=f"copy-{size}", title=f"a copy in files, checked, {of}", unit="s"),
        "judge": Figure(
            name=f"judge-{size}", title=f"a judgment that accepts, on {size:,} events", unit="s"
        ),
    }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Where and how often. `events` is the million, or fewer to try things out."""

    folder: Path
    cache: Path
    texts: Path
    rounds: int
    quick: bool
    events: int
    say: Say

    @property
    def _idle_s(self) -> float:
        """How long a node is left alone before it is looked at."""
        return 0.1 if self.quick else 3.0

    def starts(self) -> list[Figure]:
        """Start, memory, opening, bytes."""
        home = million.home(self.cache, ROOT, self.events, self.say)
        of = f"{self.events:,} events"
        found = {
            "start-1m": Figure(
                name="start-1m", title=f"start of a node on {of}", unit="s", most=2.0
            ),
            "memory-1m": Figure(name="memory-1m", title=f"its memory, idle, on {of}", unit="MiB"),
            "peak-1m": Figure(name="peak-1m", title=f"its memory, at most, on {of}", unit="MiB"),
            "open-1m": Figure(name="open-1m", title=f"opening a log of {of}", unit="ms"),
            "bytes-1m": Figure(name="bytes-1m", title=f"bytes an event, of {of}", unit="bytes"),
            "views-1m": Figure(
                name="views-1m", title=f"bytes an event of search, of {of}", unit="bytes"
            ),
        }
        for number in range(min(self.rounds, _STARTS)):
            self.say(f"million: start {number + 1}")
            rate = disk_rate(self.folder)
            gathered = million.start(home, self._idle_s)
            gathered["open-1m"] = self._child("open", home / "growth.db")
            for name, value in gathered.items():
                found[name].values.append(value)
                found[name].disk.append(rate)
        for name, value in million.weights(home).items():
            found[name].values.append(value)
        return list(found.values())

    def growth(self) -> list[Figure]:
        """Append cost at two sizes and at the largest, in turn, and how it rose."""
        home = million.home(self.cache, ROOT, self.events, self.say)
        paths = {size: self.folder / f"grow-{size}.db" for size in _SIZES if size < self.events}
        for size, path in paths.items():
            self.say(f"growth: making a ledger of {size:,} events")
            million.plain(path, size)
        paths[self.events] = home / "growth.db"
        found = {
            size: Figure(
                name=f"grow-{size}", title=f"append, 100 a commit, at {size:,} events", unit="µs"
            )
            for size in paths
        }
        first = min(paths)
        rise = Figure(
            name="growth",
            title=f"append cost at {self.events:,} events over that at {first:,}",
            unit="x",
            most=1.3,
        )
        for number in range(self.rounds):
            self.say(f"growth: round {number + 1} of {self.rounds}")
            rate = disk_rate(self.folder)
            for size, path in paths.items():
                found[size].values.append(self._child("grow", path, self.texts))
                found[size].disk.append(rate)
            rise.values.append(found[self.events].values[-1] / found[first].values[-1])
        return [*found.values(), rise]

    def node(self) -> list[Figure]:
        """A whole node, born for the purpose."""
        found = {
            "birth": Figure(name="birth", title="birth and first start", unit="ms"),
            "start": Figure(name="start", title="start, one scrypt included", unit="ms"),
            "said": Figure(
                name="said", title="a message acknowledged durable, by HTTP, p50", unit="ms"
            ),
            "turn": Figure(
                name="turn", title="one turn with the responder, by HTTP, p50", unit="ms"
            ),
            "idle-host": Figure(
                name="idle-host", title="idle memory: host", unit="MiB", most=120.0
            ),
            "idle-agent": Figure(
                name="idle-agent", title="idle memory: agent process and sandbox", unit="MiB"
            ),
        }
        for number in range(min(self.rounds, _LIVES)):
            self.say(f"node: life {number + 1}")
            rate = disk_rate(self.folder)
            messages = 3 if self.quick else 30
            gathered = living.measure(self.folder / f"life-{number}", messages, self._idle_s)
            for name, value in gathered.items():
                found[name].values.append(value)
                found[name].disk.append(rate)
        return list(found.values())

    def aggregate(self) -> list[Figure]:
        """Many ledgers in one tree: it, and one proof of it."""
        ledgers = 300 if self.quick else aggregates.LEDGERS
        of = f"of {ledgers:,} ledgers in one transaction"
        found = {
            "aggregate-tree": Figure(name="aggregate-tree", title=f"the tree {of}", unit="ms"),
            "aggregate-prove": Figure(
                name="aggregate-prove", title=f"a slot proof made, {of}", unit="µs"
            ),
            "aggregate-verify": Figure(
                name="aggregate-verify", title=f"a slot proof verified, {of}", unit="µs"
            ),
            "aggregate-bytes": Figure(
                name="aggregate-bytes", title=f"bytes a slot proof, {of}", unit="bytes"
            ),
        }
        for number in range(self.rounds):
            self.say(f"aggregate: round {number + 1} of {self.rounds}")
            rate = disk_rate(self.folder)
            for name, value in aggregates.measure(ledgers, aggregates.SAMPLE).items():
                found[name].values.append(value)
                found[name].disk.append(rate)
        return list(found.values())

    def successors(self) -> list[Figure]:
        """A fork, its copy, a judgment on it, at three sizes; and the attacks on the sandbox."""
        sizes = sorted({*(size for size in _FORKED if size < self.events), self.events})
        homes = {size: million.home(self.cache, ROOT, size, self.say) for size in sizes}
        found: list[Figure] = []
        attacks = Figure(name="attacks", title="attacks on the sandbox, once a boot", unit="ms")
        for size, home in homes.items():
            figures = of_forks(size) | {"attacks": attacks}
            for number in range(min(self.rounds, _LIVES)):
                self.say(f"successors: {size:,} events, round {number + 1}")
                rate = disk_rate(self.folder)
                for name, value in self._forked(home).items():
                    figures[name].values.append(value)
                    figures[name].disk.append(rate)
            found += [figure for name, figure in figures.items() if name != "attacks"]
        return [*found, attacks]

    def _forked(self, home: Path) -> dict[str, float]:
        with tempfile.TemporaryDirectory(dir=self.folder) as copy:
            argv = [sys.executable, "-m", "bench.successors", str(home), copy]
            done = subprocess.run(
                argv,
                env=environment(),
                stdout=subprocess.PIPE,
                timeout=successors.SECONDS_MAX,
                check=True,
            )
        values: dict[str, float] = json.loads(done.stdout)
        return values

    def _child(self, what: str, *paths: Path) -> float:
        argv = [sys.executable, "-m", "bench.million", what, *map(str, paths)]
        done = subprocess.run(
            argv,
            env=environment(),
            stdout=subprocess.PIPE,
            timeout=_GROWN_SECONDS_MAX,
            check=True,
        )
        return float(json.loads(done.stdout)["value"])
