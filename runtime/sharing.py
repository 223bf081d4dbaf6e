"""Runs of jobs that a fleet shares: awaited on record, decided by the fleet, then claimed or left.

A planned run comes due and is recorded as awaited (`job.awaited`); from then on it is a case of its
own, while the job's next times come due. `Duty` says whether this member is to begin it. If so the
claim has the fence that goes with its effects, then the others are told, then it is done; if not,
a `job.skipped` names the run, and who did it. What was awaited at a crash is asked about again, and
the others are told again of what was begun here and may still be asked about.

Overlap is each member's own: a member that has a run of the job under way and does not run them in
parallel takes no part in the next. Not covered: ends; that a run is done well is its member's word.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ledger.core import hashing, types
from ledger.core.event import Draft, Event
from ledger.core.limits import IDEMPOTENCY_KEY_BYTES
from runtime.core.cases import Case
from runtime.core.jobs import SCHEDULED, Job, run_id
from runtime.core.jobspec import Backfill, Shared
from runtime.core.limits import (
    JOB_CASES_MAX,
    JOB_SHARED_BACKFILL_S_MAX,
    JOB_SHARED_S_MAX,
    REASON_CHARS_MAX,
)
from runtime.jobs import NOBODY_ELSE, JobBook, claim
from runtime.journal import Journal

AWAIT_KEY: Final = "timmy-node 2026-11 job await key v1"
_DUTY: Final = ("mode", "fence", "manifest", "until_s")
"""What a claim of a shared run says of the right by which it is this member's."""
_TOLD_AGAIN_MAX: Final = 200
"""Events of a job that a start looks through for runs to tell of: its last quarter hour's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mine:
    """The run is this member's to begin. `manifest`: under which list of members."""

    fence: bytes
    manifest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """The run is not this member's, and why. `holder`: the key of the member that did it."""

    why: str
    holder: bytes = b""


class Duty(Protocol):
    """Who of a fleet does a run."""

    def turn(self, run: bytes, shared: Shared) -> dict[str, Any]:
        """Facts for the record: whose turn it is first, as far as that is known."""
        ...

    async def decide(self, case: Case, shared: Shared) -> Mine | Left:
        """Say whether this member begins the run; may take until `until_s`."""
        ...

    def serve(self, has: Callable[[bytes, int], bool]) -> None:
        """Tell members that ask whether this one has the job of a run planned then: `has` says."""
        ...

    async def began(self, case: Case, mine: Mine) -> None:
        """Tell the others of a run whose beginning is recorded, until `until_s`."""
        ...


def duty_of(event: Event) -> Mapping[str, Any]:
    """Return what a claim says of the right by which the run is this member's; empty if alone."""
    if "fence" not in event.payload:
        return NOBODY_ELSE
    return {name: event.payload[name] for name in _DUTY if name in event.payload}


def until_s(job: Job, planned_s: int) -> int:
    """Return when a planned run of a shared job is begun no more."""
    made_up = job.spec.backfill is not Backfill.SKIP
    return planned_s + (JOB_SHARED_BACKFILL_S_MAX if made_up else JOB_SHARED_S_MAX)


class Sharing:
    """Sees to the cases of one node's shared jobs."""

    def __init__(self, journal: Journal, book: JobBook, duty: Duty) -> None:
        self._journal = journal
        self._book = book
        self._duty = duty
        self._deciding: set[bytes] = set()
        duty.serve(self.has)

    def has(self, run: bytes, planned_s: int) -> bool:
        """Whether a run planned then is of a shared job of this node."""
        return any(
            job.spec.shared is not None and run_id(job.id, planned_s) == run
            for job in self._book.jobs
        )

    def known(self, run: bytes) -> bool:
        """Whether a run was awaited before: its fleet decided, or does."""
        return self._journal.log.find(_await_key(run)) is not None

    def awaited(self, job: Job, run: bytes, planned_s: int, now_s: int) -> list[Draft]:
        """Return what records that a run is due, and the fleet decides; nothing if it must wait."""
        shared = job.spec.shared
        if shared is None or len(self._book.cases) >= JOB_CASES_MAX:
            return []
        payload = {
            "job": job.id,
            "run": run,
            "planned_s": planned_s,
            "until_s": until_s(job, planned_s),
            "mode": shared.mode.value,
            "at_s": now_s,
            **self._duty.turn(run, shared),
        }
        return [
            Draft(
                type=types.JOB_AWAITED.name,
                stream=job.id,
                payload=payload,
                idempotency_key=_await_key(run),
            )
        ]

    def start_anew(self) -> None:
        """Forget who sees to which case: nobody does, before the scheduler runs."""
        self._deciding.clear()

    async def tell_again(self) -> None:
        """After a start: tell the others of runs begun here that they may still ask about."""
        now_s = self._book.now_s
        for job in self._book.jobs:
            if job.spec.shared is None:
                continue
            for event in self._journal.log.stream(job.id, last=_TOLD_AGAIN_MAX):
                duty = duty_of(event) if event.type == types.JOB_STARTED.name else NOBODY_ELSE
                if duty and duty["until_s"] >= now_s:
                    case = Case(
                        run=event.payload["run"], job=job.id,
                        planned_s=event.payload["planned_s"], until_s=duty["until_s"],
                    )  # fmt: skip
                    await self._duty.began(
                        case, Mine(fence=duty["fence"], manifest=duty["manifest"])
                    )

    def begin(self, start: Callable[[Coroutine[Any, Any, None]], Any]) -> None:
        """Have every case that nobody sees to be decided, each in a task of its own."""
        for case in self._book.cases.open():
            if case.run not in self._deciding:
                self._deciding.add(case.run)
                start(self._see_to(case))

    async def _see_to(self, case: Case) -> None:
        job = self._book.jobs.get(case.job)
        shared = None if job is None else job.spec.shared
        if shared is None:
            found: Mine | Left = Left(why="the job is shared no more")
        else:
            found = await self._duty.decide(case, shared)
        async with self._journal.deciding:
            job = self._book.jobs.get(case.job)
            if job is None or self._book.cases.get(case.run) is None:
                self._deciding.discard(case.run)
                return  # it was removed meanwhile
            if isinstance(found, Mine) and job.paused:
                found = Left(why="paused")
            await self._journal.append(self._outcome(job, case, found))
        if isinstance(found, Mine):
            await self._duty.began(case, found)
        self._deciding.discard(case.run)
        self._book.changed.set()

    def _outcome(self, job: Job, case: Case, found: Mine | Left) -> Draft:
        now_s = self._book.now_s
        if isinstance(found, Left):
            return _left(case, found, now_s)
        assert job.spec.shared is not None
        duty = {
            "mode": job.spec.shared.mode.value,
            "fence": found.fence,
            "manifest": found.manifest,
            "until_s": case.until_s,
        }
        return claim(job, case.run, case.planned_s, 1, SCHEDULED, now_s, duty=duty)


def _await_key(run: bytes) -> bytes:
    return hashing.digest(AWAIT_KEY, run)[:IDEMPOTENCY_KEY_BYTES]


def _left(case: Case, found: Left, now_s: int) -> Draft:
    holder = {"holder": found.holder} if found.holder else {}
    return Draft(
        type=types.JOB_SKIPPED.name,
        stream=case.job,
        payload={
            "job": case.job,
            "run": case.run,
            "first_s": case.planned_s,
            "last_s": case.planned_s,
            "count": 1,
            "more": False,
            "reason": found.why[:REASON_CHARS_MAX],
            "at_s": now_s,
            **holder,
        },
    )
