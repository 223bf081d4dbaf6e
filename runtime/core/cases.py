"""Consensus-critical: the reducer of runs that a fleet shares: which are awaited, and who did one.

A planned run of a shared job is *awaited* (`job.awaited`) when it comes due: from then on the job's
cursor is past it, and this member takes part in the decision. It ends with `job.started`, which has
a fence, or with a `job.skipped` that names the run. What is awaited at a crash is awaited after the
start: the decision goes on where the voters' books are.

Entries (ids are 16 bytes; times in Unix seconds):

    cases                [run, ...] awaited, in the order in which they came due
    case/<run, hex>      [job, planned, until]
    held/<job, hex>      [planned, member, fence] of the run that was decided last; member is the
                         key of another, empty for this one; fence is empty for another's

An event with a shape this version does not write is passed over, never an error.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import Change

Entries: TypeAlias = Mapping[str, Any]
_TYPES: Final = frozenset(
    kind.name
    for kind in (types.JOB_AWAITED, types.JOB_STARTED, types.JOB_SKIPPED, types.JOB_REMOVED)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A run that is awaited."""

    run: bytes
    job: bytes
    planned_s: int
    until_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Who did a run: `member` is another's key, or empty for this one, which then has a fence."""

    planned_s: int
    member: bytes
    fence: bytes


class Cases:
    """Awaited runs in the entries of a state that has `reduce_cases` among its reducers."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries.get("cases", ()))

    def get(self, run: bytes) -> Case | None:
        """Return a case; None for one that is over."""
        entry = self._entries.get(_case_key(run))
        if entry is None:
            return None
        job, planned_s, until_s = entry
        return Case(run=run, job=job, planned_s=planned_s, until_s=until_s)

    def open(self) -> list[Case]:
        """Return every case, oldest first."""
        found = (self.get(run) for run in self._entries.get("cases", ()))
        return [case for case in found if case is not None]


def waiting(entries: Entries, job: bytes) -> int:
    """Count the runs of a job that are awaited."""
    return sum(case.job == job for case in Cases(entries).open())


def held_by(entries: Entries, job: bytes) -> Held | None:
    """Say who did the run of a job that was decided last; None before the first."""
    entry = entries.get(_held_key(job))
    if entry is None:
        return None
    planned_s, member, fence = entry
    return Held(planned_s=planned_s, member=member, fence=fence)


def reduce_cases(entries: Entries, event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    job = event.payload.get("job")
    if event.type not in _TYPES or type(job) is not bytes:
        return ()
    if event.type == types.JOB_REMOVED.name:
        return _forgotten(entries, job)
    run = event.payload.get("run")
    if type(run) is not bytes:
        return ()
    if event.type == types.JOB_AWAITED.name:
        return _awaited(entries, event, job, run)
    return _decided(entries, event, job, run)


def _case_key(run: bytes) -> str:
    return f"case/{run.hex()}"


def _held_key(job: bytes) -> str:
    return f"held/{job.hex()}"


def _awaited(entries: Entries, event: Event, job: bytes, run: bytes) -> Iterable[Change]:
    times = [event.payload.get(name) for name in ("planned_s", "until_s")]
    if any(type(time_s) is not int for time_s in times) or _case_key(run) in entries:
        return ()
    return (("cases", [*entries.get("cases", ()), run]), (_case_key(run), [job, *times]))


def _decided(entries: Entries, event: Event, job: bytes, run: bytes) -> Iterable[Change]:
    case = entries.get(_case_key(run))
    if case is None or case[0] != job:
        return ()
    left = [other for other in entries["cases"] if other != run]
    over: tuple[Change, ...] = (("cases", left or None), (_case_key(run), None))
    member, fence = (event.payload.get(name, b"") for name in ("holder", "fence"))
    if not (type(member) is bytes and type(fence) is bytes and (member or fence)):
        return over
    return (*over, (_held_key(job), [case[1], member, fence]))


def _forgotten(entries: Entries, job: bytes) -> Iterable[Change]:
    gone = [case.run for case in Cases(entries).open() if case.job == job]
    left = [run for run in entries.get("cases", ()) if run not in gone]
    yield "cases", left or None
    for run in gone:
        yield _case_key(run), None
    yield _held_key(job), None
