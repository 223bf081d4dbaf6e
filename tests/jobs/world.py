"""A scheduler on a clock that a test sets: nothing in it sleeps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from ledger.core.event import Event
from ledger.log import Log
from runtime.core.jobs import Job, Run
from runtime.core.jobspec import JobSpec, Kind, Words
from runtime.core.permission_rules import Effect, Scope, parse_rule
from runtime.core.permissions import Policy
from runtime.core.schedule import Every
from runtime.job_door import JobDoor
from runtime.jobs import JobBook
from runtime.journal import Journal
from runtime.permitting import Gate
from runtime.scheduler import Result, Scheduler
from runtime.sharing import Duty, Sharing
from tests.runtime.world import new_log

HOUR = 3600
T0 = 1_790_000_000 // HOUR * HOUR
TRUE = Words(argv=("true",))
SPEC = JobSpec(name="tidy", kind=Kind.SCRIPT, schedule=Every(seconds=HOUR, anchor_s=T0))


def door(*rules: str, **more: str) -> JobDoor:
    """The door of jobs by these allow rules, all of Bash if none is named; `deny=` and `ask=`."""
    allowed = [Effect.ALLOW] * len(rules or ALL)
    named = [*zip(allowed, rules or ALL, strict=True), *((Effect(k), v) for k, v in more.items())]
    parsed = tuple(
        parse_rule(text, effect=effect, scope=Scope.USER, file="permissions.toml", line=1)
        for effect, text in named
    )
    return JobDoor(rules=lambda: Gate(Policy(rules=parsed)), folder=Path("/nowhere"))


ALL = ("Bash",)


class Clock:
    def __init__(self, seconds: int = T0) -> None:
        self.seconds = seconds

    def __call__(self) -> int:
        return self.seconds * 1000


class Work:
    """A runner whose runs end when the test says so; by default at once."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.inside = 0
        self.outcome = "done"

    async def __call__(self, run: Run, job: Job, words: Words) -> Result:
        self.begun.append((job.name, (run.planned_s - T0) // 60, run.attempt))
        self.inside += 1
        await self.gate.wait()
        self.inside -= 1
        return Result(outcome=self.outcome, output="some output")


class World:
    def __init__(
        self, log: Log | None = None, clock: Clock | None = None, duty: Duty | None = None
    ) -> None:
        self.duty = duty
        self.clock = Clock() if clock is None else clock
        self.log = new_log(clock=self.clock) if log is None else log
        self.journal = Journal(self.log)
        self.book = JobBook(self.journal, clock=self.clock, confines=True, door=door())
        self.work = Work()
        self.asleep = asyncio.Event()
        self.seconds: float | None = None
        self.scheduler = Scheduler(
            self.journal,
            self.book,
            runners={Kind.SCRIPT: self.work, Kind.AGENT: self.work},
            instants={},
            sharing=None if duty is None else Sharing(self.journal, self.book, duty),
            timer=self._timer,
        )

    async def _timer(self, event: asyncio.Event, seconds: float | None) -> None:
        self.seconds = seconds
        if not event.is_set():
            self.asleep.set()
            await event.wait()
            self.asleep.clear()

    async def add(self, words: Words = TRUE, **changes) -> bytes:
        event = await self.book.add(replace(SPEC, **changes), words, by="test")
        await self.settle()
        return event.payload["job"]

    async def at(self, hours: float) -> None:
        """Set the clock, and return when the scheduler has done what it can."""
        self.clock.seconds = T0 + round(hours * HOUR)
        self.book.changed.set()
        await self.settle()

    async def settle(self) -> None:
        """Return when the scheduler sleeps and every run under way waits for the test."""
        async with asyncio.timeout(60):
            while not self._settled():
                await asyncio.sleep(0.001)
            await asyncio.sleep(
                0
            )  # what was begun in the loop's last step takes its own first step

    async def settle_after(self, event: Event) -> None:
        """Return when the scheduler has seen an event and done what it can."""
        for _ in range(10):  # the event wakes the watcher, and that wakes the loop
            await asyncio.sleep(0.001)
        if event.type in (self.journal.state.entries.get("on") or ()):
            self.book.changed.set()
        await self.settle()

    def _settled(self) -> bool:
        waiting = 0 if self.work.gate.is_set() else self.work.inside
        sharing = self.scheduler._sharing
        if sharing is not None and self.duty.gate.is_set() and sharing._deciding:
            return False
        asleep = self.asleep.is_set() and not self.book.changed.is_set()
        return asleep and len(self.scheduler._running) == waiting

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.log.events() if event.type == kind]

    @asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        """The scheduler for the time of a block; leaving it is a crash: nothing is tidied up."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.scheduler.run())
            try:
                await self.settle()
                yield self
            finally:
                task.cancel()

    def again(self) -> "World":
        """The node at its next start, on the same ledger and clock."""
        return World(self.log, self.clock, self.duty)
