"""Recorded turns told once more by a candidate, its parent beside it as the control.

The parent tells a sampled turn first: where it asks for the op that the record has at that step, it
is given what the record gave. Then the candidate tells it, and is given the same wherever it asks
for exactly what the parent asked for; for anything else a live model is asked, if there is one, and
refused if not. So a difference is the patch's doing, and not the age of the record: a turn that the
parent itself tells otherwise by now is named and blames nobody. Words that the host keeps from a
model are kept from it here (`Exported.privacy`).

Tools are not called, neither by the one nor by the other (`runtime.effects`).

Not covered: turns before the snapshot of a long ledger (`_FOLD_EVENTS_MAX`); whether a difference
is good. Nothing here enters the verdict: gates decide, this is for whoever reads it.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from genesis.core import limits
from genesis.forking.session import REDUCERS, Exported, now_ms
from ledger.core import types
from ledger.core.codec import encode
from ledger.core.errors import TimmyError
from ledger.core.event import Event
from ledger.core.state import State
from runtime.asking import Completes
from runtime.connection import Identity, Spawn
from runtime.core.bounds import TurnBounds
from runtime.core.protocol import Call
from runtime.counterfactual import Nobody, Retold, Same, Source, Teller, recorded_turn
from runtime.effects import Effect, effect_log
from runtime.fork import Fork
from runtime.host import HostLimits
from runtime.journal import Journal
from runtime.recall import Recall
from runtime.service import Service

_WINDOW_EVENTS: Final = 2_000
"""The newest events, in which turns are looked for: what an agent is like now."""
_FOLD_EVENTS_MAX: Final = 20_000
"""A ledger of so many is folded from event 0 in a second, so that all of its turns can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """How one agent told a turn."""

    answer: str | None
    outcome: str
    steps: tuple[tuple[int, str, str], ...]
    """(step, op, where its result came from)."""
    effects: tuple[Effect, ...] = ()

    @property
    def recorded(self) -> bool:
        """Whether everything it asked for was on record."""
        return all(source == Source.RECORD.value for _, op, source in self.steps if op != "answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One turn: as it was, as the parent tells it now, as the candidate does."""

    message: int
    then: str | None
    parent: Telling
    candidate: Telling

    @property
    def strayed(self) -> bool:
        """Whether the parent itself tells it otherwise by now."""
        return self.parent.answer != self.then or not self.parent.recorded

    @property
    def same(self) -> bool:
        """Whether parent and candidate do the same and say the same."""
        ours, theirs = self.parent, self.candidate
        return (ours.answer, ours.outcome, ours.steps, ours.effects) == (
            theirs.answer, theirs.outcome, theirs.steps, theirs.effects,
        )  # fmt: skip

    @property
    def what(self) -> str:
        """In a line, what differs first; "" if nothing does."""
        if self.same:
            return ""
        ours, theirs = self.parent, self.candidate
        for one, other in zip(ours.steps, theirs.steps, strict=False):
            if one != other:
                return f"step {one[0]}: {one[1]} from the {one[2]}, now {other[1]}, {other[2]}"
        if len(ours.steps) != len(theirs.steps):
            return f"{len(ours.steps)} steps, now {len(theirs.steps)}"
        if ours.outcome != theirs.outcome:
            return f"{ours.outcome}, now {theirs.outcome}"
        return "another answer" if ours.answer != theirs.answer else "other effects"


@dataclass(slots=True)
class _Asked:
    """What one agent asked for, by step; made the measure of another."""

    args: dict[int, tuple[str, bytes]] = field(default_factory=dict)

    def by_op(self, kept: Event, call: Call) -> bool:
        """The control: equal is the op."""
        self.args[call.step] = (call.op, encode(call.args))
        return bool(kept.payload.get("op") == call.op)

    def exactly(self, kept: Event, call: Call) -> bool:
        """The candidate: equal is what the control asked for."""
        asked = (call.op, encode(call.args))
        return kept.payload.get("op") == call.op and self.args.get(call.step) == asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Retelling:
    """Tells turns of `exported` in the sandbox that `spawn` starts agents in."""

    exported: Exported
    spawn: Spawn
    turn_s: float
    live: Completes | None = None
    clock: Callable[[], int] = now_ms

    async def compare(self, parent: Path, candidate: Path, *, turns: int, seed: bytes) -> tuple[
        Compared, ...
    ]:  # fmt: skip
        """Tell up to `turns` sampled turns by both trees, one after the other."""
        begun = await asyncio.to_thread(self._begun)
        found: list[Compared] = []
        for position in await asyncio.to_thread(self._sampled, begun.size, turns, seed):
            asked = _Asked()
            ours, then = await self._tell(position, parent, begun, asked.by_op, live=None)
            theirs, _ = await self._tell(position, candidate, begun, asked.exactly, live=self.live)
            found.append(Compared(message=position, then=then, parent=ours, candidate=theirs))
        return tuple(found)

    def _begun(self) -> State:
        """Return the state from which turns are folded on."""
        if self.exported.about.size <= _FOLD_EVENTS_MAX:
            return State(REDUCERS)
        return self.exported.snapshot_state() or State(REDUCERS)

    def _sampled(self, begun: int, turns: int, seed: bytes) -> list[int]:
        size = self.exported.about.size
        start = max(begun, size - _WINDOW_EVENTS)
        told = self.exported.reading().events(start, size)
        known = list(answered(told, start))
        drawn = sorted(known, key=lambda at: hashlib.sha256(seed + at.to_bytes(8, "big")).digest())
        return sorted(drawn[: min(turns, limits.FORK_TURNS_MAX)])

    async def _tell(
        self,
        position: int,
        tree: Path,
        begun: State,
        same: Same,
        *,
        live: Completes | None,
    ) -> tuple[Telling, str | None]:
        """Tell one turn; whatever goes wrong with it is its outcome."""
        log = self.exported.fork(self.clock)
        recorded = await asyncio.to_thread(recorded_turn, log, position)
        teller, effects = self._teller(log)
        try:
            async with asyncio.timeout(self.turn_s):
                told = await teller.tell(
                    position, tree=tree, chain=live, anew=False, same=same, state=begun.copy()
                )
        except TimeoutError:
            told = Retold(message=position, steps=(), then=None, now=None, outcome="late")
        except TimmyError as error:
            told = Retold(message=position, steps=(), then=None, now=None, outcome=str(error))
        then = None if recorded.answer is None else _words(recorded.answer)
        telling = Telling(
            answer=told.now,
            outcome=told.outcome,
            steps=tuple((one.step, one.op, one.source.value) for one in told.steps),
            effects=tuple(effects),
        )
        return telling, then

    def _teller(self, log: Fork) -> tuple[Teller, list[Effect]]:
        about = self.exported.about
        journal = Journal(log)
        tooling = effect_log(journal, offered=about.tools, effects_max=limits.FORK_EFFECTS_MAX)
        service = Service(
            journal,
            chain=Nobody(),
            recall=Recall(journal, self.exported.search),
            status=lambda: {"name": about.name, "events": about.size, "models": [], "uptime_s": 0},
            digest_key=self.exported.digest_key,
            privacy=self.exported.privacy,
            tooling=tooling,
            bounds=lambda: bounds,
        )
        bounds = TurnBounds(seconds=self.turn_s)
        teller = Teller(
            service=service,
            search=self.exported.search,
            spawn=self.spawn,
            tree=Path,
            identity=Identity(name=about.name, soul=about.soul),
            limits=HostLimits(attempts=1, failed_starts=1),
            clock=self.clock,
        )
        return teller, tooling.made


def answered(events: Iterable[Event], start: int) -> Iterable[int]:
    """Yield the messages at `start` or later that a turn of these events answered."""
    given: set[int] = set()
    for event in events:
        message = event.payload.get("message")
        if event.type == types.TURN_STARTED.name and type(message) is int and message >= start:
            given.add(message)
        ended = event.type == types.TURN_FINISHED.name and type(message) is int
        if ended and message in given and event.payload.get("outcome") == "answered":
            yield message


def _words(event: Event) -> str | None:
    text = None if event.content is None else event.content.get("text")
    return text if isinstance(text, str) else None
