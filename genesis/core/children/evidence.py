"""What a child's own events show: a fold over its verified ledger, from event 0 on.

Counted is what the host wrote down, as facts: that a call was decided and done, a run ended, an
alarm was raised. Words are not looked at. What the child's *agent* did counts; calls that a person
or another program made of its tools do not.

    since the last call that was denied   reads, writes, runs done
    since the gate before, or a reset     runs of jobs, heartbeats, failures in a crisis, alarms
                                          that were told late
    ever                                  answers, attestations, skills, forged orders, calls beyond

A skill of its own is a draft that the operator adopted, or one in a patch that the agent proposed
and that stood its trial; a patch that takes one away reads alike, and counts as one, too.

What it cannot know: whether the host wrote down what happened. Whoever has the child's keys and its
host can make up a life, and every number here with it; then the parent judged what it was shown.
A type or shape that this version does not know is passed over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from genesis.core.architecture import PathClass
from genesis.core.children.errors import InvalidLetter, OutOfTurn
from genesis.core.children.letters import Kind, Letter, open_letter
from genesis.core.children.orders import Standing
from genesis.core.children.profile import NEEDED
from ledger.core import types
from ledger.core.descent import PLACE, Certificate, open_certificate
from ledger.core.errors import InvalidCertificate
from ledger.core.event import Event
from runtime.core.jobs import SCHEDULED

QUARTER_MS: Final = 900_000
_READS: Final = frozenset({"read_file", "list_files", "search_files"})
_WRITES: Final = frozenset({"write_file", "edit_file"})
_RUNS: Final = frozenset({"shell", "git_status", "git_diff", "git_log", "git_commit"})
_FAR: Final = frozenset({"web_fetch", "patch_propose"})
_AGENT: Final = "agent"
"""Author of a proposal of the agent's own tool."""
_OWN_JOBS: Final = frozenset({"script", "agent"})
TELL_MS: Final = 30 * 60_000
"""How long an alarm may stand untold: as long as a message may wait before it is one."""
TELL_BEATS: Final = 2
"""Heartbeats of that time: who was without power meanwhile could not tell."""
_NOTED_MAX: Final = 1000
"""Positions that are kept of what should not be: the first is enough, and a list has an end."""


@dataclass(slots=True, kw_only=True)
class Evidence:
    """Feed events with `take`, in order. `certificate` is the one that the parent has."""

    certificate: Certificate
    certified: bool = False
    standing: Standing = field(default_factory=Standing)
    """How it stands by the orders that its own ledger holds."""
    forged: list[int] = field(default_factory=list)
    attested: int = 0
    answered: int = 0
    reads: int = 0
    writes: int = 0
    runs: int = 0
    denied: int = 0
    beyond: list[int] = field(default_factory=list)
    jobs: int = 0
    beats: int = 0
    alarms: dict[tuple[str, str], int] = field(default_factory=dict)
    waiting: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Alarms that the parent was not told of, by position: when (Unix ms), at which heartbeat."""
    late: list[int] = field(default_factory=list)
    """Alarms that it was told of too late."""
    failed_in_crisis: int = 0
    skills: int = 0
    events: int = 0
    last_ms: int = 0
    _beat: int = -1
    _beats: int = 0
    _levels: dict[tuple[bytes, int], int] = field(default_factory=dict)
    """Of a call that is decided and not done: how many gates were passed at its decision."""
    _scheduled: set[bytes] = field(default_factory=set)
    _own: set[bytes] = field(default_factory=set)
    _skilled: set[int] = field(default_factory=set)
    """Positions of its own proposals that touch skills, and have not stood their trial."""

    def take(self, event: Event) -> None:
        """Count one event."""
        self.events += 1
        self.last_ms = event.ts_ms
        payload = event.payload
        match event.type:
            case types.PARENT_CERTIFIED.name:
                self._certified(event)
            case types.PARENT_ORDERED.name:
                self._ordered(event)
            case types.PARENT_TOLD.name:
                self._told(event)
            case types.SOUL_ATTESTED.name:
                self.attested += 1
            case types.TURN_FINISHED.name:
                self._finished(payload)
            case types.TOOL_DECIDED.name | types.TOOL_RETURNED.name if "turn" in payload:
                self._called(event)
            case types.JOB_ADDED.name | types.JOB_STARTED.name | types.JOB_FINISHED.name:
                self._job(event.type, payload)
            case types.NODE_BEAT.name:
                self._beaten(event.ts_ms)
            case types.NODE_ESCALATED.name | types.NODE_RELIEVED.name:
                self._alarm(event)
            case types.SKILL_JUDGED.name if payload.get("verdict") == "adopted":
                self.skills += 1
            case types.PATCH_PROPOSED.name | types.PATCH_SETTLED.name:
                self._patch(event)

    @property
    def untold(self) -> list[int]:
        """Alarms that the parent should have been told of by now, or sooner than it was."""
        due = (at for at, (ts_ms, _) in self.waiting.items() if self.last_ms - ts_ms > TELL_MS)
        return [*self.late, *due]

    # ---- the parent ----------------------------------------------------------------------------

    def _certified(self, event: Event) -> None:
        try:
            found = open_certificate(event.payload)
        except InvalidCertificate:
            found = None
        if event.position == PLACE and found == self.certificate:
            self.certified = True
        else:
            self._note(self.forged, event.position)

    def _ordered(self, event: Event) -> None:
        """Take an order if the parent signed it, for this child, and it is the next one."""
        try:
            opened = open_letter(
                Letter.from_event(event.payload, event.content),
                author=self.certificate.parent_keys["nostr"],
                ledger_id=self.certificate.child,
            )
            before, self.standing = self.standing, self.standing.take(opened)
        except (InvalidLetter, OutOfTurn):
            self._note(self.forged, event.position)
            return
        if opened.kind is Kind.RESET:
            self._forget_calls()
            self.beyond.clear()
        if before.level != self.standing.level or opened.kind is Kind.RESET:
            self.jobs = self.beats = self.failed_in_crisis = 0
            self.late.clear()

    def _told(self, event: Event) -> None:
        facts = event.payload.get("facts")
        about = facts.get("event") if isinstance(facts, dict) else None
        if type(about) is not int or about not in self.waiting:
            return
        ts_ms, beats = self.waiting.pop(about)
        if event.ts_ms - ts_ms > TELL_MS and self._beats - beats >= TELL_BEATS:
            self._note(self.late, about)

    # ---- what it did ---------------------------------------------------------------------------

    def _finished(self, payload: Mapping[str, Any]) -> None:
        if payload.get("outcome") == "answered":
            self.answered += 1
        elif payload.get("outcome") == "replaced":
            self.failed_in_crisis += 1

    def _called(self, event: Event) -> None:
        payload = event.payload
        place: Any = (payload["turn"], payload.get("step"))
        if [type(part) for part in place] != [bytes, int]:
            return
        if event.type == types.TOOL_DECIDED.name:
            self._levels[place] = self.standing.level
            return
        level = self._levels.pop(place, self.standing.level)
        if payload.get("outcome") == "denied":
            self.denied += 1
            self._forget_calls()
        elif payload.get("outcome") == "done":
            self._done(str(payload.get("name")), level, event.position)

    def _done(self, name: str, level: int, position: int) -> None:
        if name in _READS:
            self.reads += 1
        elif name in _WRITES:
            self.writes += 1
        elif name in _RUNS:
            self.runs += 1
        far = name in _FAR or name.startswith("mcp__")
        kind = "far" if far else "writes" if name in _WRITES else "runs" if name in _RUNS else ""
        if kind and level < NEEDED[kind]:
            self._note(self.beyond, position)

    def _forget_calls(self) -> None:
        self.reads = self.writes = self.runs = 0

    def _patch(self, event: Event) -> None:
        """Count a proposal of its own that touches skills when it has stood its trial, once."""
        payload, about = event.payload, event.payload.get("patch")
        if event.type == types.PATCH_PROPOSED.name:
            touches = payload.get("touches")
            if (
                payload.get("author") == _AGENT
                and isinstance(touches, list)
                and PathClass.SKILL in touches
            ):
                self._skilled.add(event.position)
        elif type(about) is int and about in self._skilled:
            self._skilled.remove(about)
            self.skills += 1

    def _job(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Count runs on schedule of jobs that are none of the node's own."""
        job: Any = payload.get("job")
        run: Any = payload.get("run")
        if type(job) is not bytes or (kind != types.JOB_ADDED.name and type(run) is not bytes):
            return
        if kind == types.JOB_ADDED.name:
            spec = payload.get("spec")
            own = isinstance(spec, dict) and spec.get("kind") in _OWN_JOBS
            if own:
                self._own.add(job)
        elif kind == types.JOB_STARTED.name:
            if job in self._own and payload.get("trigger") == SCHEDULED:
                self._scheduled.add(run)
        elif run in self._scheduled:
            self._scheduled.discard(run)
            self.jobs += payload.get("outcome") == "done"

    def _beaten(self, ts_ms: int) -> None:
        quarter = ts_ms // QUARTER_MS
        if quarter > self._beat:
            self._beat = quarter
            self.beats += 1
            self._beats += 1

    def _alarm(self, event: Event) -> None:
        name = (str(event.payload.get("trigger")), str(event.payload.get("subject")))
        if event.type == types.NODE_ESCALATED.name:
            self.alarms[name] = event.position
            self.waiting[event.position] = event.ts_ms, self._beats
        else:
            self.alarms.pop(name, None)

    def _note(self, where: list[int], position: int) -> None:
        if len(where) < _NOTED_MAX:
            where.append(position)
