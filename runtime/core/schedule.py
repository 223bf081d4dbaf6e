"""When a job is due: cron, an interval or one moment, as a pure function of plan, zone and clock.

A plan may also follow the ledger (`On`), a file, a branch or a Nostr author (`Watch`): such a job
has no times, `runtime.core.due` says the rest, and `runtime.watching` looks.

Instants are Unix seconds. A time zone is an argument: a function from an instant to its offset to
UTC in seconds (`runtime.zones` makes one of the tz database). What a wall clock does twice a year:

    skipped     02:30 when 02:00 is followed by 03:00: it is due once, at the first instant after
                the gap. Several times in one gap are that same instant, and one run.
    repeated    02:30 when 02:59 is followed by 02:00: it is due the first time only, unless the
                hours of the plan are all or every n-th (`*/15 * * * *`): that is due both times.
    intervals   know no wall clock: 3,600 seconds are 3,600 seconds.

A clock that is set needs no rule of its own: forward is time that passed, and back, whatever is
due again has a run on record under the name it would get (`runtime.core.jobs.run_id`).

Not covered: two changes of a zone's offset within two days, which no zone has had since 1970.
"""

import heapq
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ledger.core import types
from runtime.core.cron import Cron
from runtime.core.errors import JobRefused
from runtime.core.limits import (
    JOB_EVERY_S_MAX,
    JOB_EVERY_S_MIN,
    JOB_PATH_CHARS_MAX,
    PLAN_S_MAX,
)

Offset: TypeAlias = Callable[[int], int]
"""Seconds that a place's clock is ahead of UTC at an instant."""
DAY_S: Final = 86_400
FILE: Final = "file"
COMMIT: Final = "commit"
NOSTR: Final = "nostr"
_NOSTR: Final = re.compile(r"/[0-9]{1,5}/npub1[02-9ac-hj-np-z]{58}")
_BRANCH: Final = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_./-]{0,199})?")
"""Fewer than git allows: nothing that a shell, or git itself, reads as an option or a range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """Every `seconds`, counted from `anchor_s`, which itself is no due time."""

    seconds: int
    anchor_s: int

    def __post_init__(self) -> None:
        if not JOB_EVERY_S_MIN <= self.seconds <= JOB_EVERY_S_MAX:
            raise JobRefused(
                f"every {self.seconds} seconds, expected {JOB_EVERY_S_MIN} to {JOB_EVERY_S_MAX}",
                hint="for example: every 15m, every 6h, every 1d",
            )
        if not 0 <= self.anchor_s <= PLAN_S_MAX:
            raise JobRefused(f"an interval from {self.anchor_s}, expected 0 to {PLAN_S_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """At one instant."""

    at_s: int

    def __post_init__(self) -> None:
        if not 0 <= self.at_s <= PLAN_S_MAX:
            raise JobRefused(
                f"at {self.at_s}, expected 0 to {PLAN_S_MAX}", hint="a date before the year 2100"
            )


TRIGGERS: Final = frozenset(
    kind.name
    for kind in (
        types.MESSAGE_RECEIVED,
        types.MESSAGE_SENT,
        types.MEMORY_NOTED,
        types.POLICY_DECIDED,
        types.STATEMENT_RECEIVED,
        types.REDACTED,
        types.ANCHORED,
        types.STAMPED,
        types.SOUL_ATTESTED,
        types.SOUL_TAGGED,
        types.PATCH_PROPOSED,
        types.PATCH_JUDGED,
        types.PATCH_ADOPTED,
        types.PATCH_SETTLED,
        types.PATCH_ROLLED_BACK,
        types.NODE_ESCALATED,
        types.NODE_RELIEVED,
        types.ARTIFACT_RECEIVED,
        types.TASK_REPORTED,
        types.FLEET_AGREED,
    )
)
"""What a job may follow. Not turns, models and jobs: a run makes those, and would follow itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class On:
    """Whenever an event of this type joins the ledger, except by a job."""

    type: str

    def __post_init__(self) -> None:
        if self.type not in TRIGGERS:
            raise JobRefused(
                f"no job follows {self.type[:64]!r}", hint=f"one of {', '.join(sorted(TRIGGERS))}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Whenever what is at a path changes: a file, the entries of a folder, a git branch.

    Or, the path being `/KIND/NPUB`, the newest Nostr event of a kind by an author.
    """

    what: str
    path: str
    branch: str = ""
    """Of a COMMIT; none: whatever is checked out."""

    def __post_init__(self) -> None:
        if self.what not in (FILE, COMMIT, NOSTR):
            kinds = f"{FILE}, {COMMIT} or {NOSTR}"
            raise JobRefused(f"no job follows a {self.what[:64]!r}", hint=kinds)
        plain = self.path.startswith("/") and self.path.isprintable()
        if not plain or len(self.path) > JOB_PATH_CHARS_MAX:
            raise JobRefused(
                f"{self.path[:60]!r} is not an absolute path of at most {JOB_PATH_CHARS_MAX} "
                "printable characters",
                hint="for example: on file /home/me/inbox, on commit /home/me/project main",
            )
        if self.what == NOSTR and not _NOSTR.fullmatch(self.path):
            raise JobRefused(
                f"{self.path[1:61]!r} is not a kind and an author",
                hint="for example: on nostr 30023 npub1...",
            )
        if not _BRANCH.fullmatch(self.branch) or (self.branch and self.what != COMMIT):
            raise JobRefused(
                f"{self.branch[:60]!r} is not the name of a branch",
                hint="for example: on commit /home/me/project main",
            )


Schedule: TypeAlias = Cron | Every | Once | On | Watch
FOLLOWS: Final = (On, Watch)
"""Plans without times: something happens, and a run is due."""


def next_after(schedule: Schedule, offset: Offset, after_s: int) -> int | None:
    """Return the first due time after an instant, or None if there is none before 2100."""
    match schedule:
        case Once(at_s=at_s):
            return at_s if at_s > after_s else None
        case Every(seconds=seconds, anchor_s=anchor_s):
            due = anchor_s + seconds * (max(0, (after_s - anchor_s) // seconds) + 1)
            return due if due <= PLAN_S_MAX else None
        case Cron():
            return _next_cron(schedule, offset, after_s)
        case On() | Watch():
            return None


def due_between(
    schedule: Schedule, offset: Offset, *, after_s: int, until_s: int, most: int
) -> list[int]:
    """Return the newest `most` due times of (after_s, until_s], oldest first."""
    match schedule:
        case Once(at_s=at_s):
            return [at_s] if after_s < at_s <= until_s else []
        case Every(seconds=seconds, anchor_s=anchor_s):
            last = (until_s - anchor_s) // seconds
            first = max(1, (after_s - anchor_s) // seconds + 1, last - most + 1)
            return [anchor_s + seconds * n for n in range(first, last + 1)]
        case Cron():
            return _cron_between(schedule, offset, after_s, until_s, most)
        case On() | Watch():
            return []


def instants(wall_s: int, offset: Offset) -> tuple[int, ...]:
    """Return when a wall clock shows `wall_s`: one instant, two, or the end of the gap it is in."""
    before, after = offset(wall_s - DAY_S), offset(wall_s + DAY_S)
    found = sorted({wall_s - off for off in (before, after) if offset(wall_s - off) == off})
    if found or before == after:
        return tuple(found) or (wall_s - before,)
    low, high = wall_s - after, wall_s - before  # the clock jumps in (low, high]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if offset(middle) == after else (middle, high)
    return (high,)


def _due(cron: Cron, wall_s: int, offset: Offset) -> tuple[int, ...]:
    found = instants(wall_s, offset)
    return found if cron.every_hour else found[:1]


def _next_cron(cron: Cron, offset: Offset, after_s: int) -> int | None:
    """The second pass of a repeated hour lies after the first pass of what follows: look on until
    nothing can come before what was found.
    """
    best: int | None = None
    for wall in cron.after(_earliest_wall(offset, after_s)):
        due = _due(cron, wall, offset)
        if best is not None and due[0] >= best:
            break
        later = [at for at in due if at > after_s]
        best = min([*later, *([] if best is None else [best])], default=None)
    return best


def _cron_between(cron: Cron, offset: Offset, after_s: int, until_s: int, most: int) -> list[int]:
    start = until_s + max(offset(until_s), offset(until_s - DAY_S)) + 1
    end = _earliest_wall(offset, after_s)
    found: set[int] = set()
    for wall in cron.before(start):
        due = _due(cron, wall, offset)
        full = len(found) >= most and due[-1] <= min(heapq.nlargest(most, found))
        if wall <= end or full:
            break
        found.update(at for at in due if after_s < at <= until_s)
    return sorted(found)[-most:]


def _earliest_wall(offset: Offset, after_s: int) -> int:
    """No wall time up to this one is due after the instant, a repeated hour counted in."""
    return after_s + min(offset(after_s), offset(after_s + DAY_S))


def to_value(schedule: Schedule) -> dict[str, Any]:
    """Return the schedule as it stands in the ledger."""
    match schedule:
        case Cron(text=text):
            return {"kind": "cron", "text": text}
        case Every(seconds=seconds, anchor_s=anchor_s):
            return {"kind": "every", "seconds": seconds, "anchor_s": anchor_s}
        case Once(at_s=at_s):
            return {"kind": "once", "at_s": at_s}
        case On(type=type_):
            return {"kind": "on", "type": type_}
        case Watch(what=what, path=path, branch=branch):
            return {"kind": "watch", "what": what, "path": path, "branch": branch}


def from_value(value: object) -> Schedule:
    """Read what `to_value` gives. Raises JobRefused."""
    match value:
        case {"kind": "cron", "text": str(text)}:
            return Cron(text=text)
        case {"kind": "every", "seconds": int(seconds), "anchor_s": int(anchor_s)}:
            return Every(seconds=seconds, anchor_s=anchor_s)
        case {"kind": "once", "at_s": int(at_s)}:
            return Once(at_s=at_s)
        case {"kind": "on", "type": str(type_)}:
            return On(type=type_)
        case {"kind": "watch", "what": str(what), "path": str(path), "branch": str(branch)}:
            return Watch(what=what, path=path, branch=branch)
    raise JobRefused("not a schedule that this version knows")
