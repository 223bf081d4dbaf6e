"""The judge: runs a patched tree as a successor, outside it, and signs what it found.

    candidate   every gate
    parent      the same gates, on the tree that is adopted now: one it fails says nothing
    mutants     each known-bad tree on the gate that is there for it: a blunt gate says nothing
    measures    parent and candidate in turn (A B B A), outside the digest

After a failure only the first failed gate is tried on parent and mutants: one sound reason to
reject is enough.

Being late, or dying, can be the machine's doing. A candidate found so is played once more, alone
but for the parent, which plays the same case beside it again and again: only if the candidate
fails again while the parent is in time is it a failure, and if it does not fail again, or the
parent is late too, the gate is inconclusive. It is never a pass: a patch that fails now and then
shall not get by on a second try. Parent and mutants are played once more without such ado; a
mutant that is late twice was not found by its gate.

All of them run in the sandbox, as fresh processes, on the same snapshot and the same cases, which
are drawn from a seed that was committed to before the patch was frozen and is revealed in the
verdict. Only protocol frames cross the border; expectations stay here.

Accept means: the parent and the candidate passed everything, all mutants died, and the engine
contains. What cannot be found out is inconclusive: no engine, a start that fails, time over, a
machine too busy. A patch that cannot be read or applied, or that reaches outside the agent's tree,
is invalid.

Not covered: whether the change is wise (people read it); a subject that waits for a later day, or
that tells the judge from a node by its timing; leaks through the verdict's transcript digests to
someone who guesses the private words that a subject might have copied.
"""

import asyncio
import hashlib
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

from genesis.cases import Case, all_cases
from genesis.core import limits, patch
from genesis.core.draws import case_key
from genesis.core.errors import Constitutional, InvalidPatch
from genesis.core.tree import Tree
from genesis.core.verdict import (
    Decision,
    Findings,
    Gate,
    Inputs,
    Outcome,
    Tooth,
    Verdict,
    sign_envelope,
)
from genesis.mutants import MUTANTS, Mutant, specimen
from genesis.player import Past, Recording, play
from genesis.subject import Cage, Patience, Violation
from genesis.trees import write_tree
from ledger.core.event import Event
from ledger.core.hashing import tagged
from ledger.core.keys import Signer
from ledger.core.state import State
from runtime.cgroups import Usage
from runtime.core.agenda import STREAMED, reduce_agenda
from runtime.core.protocol import EventFrame
from runtime.core.protocol import encode as encode_frame
from runtime.core.turns import Turns
from runtime.sandbox import MIB, Engine, SandboxError, SandboxLimits
from runtime.tasks import to_its_end

EVALUATOR_TAG: Final = "timmy/evaluator/v1"
_EVALUATOR: Final = (
    *(("genesis", f"{name}.py") for name in ("cases", "judge", "mutants", "player", "specimen")),
    *(("genesis", f"{name}.py") for name in ("subject", "trees")),
    *(("genesis.core", f"{name}.py") for name in ("draws", "limits", "patch", "tree")),
    *(("genesis.core", f"{name}.py") for name in ("strict_json", "verdict")),
    *(("runtime.core", f"{name}.py") for name in ("agenda", "calls", "limits", "protocol")),
    *(("runtime.core", f"{name}.py") for name in ("seccomp", "turns")),
    *(("runtime", f"{name}.py") for name in ("bubblewrap", "child", "interpreter", "sandbox")),
    ("runtime", "tasks.py"),
)
"""The judge's own code: two verdicts compare only if it was the same."""
_TIMED_GATE: Final = "answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one judgment may take."""

    patience: Patience = field(default_factory=Patience)
    limits: SandboxLimits = field(
        default_factory=lambda: SandboxLimits(
            memory_bytes=256 * MIB, cpu_seconds=60, wall_s=90.0, state_bytes=32 * MIB
        )
    )
    total_s: float = 600.0
    parallel: int = 2
    """Subjects at once: two halve the time on small machines and cost half a gigabyte at most."""
    timed_rounds: int = 2
    """How often A B B A is measured; 0 for not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The signed head of the parent's ledger that the snapshot was taken at."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgment:
    """A signed verdict, and notes for the operator of this node only.

    `notes` may hold what subjects wrote, and thereby words of the snapshot: they stay here.
    """

    envelope: bytes
    verdict: Verdict
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """One subject in one gate."""

    gate: str
    outcome: Outcome
    transcript: bytes | None = None
    usage: Usage = field(default_factory=Usage)
    why: str = ""
    timed_out: bool = False
    doubtful: bool = False
    """It failed, or was not tried, for what may be the machine's doing."""
    took_ms: int = 0


async def judge(
    data: bytes,
    parent: Tree,
    *,
    snapshot: Sequence[Event],
    head: Head,
    signer: Signer,
    seed: bytes,
    engine: Engine,
    clock: Callable[[], int],
    budget: Budget | None = None,
) -> Judgment:
    """Judge the patch `data` against `parent`.

    `snapshot` is the ledger's events below `head`, in order; `seed` is 32 secret random bytes
    that were committed to (`verdict.seed_commitment`); `clock` gives Unix milliseconds. Raises
    InvalidVerdict for a malformed head or seed; everything a patch or the machine can do ends in
    a verdict.
    """
    try:
        parsed = patch.parse(data)
        result, why = patch.apply(parsed, parent), ""
    except (InvalidPatch, Constitutional) as error:
        result, why = None, str(error)
    bench = _Bench(parent, result, budget or Budget(), engine, clock)
    inputs = Inputs(
        patch_sha256=hashlib.sha256(data).digest(),
        parent_tree=parent.digest,
        result_tree=None if result is None else result.digest,
        head_size=head.size,
        head_root=head.root,
        evaluator=evaluator_digest(),
        seed=seed,
    )
    verdict = await bench.verdict(inputs, snapshot, why)
    return Judgment(
        envelope=sign_envelope(verdict, [signer]), verdict=verdict, notes=tuple(bench.notes)
    )


def evaluator_digest() -> bytes:
    """Return 32 bytes over the judge's own source."""
    parts = []
    for package, name in _EVALUATOR:
        source = resources.files(package).joinpath(name).read_bytes()
        parts.append(tagged(EVALUATOR_TAG, f"{package}/{name}".encode() + b"\0" + source))
    return tagged(EVALUATOR_TAG, b"".join(parts))


def past_of(snapshot: Sequence[Event]) -> Past:
    """Return what a node would tell a starting agent of these events, in the node's own terms."""
    state = State((reduce_agenda,))
    for event in snapshot:
        state.apply(event)
    turns = Turns(state)
    frames: list[bytes] = []
    words: dict[int, bool] = {}
    told = [event for event in snapshot if event.type in STREAMED]
    for event in told[-limits.HISTORY_EVENTS_MAX :]:
        content = None if event.position in turns.withheld else event.content
        frame = EventFrame(
            position=event.position,
            type=event.type,
            ts_ms=event.ts_ms,
            stream=event.stream,
            payload=event.payload,
            content=content,
        )
        frames.append(encode_frame(frame))
        words[event.position] = bool(content and content.get("text"))
    return Past(frames=b"".join(frames), words=words)


class _Bench:
    """One judgment under way."""

    def __init__(
        self,
        parent: Tree,
        result: Tree | None,
        budget: Budget,
        engine: Engine,
        clock: Callable[[], int],
    ) -> None:
        self._parent = parent
        self._result = result
        self._budget = budget
        self._cage = Cage(engine=engine, limits=budget.limits, patience=budget.patience)
        self._places = asyncio.Semaphore(budget.parallel)
        self._started_ms = clock()
        self._started = time.perf_counter_ns()
        self._hung: set[str] = set()
        self._faults: list[Exception] = []
        self.notes: list[str] = []

    async def verdict(self, inputs: Inputs, snapshot: Sequence[Event], why: str) -> Verdict:
        nothing = Findings(inputs=inputs)
        if self._result is None:
            return self._conclude(nothing, why)
        if self._cage.engine is Engine.NONE:
            return self._conclude(nothing, "no sandbox engine works here")
        try:
            async with asyncio.timeout(self._budget.total_s):
                return await self._run(inputs, snapshot, self._result)
        except TimeoutError:
            return self._conclude(nothing, "the judgment took too long")
        except (SandboxError, OSError) as error:
            self._note("the machine", str(error))
            return self._conclude(nothing, "a subject could not be started")

    async def _run(self, inputs: Inputs, snapshot: Sequence[Event], result: Tree) -> Verdict:
        key = case_key(inputs.seed, inputs.patch_sha256)
        ts_ms = snapshot[-1].ts_ms if snapshot else self._started_ms
        cases = await asyncio.to_thread(all_cases, key, position=inputs.head_size, ts_ms=ts_ms)
        past = await asyncio.to_thread(past_of, snapshot)
        by_gate = {case.gate: case for case in cases}
        with tempfile.TemporaryDirectory(prefix="timmy-judge-") as name:
            folder = Path(name)
            trees = {"parent": self._parent, "candidate": result}
            trees |= {mutant.defect: specimen(mutant.defect) for mutant in MUTANTS}
            await to_its_end(asyncio.to_thread(_write_all, trees, folder))
            candidate = await self._candidate(cases, folder, past)
            failed = [trial.gate for trial in candidate if trial.outcome is Outcome.FAIL]
            passed = all(trial.outcome is Outcome.PASS for trial in candidate)
            asked = list(by_gate) if passed else failed[:1]
            teeth = [mutant for mutant in MUTANTS if mutant.gate in asked]
            jobs = [
                *(("parent", by_gate[gate]) for gate in asked),
                *((mutant.defect, by_gate[mutant.gate]) for mutant in teeth),
            ]
            done = await self._trials(jobs, folder, past)
            parent = dict(zip(asked, done, strict=False))
            findings = Findings(
                inputs=inputs,
                gates=tuple(_gate(parent.get(trial.gate), trial) for trial in candidate),
                teeth=tuple(map(_tooth, teeth, done[len(asked) :])),
            )
            turns_us = {}
            if findings.decision is Decision.ACCEPT:
                turns_us = await self._timed(by_gate[_TIMED_GATE], folder, past)
        trials = {"parent": list(parent.values()), "candidate": candidate}
        why = _reason(findings, [*candidate, *done])
        return self._conclude(findings, why, trials=trials, turns_us=turns_us)

    async def _candidate(self, cases: Sequence[Case], folder: Path, past: Past) -> list[_Trial]:
        """Try all gates; but what cannot even shake hands is not asked for more."""
        first = await self._trials([("candidate", cases[0])], folder, past)
        if first[0].outcome is not Outcome.PASS:
            return first + [_Trial(gate=case.gate, outcome=Outcome.NOT_RUN) for case in cases[1:]]
        return first + await self._trials([("candidate", c) for c in cases[1:]], folder, past)

    async def _trials(
        self, jobs: Sequence[tuple[str, Case]], folder: Path, past: Past
    ) -> list[_Trial]:
        """Play all, some at once; then what may be the machine's doing once more, one by one.

        Trials raise nothing into their group: before Python 3.13 a group that is cancelled in the
        moment a child fails reports the failure and forgets the cancellation.
        """

        async def attempt(who: str, case: Case) -> _Trial:
            async with self._places:
                if self._faults or who in self._hung:
                    return _Trial(gate=case.gate, outcome=Outcome.NOT_RUN, doubtful=True)
                return await self._trial(who, case, folder, past)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attempt(who, case)) for who, case in jobs]
        done = [task.result() for task in tasks]
        self._hung.clear()
        for index, (who, case) in enumerate(jobs):
            if done[index].doubtful and not self._faults:
                done[index] = await self._again(who, case, folder, past, first=done[index])
        if self._faults:
            raise self._faults[0]
        return done

    async def _trial(self, who: str, case: Case, folder: Path, past: Past) -> _Trial:
        """Play one case. Raises nothing: what we could not do is in `self._faults`."""
        started = time.perf_counter_ns()
        try:
            recording = await self._played(case, folder / who, past)
        except Violation as violation:
            if violation.timed_out:
                self._hung.add(who)
            if who in ("parent", "candidate"):
                self._note(f"{who}: {violation.reason}", violation.detail)
            return _Trial(
                gate=case.gate,
                outcome=Outcome.FAIL,
                why=violation.reason,
                timed_out=violation.timed_out,
                doubtful=violation.doubtful,
                took_ms=_since_ms(started),
            )
        except Exception as error:  # noqa: BLE001 - raised by `_trials`
            self._faults.append(error)
            return _Trial(gate=case.gate, outcome=Outcome.NOT_RUN)
        return _Trial(
            gate=case.gate,
            outcome=Outcome.PASS,
            transcript=recording.transcript,
            usage=recording.usage,
            took_ms=_since_ms(started),
        )

    async def _again(
        self, who: str, case: Case, folder: Path, past: Past, *, first: _Trial
    ) -> _Trial:
        """Play once more what may have been the machine's doing, and say what it was."""
        if who in self._hung:  # twice late in another gate: not waited for again
            return _Trial(gate=case.gate, outcome=Outcome.NOT_RUN)
        if who != "candidate":
            again = await self._trial(who, case, folder, past)
            if again.timed_out:
                return replace(again, outcome=Outcome.NOT_RUN)
            return replace(again, doubtful=False)
        again, calm = await self._beside_the_parent(case, folder, past)
        failed_soundly = again.outcome is Outcome.FAIL and (calm or not again.doubtful)
        if failed_soundly or (first.outcome is Outcome.NOT_RUN and again.outcome is Outcome.PASS):
            return replace(again, doubtful=False)
        return replace(again, outcome=Outcome.NOT_RUN, transcript=None, doubtful=True)

    async def _beside_the_parent(self, case: Case, folder: Path, past: Past) -> tuple[_Trial, bool]:
        """Play the candidate, and the parent beside it, at least once, until the candidate is done.

        The two have the same machine in the same moments, half of which the parent rests. Returns
        the candidate's trial and whether the machine let the parent be in time throughout.
        """
        done = asyncio.Event()

        async def control() -> bool:
            while True:
                trial = await self._trial("parent", case, folder, past)
                if trial.doubtful or done.is_set():
                    return not trial.doubtful
                with suppress(TimeoutError):
                    async with asyncio.timeout(trial.took_ms / 1_000):
                        await done.wait()

        async with asyncio.TaskGroup() as group:
            calm = group.create_task(control())
            again = await self._trial("candidate", case, folder, past)
            done.set()
        return again, calm.result()

    def _note(self, reason: str, detail: str) -> None:
        """Keep what the operator may want to see, once."""
        note = f"{reason}: {detail}" if detail else reason
        if note not in self.notes:
            self.notes.append(note)

    async def _played(self, case: Case, tree: Path, past: Past) -> Recording:
        recording = await play(case, tree, past, self._cage)
        why = case.check(recording.played)
        if why is not None:
            raise Violation(why)
        if case.repeat:
            again = await play(case, tree, past, self._cage)
            if again.transcript != recording.transcript:
                raise Violation("it did not do the same twice")
        return recording

    async def _timed(self, case: Case, folder: Path, past: Past) -> dict[str, list[int]]:
        """Take the two in turn, each first as often as second: a machine's drift cancels out."""
        times: dict[str, list[int]] = {"parent": [], "candidate": []}
        for who in ("parent", "candidate", "candidate", "parent") * self._budget.timed_rounds:
            try:
                recording = await play(case, folder / who, past, self._cage)
            except Violation as violation:
                self._note(f"{who}, timing: {violation.reason}", violation.detail)
                continue
            except (SandboxError, OSError) as error:
                self._note(f"{who}, timing", str(error))
                continue
            times[who].append(recording.rounds_us[0])
        return times

    def _conclude(
        self,
        findings: Findings,
        why: str,
        *,
        trials: Mapping[str, Sequence[_Trial]] | None = None,
        turns_us: Mapping[str, list[int]] | None = None,
    ) -> Verdict:
        measured = {
            "engine": self._cage.engine.value,
            "reason": why,
            "started_ms": self._started_ms,
            "took_ms": _since_ms(self._started),
            "machine": {"processor": platform.machine(), "python": platform.python_version()},
            "subjects": {who: _measures(those) for who, those in (trials or {}).items()},
            "turn_us": dict(turns_us or {}),
        }
        return Verdict(decision=findings.decision, findings=findings, measured=measured)


def _write_all(trees: Mapping[str, Tree], folder: Path) -> None:
    for name, tree in trees.items():
        (folder / name).mkdir()
        write_tree(tree, folder / name, durable=False)


def _gate(parent: _Trial | None, candidate: _Trial) -> Gate:
    return Gate(
        name=candidate.gate,
        parent=Outcome.NOT_RUN if parent is None else parent.outcome,
        candidate=candidate.outcome,
        transcript=candidate.transcript,
    )


def _tooth(mutant: Mutant, trial: _Trial) -> Tooth:
    return Tooth(mutant=mutant.defect, gate=mutant.gate, outcome=trial.outcome)


def _reason(findings: Findings, trials: Sequence[_Trial]) -> str:
    """Say in our own words what decided."""
    doubtful = sorted({trial.gate for trial in trials if trial.doubtful})
    if findings.decision is Decision.INCONCLUSIVE and doubtful:
        return f"the machine may have been too busy to tell: {', '.join(doubtful)}"
    parent = [gate.name for gate in findings.gates if gate.parent is Outcome.FAIL]
    blunt = [tooth.mutant for tooth in findings.teeth if tooth.outcome is not Outcome.FAIL]
    failed = [gate.name for gate in findings.gates if gate.candidate is Outcome.FAIL]
    if parent:
        return f"the parent itself does not pass: {', '.join(parent)}"
    if blunt:
        return f"known-bad mutants were not found: {', '.join(blunt)}"
    return f"not passed: {', '.join(failed)}" if failed else ""


def _measures(trials: Sequence[_Trial]) -> dict[str, Any]:
    usages = [trial.usage for trial in trials]
    return {
        "cpu_ms": round(sum(usage.cpu_s or 0 for usage in usages) * 1_000),
        "memory_peak_bytes": max((usage.memory_peak_bytes or 0 for usage in usages), default=0),
        "gates": {
            trial.gate: {
                "took_ms": trial.took_ms,
                "timed_out": trial.timed_out,
                "why": trial.why,
            }
            for trial in trials
        },
    }


def _since_ms(started_ns: int) -> int:
    return (time.perf_counter_ns() - started_ns) // 1_000_000
