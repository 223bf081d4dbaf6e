"""What a judge finds is the same at any pace of his machine, or it is inconclusive.

Lateness is made here and not waited for: a play that "takes too long" is refused its turn, and
where the order matters a play waits until the others are done, as on a machine that is fast.
"""

import asyncio
from dataclasses import replace

from genesis.core.agreement import compare
from genesis.core.verdict import Decision, Outcome
from genesis.judge import Task
from genesis.judging import bench, program
from genesis.judging.measuring import Wanted
from genesis.judging.player import play
from genesis.judging.subject import Violation

from . import test_measuring
from .test_judge import HONEST, QUICK, WRONG, failed, judged

HUNG = "references"
FORGETS = WRONG["forgets the conversation"][0]
LATE = "a turn took too long"


def gates(judgment):
    return {gate.name: gate for gate in judgment.verdict.findings.gates}


async def hanging(monkeypatch, *, behind: bool):
    """Judge a candidate that hangs in one gate: seen before others begin, or `behind` them all."""
    others, done = set(program.PLAYED) - {HUNG}, set()
    all_done = asyncio.Event()

    async def played(case, tree, past, cage):
        if tree.name == "candidate" and case.gate == HUNG:
            if behind:
                await all_done.wait()
            raise Violation(LATE, timed_out=True)
        try:
            return await play(case, tree, past, cage)
        finally:
            if tree.name == "candidate":
                done.add(case.gate)
            if done == others:
                all_done.set()

    monkeypatch.setattr(bench, "play", played)
    return await judged(HONEST, budget=replace(QUICK, parallel=2))


async def test_a_candidate_that_hangs_in_one_gate_has_one_digest_at_any_pace(monkeypatch):
    fast, slow = [await hanging(monkeypatch, behind=behind) for behind in (True, False)]
    one, other = fast.verdict, slow.verdict
    assert one.decision is other.decision is Decision.REJECT, (one.measured, other.measured)
    assert one.digest == other.digest
    compared = compare(one, other)
    assert (compared.agree, compared.differences) == (True, ())
    assert one.findings.gates != () != one.findings.teeth
    assert {tooth.gate for tooth in one.findings.teeth} == {HUNG}
    for name, gate in gates(fast).items():
        outcome = Outcome.FAIL if name == HUNG else Outcome.NOT_RUN
        assert (gate.candidate, gate.transcript) == (outcome, None)
    told = [one.measured["subjects"]["candidate"]["gates"] for one in (one, other)]
    assert told[0]["replay"]["outcome"] == "pass"  # for people, and in no digest
    assert told[1]["replay"]["outcome"] == "not-run"


async def test_what_could_not_be_told_before_the_first_failure_leaves_it_inconclusive(monkeypatch):
    """The one machine could not tell `answer`; another may, and would find another first failure."""
    late = True

    async def played(case, tree, past, cage):
        nonlocal late
        if late and tree.name == "candidate" and case.gate == "answer":
            late = False
            raise Violation(LATE, timed_out=True)
        return await play(case, tree, past, cage)

    monkeypatch.setattr(bench, "play", played)
    judgment = await judged(FORGETS, budget=QUICK)
    assert not late
    assert judgment.verdict.decision is Decision.INCONCLUSIVE
    assert "too busy to tell: answer" in judgment.verdict.measured["reason"]


async def test_a_rejection_says_all_that_failed_and_finds_the_first():
    """A patch that fails in many gates, none of them for its pace."""
    judgment = await judged(WRONG["drops the person's message"][0])
    found = [name for name, gate in gates(judgment).items() if gate.candidate is Outcome.FAIL]
    assert found == ["answer"]
    assert len(failed(judgment)) > 1
    assert set(judgment.verdict.measured["reason"].removeprefix("not passed: ").split(", ")) == (
        failed(judgment)
    )


async def measured(monkeypatch, **late: int):
    """Judge a measure; `late` says how many first plays of which of the two take too long."""

    async def played(case, tree, past, cage):
        if case.gate == "measure" and late.get(tree.name):
            late[tree.name] -= 1
            raise Violation(LATE, timed_out=True)
        return await play(case, tree, past, cage)

    monkeypatch.setattr(bench, "play", played)
    task = Task(measure="recall-hits", wanted=Wanted(direction="more"))
    judgment = await test_measuring.judged(test_measuring.FEWER, task)
    assert not any(late.values())
    return judgment.verdict


async def test_a_late_play_of_a_measure_is_played_once_more(monkeypatch):
    """Never with fewer pairs: they are in the digest, which would be another one for a moment."""
    quiet, once = await measured(monkeypatch), await measured(monkeypatch, parent=1, candidate=1)
    assert quiet.decision is once.decision is Decision.ACCEPT, (quiet.measured, once.measured)
    assert len(quiet.findings.counts) == 12
    assert compare(quiet, once).agree
    assert once.digest == quiet.digest


async def test_a_measure_that_is_late_twice_leaves_it_inconclusive(monkeypatch):
    verdict = await measured(monkeypatch, candidate=2)
    assert verdict.decision is Decision.INCONCLUSIVE
    assert verdict.findings.counts == ()
    assert "too busy to measure recall-hits" in verdict.measured["reason"]
