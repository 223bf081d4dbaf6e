"""Consensus-critical: the reducer that folds the ledger into jobs and their open runs.

A run is named by its job and its planned time, and the event that claims it carries that name as
its idempotency key: whoever claims it second, after a restart or on another node with this ledger,
finds it claimed. A job's `cursor` is the last planned time that was decided, run or skipped;
nothing is due up to it. A pause ends at the time of its end: what it passed over is not missed.

A run of a built-in job is one event that is claim and result at once, so no crash can part them.
An event with a shape this version does not write is passed over, never an error.

Entries (ids are 16 bytes; times in Unix seconds):

    jobs                 [id, ...], oldest first
    job/<id, hex>        {name, spec, words, paused, cursor, depth, runs, fails, why, open, last}
                         words: position of the event with them; fails: bad ends in a row, why:
                         the newest of them; last: [planned, outcome, ended, position of its end];
                         of a job that follows something: how often it happened (fires), how
                         many have had their run (taken), the newest (fired: [position, time]),
                         and how what it watches looked last (seen)
    on                   {type: [id, ...]} of jobs that follow events
    runs                 [run, ...] under way
    run/<run, hex>       [job, planned, attempt, trigger, position of the claim, started]

What is due is `runtime.core.due`'s question. Not covered: words, which may be erased.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ledger.core import codec, hashing, types
from ledger.core.event import Event
from ledger.core.limits import IDEMPOTENCY_KEY_BYTES
from ledger.core.state import Change
from runtime.core.cases import Held, held_by, waiting
from runtime.core.errors import JobRefused
from runtime.core.jobspec import JobSpec, Words
from runtime.core.schedule import TRIGGERS, to_value

RUN_ID: Final = "timmy-node 2026-11 job run id v1"
CLAIM_KEY: Final = "timmy-node 2026-11 job claim key v1"
BUILT_IN_ID: Final = "timmy-node 2026-11 built-in job id v1"
SHARED_ID: Final = "timmy-node 2026-11 shared job id v1"

CONVERSATIONS: Final = "job/"
"""Conversations of jobs begin so; what is said in them wakes no job."""
SCHEDULED: Final = "schedule"
MANUAL: Final = "manual"
DONE: Final = "done"
INTERRUPTED: Final = "interrupted"
GOOD: Final = frozenset({DONE, "degraded"})
"""Outcomes that are no failure: a degraded form that ran is what the job asked for."""


def run_id(job: bytes, planned_s: int) -> bytes:
    """Name a run: 16 bytes, the same wherever and whenever it is computed."""
    return hashing.digest(RUN_ID, job, planned_s.to_bytes(8, "big"))[:IDEMPOTENCY_KEY_BYTES]


def claim_key(run: bytes, attempt: int) -> bytes:
    """Return the idempotency key of the event that claims this attempt of a run."""
    return hashing.digest(CLAIM_KEY, run, bytes([attempt]))[:IDEMPOTENCY_KEY_BYTES]


def built_in_id(ledger: bytes, name: str) -> bytes:
    """Name a job that every node has of its own."""
    return hashing.digest(BUILT_IN_ID, ledger, name.encode())[:IDEMPOTENCY_KEY_BYTES]


def shared_id(spec: JobSpec, words: Words) -> bytes:
    """Name a job that a fleet shares: 16 bytes, the same at every member that has the same job.

    What a run is and when it is due are in it, and who does it; how a member holds it (confined,
    its time, what becomes of what was missed) is the member's own affair.
    """
    assert spec.shared is not None
    said = {
        "shared": spec.shared.to_value(),
        "name": spec.name,
        "kind": spec.kind.value,
        "schedule": to_value(spec.schedule),
        "zone": spec.zone,
        "argv": list(words.argv),
        "prompt": words.prompt,
    }
    return hashing.digest(SHARED_ID, codec.encode(said))[:IDEMPOTENCY_KEY_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run under way. `started_s`: when this attempt was claimed."""

    id: bytes
    job: bytes
    planned_s: int
    attempt: int
    trigger: str
    claim: int
    started_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a job's last run ended."""

    planned_s: int
    outcome: str
    ended_s: int
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it stands. `words`: position of the event that has its words."""

    id: bytes
    spec: JobSpec
    words: int
    paused: bool
    cursor_s: int
    depth: int
    runs: int
    fails: int
    why: str
    open: tuple[bytes, ...]
    last: Ended | None
    fires: int = 0
    taken: int = 0
    fired: tuple[int, int] | None = None
    """(position, time) of the newest event that a job that follows something was woken by."""
    seen: bytes | None = None
    """How what it watches looked last, as a digest; None before the first look."""
    waiting: int = 0
    """Of a shared job: planned runs whose fleet decides who does them."""
    held: Held | None = None
    """Of a shared job: who did the run that was decided last."""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.spec.name


class Jobs:
    """Jobs and open runs in the entries of a state that has `reduce_jobs` among its reducers."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = entries

    def __iter__(self) -> Iterator[Job]:
        found = (self.get(job) for job in self._entries.get("jobs", ()))
        return (job for job in found if job is not None)

    def get(self, job: bytes) -> Job | None:
        """Return a job by its id; None for one that is gone, or that this version cannot run."""
        entry = self._entries.get(_job_key(job))
        if entry is None:
            return None
        try:
            spec = JobSpec.from_value(entry["spec"])
        except JobRefused:
            return None
        planned, shared = entry["last"], spec.shared is not None
        return Job(
            id=job,
            spec=spec,
            words=entry["words"],
            paused=entry["paused"],
            cursor_s=entry["cursor"],
            depth=entry["depth"],
            runs=entry["runs"],
            fails=entry["fails"],
            why=entry["why"],
            open=tuple(entry["open"]),
            fires=entry["fires"],
            taken=entry["taken"],
            fired=entry["fired"] and (entry["fired"][0], entry["fired"][1]),
            seen=entry["seen"],
            waiting=waiting(self._entries, job) if shared else 0,
            held=held_by(self._entries, job) if shared else None,
            last=planned
            and Ended(
                planned_s=planned[0], outcome=planned[1], ended_s=planned[2], position=planned[3]
            ),
        )

    def run(self, run: bytes) -> Run | None:
        """Return a run that is under way."""
        entry = self._entries.get(_run_key(run))
        if entry is None:
            return None
        job, planned_s, attempt, trigger, claim, started_s = entry
        return Run(
            id=run,
            job=job,
            planned_s=planned_s,
            attempt=attempt,
            trigger=trigger,
            claim=claim,
            started_s=started_s,
        )

    def open_runs(self) -> list[Run]:
        """Return every run under way, in the order in which they were claimed."""
        found = (self.run(run) for run in self._entries.get("runs", ()))
        return [run for run in found if run is not None]


def _job_key(job: bytes) -> str:
    return f"job/{job.hex()}"


def _run_key(run: bytes) -> str:
    return f"run/{run.hex()}"


Entries: TypeAlias = Mapping[str, Any]


def reduce_jobs(entries: Entries, event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    if event.type in (entries.get("on") or ()):
        return _fired(entries, event)
    handler = _HANDLERS.get(event.type)
    job = _get(event.payload, "job", bytes)
    if handler is None or job is None:
        return ()
    return handler(entries, event, job)


def _get(payload: dict[str, Any], name: str, kind: type) -> Any:
    value = payload.get(name)
    return value if type(value) is kind else None


def _changed(entries: Entries, job: bytes, **changes: Any) -> Iterable[Change]:
    known = entries.get(_job_key(job))
    return () if known is None else ((_job_key(job), {**known, **changes}),)


def _added(entries: Entries, event: Event, job: bytes) -> Iterable[Change]:
    spec = _get(event.payload, "spec", dict)
    at_s = _get(event.payload, "at_s", int)
    name = None if spec is None else _get(spec, "name", str)
    if at_s is None or name is None or _job_key(job) in entries:
        return ()
    entry = {
        "name": name,
        "spec": spec,
        "words": event.position,
        "paused": False,
        "cursor": at_s,
        "depth": _get(event.payload, "depth", int) or 0,
        "runs": 0,
        "fails": 0,
        "why": "",
        "open": [],
        "last": None,
        "fires": 0,
        "taken": 0,
        "fired": None,
        "seen": None,
    }
    listed = [*entries.get("jobs", ()), job]
    return (("jobs", listed), (_job_key(job), entry), _follows(entries, job, spec))


def _follows(entries: Entries, job: bytes, spec: dict[str, Any] | None) -> Change:
    """List a job under the type of event that it follows, and under no other."""
    schedule = None if spec is None else _get(spec, "schedule", dict)
    kind = None if schedule is None else _get(schedule, "type", str)
    on = {
        name: left
        for name, jobs in (entries.get("on") or {}).items()
        if (left := [other for other in jobs if other != job])
    }
    if kind in TRIGGERS:
        on[kind] = [*on.get(kind, ()), job]
    return ("on", on or None)


def _fired(entries: Entries, event: Event) -> Iterable[Change]:
    """Wake the jobs that follow events of this type, unless a job made it."""
    if str(event.payload.get("conversation", "")).startswith(CONVERSATIONS):
        return
    for job in entries["on"][event.type]:
        known = entries.get(_job_key(job))
        if known is not None and not known["paused"]:
            newest = [event.position, event.ts_ms // 1000]
            yield from _changed(entries, job, fires=known["fires"] + 1, fired=newest)


def _noticed(entries: Entries, event: Event, job: bytes) -> Iterable[Change]:
    seen, changed = _get(event.payload, "seen", bytes), _get(event.payload, "changed", bool)
    known = entries.get(_job_key(job))
    if seen is None or changed is None or known is None or known["paused"]:
        return ()
    woken = {"fires": known["fires"] + 1, "fired": [event.position, event.ts_ms // 1000]}
    return _changed(entries, job, seen=seen, **(woken if changed else {}))


def _respecified(entries: Entries, event: Event, job: bytes) -> Iterable[Change]:
    spec = _get(event.payload, "spec", dict)
    at_s = _get(event.payload, "at_s", int)
    name = None if spec is None else _get(spec, "name", str)
    if at_s is None or name is None:
        return ()
    changes = {"name": name, "spec": spec, "words": event.position, "cursor": at_s}
    if _job_key(job) not in entries:
        return ()
    if spec.get("schedule") != entries[_job_key(job)]["spec"].get("schedule"):
        changes["seen"] = None
    changed = _changed(entries, job, **changes, fails=0, why="")
    return (*changed, _follows(entries, job, spec))


def _paused(entries: Entries, _event: Event, job: bytes) -> Iterable[Change]:
    return _changed(entries, job, paused=True)


def _resumed(entries: Entries, event: Event, job: bytes) -> Iterable[Change]:
    at_s = _get(event.payload, "at_s", int)
    return () if at_s is None else _changed(entries, job, paused=False, cursor=at_s, seen=None)


def _removed(entries: Entries, _event: Event, job: bytes) -> Iterable[Change]:
    if _job_key(job) not in entries:
        return ()
    left = [other for other in entries["jobs"] if other != job]
    return (("jobs", left or None), (_job_key(job), None), _follows(entries, job, None))


def _skipped(entries: Entries, event: Event, job: bytes) -> Iterable[Change]:
    last_s = _get(event.payload, "last_s", int)
    if _get(event.payload, "run", bytes) is not None:
        return ()  # of a shared job: the cursor passed it when it was awaited
    number = _get(event.payload, "number", int)
    taken = {} if number is None else {"taken": number}
    return () if last_s is None else _changed(entries, job, cursor=last_s, **taken)


def _awaited(entries: Entries, event: Event, job: bytes) -> Iterable[Change]:
    planned_s = _get(event.payload, "planned_s", int)
    return () if planned_s is None else _changed(entries, job, cursor=planned_s)


def _started(entries: Entries, event: Event, job: bytes) -> Iterable[Change]:
    payload = event.payload
    run, trigger = _get(payload, "run", bytes), _get(payload, "trigger", str)
    numbers = [_get(payload, name, int) for name in ("planned_s", "attempt", "at_s")]
    known = entries.get(_job_key(job))
    if run is None or trigger is None or None in numbers or known is None:
        return
    planned_s, attempt, at_s = numbers
    runs = entries.get("runs", ())
    yield _run_key(run), [job, planned_s, attempt, trigger, event.position, at_s]
    if run not in runs:
        yield "runs", [*runs, run]
    number = _get(payload, "number", int)
    taken = known["taken"] if number is None else number
    first = trigger == SCHEDULED and attempt == 1 and "fence" not in payload
    cursor = planned_s if first else known["cursor"]
    open_ = known["open"] if run in known["open"] else [*known["open"], run]
    count = known["runs"] + (attempt == 1)
    yield from _changed(entries, job, cursor=cursor, open=open_, runs=count, taken=taken)


def _finished(entries: Entries, event: Event, job: bytes) -> Iterable[Change]:
    run, outcome = _get(event.payload, "run", bytes), _get(event.payload, "outcome", str)
    at_s = _get(event.payload, "at_s", int)
    opened = None if run is None else entries.get(_run_key(run))
    if run is None or outcome is None or at_s is None or opened is None:
        return
    left = [other for other in entries["runs"] if other != run]
    yield "runs", left or None
    yield _run_key(run), None
    known = entries.get(_job_key(job))
    if known is not None:
        open_ = [other for other in known["open"] if other != run]
        last = [opened[1], outcome, at_s, event.position]
        yield from _changed(entries, job, open=open_, last=last, **_tally(known, outcome))


def _tally(known: dict[str, Any], outcome: str) -> dict[str, Any]:
    if outcome in GOOD:
        return {"fails": 0, "why": ""}
    return {"fails": known["fails"] + 1, "why": outcome}


def _instant(entries: Entries, event: Event, job: bytes) -> Iterable[Change]:
    """A run of a built-in job: begun and ended in one event."""
    planned_s, at_s = (_get(event.payload, name, int) for name in ("planned_s", "at_s"))
    known = entries.get(_job_key(job))
    if planned_s is None or at_s is None or known is None:
        return ()
    scheduled = event.payload.get("trigger") == SCHEDULED
    return _changed(
        entries,
        job,
        cursor=planned_s if scheduled else known["cursor"],
        runs=known["runs"] + 1,
        last=[planned_s, DONE, at_s, event.position],
    )


_Handler: TypeAlias = Callable[[Entries, Event, bytes], Iterable[Change]]
_HANDLERS: Final[Mapping[str, _Handler]] = {
    types.JOB_ADDED.name: _added,
    types.JOB_CHANGED.name: _respecified,
    types.JOB_PAUSED.name: _paused,
    types.JOB_RESUMED.name: _resumed,
    types.JOB_REMOVED.name: _removed,
    types.JOB_AWAITED.name: _awaited,
    types.JOB_SKIPPED.name: _skipped,
    types.JOB_NOTICED.name: _noticed,
    types.JOB_STARTED.name: _started,
    types.JOB_FINISHED.name: _finished,
    types.NODE_BEAT.name: _instant,
    types.NODE_REPORTED.name: _instant,
}

INTERPRETED: Final = frozenset(_HANDLERS)
"""Types that must be understood before anything is run: a run may be claimed in one."""
