"""The scheduler: one sleeping task that claims what is due, and one task for each run under way.

It keeps nothing that matters. What is due is computed from the ledger's state and the clock
(`runtime.core.due`), a run is claimed by an event before anything of it happens, and its end is an
event. So after a crash at any moment a start finds every run that was under way:

    agent jobs     go on: message, turn and answer are events, and each is made once
    scripts        end as `interrupted`, or begin again if the job says it is repeatable
    built-in       cannot be under way: claim and result are one event

A run of a job that a fleet shares is not claimed when it is due: `runtime.sharing` has it awaited,
and claims it if the fleet says so.

The loop wakes when a job changes, a run ends or a time has come, and once a minute: a clock that
was set, or a machine that slept, tells nobody. Not covered: two nodes that write one ledger at
once; the ledger has one writer, and a second node on a copy is a fork.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from ledger.core import hashing, types
from ledger.core.errors import StoreError, TimmyError
from ledger.core.event import Draft
from ledger.core.limits import IDEMPOTENCY_KEY_BYTES
from runtime.core.due import Skip, Step, decide
from runtime.core.errors import JobRefused
from runtime.core.jobs import INTERRUPTED, SCHEDULED, Job, Run, claim_key, run_id
from runtime.core.jobspec import BUILT_IN, JobSpec, Kind, Words
from runtime.core.limits import JOB_ATTEMPTS_MAX, JOB_RUNS_MAX, REASON_CHARS_MAX
from runtime.core.schedule import FOLLOWS, Offset, next_after
from runtime.jobs import JobBook, claim, words_of_job
from runtime.journal import Journal
from runtime.sharing import Sharing, duty_of
from runtime.zones import zone

END_KEY: Final = "timmy-node 2026-11 job end key v1"
SLEEP_S_MAX: Final = 60.0
"""asyncio's clock stands still while a machine sleeps, and does not see one that is set."""
BY_NODE: Final = "node"
_ALREADY: Final = "already run"

Timer = Callable[[asyncio.Event, float | None], Awaitable[None]]
"""Return when the event is set, or after so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a run ended: `facts` for the payload, `output` for the content."""

    outcome: str
    facts: dict[str, Any] = field(default_factory=dict)
    output: str = ""


Runner = Callable[[Run, Job, Words], Awaitable[Result]]
"""Carries out one run. Cancelled when the node stops: it leaves nothing running behind."""
Instant = Callable[[Job, dict[str, Any]], Awaitable[list[Draft]]]
"""Makes the event of a built-in run of the facts that name it, and what comes with it."""


async def wait(event: asyncio.Event, seconds: float | None) -> None:
    """The timer of a node."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


class Scheduler:
    """Run `run()` in a task group of the node; cancel it to stop."""

    def __init__(
        self,
        journal: Journal,
        book: JobBook,
        *,
        runners: Mapping[Kind, Runner],
        instants: Mapping[Kind, Instant],
        standing: Mapping[bytes, JobSpec] | None = None,
        sharing: Sharing | None = None,
        timer: Timer = wait,
    ) -> None:
        self._journal = journal
        self._book = book
        self._runners = dict(runners)
        self._instants = instants
        self._standing = {} if standing is None else dict(standing)
        self._sharing = sharing
        self._timer = timer
        self._started_s = book.now_s
        self._running: set[bytes] = set()
        self._looked_s: int | None = None
        self._logger: Any = structlog.get_logger("runtime.scheduler")

    def also(self, job: bytes, spec: JobSpec, runner: Runner) -> None:
        """Have one more job of the node's own, from now on."""
        self._standing[job] = spec
        self._runners[spec.kind] = runner
        self._book.changed.set()

    @property
    def awaited(self) -> dict[str, int | None]:
        """When each job of the node's own that is not in the ledger yet is due, by name."""
        known = self._book.jobs
        return {
            spec.name: next_after(spec.schedule, zone(spec.zone), self._started_s)
            for job, spec in self._standing.items()
            if known.get(job) is None
        }

    @property
    def looked_s(self) -> int | None:
        """When it last looked at the plan, in Unix seconds; None before the first time.

        All that was due then is claimed: it runs, or has ended, or waits.
        """
        return self._looked_s

    async def run(self) -> None:
        """Claim and carry out what is due; until cancelled. Raises what the ledger raises."""
        self._running.clear()
        await self._recover()
        await self._follow_standing()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            if self._sharing is not None:
                self._sharing.start_anew()
                group.create_task(self._sharing.tell_again())
            while True:
                self._book.changed.clear()
                await self._claim_due()
                self._begin(group)
                await self._timer(self._book.changed, self._seconds_to_next())

    async def _watch(self) -> None:
        """Wake the loop for events that jobs follow."""
        log = self._journal.log
        async for event in log.follow(log.size):
            if event.type in (self._journal.state.entries.get("on") or ()):
                self._book.changed.set()

    async def _recover(self) -> None:
        """End or repeat the scripts that were under way when the node was."""
        drafts = []
        for run in self._book.jobs.open_runs():
            job = self._book.jobs.get(run.job)
            if job is not None and job.spec.kind is Kind.AGENT:
                continue
            again = job is not None and job.spec.repeatable and run.attempt < JOB_ATTEMPTS_MAX
            if job is not None and again:
                drafts.append(
                    claim(
                        job,
                        run.id,
                        run.planned_s,
                        run.attempt + 1,
                        run.trigger,
                        self._book.now_s,
                        duty=duty_of(self._journal.log.read(run.claim)),
                    )
                )
            else:
                drafts.append(self._end(run, Result(outcome=INTERRUPTED)))
        if drafts:
            await self._journal.append(*drafts)

    async def _follow_standing(self) -> None:
        """Bring jobs of the node's own that are in the ledger to what they are to be now."""
        for job in list(self._book.jobs):
            if job.spec.kind not in BUILT_IN:
                continue
            wanted = self._standing.get(job.id)
            if wanted is None:
                facts = {"job": job.id, "at_s": self._book.now_s, "by": BY_NODE}
                gone = Draft(type=types.JOB_REMOVED.name, stream=job.id, payload=facts)
                await self._journal.append(gone)
            elif wanted != job.spec:
                await self._book.change(job, wanted, Words(), by=BY_NODE)

    async def enter(self, name: str) -> None:
        """Record the node's own job of this name, if there is one that waits for its first time."""
        for job, spec in self._standing.items():
            if spec.name == name:
                await self._book.add_once(spec, by=BY_NODE, job=job)

    async def _enter_standing(self, now_s: int) -> None:
        """Record jobs of the node's own whose first time has come."""
        for job, spec in self._standing.items():
            first_s = self.awaited.get(spec.name)
            if first_s is not None and first_s <= now_s:
                await self._book.add_once(spec, by=BY_NODE, job=job, at_s=first_s - 1)

    # ---- what is due -------------------------------------------------------------------------

    async def _claim_due(self) -> None:
        now_s = self._book.now_s
        self._started_s = min(self._started_s, now_s)  # a clock that was wrong at the start
        await self._enter_standing(now_s)
        for job in list(self._book.jobs):
            offset = self._offset(job)
            if offset is not None:
                while await self._claim_one(job.id, offset, now_s):
                    pass
        self._looked_s = now_s

    async def _claim_one(self, known: bytes, offset: Offset, now_s: int) -> bool:
        """Record the next step of a job; False when there is none, or it has to wait."""
        async with self._journal.deciding:
            job = self._book.jobs.get(known)
            if job is None:
                return False
            step = decide(job, offset, now_s)
            drafts = await self._drafts(job, step, now_s)
            if drafts:
                await self._journal.append(*drafts)
        return bool(drafts)

    async def _drafts(self, job: Job, step: Step, now_s: int) -> list[Draft]:
        drafts = [] if step.skip is None else [_skipped(job, step.skip, now_s)]
        if step.run_s is None:
            return drafts
        run = run_id(job.id, step.run_s if step.number is None else step.number)
        if self._journal.log.find(claim_key(run, 1)) is not None or self._decided(run):
            once = Skip(first_s=step.run_s, last_s=step.run_s, count=1, more=False, reason=_ALREADY)
            return [*drafts, _skipped(job, once, now_s, number=step.number)]
        instant = self._instants.get(job.spec.kind)
        if instant is not None:
            facts = {
                "job": job.id,
                "run": run,
                "planned_s": step.run_s,
                "trigger": SCHEDULED,
                "at_s": now_s,
            }
            return [*drafts, *await instant(job, facts)]
        if len(self._book.jobs.open_runs()) >= JOB_RUNS_MAX:
            return drafts
        if job.spec.shared is not None:
            known = self._sharing
            return drafts + ([] if known is None else known.awaited(job, run, step.run_s, now_s))
        woken = step.number is not None and job.fired is not None
        causes = (self._journal.log.read(job.fired[0]).cause,) if woken and job.fired else ()
        claimed = claim(
            job, run, step.run_s, 1, SCHEDULED, now_s, number=step.number, causes=causes
        )
        return [*drafts, claimed]

    def _decided(self, run: bytes) -> bool:
        """Whether the fleet had this run before: a clock that went back, a job that came back."""
        return self._sharing is not None and self._sharing.known(run)

    def _offset(self, job: Job) -> Offset | None:
        try:
            return zone(job.spec.zone)
        except JobRefused as error:  # known when it was added, and not to this machine
            self._logger.warning("a job cannot be planned", job=job.name, error=str(error))
            return None

    def _seconds_to_next(self) -> float | None:
        """How long nothing will be due; what is due and waits is woken by the end of a run."""
        now_s = self._book.now_s
        times: list[int | None] = []
        for job in self._book.jobs:
            offset = None if job.paused else self._offset(job)
            if offset is None:
                continue
            woken = isinstance(job.spec.schedule, FOLLOWS) and not job.open
            due = self._book.next_due(job) if woken else None
            woken_s = due if due is not None and due > now_s else None  # else it waits for a run
            times.append(woken_s or next_after(job.spec.schedule, offset, now_s))
        soonest = min((due for due in (*times, *self.awaited.values()) if due), default=None)
        return None if soonest is None else min(SLEEP_S_MAX, max(0.0, soonest - now_s))

    # ---- runs --------------------------------------------------------------------------------

    def _begin(self, group: asyncio.TaskGroup) -> None:
        if self._sharing is not None:
            self._sharing.begin(group.create_task)
        for run in self._book.jobs.open_runs():
            if run.id not in self._running:
                self._running.add(run.id)
                group.create_task(self._carry_out(run))

    async def _carry_out(self, run: Run) -> None:
        job = self._book.jobs.get(run.job)
        try:
            result = await self._result(run, job)
        except StoreError:
            raise
        except (TimmyError, OSError) as error:
            facts = {"reason": _reason(error)[:REASON_CHARS_MAX]}
            result = Result(outcome="failed", facts=facts, output=str(error))
        await self._journal.append(self._end(run, result))
        self._running.discard(run.id)
        self._book.changed.set()
        name = run.job.hex() if job is None else job.name
        self._logger.info("job ended", job=name, outcome=result.outcome)

    async def _result(self, run: Run, job: Job | None) -> Result:
        if job is None:
            return Result(outcome=INTERRUPTED, facts={"reason": "the job was removed"})
        return await self._runners[job.spec.kind](run, job, words_of_job(self._journal, job))

    def _end(self, run: Run, result: Result) -> Draft:
        now_s = self._book.now_s
        return Draft(
            type=types.JOB_FINISHED.name,
            stream=run.job,
            payload={
                "job": run.job,
                "run": run.id,
                "attempt": run.attempt,
                "outcome": result.outcome,
                "at_s": now_s,
                "took_s": max(0, now_s - run.started_s),
                **result.facts,
            },
            content={"output": result.output} if result.output else None,
            causes=(self._journal.log.read(run.claim).cause,),
            idempotency_key=hashing.digest(END_KEY, run.id)[:IDEMPOTENCY_KEY_BYTES],
        )


def _reason(error: TimmyError | OSError) -> str:
    """Say why a run failed without words of the job: what is payload can never be erased."""
    if isinstance(error, JobRefused):
        return str(error)
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or type(error).__name__


def _skipped(job: Job, skip: Skip, now_s: int, *, number: int | None = None) -> Draft:
    taken = {} if number is None else {"number": number}
    return Draft(
        type=types.JOB_SKIPPED.name,
        stream=job.id,
        payload={
            "job": job.id,
            "first_s": skip.first_s,
            "last_s": skip.last_s,
            "count": skip.count,
            "more": skip.more,
            "reason": skip.reason,
            "at_s": now_s,
            **taken,
        },
    )
