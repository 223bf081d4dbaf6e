"""What a job is: its plan and policies, which are facts, and its words, which can be erased.

script       an argument vector, run without a shell
agent        a message to the agent, and what runs instead when no model answers
heartbeat, report    the node's own, made of facts and never of a model's words
historian, dreamer   the node's own: memories from conversations, drafts of skills
parent-check, parent-report, children-review   the node's own, between a parent agent and a child

backfill     what becomes of planned times that passed while the node was off: `skip` them,
             run the `latest`, or `all` (at most BACKFILL_RUNS_MAX, one after the other)
overlap      what becomes of one that comes while a run is under way: `skip` it, let it `wait`
             (several waiting are then treated as if missed), or run it in `parallel`
repeatable   whether a script that a crash of the node cut short may simply run again
shared       whether the members of a fleet have this job together, and who of them does a run
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeVar

from runtime.core import limits
from runtime.core.errors import JobRefused
from runtime.core.schedule import FOLLOWS, Every, Schedule, from_value, to_value

_E = TypeVar("_E", bound=StrEnum)
_KEY_BYTES: Final = 32
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,47}")


class Kind(StrEnum):
    """What a run of a job does."""

    SCRIPT = "script"
    AGENT = "agent"
    HEARTBEAT = "heartbeat"
    REPORT = "report"
    HISTORIAN = "historian"
    DREAMER = "dreamer"
    HEALER = "healer"
    PARENT_CHECK = "parent-check"
    PARENT_REPORT = "parent-report"
    CHILDREN_REVIEW = "children-review"


INSTANT: Final = frozenset({Kind.HEARTBEAT, Kind.REPORT})
"""A run of these is one event."""
KIN: Final = frozenset({Kind.PARENT_CHECK, Kind.PARENT_REPORT, Kind.CHILDREN_REVIEW})
"""Of an agent that has a parent, or children, and of no other."""
BUILT_IN: Final = INSTANT | KIN | {Kind.HISTORIAN, Kind.DREAMER, Kind.HEALER}
"""Their names are their kinds, and they have no words."""


class Backfill(StrEnum):
    """What becomes of planned times that were missed."""

    SKIP = "skip"
    LATEST = "latest"
    ALL = "all"


class Overlap(StrEnum):
    """What becomes of a planned time that comes while a run is under way."""

    SKIP = "skip"
    WAIT = "wait"
    PARALLEL = "parallel"


class Mode(StrEnum):
    """Who of a fleet does a planned run: docs/spec/mesh.md, "Distributed jobs"."""

    OWNER = "owner"
    QUORUM = "quorum"
    PINNED = "pinned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """That the members of a fleet have a job together. `fleet`: the fleet's id.

    `member`: the Nostr key of the one that a pinned job is pinned to, else empty.
    """

    fleet: bytes
    mode: Mode
    member: bytes = b""

    def __post_init__(self) -> None:
        lengths = (len(self.fleet), len(self.member))
        if lengths != (_KEY_BYTES, _KEY_BYTES if self.mode is Mode.PINNED else 0):
            raise JobRefused(
                f"a fleet of {lengths[0]} bytes and a member of {lengths[1]}, expected "
                f"{_KEY_BYTES}, and a member if the job is pinned",
                hint="--mode owner, quorum or pinned:MEMBER",
            )

    def to_value(self) -> dict[str, Any]:
        """Return what stands in the ledger."""
        return {"fleet": self.fleet, "mode": self.mode.value, "member": self.member}

    @classmethod
    def from_value(cls, value: object) -> "Shared":
        """Read what `to_value` gives. Raises JobRefused."""
        match value:
            case {"fleet": bytes(fleet), "mode": str(mode), "member": bytes(member)}:
                return cls(fleet=fleet, mode=choice(Mode, mode), member=member)
        raise JobRefused("not a way to share a job that this version knows")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """The facts of a job. Making one raises JobRefused for what is out of bounds."""

    name: str
    kind: Kind
    schedule: Schedule
    zone: str = "UTC"
    backfill: Backfill = Backfill.SKIP
    overlap: Overlap = Overlap.SKIP
    repeatable: bool = False
    confined: bool = True
    """A script that is not confined runs as the node's own user, with files and network."""
    limit_s: int = 300
    shared: Shared | None = None
    """None: the job is this node's alone."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise JobRefused(
                f"{self.name[:60]!r} is no name for a job",
                hint="1 to 48 of a-z, 0-9, dot, dash and underscore, a letter or digit first",
            )
        if (self.name in BUILT_IN) != (self.kind in BUILT_IN):
            raise JobRefused(
                f"{self.name!r} is the name of a job of the node's own", hint="take another name"
            )
        if not 1 <= self.limit_s <= limits.JOB_SECONDS_MAX:
            raise JobRefused(
                f"a limit of {self.limit_s} seconds, expected 1 to {limits.JOB_SECONDS_MAX}",
                hint="what runs for longer is a service: see timmy service",
            )
        if self.backfill is Backfill.ALL and self.overlap is Overlap.SKIP:
            raise JobRefused(
                "backfill all with overlap skip would skip what it made up for",
                hint="take overlap wait, and missed runs come one after the other",
            )
        if self.shared is not None:
            self._check_shared()

    def _check_shared(self) -> None:
        """What a fleet shares must mean the same at every member. Raises JobRefused."""
        if self.kind in BUILT_IN:
            raise JobRefused(f"{self.name} is each node's own", hint="leave out --mode")
        if isinstance(self.schedule, FOLLOWS):
            raise JobRefused(
                "a shared job has planned times, and follows nothing: what a node sees is its own",
                hint="leave out --mode, or give a time: every 15m, a date, cron",
            )
        if isinstance(self.schedule, Every) and self.schedule.anchor_s:
            raise JobRefused(
                f"a shared interval from {self.schedule.anchor_s}, expected from 0",
                hint="members count it from 1 January 1970, whenever they add it",
            )

    def to_value(self) -> dict[str, Any]:
        """Return what stands in the ledger."""
        shared = {} if self.shared is None else {"shared": self.shared.to_value()}
        return shared | {
            "name": self.name,
            "kind": self.kind.value,
            "schedule": to_value(self.schedule),
            "zone": self.zone,
            "backfill": self.backfill.value,
            "overlap": self.overlap.value,
            "repeatable": self.repeatable,
            "confined": self.confined,
            "limit_s": self.limit_s,
        }

    @classmethod
    def from_value(cls, value: object) -> "JobSpec":
        """Read what `to_value` gives. Raises JobRefused."""
        match value:
            case {
                "name": str(name),
                "kind": str(kind),
                "schedule": schedule,
                "zone": str(zone),
                "backfill": str(backfill),
                "overlap": str(overlap),
                "repeatable": bool(repeatable),
                "confined": bool(confined),
                "limit_s": int(limit_s),
            } if isinstance(value, dict):
                shared = value.get("shared")
                return cls(
                    shared=None if shared is None else Shared.from_value(shared),
                    name=name,
                    kind=choice(Kind, kind),
                    schedule=from_value(schedule),
                    zone=zone,
                    backfill=choice(Backfill, backfill),
                    overlap=choice(Overlap, overlap),
                    repeatable=repeatable,
                    confined=confined,
                    limit_s=limit_s,
                )
        raise JobRefused("not a job that this version knows")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a job runs or says: content of its event. `argv` of an agent job is its degraded form.

    An agent job without `argv` has none: when no model answers, nothing else runs.
    """

    argv: tuple[str, ...] = field(default=())
    prompt: str = ""

    def check(self, kind: Kind) -> None:
        """Raise JobRefused unless these are words of a job of this kind, within bounds."""
        if (kind is Kind.SCRIPT) and not self.argv:
            raise JobRefused("a script job without a command", hint="--run PROGRAM ARGUMENTS")
        if (kind is Kind.AGENT) != bool(self.prompt.strip()):
            raise JobRefused("an agent job says something, and no other does", hint="--say WORDS")
        if len(self.argv) > limits.JOB_ARGS_MAX or any("\0" in arg for arg in self.argv):
            raise JobRefused(
                f"{len(self.argv)} arguments, at most {limits.JOB_ARGS_MAX} and none with a NUL",
                hint="put them into a script of their own",
            )
        for what, words, bytes_max in (
            ("arguments", "".join(self.argv), limits.JOB_ARGV_BYTES_MAX),
            ("a prompt", self.prompt, limits.JOB_PROMPT_BYTES_MAX),
        ):
            if len(words.encode(errors="surrogatepass")) > bytes_max:
                raise JobRefused(f"{what} of more than {bytes_max} bytes", hint="shorten it")

    def to_content(self) -> dict[str, Any] | None:
        """Return the content of the job's event; None for a built-in job, which has no words."""
        if not self.argv and not self.prompt:
            return None
        return {"argv": list(self.argv), "prompt": self.prompt}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> "Words":
        """Read what `to_content` gives. Raises JobRefused."""
        match content:
            case {"argv": list(argv), "prompt": str(prompt)} if all(type(a) is str for a in argv):
                return cls(argv=tuple(argv), prompt=prompt)
        raise JobRefused("not the words of a job that this version knows")


def choice(kind: type[_E], value: str) -> _E:
    """Return the member of `kind` with this value. Raises JobRefused naming them all."""
    try:
        return kind(value)
    except ValueError as error:
        known = ", ".join(kind)
        raise JobRefused(f"{value[:40]!r} is no {kind.__name__.lower()}", hint=known) from error
