"""The bench: plays and reads every gate on candidate, parent and mutants, and weighs what came.

Being late, or dying, can be the machine's doing. A candidate found so is played once more, alone
but for the parent, which plays the same cases beside it again and again: only if the candidate
fails again while the parent is in time is it a failure, and if it does not fail again, or the
parent is late too, the gate is inconclusive. It is never a pass: a patch that fails now and then
shall not get by on a second try. Parent and mutants are played once more without such ado; a
mutant that is late twice was not found by its gate.

Of a later try more cases of each gate are drawn (`program.draws_of`), and candidate and parent
must pass all of them; a mutant is played on the first.

Of a rejection the findings hold the first failed gate alone: which others were tried behind one
that hangs is a matter of pace. So a gate before it that could not be told leaves all inconclusive.

A case of many lives is lived so often by the candidate, in the first draw, and by mutants; by the
parent only after a failure, when it is to be told whose that is.
"""

import asyncio
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from genesis.core import limits
from genesis.core.architecture import Architecture
from genesis.core.draws import case_key
from genesis.core.judging.reading import READS
from genesis.core.tree import Tree
from genesis.core.verdict import Decision, Findings, Inputs, Outcome, Verdict
from genesis.judging import evidence, measuring, program
from genesis.judging.budget import Budget
from genesis.judging.cast import CANDIDATE, PARENT, Cast, Job
from genesis.judging.mutants import MUTANTS, Mutant, specimen, with_files
from genesis.judging.past import Snapshot
from genesis.judging.player import TRANSCRIPT_TAG, Recording, play
from genesis.judging.report import (
    Trial,
    first_failed,
    gate_of,
    measures,
    reason,
    rejection,
    since_ms,
    tooth_of,
)
from genesis.judging.scenes import Case, Past
from genesis.judging.subject import Cage, Violation
from genesis.trees import write_tree
from ledger.core.event import Event
from ledger.core.hashing import tagged
from ledger.core.state import State
from runtime.rooms import workplace
from runtime.sandbox import Engine, SandboxError
from runtime.tasks import to_its_end

_FREE: Final = frozenset(program.PLAYED) - {program.LIMITS}
"""Gates whose cases depend on nothing but the tree."""


class Bench:
    """One judgment under way. `notes` are for the operator of this node only."""

    def __init__(
        self,
        parent: Architecture,
        result: Architecture | None,
        budget: Budget,
        engine: Engine,
        clock: Callable[[], int],
        wanted: measuring.Wanted,
        state: State | None = None,
    ) -> None:
        self._parent = parent
        self._result = result
        self._budget = budget
        self._wanted = wanted
        self._state = state
        self._cage = Cage(engine=engine, limits=budget.limits, patience=budget.patience)
        self._places = asyncio.Semaphore(budget.parallel)
        self._started_ms = clock()
        self._started = time.perf_counter_ns()
        self._hung: set[str] = set()
        self._faults: list[Exception] = []
        self._folder = Path()
        self._past = Past()
        self.notes: list[str] = []

    async def verdict(self, inputs: Inputs, snapshot: Sequence[Event], why: str) -> Verdict:
        """Try everything and return what follows. Raises nothing of the patch's doing."""
        nothing = Findings(inputs=inputs)
        if self._result is None:
            return self._conclude(nothing, why)
        if self._cage.engine is Engine.NONE:
            return self._conclude(nothing, why or "no sandbox engine works here")
        total_s = self._budget.total_s * program.draws_of(inputs.tries)
        try:
            async with asyncio.timeout(total_s):
                return await self._run(inputs, snapshot, self._result)
        except TimeoutError:
            return self._conclude(nothing, f"the judgment took too long: more than {total_s:g} s")
        except (SandboxError, OSError) as error:
            self._note("the machine", str(error))
            return self._conclude(nothing, "a subject could not be started")

    async def _run(
        self, inputs: Inputs, snapshot: Sequence[Event], result: Architecture
    ) -> Verdict:
        key = case_key(inputs.seed, inputs.patch_sha256)
        ts_ms = snapshot[-1].ts_ms if snapshot else self._started_ms
        cast, starved, setting = await asyncio.to_thread(
            self._cast, key, inputs, snapshot, ts_ms, result
        )
        self._past, told = cast.past, min(len(setting.turns), limits.REPLAYED_TURNS)
        with workplace("judge") as folder:
            self._folder = folder
            trees = {PARENT: self._parent.tree, CANDIDATE: result.tree}
            trees |= {mutant.defect: specimen(mutant.defect) for mutant in MUTANTS}
            await to_its_end(asyncio.to_thread(_write_all, trees, self._folder))
            candidate = await self._candidate(cast, result)
            failed = first_failed(candidate)
            passed = all(trial.outcome is Outcome.PASS for trial in candidate)
            asked = list(program.GATES) if passed else failed
            alike = self._parent.tree == result.tree
            known = {t.gate: t for t in candidate if alike and _is_the_parent_s(t)}
            cast = cast.briefly() if passed else cast
            parent, teeth = await self._controls(asked, cast, starved, known)
            if passed:
                candidate = self._held_to_words(candidate, parent, result)
            found = Findings(
                inputs=inputs,
                gates=tuple(gate_of(parent.get(trial.gate), trial) for trial in candidate),
                teeth=tuple(tooth_of(mutant, trial) for mutant, trial in teeth),
            )
            findings = rejection(found)
            more: dict[str, Any] = {"replayed": told}
            if findings.decision is Decision.ACCEPT:
                findings, extras = await self._extras(findings, key, setting, cast, result)
                more |= extras
        trials = {PARENT: list(parent.values()), CANDIDATE: candidate}
        why = reason(found, [*candidate, *parent.values(), *(t for _, t in teeth)])
        return self._conclude(findings, why or more.pop("unmet", ""), trials=trials, more=more)

    def _cast(
        self,
        key: bytes,
        inputs: Inputs,
        events: Sequence[Event],
        ts_ms: int,
        result: Architecture,
    ) -> tuple[Cast, Mapping[str, Case], program.Setting]:
        """Draw all cases. Seconds for a long ledger: not for the event loop."""
        snapshot = Snapshot.of(events, self._state)
        turns = tuple(snapshot.turns())
        setting = program.Setting(
            position=inputs.head_size, ts_ms=ts_ms, snapshot=snapshot, turns=turns
        )
        own = measuring.bounds_of(self._parent, result)
        jobs: dict[str, dict[str, tuple[Case, ...]]] = {PARENT: {}, CANDIDATE: {}}
        for draw in range(program.draws_of(inputs.tries)):
            drawn = program.cases(key, setting, draw=draw)
            common = {case.gate: case if draw == 0 else case.briefly() for case in drawn}
            last = program.limits_of(key, setting, own, draw=draw)
            for who, cases in ((PARENT, common), (CANDIDATE, common | {last.gate: last})):
                for gate, case in cases.items():
                    jobs[who][gate] = (*jobs[who].get(gate, ()), case)
        starved = {
            mutant.name: program.limits_of(key, setting, mutant.bounds)
            for mutant in MUTANTS
            if mutant.bounds is not None
        }
        parent, candidate = (
            {gate: Job(who=who, folder=who, cases=cases) for gate, cases in jobs[who].items()}
            for who in (PARENT, CANDIDATE)
        )
        first = {gate: job.cases[0] for gate, job in parent.items()}
        cast = Cast(candidate=candidate, parent=parent, first=first, past=snapshot.past)
        return cast, starved, setting

    # ---- who is tried ---------------------------------------------------------------------------

    async def _candidate(self, cast: Cast, result: Architecture) -> list[Trial]:
        """Try all gates; but what reads badly, or cannot even shake hands, is asked no more."""
        read = [await self._read(gate, self._parent, result) for gate in READS]
        for trial in read:
            if trial.why:
                self._note(f"{CANDIDATE}: {trial.gate}", trial.why)
        jobs = list(cast.candidate.values())
        if any(trial.outcome is Outcome.FAIL for trial in read):
            return [*read, *(Trial(gate=job.gate, outcome=Outcome.NOT_RUN) for job in jobs)]
        first = await self._trials(jobs[:1])
        if first[0].outcome is not Outcome.PASS:
            rest = [Trial(gate=job.gate, outcome=Outcome.NOT_RUN) for job in jobs[1:]]
            return [*read, *first, *rest]
        return [*read, *first, *await self._trials(jobs[1:])]

    async def _controls(
        self,
        asked: Sequence[str],
        cast: Cast,
        starved: Mapping[str, Case],
        known: Mapping[str, Trial],
    ) -> tuple[dict[str, Trial], list[tuple[Mutant, Trial]]]:
        """Try parent and mutants in the gates that are asked about, but for what is known."""
        teeth = [mutant for mutant in MUTANTS if mutant.gate in asked]
        played = [gate for gate in asked if gate not in READS and gate not in known]
        bitten = [mutant for mutant in teeth if mutant.gate not in READS]
        jobs = [
            *(cast.parent[gate] for gate in played),
            *(cast.mutant(mutant, starved) for mutant in bitten),
        ]
        done = await self._trials(jobs)
        parent = {**dict(zip(played, done, strict=False)), **known}
        names = [mutant.name for mutant in bitten]
        found = dict(zip(names, done[len(played) :], strict=True))
        for gate in asked:
            if gate in READS:
                parent[gate] = await self._read(gate, self._parent, self._parent)
        for mutant in teeth:
            if mutant.gate in READS:
                bad = await asyncio.to_thread(with_files, mutant.files)
                found[mutant.name] = await self._read(mutant.gate, with_files({}), bad)
        return parent, [(mutant, found[mutant.name]) for mutant in teeth]

    async def _read(self, gate: str, before: Architecture, after: Architecture) -> Trial:
        started = time.perf_counter_ns()
        why = await asyncio.to_thread(READS[gate], before, after)
        outcome = Outcome.PASS if why is None else Outcome.FAIL
        return Trial(gate=gate, outcome=outcome, why=why or "", took_ms=since_ms(started))

    def _held_to_words(
        self, candidate: list[Trial], parent: Mapping[str, Trial], result: Architecture
    ) -> list[Trial]:
        """A change of words alone must not change what the agent asks for, told the same again."""
        if measuring.code_of(self._parent) != measuring.code_of(result):
            return candidate
        why = "it changes words alone, and asks for something else than before"
        return [
            replace(trial, outcome=Outcome.FAIL, why=why)
            if trial.gate == program.REPLAY and trial.transcript != parent[trial.gate].transcript
            else trial
            for trial in candidate
        ]

    async def _extras(
        self,
        findings: Findings,
        key: bytes,
        setting: program.Setting,
        cast: Cast,
        result: Architecture,
    ) -> tuple[Findings, dict[str, Any]]:
        """Measure, and look at the tests that the patch brings.

        What is found makes no other decision of a pass; what cannot be measured leaves none.
        """
        inputs = findings.inputs
        measure = measuring.MEASURES.get(inputs.measure)
        more: dict[str, Any] = {}
        if measure is None:
            more["turn_us"] = await self._timed(cast.first["answer"])
        if measure is not None:
            cases = measuring.cases_of(key, setting, inputs.tries)
            pairs = await self._pairs(measure, cases)
            if pairs is None:
                why = f"the machine may have been too busy to measure {inputs.measure}"
                return Findings(inputs=inputs), {"unmet": why}
            if measure.counted:
                findings = replace(findings, counts=tuple(pairs))
            effect = measuring.effect_of(inputs.measure, pairs, self._wanted, inputs.tries)
            more |= {"effect": effect, "unmet": "" if effect["met"] else effect["said"]}
        claims = await evidence.claims_of(result.tree, self._cage)
        return findings, more | ({"tests": claims} if claims is not None else {})

    # ---- trials ---------------------------------------------------------------------------------

    async def _trials(self, jobs: Sequence[Job]) -> list[Trial]:
        """Play all, some at once; then what may be the machine's doing once more, one by one.

        Trials raise nothing into their group: before Python 3.13 a group that is cancelled in the
        moment a child fails reports the failure and forgets the cancellation.
        """

        async def attempt(job: Job) -> Trial:
            async with self._places:
                if self._faults or job.who in self._hung:
                    return Trial(gate=job.gate, outcome=Outcome.NOT_RUN, doubtful=True)
                return await self._trial(job)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attempt(job)) for job in jobs]
        done = [task.result() for task in tasks]
        self._hung.clear()
        for index, job in enumerate(jobs):
            if done[index].doubtful and not self._faults:
                done[index] = await self._again(job, first=done[index])
        if self._faults:
            raise self._faults[0]
        return done

    async def _trial(self, job: Job) -> Trial:
        """Play the cases. Raises nothing: what we could not do is in `self._faults`."""
        started = time.perf_counter_ns()
        try:
            recordings = [await self._played(job, case) for case in job.cases]
        except Violation as violation:
            if violation.timed_out:
                self._hung.add(job.who)
            if job.who in (PARENT, CANDIDATE):
                self._note(f"{job.who}: {violation.reason}", violation.detail)
            return Trial(
                gate=job.gate,
                outcome=Outcome.FAIL,
                why=violation.reason,
                timed_out=violation.timed_out,
                doubtful=violation.doubtful,
                took_ms=since_ms(started),
            )
        except Exception as error:  # noqa: BLE001 - raised by `_trials`
            self._faults.append(error)
            return Trial(gate=job.gate, outcome=Outcome.NOT_RUN)
        return Trial(
            gate=job.gate,
            outcome=Outcome.PASS,
            transcript=_transcript(recordings),
            usage=recordings[-1].usage,
            took_ms=since_ms(started),
        )

    async def _again(self, job: Job, *, first: Trial) -> Trial:
        """Play once more what may have been the machine's doing, and say what it was."""
        if job.who in self._hung:  # twice late in another gate: not waited for again
            return Trial(gate=job.gate, outcome=Outcome.NOT_RUN)
        if job.who != CANDIDATE:
            again = await self._trial(job)
            if again.timed_out:
                return replace(again, outcome=Outcome.NOT_RUN)
            return replace(again, doubtful=False)
        again, calm = await self._beside_the_parent(job)
        failed_soundly = again.outcome is Outcome.FAIL and (calm or not again.doubtful)
        if failed_soundly or (first.outcome is Outcome.NOT_RUN and again.outcome is Outcome.PASS):
            return replace(again, doubtful=False)
        return replace(again, outcome=Outcome.NOT_RUN, transcript=None, doubtful=True)

    async def _beside_the_parent(self, job: Job) -> tuple[Trial, bool]:
        """Play the candidate, and the parent beside it, at least once, until the candidate is done.

        The two have the same machine in the same moments, half of which the parent rests. Returns
        the candidate's trial and whether the machine let the parent be in time throughout.
        """
        done = asyncio.Event()

        async def control() -> bool:
            while True:
                trial = await self._trial(replace(job, who=PARENT, folder=PARENT))
                if trial.doubtful or done.is_set():
                    return not trial.doubtful
                with suppress(TimeoutError):
                    async with asyncio.timeout(trial.took_ms / 1_000):
                        await done.wait()

        async with asyncio.TaskGroup() as group:
            calm = group.create_task(control())
            again = await self._trial(job)
            done.set()
        return again, calm.result()

    async def _played(self, job: Job, case: Case) -> Recording:
        tree = self._folder / job.folder
        recording = await play(case, tree, self._past, self._cage)
        why = await asyncio.to_thread(case.check, recording.played)  # a second for the worst texts
        if why is not None:
            raise Violation(why)
        for _ in range(1, case.lives):
            again = await play(case, tree, self._past, self._cage)
            if again.transcript != recording.transcript:
                raise Violation("it did not do the same again")
        return recording

    # ---- measures -------------------------------------------------------------------------------

    async def _timed(self, case: Case) -> dict[str, list[int]]:
        """Take the two in turn, each first as often as second: a machine's drift cancels out."""
        times: dict[str, list[int]] = {PARENT: [], CANDIDATE: []}
        for who in (PARENT, CANDIDATE, CANDIDATE, PARENT) * self._budget.timed_rounds:
            recording = await self._measured(who, case)
            if recording is not None:
                times[who].append(recording.rounds_us[0])
        return times

    async def _pairs(
        self, measure: measuring.Measure, cases: Sequence[Case]
    ) -> list[tuple[int, int]] | None:
        """Measure each turn of the cases: what the parent came to, and what the candidate did.

        A play that fails is played once more. None if that fails, too: with a pair less there
        would be another digest, for a moment in which the machine was busy.
        """
        pairs: list[tuple[int, int]] = []
        rounds = 1 if measure.counted else max(1, self._budget.timed_rounds)
        order = (PARENT, CANDIDATE) if measure.counted else (PARENT, CANDIDATE, CANDIDATE, PARENT)
        for case in cases:
            sums: dict[str, list[list[int]]] = {PARENT: [], CANDIDATE: []}
            for who in order * rounds:
                recording = await self._measured(who, case) or await self._measured(who, case)
                if recording is None:
                    return None
                sums[who].append(measure.of(case, recording))
            columns = [[sum(turn) for turn in zip(*sums[w], strict=True)] for w in sums]
            pairs += list(zip(*columns, strict=True))
        return pairs

    async def _measured(self, who: str, case: Case) -> Recording | None:
        try:
            recording = await play(case, self._folder / who, self._past, self._cage)
        except Violation as violation:
            self._note(f"{who}, measured: {violation.reason}", violation.detail)
            return None
        except (SandboxError, OSError) as error:
            self._note(f"{who}, measured", str(error))
            return None
        why = await asyncio.to_thread(case.check, recording.played)
        if why is not None:
            self._note(f"{who}, measured", why)
        return recording if why is None else None

    def _note(self, what: str, detail: str) -> None:
        """Keep what the operator may want to see, once."""
        note = f"{what}: {detail}" if detail else what
        if note not in self.notes:
            self.notes.append(note)

    def _conclude(
        self,
        findings: Findings,
        why: str,
        *,
        trials: Mapping[str, Sequence[Trial]] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> Verdict:
        measured = {
            "engine": self._cage.engine.value,
            "reason": why,
            "started_ms": self._started_ms,
            "took_ms": since_ms(self._started),
            "machine": {"processor": platform.machine(), "python": platform.python_version()},
            "subjects": {who: measures(those) for who, those in (trials or {}).items()},
            "turn_us": {},
        }
        measured |= more or {}
        return Verdict(decision=findings.decision, findings=findings, measured=measured)


def _is_the_parent_s(trial: Trial) -> bool:
    """Whether a candidate of the parent's tree has shown what the parent would: the same process.

    Not in `limits`, whose bounds are of the patch.
    """
    return trial.outcome is Outcome.PASS and trial.gate in _FREE


def _write_all(trees: Mapping[str, Tree], folder: Path) -> None:
    for name, tree in trees.items():
        (folder / name).mkdir()
        write_tree(tree, folder / name, durable=False)


def _transcript(recordings: Sequence[Recording]) -> bytes:
    if len(recordings) == 1:
        return recordings[0].transcript
    return tagged(TRANSCRIPT_TAG, b"".join(one.transcript for one in recordings))
