"""Forks a successor from an exported session, tries a patch on it, and says what came of it.

    successor = fork_successor(
        current_state=session.export(),
        architecture_patch=read("docs/proposed-patch.md"),
        evaluation_task="Verify this patch improves throughput without breaking tests",
    )
    verdict = successor.run_until_complete()

A successor is a clone of the agent that runs nowhere but in the sandbox. It has a store of its own,
in memory; the parent's tools by name, none of which does anything; the recorded replies of models,
and a live one only if it is given a budget for that; bounds of CPU, memory, processes, disk and
time. The parent is read, and nothing of it is written but, where `trials` names a file, that the
sandbox held its attacks.

    1. the patch is read and weighed     refused here, with file and line, before anything runs
    2. the sandbox is trusted            by its attack suite, once a boot (`runtime.selftest`)
    3. the state is rebuilt              snapshot and tail must give the parent's digest
    4. the gates                         `genesis.judge`: these decide
                                         or, where reducers change, `genesis.judging.constitution`:
                                         the same state after all events, or a declared migration
                                         that takes it back
    5. recorded turns, told once more    `genesis.forking.told`: these are reported

A sandbox that does not hold, or that no attack suite passed, makes every verdict inconclusive.

Not covered: adopting (people decide that; of a change of this software nobody else decides
anything); whatever `genesis.judge` does not cover.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from genesis import judge as judging
from genesis.core import limits
from genesis.core.errors import ForkError
from genesis.core.front import Budget as Allowed
from genesis.core.tree import Tree
from genesis.core.verdict import Decision
from genesis.forking.documents import Document, Read, read, understood
from genesis.forking.events import Events
from genesis.forking.metered import LiveBudget, LiveUse, Metered
from genesis.forking.session import Exported, now_ms
from genesis.forking.told import Compared, Retelling
from genesis.judging.constitution import Whole, judge_constitution
from genesis.judging.measuring import measure_of, wanted_of
from genesis.trees import write_tree
from ledger.core.event import Event
from ledger.core.keys import Signer
from ledger.core.state import State
from runtime import sandbox, selftest
from runtime.rooms import workplace
from runtime.sandbox import Child, Engine
from runtime.selftest import SelfTest
from runtime.tasks import to_its_end

__all__ = ["Document", "ForkBudget", "ForkVerdict", "LiveBudget", "Successor", "fork_successor",
           "read"]  # fmt: skip

SEED_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkBudget:
    """What one fork may take; `judged` has the bounds of each process."""

    judged: judging.Budget = field(default_factory=judging.Budget)
    total_s: float = 900.0
    """A judgment has 600 of its own; the turns and the attack suite come on top."""
    turns: int = 6
    """Recorded turns that are told once more; 0 for none."""
    turn_s: float = 60.0
    live: LiveBudget | None = None
    """None: nobody is asked for what is not on record."""

    def within(self, allowed: Allowed | None) -> "ForkBudget":
        """Return this, but no more than a proposal allows, if it says. Raises ForkError."""
        if allowed is None:
            return self
        judged = self.judged.within(allowed)
        spared = self.judged.total_s - judged.total_s
        live = None if self.live is None else self.live.within(allowed)
        return replace(self, judged=judged, total_s=self.total_s - spared, live=live)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkVerdict:
    """What came of a fork. `judgment` holds the signed verdict; the rest is this machine's."""

    decision: Decision
    reason: str
    title: str
    task: str
    size: int
    state: bytes
    """The digest of the state that parent and fork agree on."""
    root: bytes
    """Of the architecture that was forked."""
    recorded: bytes | None
    """What the record named last below the head: another one where files were edited since."""
    judgment: judging.Judgment
    sandbox: SelfTest
    turns: tuple[Compared, ...] = ()
    live: LiveUse | None = None
    took_ms: int = 0
    migration: str = ""
    """The path of what was declared to take the state back; empty: nothing was."""

    @property
    def for_people(self) -> bool:
        """Whether it changes this software, and a machine finds nothing against it."""
        return self.judgment.verdict.findings.for_people

    @property
    def accepted(self) -> bool:
        """Whether the parent may be asked to apply the patch. It never does so by itself."""
        return self.decision is Decision.ACCEPT

    @property
    def differing(self) -> tuple[Compared, ...]:
        """The turns that the candidate tells otherwise than its parent does now."""
        return tuple(turn for turn in self.turns if not turn.same)


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """A fork that is ready to run. Made by `fork_successor`."""

    state: Exported
    read: Read
    budget: ForkBudget
    engine: Engine | None
    signer: Signer
    seed: bytes = field(repr=False)
    clock: Callable[[], int]

    def run_until_complete(self) -> ForkVerdict:
        """Run to the verdict. Raises ForkError where an event loop runs already: await `run`."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.run())
        raise ForkError("an event loop runs here already", hint="await successor.run()")

    async def run(self) -> ForkVerdict:
        """The same, awaited. Raises StateDiffers, or ForkError when all of its time is over."""
        try:
            async with asyncio.timeout(self.budget.total_s) as limit:
                return await self._run()
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ForkError(
                f"the fork took more than {self.budget.total_s:g} s", hint="give it more time"
            ) from error

    async def _run(self) -> ForkVerdict:
        began = time.perf_counter_ns()
        tested = await self._trusted()
        state = await asyncio.to_thread(self.state.rebuild)
        judgment = await self._judgment(tested, state)
        live = self._live()
        turns: tuple[Compared, ...] = ()
        decision = judgment.verdict.decision
        if decision in {Decision.ACCEPT, Decision.REJECT} and self.budget.turns:
            turns = await self._told(tested.engine, live)
        return ForkVerdict(
            decision=decision,
            reason=str(judgment.verdict.measured.get("reason", "")),
            title=self.read.proposal.front.title,
            task=self.read.task,
            size=state.size,
            state=state.digest(),
            root=self.state.about.architecture.root,
            recorded=await asyncio.to_thread(self.state.recorded_root),
            judgment=judgment,
            sandbox=tested,
            turns=turns,
            live=None if live is None else live.use,
            migration=self.read.proposal.front.migration,
            took_ms=(time.perf_counter_ns() - began) // 1_000_000,
        )

    async def _trusted(self) -> SelfTest:
        """Return what the attack suite says of the engine that this fork runs in."""
        engine = await sandbox.detect() if self.engine is None else self.engine
        return await selftest.trusted(
            engine, evaluator=judging.evaluator_digest(), kept=self.state.trials
        )

    async def _judgment(self, tested: SelfTest, state: State) -> judging.Judgment:
        about, front = self.state.about, self.read.proposal.front
        asked: dict[str, Any] = {
            "head": judging.Head(size=about.size, root=about.root), "signer": self.signer,
            "seed": self.seed, "engine": tested.holds, "clock": self.clock,
            "budget": self.budget.judged, "distrust": tested.reason,
        }  # fmt: skip
        task = judging.Task(
            measure=measure_of(self.read.task), wanted=wanted_of(front.expected), tries=1,
            migration=front.migration,
        )  # fmt: skip
        diff, events = self.read.proposal.patch.data, Events(self.state.reading(), about.size)
        if self.read.software is not None:
            newest = events[-limits.FORK_SAMPLED_EVENTS :]
            return await judge_constitution(
                diff,
                about.architecture,
                self.read.software,
                snapshot=await asyncio.to_thread(_without_words, newest),
                whole=Whole(records=self.state.log.records, state=state),
                task=task,
                **asked,
            )
        return await judging.judge(
            diff, about.architecture, snapshot=events, state=state, task=task, **asked
        )

    def _live(self) -> Metered | None:
        bounds, chain = self.budget.live, self.state.chain
        return None if bounds is None or chain is None else Metered(chain, bounds)

    async def _told(self, engine: Engine, live: Metered | None) -> tuple[Compared, ...]:
        bounds = self.budget.judged.limits

        async def spawn(tree: Path, channel: socket.socket) -> Child:
            return await sandbox.spawn(tree, channel, limits=bounds, engine=engine)

        retelling = Retelling(
            exported=self.state, spawn=spawn, turn_s=self.budget.turn_s, live=live,
            clock=self.clock,
        )  # fmt: skip
        with workplace("fork") as folder:
            parent, candidate = folder / "parent", folder / "candidate"
            trees = ((parent, self.state.about.architecture.tree),
                     (candidate, self.read.weighed.result.tree))  # fmt: skip
            await to_its_end(asyncio.to_thread(_write, trees))
            return await retelling.compare(
                parent, candidate, turns=self.budget.turns, seed=self.seed
            )


def _without_words(events: Sequence[Event]) -> list[Event]:
    """What reducers fold: thousands of events with all that was said would not fit into a node."""
    return [
        one._replace(record=one.record._replace(content=None, content_salt=None)) for one in events
    ]


def _write(trees: Sequence[tuple[Path, Tree]]) -> None:
    for folder, tree in trees:
        folder.mkdir(mode=0o700)
        write_tree(tree, folder, durable=False)


def fork_successor(
    *,
    current_state: Exported,
    architecture_patch: Document | bytes | str,
    evaluation_task: str = "",
    budget: ForkBudget | None = None,
    engine: Engine | None = None,
    signer: Signer | None = None,
    seed: bytes | None = None,
    clock: Callable[[], int] = now_ms,
) -> Successor:
    """Return a successor that tries `architecture_patch`, by `evaluation_task` if one is given.

    Of `budget` no more is taken than the proposal allows. `engine`: None takes the strongest that
    works here. `signer` signs the verdict; without one a key does that is made for this fork alone.
    Raises InvalidPatch and Constitutional with file and
    line, ForkError; then nothing was forked.
    """
    budget = budget or ForkBudget()
    if budget.live is not None and current_state.chain is None:
        raise ForkError(
            "a live model is asked for, and this session has none",
            hint="fork in the running node: timmy fork --live-model",
        )
    base, software = current_state.about.architecture, current_state.software
    found = understood(architecture_patch, base, evaluation_task, software)
    return Successor(
        state=current_state,
        read=found,
        budget=budget.within(found.allowed),
        engine=engine,
        signer=Signer(os.urandom(32)) if signer is None else signer,
        seed=os.urandom(SEED_BYTES) if seed is None else seed,
        clock=clock,
    )
