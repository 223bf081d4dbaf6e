"""What a job owes at an instant: the run to begin now, and the planned times that get none.

A pure function of the job as the ledger has it, its zone and the clock, so that a test, a restart
and a second node come to the same plan. `decide` says one step at a time: append what it says,
fold it, ask again.

A job that follows events, a file or a branch is due as soon as something happened that had no run.
What happens while it runs, or within a minute of its end, has one run together, named by how often
it happened: nothing is lost, and no flood of events becomes one of runs.

A job that a fleet shares does not wait for the decision about one run before the next is due,
unless it makes up for what was missed, or says that it waits: then they come one after the other.

A clock that was set back a long way would leave a job's cursor in the future, and the job silent
until then. Such a cursor is taken back to now, on record; a run that then comes up again is found
claimed under its name.
"""

from dataclasses import dataclass
from typing import Final

from ledger.core.limits import CLOCK_BACK_MS_MAX
from runtime.core.jobs import INTERRUPTED, Job
from runtime.core.jobspec import Backfill, Overlap
from runtime.core.limits import (
    BACKFILL_RUNS_MAX,
    JOB_CASES_PER_JOB_MAX,
    JOB_EVERY_S_MIN,
    ON_TIME_S_MAX,
)
from runtime.core.schedule import FOLLOWS, Offset, due_between, next_after

_BACK_S_MAX: Final = CLOCK_BACK_MS_MAX // 1000
MISSED: Final = "missed"
OVERLAPS: Final = "overlap"
CLOCK_BACK: Final = "the clock went back"
"""The reason of a skip of nothing, which only takes the cursor back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Planned times from `first_s` to `last_s` get no run. `more`: older ones were not counted."""

    first_s: int
    last_s: int
    count: int
    more: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be recorded next: a skip, then a claim of the run planned for `run_s`."""

    skip: Skip | None = None
    run_s: int | None = None
    number: int | None = None
    """Of a job that follows events: how many there were."""


def next_due(job: Job, offset: Offset, now_s: int) -> int | None:
    """Return the planned time that is decided next, which may be past; None for never."""
    if job.paused:
        return None
    if isinstance(job.spec.schedule, FOLLOWS):
        return _woken(job, now_s)
    return next_after(job.spec.schedule, offset, now_s if _ahead(job, now_s) else job.cursor_s)


def decide(job: Job, offset: Offset, now_s: int) -> Step:
    """Return what the job owes now; an empty step if nothing."""
    if job.paused:
        return Step()
    if isinstance(job.spec.schedule, FOLLOWS):
        woken_s = None if job.open else _woken(job, now_s)
        due_now = woken_s is not None and woken_s <= now_s and job.fired is not None
        return Step(run_s=job.fired[1], number=job.fires) if due_now and job.fired else Step()
    if _ahead(job, now_s):
        back = Skip(first_s=now_s, last_s=now_s, count=0, more=False, reason=CLOCK_BACK)
        return Step(skip=back)
    if _waits(job):
        return Step()
    most = BACKFILL_RUNS_MAX + 1
    due = due_between(job.spec.schedule, offset, after_s=job.cursor_s, until_s=now_s, most=most)
    if not due:
        return Step()
    more = len(due) == most
    too_old, due = due[:-BACKFILL_RUNS_MAX], due[-BACKFILL_RUNS_MAX:]
    if job.open and job.spec.overlap is Overlap.SKIP:
        return Step(skip=_skip(due, more=more, reason=OVERLAPS))
    if job.open and job.spec.overlap is Overlap.WAIT:
        return Step()
    match job.spec.backfill:
        case Backfill.ALL:
            skip = _skip(too_old, more=more, reason=MISSED) if too_old else None
            return Step(skip=skip, run_s=due[0])
        case Backfill.SKIP if not _on_time(job, due[-1], now_s):
            return Step(skip=_skip(due, more=more, reason=MISSED))
    earlier = due[:-1]
    return Step(skip=_skip(earlier, more=more, reason=MISSED) if earlier else None, run_s=due[-1])


def _woken(job: Job, now_s: int) -> int | None:
    """When a job is due that follows events: now, or when it has rested since its last run."""
    if job.fires == job.taken or job.fired is None:
        return None
    rested_s = job.fired[1] if job.last is None else job.last.ended_s + JOB_EVERY_S_MIN
    return rested_s if rested_s <= now_s + JOB_EVERY_S_MIN else now_s  # else the clock went back


def _waits(job: Job) -> bool:
    """Whether a shared job has to wait for its fleet's decision about earlier runs of it."""
    one_by_one = job.spec.backfill is not Backfill.SKIP or job.spec.overlap is Overlap.WAIT
    return job.waiting >= (1 if one_by_one else JOB_CASES_PER_JOB_MAX)


def _ahead(job: Job, now_s: int) -> bool:
    return job.cursor_s > now_s + _BACK_S_MAX


def _on_time(job: Job, planned_s: int, now_s: int) -> bool:
    """A time that waited for the run before it counts from that run's end."""
    since_s, last = planned_s, job.last
    if last is not None and last.outcome != INTERRUPTED:
        since_s = max(planned_s, last.ended_s)
    return now_s - since_s <= ON_TIME_S_MAX


def _skip(due: list[int], *, more: bool, reason: str) -> Skip:
    return Skip(first_s=due[0], last_s=due[-1], count=len(due), more=more, reason=reason)
