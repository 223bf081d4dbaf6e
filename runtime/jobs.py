"""The book of jobs: the only writer of what people ask of them. Runs are the scheduler's.

Every change is an event, decided under the journal's lock and durable when a call returns;
`changed` wakes the scheduler. Who may ask is judged by the caller. A job that is asked for by a
run of another is one deeper than that one, and beyond JOB_DEPTH_MAX refused: work that plans itself
ends.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from ledger.core import types
from ledger.core.errors import NotFound
from ledger.core.event import Cause, Draft, Event
from ledger.core.limits import STREAM_BYTES
from runtime.core import limits
from runtime.core.cases import Cases
from runtime.core.due import next_due
from runtime.core.errors import JobRefused
from runtime.core.jobs import MANUAL, Job, Jobs, claim_key, run_id, shared_id
from runtime.core.jobspec import BUILT_IN, INSTANT, JobSpec, Kind, Overlap, Words
from runtime.core.schedule import FOLLOWS, Watch, next_after
from runtime.job_door import ALLOWED, JobDoor
from runtime.journal import Journal
from runtime.screening import screen_message
from runtime.sightings import Sight, sight
from runtime.zones import zone

NOBODY_ELSE: Final[Mapping[str, Any]] = MappingProxyType({})
"""The duty of a run that is this node's alone."""
_ID_DIGITS_MIN: Final = 6
"""Of an id that stands for a job: fewer are taken for a name."""


class JobBook:
    """Jobs of one ledger. `clock` gives Unix milliseconds; `confines`: whether scripts can be;
    `door`: what they may run; `sight` looks at what jobs follow.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Callable[[], int],
        confines: bool,
        door: JobDoor,
        sight: Sight = sight,
    ) -> None:
        self.sight = sight
        self._journal = journal
        self._clock = clock
        self._confines = confines
        self.door = door
        self.changed = asyncio.Event()

    @property
    def now_s(self) -> int:
        """The clock, in whole seconds."""
        return self._clock() // 1000

    @property
    def jobs(self) -> Jobs:
        """Jobs and runs after every event that is durable now."""
        return Jobs(self._journal.state.entries)

    @property
    def cases(self) -> Cases:
        """Runs of shared jobs whose fleet decides who does them, after every durable event."""
        return Cases(self._journal.state.entries)

    def find(self, name: str) -> Job:
        """Return the job with this name, or whose id begins so. Raises NotFound."""
        known = list(self.jobs)
        found = [job for job in known if job.name == name]
        if not found and len(name) >= _ID_DIGITS_MIN:
            found = [job for job in known if job.id.hex().startswith(name)]
        if len(found) != 1:
            raise NotFound(f"there is no job {name[:60]!r}", hint="timmy jobs list")
        return found[0]

    def next_due(self, job: Job) -> int | None:
        """Return when it is due next, or since when; None for never."""
        return next_due(job, zone(job.spec.zone), self.now_s)

    def history(self, job: bytes, *, last: int) -> list[Event]:
        """Return the newest events of a job, oldest first; one that was removed has them still."""
        return self._journal.log.stream(job, last=last)

    async def add(
        self,
        spec: JobSpec,
        words: Words,
        *,
        by: str,
        parent: bytes | None = None,
        job: bytes | None = None,
        at_s: int | None = None,
        yes: bool = False,
    ) -> Event:
        """Record a job and return its event. `parent`: the run that asks for it; `at_s`: when its
        plan begins, if not now; `yes`: the operator allows what it runs, each time.

        Raises JobRefused.
        """
        await self._check(spec, words)
        allowed = self._admit(spec, words, yes=yes and parent is None)
        if spec.shared is not None:
            job = shared_id(spec, words)
        async with self._journal.deciding:
            known = list(self.jobs)
            if any(other.name == spec.name for other in known):
                raise JobRefused(
                    f"there is a job {spec.name!r}", hint=f"timmy jobs remove {spec.name}"
                )
            if len(known) >= limits.JOBS_MAX and spec.kind not in BUILT_IN:
                raise JobRefused(
                    f"{len(known)} jobs, at most {limits.JOBS_MAX}", hint="timmy jobs remove NAME"
                )
            payload = {
                "job": secrets.token_bytes(STREAM_BYTES) if job is None else job,
                "spec": spec.to_value(),
                "at_s": self.now_s if at_s is None else at_s,
                "depth": 0 if parent is None else self._depth(parent),
                "by": by,
                **allowed,
            }
            return await self._record(types.JOB_ADDED.name, payload, words.to_content())

    async def add_once(
        self, spec: JobSpec, *, by: str, job: bytes, at_s: int | None = None
    ) -> None:
        """Record a job of the node's own, unless it is there. Raises JobRefused."""
        try:
            await self.add(spec, Words(), by=by, job=job, at_s=at_s)
        except JobRefused:
            if self.jobs.get(job) is None:  # else somebody else asked for it in this very moment
                raise

    async def change(
        self, job: Job, spec: JobSpec, words: Words, *, by: str, yes: bool = False
    ) -> Event:
        """Give a job another plan or deed; it is due by the new plan from now on.

        One that a fleet shares stays what it is: by its words its members know it.
        What it runs needs a yes only if it is not what it ran before. Raises JobRefused, NotFound.
        """
        await self._check(spec, words)
        if spec.shared is not None and shared_id(spec, words) != job.id:
            raise JobRefused(
                f"this would not be the job {job.name} that the other members have",
                hint="remove it and add it anew, on every member",
            )
        allowed = self._kept(job, spec, words) if not yes else None
        if allowed is None:
            allowed = self._admit(spec, words, yes=yes)
        payload = {"job": job.id, "spec": spec.to_value(), "at_s": self.now_s, "by": by, **allowed}
        async with self._journal.deciding:
            if self.jobs.get(job.id) is None:
                raise NotFound(f"there is no job {job.name!r} any more", hint="timmy jobs list")
            return await self._record(types.JOB_CHANGED.name, payload, words.to_content())

    async def noticed(self, known: bytes, plan: Watch, looks: bytes) -> None:
        """Record how the place that a job follows looks now, if it looked otherwise before."""
        async with self._journal.deciding:
            job = self.jobs.get(known)
            if job is None or job.paused or job.spec.schedule != plan or job.seen == looks:
                return
            payload = {
                "job": job.id,
                "seen": looks,
                "changed": job.seen is not None,
                "at_s": self.now_s,
            }
            await self._record(types.JOB_NOTICED.name, payload, None)

    async def pause(self, name: str, *, by: str) -> Event:
        """Have a job not be due until it is resumed. Raises NotFound, JobRefused."""
        async with self._journal.deciding:
            job = self.find(name)
            if job.paused:
                raise JobRefused(f"{job.name} is paused", hint=f"timmy jobs resume {job.name}")
            return await self._about(types.JOB_PAUSED.name, job, by)

    async def resume(self, name: str, *, by: str) -> Event:
        """Have a paused job be due again; what it missed is gone. Raises NotFound, JobRefused."""
        async with self._journal.deciding:
            job = self.find(name)
            if not job.paused:
                raise JobRefused(f"{job.name} is not paused", hint="timmy jobs list")
            return await self._about(types.JOB_RESUMED.name, job, by)

    async def remove(self, name: str, *, by: str) -> Event:
        """Forget a job; a run under way goes on, its history stays. Raises NotFound, JobRefused."""
        async with self._journal.deciding:
            job = self.find(name)
            if job.spec.kind in BUILT_IN:
                raise JobRefused(
                    f"{job.name} is the node's own", hint="pause it, or switch it off in node.toml"
                )
            return await self._about(types.JOB_REMOVED.name, job, by)

    async def run_now(self, name: str, *, key: bytes | None = None) -> Event:
        """Claim a run of a job at once, whatever its plan; return the claim. A known `key` returns
        the claim that was made with it.

        Raises NotFound, and JobRefused if one is under way and the job does not run in parallel.
        """
        async with self._journal.deciding:
            job = self.find(name)
            keyed = None if key is None else run_id(key, 0)
            known = None if keyed is None else self._journal.log.find(claim_key(keyed, 1))
            if known is not None:
                return known
            if job.open and job.spec.overlap is not Overlap.PARALLEL:
                raise JobRefused(f"a run of {job.name} is under way", hint="wait for its end")
            if job.spec.kind in INSTANT:
                raise JobRefused(f"{job.name} runs by its plan alone", hint="timmy jobs report")
            run = keyed or run_id(secrets.token_bytes(STREAM_BYTES), self.now_s)
            draft = claim(job, run, self.now_s, 1, MANUAL, self.now_s)
            [event] = await self._journal.append(draft)
        self.changed.set()
        return event

    async def _check(self, spec: JobSpec, words: Words) -> None:
        words.check(spec.kind)
        if isinstance(spec.schedule, Watch):
            await self.sight(spec.schedule)  # is there somebody to ask
        follows = isinstance(spec.schedule, FOLLOWS)
        if not follows and next_after(spec.schedule, zone(spec.zone), self.now_s) is None:
            raise JobRefused("the plan has no time to come", hint="give one in the future")
        runs_something = spec.kind is Kind.SCRIPT or words.argv
        if runs_something and spec.confined and not self._confines:
            raise JobRefused(
                "scripts cannot be confined on this machine",
                hint="timmy doctor says why; or say --unconfined if you trust the script",
            )
        if words.prompt and await screen_message(words.prompt) is not None:
            raise JobRefused(
                "the crisis screen would hold these words", hint="say it to the agent yourself"
            )

    def _admit(self, spec: JobSpec, words: Words, *, yes: bool) -> dict[str, Any]:
        if not words.argv:
            return {}
        return {ALLOWED: self.door.admit(words.argv, confined=spec.confined, yes=yes)}

    def _kept(self, job: Job, spec: JobSpec, words: Words) -> dict[str, Any] | None:
        """What is on record, if the same is run in the same way and still may be; else None."""
        before = self._journal.log.read(job.words)
        had = None if before.content is None else Words.from_content(before.content)
        if had is None or had.argv != words.argv or job.spec.confined != spec.confined:
            return None
        if not words.argv:
            return {}
        allowed = before.payload.get(ALLOWED)
        self.door.check(words.argv, confined=spec.confined, allowed=allowed)
        return {} if allowed is None else {ALLOWED: allowed}

    def _depth(self, parent: bytes) -> int:
        run = self.jobs.run(parent)
        job = None if run is None else self.jobs.get(run.job)
        if job is None:
            raise JobRefused("the run that asks for a job is not under way", hint="ask without it")
        if job.depth >= limits.JOB_DEPTH_MAX:
            raise JobRefused(
                f"a job at depth {job.depth} adds none, at most {limits.JOB_DEPTH_MAX}",
                hint="the operator can add it: timmy jobs add",
            )
        return job.depth + 1

    async def _about(self, kind: str, job: Job, by: str) -> Event:
        return await self._record(kind, {"job": job.id, "at_s": self.now_s, "by": by}, None)

    async def _record(
        self, kind: str, payload: dict[str, Any], content: dict[str, Any] | None
    ) -> Event:
        draft = Draft(type=kind, stream=payload["job"], payload=payload, content=content)
        [event] = await self._journal.append(draft)
        self.changed.set()
        return event


def claim(
    job: Job,
    run: bytes,
    planned_s: int,
    attempt: int,
    trigger: str,
    now_s: int,
    *,
    number: int | None = None,
    causes: tuple[Cause, ...] = (),
    duty: Mapping[str, Any] = NOBODY_ELSE,
) -> Draft:
    """Return what claims an attempt of a run. `number`: of a job that follows events; `duty`: by
    what right this member of a fleet does it (`runtime.sharing`).
    """
    payload = {
        "job": job.id,
        "run": run,
        "planned_s": planned_s,
        "attempt": attempt,
        "trigger": trigger,
        "at_s": now_s,
    }
    return Draft(
        type=types.JOB_STARTED.name,
        stream=job.id,
        payload=payload | ({} if number is None else {"number": number}) | dict(duty),
        causes=causes,
        idempotency_key=claim_key(run, attempt),
    )


def words_of_job(journal: Journal, job: Job) -> Words:
    """Return what a job runs or says. Raises JobRefused if it was erased."""
    if job.spec.kind in BUILT_IN:
        return Words()
    content = journal.log.read(job.words).content
    if content is None:
        raise JobRefused("what it runs was erased", hint=f"timmy jobs remove {job.name}")
    return Words.from_content(content)
