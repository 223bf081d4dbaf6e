"""Judges a change of this software: the old evaluator, and never the changed code outside its cage.

    parses, record, help   read (genesis.core.judging.constitution)
    refold                 the changed software folds the events that a judge is given, and others
                           behind them that the judge draws, in the sandbox, twice: it comes to an
                           end, to one state, and hands that state over
    migration              that state is the present one, or the module that the proposal declares
                           takes it back to the present one, in a cage of its own; for a fork, over
                           its whole ledger (`genesis.judging.whole`)
    people                 no machine's to pass: its transcript names the software before and after

The last gate is never run, so by the arithmetic of every verdict the best that comes of it is
`inconclusive`; whether all the others speak and were passed is `Findings.for_people`, and then
people are asked. A state that differs, and no declared way back, is a reducer that was changed
silently: a no. Which parts of the state differ is measured and told. A no has the teeth of what was
failed: known-bad software of another gate may be late, which is a matter of pace.

The records that are folded hold nobody's words: reducers see none. The parent is folded in the same
cage and held against this process' own fold of the same events; nothing is believed of what a
subject says (`genesis.judging.refolding`).

Not covered: whether the changed program starts; without the whole ledger, events before those that
a judge is given; what a proposal promises: all measures are of the agent's turns, and the agent is
the same before and after, so none is taken, and the verdict says so; changed code that waits for
something else than it is shown. It is told nothing that it could take along.
"""

import asyncio
import hashlib
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from genesis.core import patch
from genesis.core.architecture import Architecture, Manifest
from genesis.core.constitution import (
    Constituted,
    Software,
    change_digest,
    changed_paths,
    constituted,
    migration_of,
)
from genesis.core.draws import case_key
from genesis.core.errors import Constitutional, InvalidPatch
from genesis.core.judging.constitution import BAD, READS, kind_of
from genesis.core.verdict import (
    PEOPLE,
    Findings,
    Gate,
    Inputs,
    Outcome,
    Tooth,
    Verdict,
    sign_envelope,
)
from genesis.judge import Budget, Head, Judgment, Task, evaluator_digest
from genesis.judging.packing import framed
from genesis.judging.refolding import Cages, Fold, Told, Tried, Unsound, transcript_of
from genesis.judging.report import bitten, since_ms
from genesis.judging.returning import WayBack, parts_apart
from genesis.judging.tails import drawn_tail
from genesis.judging.whole import Whole, both, told_whole, tried_whole
from ledger.core.codec import encode
from ledger.core.event import Event
from ledger.core.hashing import tagged
from ledger.core.keys import Signer
from runtime.rooms import workplace
from runtime.sandbox import Engine, SandboxError

REFOLD: Final = "refold"
MIGRATION: Final = "migration"
MIGRATION_TAG: Final = "timmy/state-migration/v1"
FOR_PEOPLE: Final = "a machine finds nothing against it; whether it is wanted is for people"
_SAME: Final = b"def inverse(entries):\n    return entries\n"
UNMEASURED: Final = "not measured: the agent's turns are, and this changes nothing of the agent"
_REDUCERS: Final = "runtime/core/reducers.py"
_MORE: Final = """

def _bad(entries, event):
    {}


REDUCERS = (*REDUCERS, _bad)
"""
_DEFECTS: Final = {
    "chokes": _MORE.format("raise ValueError(event.type)"),
    "random": _MORE.format('return [("random", __import__("os").urandom(8))]'),
    "claims": """

import os

os.write(0, bytes.fromhex("{said}"))
os._exit(0)
""",
}
"""Known-bad software for `refold`; `claims` names the present digests, of no state, and ends."""
_LATE: Final = 'return [("late", event.position)] if event.position == {at} else ()'
"""Known-bad over a whole ledger alone: it goes wrong at the newest event that is in no sample."""
_SILENT: Final = _MORE.format('return [("silent", event.position)]')
_UNFIT: Final = {
    "silent": (_SILENT, None),
    "lossy": (_MORE.format('return [(f"type/{event.type}", None)]'), _SAME),
    "stops": ("""

def _until(fold):
    return lambda entries, event: fold(entries, event) if event.position < {head} else ()


REDUCERS = tuple(map(_until, REDUCERS))
""", None),
}  # fmt: skip
"""Known-bad software for `migration`, and what it declares. `stops` has the state of the ledger as
it is, and folds nothing of what the judge drew behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """The migration that a proposal declares: a path of the software, and the module there."""

    path: str = ""
    module: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folded:
    """How parent, candidate and its migration came out, and over which events."""

    told: Told = field(default_factory=lambda: Told(events=(), sizes=()))
    parent: Tried = field(default_factory=lambda: Tried(outcome=Outcome.NOT_RUN))
    tried: Tried = field(default_factory=lambda: Tried(outcome=Outcome.NOT_RUN))
    moved: Tried = field(default_factory=lambda: Tried(outcome=Outcome.NOT_RUN))


async def judge_constitution(
    data: bytes,
    parent: Architecture,
    software: Software,
    *,
    snapshot: Sequence[Event],
    head: Head,
    signer: Signer,
    seed: bytes,
    engine: Engine,
    clock: Callable[[], int],
    budget: Budget | None = None,
    task: Task | None = None,
    distrust: str = "",
    whole: Whole | None = None,
) -> Judgment:
    """Judge the diff `data`, a change of `software`. Arguments as of `genesis.judge.judge`.

    `whole`: all that stands below `head`, where no other home is to find the same; without it
    nothing is folded but `snapshot`. Raises InvalidVerdict for a malformed head or seed, StoreError
    for a ledger that cannot be read; everything else ends in a verdict.
    """
    made: Constituted | None = None
    declared, task = Declared(), task or Task()
    migration = task.migration
    try:
        parsed = patch.parse(data)
        becomes, why = constituted(parent, software, parsed), distrust
        if migration:
            module = migration_of(becomes.software, parsed, migration)
            declared = Declared(path=migration, module=module)
        made = becomes
    except (InvalidPatch, Constitutional) as error:
        why = str(error)
    inputs = Inputs(
        patch_sha256=hashlib.sha256(data).digest(),
        parent_root=parent.root,
        parent_tree=parent.tree.digest,
        result_root=None if made is None else made.architecture.root,
        result_tree=None if made is None else made.architecture.tree.digest,
        head_size=head.size,
        head_root=head.root,
        evaluator=evaluator_digest(),
        seed=seed,
        measure=task.measure,
        tries=task.tries,
    )
    court = _Court(parent, software, declared, budget or Budget(), engine, clock())
    verdict = await court.verdict(inputs, made, snapshot, why, whole)
    return Judgment(
        envelope=sign_envelope(verdict, [signer]), verdict=verdict, notes=tuple(court.notes)
    )


class _Court:
    """One judgment under way. `notes` are for the operator of this node only."""

    def __init__(
        self,
        parent: Architecture,
        software: Software,
        declared: Declared,
        budget: Budget,
        engine: Engine,
        now_ms: int,
    ) -> None:
        self._parent = parent
        self._software = software
        self._declared = declared
        self._budget = budget
        self._engine = engine
        self._started_ms = now_ms
        self._started = time.perf_counter_ns()
        self.notes: list[str] = []

    async def verdict(
        self,
        inputs: Inputs,
        made: Constituted | None,
        snapshot: Sequence[Event],
        why: str,
        whole: Whole | None = None,
    ) -> Verdict:
        """Try everything and return what follows. Raises nothing of the change's doing."""
        nothing = Findings(inputs=inputs)
        if made is None:
            return self._conclude(nothing, why)
        if self._engine is Engine.NONE:
            return self._conclude(nothing, why or "no sandbox engine works here", made=made)
        try:
            async with asyncio.timeout(self._budget.total_s):
                return await self._run(inputs, made, snapshot, whole)
        except TimeoutError:
            why = f"the judgment took too long: more than {self._budget.total_s:g} s"
            why += "" if whole is None else f", for {whole.state.size} events"
            return self._conclude(nothing, why, made=made)
        except (SandboxError, OSError) as error:
            self.notes.append(f"the machine: {error}")
            return self._conclude(nothing, "it could not be tried here", made=made)
        except Unsound as error:
            self.notes.append(f"the state that is here: {error}")
            return self._conclude(nothing, "the state is beyond what a judge folds", made=made)

    async def _run(
        self, inputs: Inputs, made: Constituted, snapshot: Sequence[Event], whole: Whole | None
    ) -> Verdict:
        after = made.software
        read, teeth = await asyncio.to_thread(_read, self._software, after)
        whys = [why for why in read.values() if why]
        folded = _Folded()
        if not whys:
            told = await asyncio.to_thread(_told, snapshot, inputs)
            with workplace("constitution") as folder:
                cages = Cages(
                    folder=folder, budget=self._budget, engine=self._engine, note=self._note
                )
                folded = await self._folded(cages, after, told)
                teeth += await self._bitten(cages, folded)
                if whole and told.first and folded.moved.outcome is Outcome.PASS:
                    folded, tooth = await self._whole(cages, after, told, whole)
                    teeth.append(tooth)
        gates = [_read_gate(name, why) for name, why in read.items()]
        gates += self._gates(folded)
        change = change_digest(self._software.root, after.root)
        gates.append(
            Gate(name=PEOPLE, parent=Outcome.NOT_RUN, candidate=Outcome.NOT_RUN, transcript=change)
        )
        findings = bitten(Findings(inputs=inputs, gates=tuple(gates), teeth=tuple(teeth)))
        why = "; ".join(whys) or self._reason(findings, folded)
        return self._conclude(findings, why, made=made, state=self._state_row(folded))

    def _note(self, name: str, words: str) -> None:
        """Known-bad software may say what it likes."""
        if name.startswith(("parent", "candidate")):
            self.notes.append(f"{name}: {words}")

    # ---- folding --------------------------------------------------------------------------------

    async def _folded(self, cages: Cages, after: Software, told: Told) -> _Folded:
        """Fold with what is and with what would be, and take the one back to the other."""
        own = await asyncio.to_thread(told.folded)
        parent = _held_to(await cages.once("parent", self._software, told), own)
        tried = await cages.surely("candidate", after, told)
        moved = Tried(outcome=Outcome.NOT_RUN)
        if parent.outcome is tried.outcome is Outcome.PASS:
            way = WayBack(cages=cages, module=self._declared.module, told=told, own=own)
            moved = await way.surely("candidate", tried.folds)
        return _Folded(told=told, parent=parent, tried=tried, moved=moved)

    async def _whole(
        self, cages: Cages, after: Software, sample: Told, whole: Whole
    ) -> tuple[_Folded, Tooth]:
        """The same over the whole ledger, beside software that folds a newer sample well."""
        told, own = await asyncio.to_thread(told_whole, whole, sample)
        bad = self._with(_MORE.format(_LATE.format(at=sample.first - 1)))
        tried, late = await both(
            tried_whole(cages, self._software, after, told, own), cages.once("late", bad, told)
        )
        moved = Tried(outcome=Outcome.NOT_RUN)
        if tried.outcome is Outcome.PASS:
            way = WayBack(cages=cages, module=self._declared.module, told=told, own=own)
            moved = await way.surely("candidate-whole", tried.folds)
        if late.outcome is Outcome.PASS:
            none = WayBack(cages=cages, module=None, told=told, own=own)
            late = await none.once("late", late.folds)
        else:
            late = replace(late, outcome=Outcome.NOT_RUN)
        parent = Tried(outcome=Outcome.PASS, folds=own)
        folded = _Folded(told=told, parent=parent, tried=tried, moved=moved)
        return folded, _tooth("late", MIGRATION, late)

    async def _bitten(self, cages: Cages, folded: _Folded) -> list[Tooth]:
        """Fold with software that is known to be bad: each must be found."""
        told, own, teeth = folded.told, folded.parent.folds, []
        if not own:
            return []
        said = b"".join(framed(encode([fold.size, fold.digest])) for fold in own).hex()
        for name, defect in _DEFECTS.items():
            bad = self._with(defect.replace("{said}", said))
            tried = await cages.twice(name, bad, told)
            teeth.append(_tooth(name, REFOLD, tried))
        for name, (defect, module) in _UNFIT.items():
            bad = self._with(defect.replace("{head}", str(told.sizes[0])))
            tried = await cages.once(name, bad, told)
            if tried.outcome is Outcome.PASS:
                way = WayBack(cages=cages, module=module, told=told, own=own)
                tried = await way.once(name, tried.folds)
            else:  # it folds: else it shows nothing of this gate
                tried = Tried(outcome=Outcome.NOT_RUN)
            teeth.append(_tooth(name, MIGRATION, tried))
        return teeth

    def _with(self, defect: str) -> Software:
        text = self._software.get(_REDUCERS, b"") + defect.encode()
        return Software({**self._software, _REDUCERS: text})

    # ---- what is said of it ---------------------------------------------------------------------

    def _gates(self, folded: _Folded) -> list[Gate]:
        parent, tried, moved = folded.parent, folded.tried, folded.moved
        transcript = transcript_of(tried.folds) if tried.folds else None
        way = None
        if self._declared.path and moved.outcome is not Outcome.NOT_RUN:
            states = [one.digest for one in tried.folds]
            way = tagged(MIGRATION_TAG, encode([self._declared.path, states]))
        return [
            Gate(
                name=REFOLD, parent=parent.outcome, candidate=tried.outcome, transcript=transcript
            ),
            Gate(name=MIGRATION, parent=parent.outcome, candidate=moved.outcome, transcript=way),
        ]

    def _reason(self, findings: Findings, folded: _Folded) -> str:
        if findings.for_people:
            return f"{FOR_PEOPLE}{self._way_back(folded)}"
        if folded.parent.outcome is not Outcome.PASS:
            return f"the software as it is: {folded.parent.why}"
        if why := folded.tried.why or folded.moved.why:
            return why
        blunt = [tooth.mutant for tooth in findings.teeth if tooth.outcome is not Outcome.FAIL]
        return f"known-bad changes were not found: {', '.join(blunt)}"

    def _way_back(self, folded: _Folded) -> str:
        if not self._declared.path:
            return ""
        count, drawn = _counts(folded.told)
        path = self._declared.path
        return f"; the migration {path} is invertible over {count} events and {drawn} drawn ones"

    def _state_row(self, folded: _Folded) -> dict[str, Any] | None:
        if not folded.parent.folds or not folded.tried.folds:
            return None
        before, after = folded.parent.folds, folded.tried.folds
        count, drawn = _counts(folded.told)
        found = {Outcome.PASS: True, Outcome.FAIL: False}.get(folded.moved.outcome)
        return {
            "first": folded.told.first,
            "events": count,
            "drawn": drawn,
            "before": before[0].digest.hex(),
            "after": after[0].digest.hex(),
            "differs": parts_apart(before, after),
            "migration": {"path": self._declared.path, "invertible": found}
            if self._declared.path
            else None,
        }

    def _conclude(
        self,
        findings: Findings,
        why: str,
        *,
        made: Constituted | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> Verdict:
        measured: dict[str, Any] = {
            "effect": {"measure": findings.inputs.measure, "said": UNMEASURED},
            "engine": self._engine.value,
            "reason": why,
            "started_ms": self._started_ms,
            "took_ms": since_ms(self._started),
            "machine": {"processor": platform.machine(), "python": platform.python_version()},
        }
        if made is not None:
            told = software_row(self._parent, self._software, made.software)
            measured["constitution"] = told | ({} if state is None else {"state": dict(state)})
        return Verdict(decision=findings.decision, findings=findings, measured=measured)


def software_row(parent: Architecture, before: Software, after: Software) -> dict[str, Any]:
    """Return, as JSON values, what of the software changes, and which roots name it."""
    return {
        "software": {"before": before.root.hex(), "after": after.root.hex()},
        "pinned": {
            "before": _pinned(before, parent.reducers).hex(),
            "after": _pinned(after, parent.reducers).hex(),
        },
        "files": [
            {
                "path": path,
                "kind": kind_of(path, parent.reducers),
                "change": _change(path in before, path in after),
            }
            for path in changed_paths(before, after)
        ],
    }


def _change(was: bool, is_there: bool) -> str:  # noqa: FBT001 - the facts that are put into words
    if was and is_there:
        return "changes"
    return "goes" if was else "comes"


def _pinned(software: Software, reducers: Iterable[str]) -> bytes:
    out = frozenset(reducers)
    return Manifest(
        tuple(entry for entry in software.manifest.entries if entry.path not in out)
    ).root


def _read(before: Software, after: Software) -> tuple[dict[str, str | None], list[Tooth]]:
    """Read the change, and every known-bad one. A second: not for the event loop."""
    found = {name: gate(before, after) for name, gate in READS.items()}
    teeth = []
    for mutant, (gate, make) in BAD.items():
        bad = READS[gate](before, make(before))
        outcome = Outcome.PASS if bad is None else Outcome.FAIL
        teeth.append(Tooth(mutant=mutant, gate=gate, outcome=outcome))
    return found, teeth


def _read_gate(name: str, why: str | None) -> Gate:
    """Of a gate that is read the parent is what does not change: it passes."""
    candidate = Outcome.PASS if why is None else Outcome.FAIL
    return Gate(name=name, parent=Outcome.PASS, candidate=candidate)


def _tooth(name: str, gate: str, tried: Tried) -> Tooth:
    outcome = Outcome.NOT_RUN if tried.late else tried.outcome
    return Tooth(mutant=name, gate=gate, outcome=outcome)


def _told(snapshot: Sequence[Event], inputs: Inputs) -> Told:
    """Return the events to fold, the judge's own behind them: the state is asked for at both."""
    key = case_key(inputs.seed, inputs.patch_sha256)
    events = [*snapshot, *drawn_tail(key, snapshot)]
    first = events[0].position
    return Told(events=events, sizes=(first + len(snapshot), first + len(events)))


def _counts(told: Told) -> tuple[int, int]:
    """Return how many events of the ledger are folded, and how many drawn ones."""
    head, end = told.sizes
    return head - told.first, end - head


def _held_to(tried: Tried, own: tuple[Fold, ...]) -> Tried:
    if tried.outcome is Outcome.PASS and tried.folds != own:
        return replace(
            tried, outcome=Outcome.FAIL, why="what lies on disk folds otherwise than what runs"
        )
    return tried


__all__ = ["FOR_PEOPLE", "MIGRATION", "REFOLD", "Whole", "judge_constitution", "software_row"]
