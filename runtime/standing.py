"""The jobs that every node has of its own: the heartbeat and the morning report.

Neither asks a model or starts a process: they write down what is. A run is one event, `node.beat`
or `node.reported`, claim and result at once. The heartbeat also compares what it read with the
bounds of `runtime.core.alarms`; what is new among them becomes `node.escalated`, what is over
`node.relieved`, in the same commit, and a line in the log.

Not covered: telling a person who does not look. Alarms stand in the ledger, in status, in doctor
and in the next report; sending them somewhere is a gateway's business (`node.nostr.notices`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from ledger.core import types
from ledger.core.event import Draft
from runtime.core.alarms import Readings, raised
from runtime.core.jobs import GOOD, Job, Jobs, claim_key
from runtime.core.jobspec import Backfill, Kind
from runtime.core.report import make_report
from runtime.core.tally import alarms, reported, streaks, tallies
from runtime.journal import Journal
from runtime.zones import wall_clock

Machine = Callable[[], dict[str, int]]
"""What the machine has: disk_bytes, disk_free_bytes, memory_.., swap_.., load_milli, cores."""
BACKFILL: Final = {
    Kind.HEARTBEAT: Backfill.SKIP,
    Kind.REPORT: Backfill.LATEST,
    Kind.HISTORIAN: Backfill.SKIP,
    Kind.DREAMER: Backfill.LATEST,
    Kind.HEALER: Backfill.SKIP,
    Kind.PARENT_CHECK: Backfill.SKIP,
    Kind.PARENT_REPORT: Backfill.LATEST,
    Kind.CHILDREN_REVIEW: Backfill.LATEST,
}
"""A heartbeat of an hour ago says nothing; a report is late, and welcome. The historian reads at
its next time what it missed; a node that is off every night still dreams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Makes the events of built-in runs."""

    journal: Journal
    machine: Machine
    name: str
    """The agent's, for the title of its reports."""
    others: Callable[[], Mapping[tuple[str, str], str]] = dict
    """Alarms that somebody else knows of: (trigger, subject) to what a person reads."""

    async def beat(self, job: Job, facts: dict[str, Any]) -> list[Draft]:
        """Return the heartbeat named by `facts`, and alarms that begin or end with it."""
        entries = self.journal.state.entries
        machine, waiting = self.machine(), self._waiting(facts["at_s"])
        refused = entries.get("tally/refused", 0)
        payload = {
            **facts,
            "machine": machine,
            "waiting": len(waiting),
            "waiting_s": waiting[0][1] if waiting else 0,
            "runs": len(Jobs(entries).open_runs()),
            "refused": refused,
        }
        readings = Readings(
            machine=machine,
            waiting=waiting,
            runs=tuple(self._under_way(facts["at_s"])),
            streaks=tuple(self._streaks()),
            tool_errors=refused - self._refused_before(),
        )
        beat = Draft(
            type=types.NODE_BEAT.name,
            stream=job.id,
            payload=payload,
            idempotency_key=claim_key(facts["run"], 1),
        )
        return [beat, *self._alarms(readings, facts["at_s"])]

    async def report(self, job: Job, facts: dict[str, Any]) -> list[Draft]:
        """Return the report named by `facts`."""
        entries = self.journal.state.entries
        before, now = reported(entries), tallies(entries)
        failing = [
            f"job {other.name}: {other.fails} in a row, {other.why}"
            for other in Jobs(entries)
            if other.fails
        ]
        when = wall_clock(facts["at_s"], job.spec.zone)
        text = make_report(
            title=f"{self.name}, {when}",
            before={} if before is None else before.tallies,
            now=now,
            alarms=alarms(entries),
            failing=failing,
            machine=self.machine(),
        )
        draft = Draft(
            type=types.NODE_REPORTED.name,
            stream=job.id,
            payload={**facts, "tallies": now},
            content={"text": text},
            idempotency_key=claim_key(facts["run"], 1),
        )
        return [draft]

    def _waiting(self, now_s: int) -> tuple[tuple[int, int], ...]:
        log, pending = self.journal.log, self.journal.turns.pending
        since = ((position, log.read(position).ts_ms // 1000) for position in pending)
        return tuple((position, max(0, now_s - received_s)) for position, received_s in since)

    def _under_way(self, now_s: int) -> Iterator[tuple[str, int, int]]:
        jobs = Jobs(self.journal.state.entries)
        for run in jobs.open_runs():
            job = jobs.get(run.job)
            if job is None:
                continue
            good = job.last is not None and job.last.outcome in GOOD
            took = self.journal.log.read(job.last.position).payload if job.last and good else {}
            yield job.name, max(0, now_s - run.started_s), took.get("took_s", 0)

    def _streaks(self) -> list[tuple[str, str, int]]:
        entries = self.journal.state.entries
        failing = [(f"job/{job.name}", job.why, job.fails) for job in Jobs(entries) if job.fails]
        return [*streaks(entries), *failing]

    def _refused_before(self) -> int:
        position = self.journal.state.entries.get("beat")
        found = 0 if position is None else self.journal.log.read(position).payload.get("refused")
        return found if type(found) is int else 0

    def _alarms(self, readings: Readings, now_s: int) -> list[Draft]:
        standing = {(alarm.trigger, alarm.subject) for alarm in alarms(self.journal.state.entries)}
        found = raised(readings) | dict(self.others())
        logger = structlog.get_logger("runtime.standing")
        drafts = []
        for (trigger, subject), why in found.items():
            if (trigger, subject) not in standing:
                logger.error("needs a person", trigger=trigger, subject=subject, why=why)
                drafts.append(_alarm(types.NODE_ESCALATED.name, trigger, subject, now_s, why))
        drafts += [
            _alarm(types.NODE_RELIEVED.name, trigger, subject, now_s, "")
            for trigger, subject in sorted(standing - found.keys())
        ]
        return drafts


def _alarm(kind: str, trigger: str, subject: str, now_s: int, why: str) -> Draft:
    payload = {"trigger": trigger, "subject": subject, "at_s": now_s, "why": why}
    return Draft(type=kind, stream=types.NODE_STREAM, payload=payload)
