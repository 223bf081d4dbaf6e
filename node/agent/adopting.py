"""Adoptions of one node: staged, tried, in force, settled; or rolled back, by hand or by itself.

    apply      the approved result is stored, verified, patch.staged
    canary     patch.canary: a process of the new tree answers its share beside the old one
    node       patch.adopted: it answers everybody; the turns of the old one come to their end
    settle     the state is rebuilt from event 0 and compared; patch.settled

The ledger decides: each step is one commit, everything on disk is there before it, and what of the
disk follows from it (`trees/current`) is repaired at the next start. Cut anywhere, what the ledger
says is in force runs, or, where that does not open, what was before.

While a trial lasts a bad end moves its turn to the architecture of before, which begins it anew; so
what the first had done may be done twice, and nobody goes without an answer.

Not covered: who may approve (`Approval`); whether answers are good
(`genesis.core.adopting.health`).
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import structlog

from genesis import trees
from genesis.core.adopting.health import STARTS_MAX, Health, Plan, Step, Why, weigh
from genesis.core.architecture import Architecture, patched
from genesis.core.errors import InvalidVerdict, TreeError
from genesis.core.verdict import Decision, verify_envelope
from ledger.core import types
from ledger.core.errors import NotFound, Refused, TimmyError
from ledger.core.event import Draft, Event
from ledger.core.lineage import Lineage
from ledger.log import Log
from ledger.replay import reducers_hash
from node.agent import adoption_told
from node.agent.adopted_skins import AdoptedSkins
from node.agent.hosts import Hosts
from node.agent.layering import Layers, open_version
from node.agent.patching import Patching
from node.agent.staging import Granted, Staging
from node.home import Home
from node.keeping.folding import REDUCERS, reading_hash
from runtime import answers
from runtime.core.adoptions import Adoption, Adoptions, Moved, Stage, Version
from runtime.core.proposals import Standing
from runtime.core.turns import Message
from runtime.journal import Journal

_TICK_SECONDS: Final = 0.25
"""How soon a bad turn of a trial is seen: before the next one is well begun."""
WHY_CHARS_MAX: Final = 2_000
_HINT: Final = "timmy patch status"

_NODE: Final = "node"
"""Who rolls back where nobody asked for it."""

_log = structlog.get_logger(__name__)


class Approval(Protocol):
    """Who says that a proposal may be adopted."""

    def granted(self, position: int, /) -> Granted:
        """Return by whom a proposal is approved. Raises NotFound, Refused with the reason."""

    def objection(self, position: int, /) -> str:
        """Return what speaks against an approved proposal now: a no, a withdrawal; or ""."""


class Rebuilds(Protocol):
    """Folds the ledger anew."""

    stopped: bool
    """Whether what is being folded is wanted no more."""

    def __call__(self, size: int, /) -> bytes:
        """Return the digest of the state of the first `size` events. Runs in a thread."""


@dataclass(slots=True, kw_only=True)
class Adopting:
    """Adoptions of one node."""

    home: Home
    log: Log
    journal: Journal
    lineage: Lineage
    patching: Patching
    approval: Approval
    hosts: Hosts
    layers: Layers
    skins: AdoptedSkins
    rebuild: Rebuilds
    clock: Callable[[], int]
    _deciding: asyncio.Lock = field(default_factory=asyncio.Lock)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _no_way_back: str = ""

    def __post_init__(self) -> None:
        self.hosts.fell = self.fell

    @property
    def now(self) -> Adoptions:
        """What is in force, and what is under way."""
        return Adoptions(self.journal.state.entries)

    # ---- by hand --------------------------------------------------------------------------------

    async def apply(self, position: int, plan: Plan, *, by: str) -> dict[str, Any]:
        """Begin to adopt an approved proposal. Raises NotFound, Refused, Constitutional, TreeError.

        Whatever it raises, nothing is different.
        """
        async with self._deciding:
            if (trial := self.now.under_way) is not None:
                raise Refused(
                    f"the adoption of proposal {trial.patch} is under way ({trial.stage.value})",
                    hint=f"{_HINT}; timmy patch rollback ends it",
                )
            granted = self._granted(position)
            proposal = self.log.read(position)
            # Before `base`: what he edits after this was not there then, and is his newer word.
            own, now = self.layers.own() | self.skins.documents(), self.now.in_force
            base = self.patching.present.read()
            result = self._result(proposal, base, granted)
            await self.skins.check(base, result, now_s=self._now_s())
            staging = Staging(proposal=proposal, base=base, result=result, own=own, now=now)
            version = await asyncio.to_thread(staging.store, self.home.path)
            granted = self._granted(position)  # anew: somebody may have said no meanwhile
            await self._append(staging.draft(version, plan, granted, by=by))
            await self._begin()
        return self.status()

    def _granted(self, position: int) -> Granted:
        known = self.patching.proposals.get(position)
        if known is None:
            raise NotFound(f"event {position} is no proposal", hint="timmy patch list")
        granted = self.approval.granted(position)
        if known.state is not Standing.OPEN:
            raise Refused(
                f"proposal {position} is {known.state.value} already",
                hint="propose it anew: timmy patch new",
            )
        return granted

    def _result(self, proposal: Event, base: Architecture, granted: Granted) -> Architecture:
        """Return what the approved change makes of the present architecture, and of no other."""
        position, payload = proposal.position, proposal.payload
        if payload.get("base") != base.root:
            raise Refused(
                f"proposal {position} was made against another architecture than the present one, "
                f"{base.root.hex()}",
                hint="make it anew: timmy patch new",
            )
        result = patched(base, self.patching.document(position).patch)
        if {payload.get("root"), granted.root} != {result.root}:
            raise Refused(
                f"what was approved is {granted.root.hex()}, proposal {position} makes "
                f"{result.root.hex()}",
                hint="have it judged and approved anew",
            )
        self._check_verdict(proposal, base, result, granted.verdict)
        return result

    def _check_verdict(
        self, proposal: Event, base: Architecture, result: Architecture, digest: bytes
    ) -> None:
        """Raise Refused unless this node accepted this very result upon this very base."""
        trusted = {tenure.keys["log"] for tenure in self.lineage.tenures}
        for event in self.log.stream(proposal.stream, last=_STREAM_EVENTS_MAX):
            envelope = event.payload.get("envelope")
            if event.type != types.PATCH_JUDGED.name or not isinstance(envelope, bytes):
                continue
            with suppress(InvalidVerdict):
                verdict = verify_envelope(envelope, trusted=trusted).verdict
                inputs = verdict.findings.inputs
                found = (verdict.digest, inputs.parent_root, inputs.result_root)
                if verdict.decision is Decision.ACCEPT and found == (
                    digest,
                    base.root,
                    result.root,
                ):
                    return
        raise Refused(
            f"no verdict of this node accepts {result.root.hex()} upon {base.root.hex()}",
            hint=f"timmy patch judge {proposal.position}",
        )

    async def rollback(self, *, why: str, by: str) -> dict[str, Any]:
        """Go back to the architecture of before. Raises Refused if there is none, TreeError."""
        if len(why) > WHY_CHARS_MAX:
            raise Refused(
                f"a reason of {len(why)} characters, at most {WHY_CHARS_MAX}", hint="less"
            )
        async with self._deciding:
            trial, now, before = self.now.under_way, self.now.in_force, self.now.before
            if trial is not None:
                await self._back(trial.result, trial.before, Why.OPERATOR, why, by=by)
            elif now is not None and now.adoption is not None and before is not None:
                await self._back(now, before, Why.OPERATOR, why, by=by)
            else:
                raise Refused("there is nothing to go back to", hint=_HINT)
        return self.status()

    # ---- by itself ------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Call once before the processes start: have run what the ledger says, or what was before.

        Raises TreeError if nothing opens that may be in force.
        """
        async with self._deciding:
            trial, stack = self.now.under_way, self.now.stack
            if stack and all(map(self._fault, stack)):
                raise TreeError(
                    self._fault(stack[-1]),
                    hint="restore the home from a backup, or run the timmy that adopted it",
                )
            if trial is not None:
                await self._take_over(trial, stack[-1])
            while (now := self.now.in_force) is not None and (fault := self._fault(now)):
                before = self.now.before
                assert before is not None, "one of the stack opens"
                await self._put_back(now, before, Why.DAMAGED, fault, by=_NODE)
            self._follow()
            await self._append(*self._left_over())

    async def _take_over(self, trial: Adoption, now: Version) -> None:
        """End the trial that a start finds, if it cannot go on. `now`: what is in force."""
        if fault := self._fault(trial.result) or self._fault(now):
            await self._put_back(trial.result, trial.before, Why.DAMAGED, fault, by=_NODE)
        elif trial.reducers != reading_hash():
            text = "this software reads or folds the ledger otherwise than the one it was staged by"
            await self._back(trial.result, trial.before, Why.SOFTWARE, text, by=_NODE)

    def _fault(self, version: Version) -> str:
        try:
            trees.open_tree(self.home.path, version.tree)
            if version.version is not None:
                open_version(self.home, version.version)
        except TreeError as error:
            return str(error)
        return ""

    def _left_over(self) -> list[Draft]:
        """Turns that were begun by an architecture of which no process will run."""
        trial = self.now.under_way
        live = {self.hosts.tree}
        if trial is not None and trial.stage is Stage.CANARY:
            live.add(trial.tree)
        pending = self.journal.turns.pending.values()
        begun = [(one, self.now.begun_by(one.position)) for one in pending]
        return [
            self._moved(message, tree, Moved.DRAINED)
            for message, tree in begun
            if tree is not None and tree not in live
        ]

    async def run(self) -> None:
        """Take every step that is due, until cancelled."""
        self.rebuild.stopped = False
        try:
            while True:
                self._woken.clear()
                async with self._deciding:
                    over = await self._step()
                if over is not None:
                    await self._settle(over)
                with suppress(TimeoutError):
                    trial = self.now.under_way
                    async with asyncio.timeout(None if trial is None else _TICK_SECONDS):
                        await self._woken.wait()
        finally:
            self.rebuild.stopped = True

    async def _step(self) -> Adoption | None:
        """Take the step that is due; return the trial if it is to settle."""
        trial = self.now.under_way
        if trial is None or self._blocked(trial.before):
            return None
        if trial.stage is Stage.STAGED:
            await self._begin()
            return None
        health = weigh(trial, self.clock())
        if health.step is Step.BACK and health.why is not None:
            await self._back(trial.result, trial.before, health.why, health.text, by=_NODE)
        elif health.step is Step.GO_ON and trial.stage is Stage.CANARY:
            if not await self._objected(trial):
                await self._adopt(trial)
        elif health.step is Step.GO_ON:
            return trial
        return None

    def _blocked(self, good: Version) -> bool:
        """Whether there is still no way back; somebody may have mended it meanwhile."""
        if self._no_way_back:
            self._no_way_back = self._fault(good)
        return bool(self._no_way_back)

    async def _begin(self) -> None:
        """Go on from `staged`: one that thinks as before has no process to try beside it."""
        trial = self.now.under_way
        if trial is None or trial.stage is not Stage.STAGED:
            return
        if await self._objected(trial):
            return
        self.hosts.allow(trial.tree)
        if trial.tree == trial.before.tree:
            await self._adopt(trial)
            return
        await self._append(self._of(trial, types.PATCH_CANARY.name))
        self._wake()

    async def _objected(self, trial: Adoption) -> bool:
        """Go back if somebody who may said no since it was staged, or it was withdrawn."""
        try:
            text = self.approval.objection(trial.patch)
        except (NotFound, Refused) as error:  # of what is no proposal nothing was approved
            text = str(error)
        if text:
            await self._back(trial.result, trial.before, Why.DISAPPROVED, text, by=_NODE)
        return bool(text)

    async def _adopt(self, trial: Adoption) -> None:
        """Have it in force; or go back if it cannot be, else each start would end here anew."""
        try:
            stored = trial.version
            version = None if stored is None else open_version(self.home, stored)
            worn = self.skins.put_on(version, adoption=trial.staged, now_s=self._now_s())
        except TimmyError as error:
            await self._back(trial.result, trial.before, Why.DAMAGED, str(error), by=_NODE)
            return
        facts = {"tree": trial.tree, "version": trial.version, "root": trial.root}
        named = {"skins": [[one.name, one.before] for one in worn]} if worn else {}
        draft = self._of(trial, types.PATCH_ADOPTED.name, **facts, **named)
        await self._append(draft, *(one.draft for one in worn))
        self._wake()

    async def _settle(self, trial: Adoption) -> None:
        """Rebuild the state before saying that all is well: what was tried wrote a part of it.

        That takes a while: meanwhile it may be rolled back.
        """
        state = self.journal.state
        size, digest = state.size, state.digest()
        rebuilt = await asyncio.to_thread(self.rebuild, size)
        async with self._deciding:
            now = self.now.under_way
            if now is None or (now.staged, now.stage) != (trial.staged, Stage.NODE):
                return
            if self.rebuild.stopped:
                return
            if rebuilt != digest:
                text = f"the state of {size} events is {digest.hex()}, rebuilt {rebuilt.hex()}"
                await self._back(now.result, now.before, Why.STATE, text, by=_NODE)
                return
            facts = {"size": size, "digest": digest, "reducers": reducers_hash(REDUCERS)}
            await self._append(self._of(now, types.PATCH_SETTLED.name, **facts))
            self._wake()

    async def fell(self, tree: bytes, messages: Sequence[int], failed_starts: int) -> None:
        """A process of `tree` ended badly: see `node.agent.hosts.Fell`."""
        async with self._deciding:
            trial = self.now.under_way
            if trial is None or trial.stage is Stage.STAGED or tree != trial.tree:
                return
            if trial.stage is Stage.CANARY:
                pending = self.journal.turns.pending
                fallen = [pending[at] for at in messages if at in pending]
                await self._append(*(self._moved(one, tree, Moved.DIED) for one in fallen))
                trial = self.now.under_way or trial
                health = weigh(trial, self.clock())
            else:  # it counts when its turn is given again, which shall not be by the same
                health = weigh(_with_crash(trial, min(1, len(messages))), self.clock())
            if failed_starts >= STARTS_MAX:
                text = f"its process did not start {failed_starts} times in a row"
                health = Health(step=Step.BACK, why=Why.CRASH_LOOP, text=text)
            if health.step is Step.BACK and health.why is not None:
                await self._back(trial.result, trial.before, health.why, health.text, by=_NODE)

    async def _back(self, bad: Version, good: Version, why: Why, text: str, *, by: str) -> None:
        """Have `good` in force, or the way back barred where that does not open.

        Raises TreeError for that if somebody asked for it.
        """
        if fault := self._fault(good):
            self._no_way_back = fault
            if by != _NODE:
                raise TreeError(f"there is no way back: {fault}", hint="restore it from a backup")
            _log.error("there is no way back", why=why.value, text=text, fault=fault)
            return
        self._no_way_back = ""
        await self._put_back(bad, good, why, text, by=by)

    async def _put_back(self, bad: Version, good: Version, why: Why, text: str, *, by: str) -> None:
        """Have `good` in force. The process of `bad` ends first: what it does counts no more."""
        other = bad.tree != good.tree
        try:
            if other:
                await self.hosts.end(bad.tree)
            moved = self.hosts.begun_by(bad.tree) if other else []
            await self._append(
                self._rolled_back(bad, good, why, text, by),
                *(self._moved(one, bad.tree, Moved.ROLLED_BACK) for one in moved),
                *self.skins.take_off(bad.adoption),
            )
        finally:
            self.hosts.allow(bad.tree)
        _log.warning("an architecture was rolled back", why=why.value, text=text)
        self._wake()

    def _rolled_back(self, bad: Version, good: Version, why: Why, text: str, by: str) -> Draft:
        facts = {"patch": bad.patch, "adoption": bad.adoption, "reason": why.value, "by": by}
        back = {"tree": good.tree, "version": good.version, "root": good.root}
        return Draft(
            type=types.PATCH_ROLLED_BACK.name,
            stream=types.ADOPTION_STREAM,
            payload=facts | back,
            content={"why": text},
        )

    def _of(self, trial: Adoption, kind: str, **facts: Any) -> Draft:
        named = {"patch": trial.patch, "adoption": trial.staged}
        return Draft(type=kind, stream=types.ADOPTION_STREAM, payload=named | facts)

    def _moved(self, message: Message, tree: bytes, why: Moved) -> Draft:
        turn = answers.turn_of(self.journal, message)
        facts = {"message": message.position, "turn": turn, "tree": tree, "reason": why.value}
        return Draft(
            type=types.TURN_MOVED.name,
            stream=message.stream,
            payload=facts,
            causes=(message.cause,),
        )

    async def _append(self, *drafts: Draft) -> None:
        """Append in one commit, and have what follows from it follow."""
        if drafts:
            async with self.journal.deciding:
                await self.journal.append(*drafts)
        self._follow()
        self.hosts.refresh()

    def _follow(self) -> None:
        """Let the file name the tree in force; where it cannot be written, the next start does."""
        now = self.now.in_force
        try:
            self.layers.refresh()
            if now is not None and trees.current(self.home.path) != now.tree:
                trees.set_current(self.home.path, now.tree)
        except TimmyError as error:
            _log.warning("trees/current does not follow the ledger", why=str(error))

    def _now_s(self) -> int:
        return self.clock() // 1000

    def _wake(self) -> None:
        self._woken.set()

    def status(self) -> dict[str, Any]:
        """Return how far it is, as the rows that scripts rely on."""
        return adoption_told.told(
            self.now,
            self.log,
            self.lineage,
            holds=self.journal.turns.holds,
            tree=self.hosts.tree,
            running=self.hosts.running,
            now_ms=self.clock(),
        ) | {"no_way_back": self._no_way_back}


_STREAM_EVENTS_MAX: Final = 10_000
"""Of one proposal that are read for its verdict."""


def _with_crash(trial: Adoption, crashed: int) -> Adoption:
    more = trial.candidate.crashes + crashed
    return replace(trial, candidate=replace(trial.candidate, crashes=more))
