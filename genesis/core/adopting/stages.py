"""Consensus-critical: which members of a fleet may take an adoption up now, and which wait.

One member has adopted a proposal, and it settled there. The others follow in stages: a few, then a
part, then all. Who is in which is drawn from what is adopted and from the members' ledger ids, so
that every member finds the same, nobody picks, and another adoption begins with others.

    begin    everybody of the stages before has settled, and nobody anywhere has rolled it back
    halted   somebody rolled it back: who has not begun does not begin, who has goes on by itself
    forced   the operator says so at one member: then the others' reports are not asked

What the others did is what their own ledgers say, and a member may lie in its own. With "settled"
it opens a stage too early; with "rolled back", or with silence, it holds the others up, until it is
taken out of the manifest. It can do nothing else: what is adopted, each member verifies itself.

Not covered: who approved what (`genesis.core.granting`); how reports come; what came since.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ledger.core import hashing

ROLLOUT: Final = "timmy-node 2026-11 fleet rollout v1"
ORDER: Final = "timmy-node 2026-11 fleet stage order v1"
_DIGEST_BYTES: Final = 32


class Fate(StrEnum):
    """What became of an adoption at one member."""

    NONE = "not begun"
    TRYING = "on trial"
    SETTLED = "settled"
    BACK = "rolled back"


class Next(StrEnum):
    """What one member does now."""

    BEGIN = "begin"
    WAIT = "wait"
    HALTED = "halted"
    BEGUN = "begun"
    """It has begun: its own trial decides, not the others."""
    OUT = "out"
    """It is in no stage: it answers no conversations, so a trial would find nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a member's ledger says. `since_ms`: when, in Unix milliseconds, as it says."""

    fate: Fate = Fate.NONE
    since_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a fleet follows: so many members first, so many of a hundred then, then all.

    A stage that lasts longer than `patience_ms` is late: it is shown, and nothing else follows.
    """

    first: int = 1
    percent: int = 25
    patience_ms: int = 72 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a fleet is, as one member sees it. `open_`: index of the stage that is under way.

    It is the number of stages once all have settled. `waits_for` are those of it that have not,
    `halted_by` all that rolled it back. `own` is the index of the member's stage, None without one.
    """

    next: Next
    stages: tuple[tuple[bytes, ...], ...]
    open_: int
    own: int | None
    waits_for: tuple[bytes, ...]
    halted_by: tuple[bytes, ...]
    late: bool


def rollout_of(base: bytes, root: bytes, document: bytes) -> bytes:
    """Return the 32 bytes that name one adoption over a fleet: of what, upon what, as proposed.

    Proposed anew, in other words, it is another one.
    """
    return hashing.xof(ROLLOUT, _DIGEST_BYTES, base, root, document)


def stages_of(
    rollout: bytes, members: Iterable[bytes], pace: Pace
) -> tuple[tuple[bytes, ...], ...]:
    """Return the members (ledger ids) of each stage, in their order; no stage is empty.

    Rendezvous hashing: who is taken out of a fleet changes the order of nobody else.
    """
    drawn = {one: hashing.xof(ORDER, _DIGEST_BYTES, rollout, one) for one in members}
    ordered = sorted(drawn, key=lambda one: (drawn[one], one))
    part = -(-len(ordered) * pace.percent // 100)
    ends = [pace.first, max(pace.first, part), len(ordered)]
    cut = [ordered[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return tuple(tuple(one) for one in cut if one)


def stand(
    own: bytes,
    stages: tuple[tuple[bytes, ...], ...],
    reports: Mapping[bytes, Report],
    *,
    pace: Pace,
    now_ms: int,
    forced: bool = False,
) -> Standing:
    """Say what the member `own` does now. `reports`: of every member of the manifest, its own too.

    One that is missing has not begun, as far as anybody can tell.
    """
    settled = {one for one, report in reports.items() if report.fate is Fate.SETTLED}
    waiting = [tuple(one for one in stage if one not in settled) for stage in stages]
    open_ = next((at for at, left in enumerate(waiting) if left), len(stages))
    halted = tuple(sorted(one for one, report in reports.items() if report.fate is Fate.BACK))
    mine = next((at for at, stage in enumerate(stages) if own in stage), None)
    opened_ms = max((min(reports[one].since_ms, now_ms) for one in settled), default=now_ms)
    late = open_ < len(stages) and not halted and now_ms - opened_ms > pace.patience_ms
    return Standing(
        next=_next(
            reports.get(own, Report()).fate, mine, open_, halted=bool(halted), forced=forced
        ),
        stages=stages,
        open_=open_,
        own=mine,
        waits_for=waiting[open_] if open_ < len(stages) else (),
        halted_by=halted,
        late=late,
    )


def _next(fate: Fate, own: int | None, open_: int, *, halted: bool, forced: bool) -> Next:
    if fate is not Fate.NONE:
        return Next.BEGUN
    if forced:
        return Next.BEGIN
    if halted:
        return Next.HALTED
    if own is None:
        return Next.OUT
    return Next.BEGIN if own <= open_ else Next.WAIT
