"""The node's scheduler: its parts made, and what status, metrics and API tell of jobs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ledger.core.event import Event
from node.agent.hosts import Hosts
from node.config import JobsSection, own_plan
from node.fleet.duties import FleetDuty
from node.home import Home
from node.machine import read_machine
from node.open import now_ms
from runtime.agent_jobs import AgentJobs
from runtime.core.jobs import Job, built_in_id
from runtime.core.jobspec import BUILT_IN, KIN, JobSpec, Kind
from runtime.core.limits import ON_TIME_S_MAX
from runtime.core.schedule import FOLLOWS, Once
from runtime.core.tally import alarms, reported
from runtime.core.whens import describe
from runtime.gateway import Gateway
from runtime.job_door import ALLOWED, JobDoor
from runtime.jobs import JobBook
from runtime.journal import Journal
from runtime.sandbox import Engine
from runtime.scheduler import Runner, Scheduler
from runtime.scripts import Scripts
from runtime.service import Service
from runtime.sharing import Sharing, duty_of
from runtime.sightings import Sight
from runtime.standing import BACKFILL, Standing
from runtime.watching import Watcher
from runtime.zones import wall_clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduling:
    """The book of jobs, the scheduler, and views of both."""

    journal: Journal
    book: JobBook
    scheduler: Scheduler
    watcher: Watcher
    zone: str
    """Of plans that name none."""
    duty: FleetDuty
    others: list[Callable[[], Mapping[tuple[str, str], str]]]
    """Parts beside the scheduler that know of alarms; the heartbeat asks them."""

    def rows(self) -> list[dict[str, Any]]:
        """Every job as the row that scripts rely on; those that begin later are last."""
        found = [self.row(job) for job in self.book.jobs]
        waiting = self.scheduler.awaited.items()
        return found + [
            {"name": name, "kind": name, "state": "scheduled", "next_s": due, "zone": self.zone}
            for name, due in waiting
        ]

    def row(self, job: Job) -> dict[str, Any]:
        """One job. `next` and `last` are shown on the clock of its zone."""
        spec, due = job.spec, self.book.next_due(job)
        last = job.last
        return {
            "id": job.id,
            "name": job.name,
            "kind": spec.kind.value,
            "state": self._state(job, due),
            "when": _when(spec),
            "zone": spec.zone,
            "next_s": due,
            "next": None if due is None else wall_clock(due, spec.zone),
            "running": len(job.open),
            "runs": job.runs,
            "failed_in_a_row": job.fails,
            "last": last
            and {
                "planned": wall_clock(last.planned_s, spec.zone),
                "outcome": last.outcome,
                "ended_s": last.ended_s,
                "event": last.position,
            },
            "backfill": spec.backfill.value,
            "overlap": spec.overlap.value,
            "repeatable": spec.repeatable,
            "confined": spec.confined,
            "limit_s": spec.limit_s,
            "shared": self._shared(job),
            "depth": job.depth,
            "event": job.words,
        }

    def _shared(self, job: Job) -> dict[str, Any] | None:
        """How a fleet shares a job; `held` is the run that was decided last, and by whom done."""
        shared, held = job.spec.shared, job.held
        if shared is None:
            return None
        return {
            "fleet": shared.fleet,
            "mode": shared.mode.value,
            "member": self.duty.name(shared.member) if shared.member else None,
            "awaited": job.waiting,
            "held": held
            and {
                "planned": wall_clock(held.planned_s, job.spec.zone),
                "member": self.duty.name(held.member),
                "fence": held.fence or None,
            },
        }

    def _state(self, job: Job, due: int | None) -> str:
        if job.paused:
            return "paused"
        if job.open:
            return "running"
        if due is None:
            return "waiting" if isinstance(job.spec.schedule, FOLLOWS) else "over"
        return "late" if self.book.now_s - due > ON_TIME_S_MAX else "scheduled"

    def words(self, job: Job) -> dict[str, Any] | None:
        """What a job runs or says; None if it has no words, or they were erased."""
        return self.journal.log.read(job.words).content

    def allowed(self, job: Job) -> dict[str, Any] | None:
        """Who allowed what a job runs, as it is on record; None if it runs nothing, or of old."""
        return self.journal.log.read(job.words).payload.get(ALLOWED)

    def report(self) -> Event | None:
        """The newest report."""
        found = reported(self.journal.state.entries)
        return None if found is None else self.journal.log.read(found.position)

    def alarms(self) -> list[dict[str, Any]]:
        """What needs a person now, oldest first."""
        log = self.journal.log
        return [
            {
                "trigger": alarm.trigger,
                "subject": alarm.subject,
                "why": log.read(alarm.position).payload.get("why"),
                "since_s": alarm.since_s,
                "event": alarm.position,
            }
            for alarm in alarms(self.journal.state.entries)
        ]

    def summary(self) -> dict[str, Any]:
        """What status tells: how many, how many run, are late or fail; when it looked last."""
        rows = self.rows()
        states = [row["state"] for row in rows]
        return {
            "known": len(rows),
            "running": states.count("running"),
            "late": states.count("late"),
            "failing": sum(1 for row in rows if row.get("failed_in_a_row")),
            "looked_s": self.scheduler.looked_s,
        }

    def readings(self) -> Mapping[str, tuple[str, float]]:
        """What the metrics tell."""
        entries = self.journal.state.entries
        return {
            "job_runs": ("Runs of jobs under way", len(self.book.jobs.open_runs())),
            "alarms": ("What needs a person", len(entries.get("alarms", ()))),
        }


def _when(spec: JobSpec) -> str:
    if isinstance(spec.schedule, Once):
        return f"once, {wall_clock(spec.schedule.at_s, spec.zone)}"
    return describe(spec.schedule)


def make_scheduling(
    home: Home,
    section: JobsSection,
    journal: Journal,
    gateway: Gateway,
    service: Service,
    host: Hosts,
    engine: Engine,
    name: str,
    own_runs: Mapping[Kind, Runner],
    door: JobDoor,
    sight: Sight,
    duty: FleetDuty,
) -> Scheduling:
    """Make the scheduler of a node. `own_runs`: what runs beside turns, and is not one event."""
    confines = engine is not Engine.NONE
    book = JobBook(journal, clock=now_ms, confines=confines, door=door, sight=sight)
    scripts = Scripts(
        home=home.path,
        engine=engine,
        clock=now_ms,
        door=door,
        allowed=lambda job: journal.log.read(job.words).payload.get(ALLOWED),
        fence=lambda run: duty_of(journal.log.read(run.claim)).get("fence"),
    )
    agent = AgentJobs(
        journal=journal,
        gateway=gateway,
        service=service,
        answer_to=host.answer_to,
        scripts=scripts,
        clock=now_ms,
    )
    others: list[Callable[[], Mapping[tuple[str, str], str]]] = []
    own = Standing(
        journal=journal,
        machine=lambda: read_machine(home.path),
        name=name,
        others=lambda: {name: why for one in others for name, why in one().items()},
    )
    scheduler = Scheduler(
        journal,
        book,
        runners={Kind.SCRIPT: scripts, Kind.AGENT: agent, **own_runs},
        instants={Kind.HEARTBEAT: own.beat, Kind.REPORT: own.report},
        standing=_standing(section, journal.log.ledger_id),
        sharing=Sharing(journal, book, duty),
    )
    return Scheduling(
        journal=journal,
        book=book,
        scheduler=scheduler,
        watcher=Watcher(book),
        zone=section.time_zone,
        duty=duty,
        others=others,
    )


def _standing(section: JobsSection, ledger: bytes) -> dict[bytes, JobSpec]:
    found = {}
    for kind in sorted(BUILT_IN - KIN):
        plan = own_plan(getattr(section, kind.value), section.time_zone)
        if plan is not None:
            found[built_in_id(ledger, kind.value)] = JobSpec(
                name=kind.value,
                kind=kind,
                schedule=plan,
                zone=section.time_zone,
                backfill=BACKFILL[kind],
            )
    return found
