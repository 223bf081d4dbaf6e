"""Measures that a proposal may ask for, what it promises, and the tests that it brings."""

from dataclasses import replace

import pytest

from genesis.core.tree import Tree
from genesis.core.verdict import Decision
from genesis.judge import Budget, Head, Task, judge
from genesis.judging.measuring import MEASURES, Wanted, effect_of, measure_of, wanted_of
from runtime.sandbox import Engine

from .diffs import agent_tree, architecture, change, rewrite
from .test_judge import QUICK, ROOT, SEED, SIGNER, failed

PARENT = agent_tree()
FEWER = change(PARENT, "loop.py", "RECALLED = 6\n", "RECALLED = 8\n")
BEGIN = "    words = memory.text(position)\n"
SPIN = "    import time\n    until = time.process_time() + 0.02\n    while time.process_time() < until:\n        pass\n"
SPINS = Tree(
    {**PARENT, "loop.py": PARENT["loop.py"].replace(BEGIN.encode(), (SPIN + BEGIN).encode())}
)
FASTER = change(SPINS, "loop.py", SPIN + BEGIN, BEGIN) + rewrite(
    SPINS, "tests/test_rules.py",
    "from agent.prompt import RULES\n\n\ndef test_rules():\n    assert 'briefly' in RULES\n"
    "\n\ndef test_hope():\n    assert RULES == 'anything'\n",
)  # fmt: skip


async def judged(patch, task, *, budget=QUICK, parent=PARENT):
    return await judge(
        patch, architecture(parent), snapshot=(), head=Head(size=0, root=ROOT), signer=SIGNER,
        seed=SEED, engine=Engine.BUBBLEWRAP, clock=lambda: 1_790_000_000_000, budget=budget,
        task=task,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("template-bytes", "template-bytes"),
        ("turn-time: of a greeting", "turn-time"),
        ("recall-hits.", "recall-hits"),
        ("Answer a greeting.", ""),
        ("steps-per-turns", ""),
        ("the measure turn-time", ""),
    ],
)
def test_the_evaluation_names_a_measure(words, name):
    assert measure_of(words) == name


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("less by 10 %", Wanted(direction="less", percent=10)),
        ("More by 5%, I hope", Wanted(direction="more", percent=5)),
        ("same", Wanted(direction="same")),
        ("lesser", Wanted()),
        ("The prompt says kindly.", Wanted()),
    ],
)
def test_what_is_expected_names_a_direction(words, wanted):
    assert wanted_of(words) == wanted


@pytest.mark.parametrize(
    ("pairs", "wanted", "met"),
    [
        ([(100, 80)] * 12, Wanted(), True),
        ([(100, 80)] * 12, Wanted(direction="less", percent=20), True),
        ([(100, 80)] * 12, Wanted(direction="less", percent=21), False),
        ([(100, 80)] * 12, Wanted(direction="more"), False),
        ([(100, 100)] * 12, Wanted(), False),
        ([(100, 103)] * 12, Wanted(direction="same"), True),
        ([(100, 107)] * 12, Wanted(direction="same"), False),
        ([(100, 80)] * 5, Wanted(), False),
        ([], Wanted(), False),
        ([(100, 80)] * 9 + [(100, 120)] * 3, Wanted(), False),
        ([(100, 80)] * 10 + [(100, 120)] * 2, Wanted(), True),
    ],
)
def test_an_effect_is_met_by_the_whole_interval(pairs, wanted, met):
    effect = effect_of("steps-per-turn", pairs, wanted, 1)
    assert effect["met"] is met
    assert ("not met" in effect["said"]) is not met


def test_a_later_try_needs_more_confidence():
    pairs = [(100, 80)] * 10 + [(100, 120)] * 2
    assert effect_of("steps-per-turn", pairs, Wanted(), 1)["met"]
    assert not effect_of("steps-per-turn", pairs, Wanted(), 2)["met"]


async def test_a_speed_up_is_found_and_tests_are_evidence():
    """20 ms of work that nobody needs are dropped. Time is in no digest.

    What its tests claim is told, and one that fails changes nothing.
    """
    budget = Budget(patience=QUICK.patience, total_s=1_800, timed_rounds=1)
    task = Task(measure="turn-time", wanted=Wanted(direction="less"))
    judgment = await judged(FASTER, task, budget=budget, parent=SPINS)
    verdict = judgment.verdict
    assert verdict.decision is Decision.ACCEPT, (verdict.measured["reason"], judgment.notes)
    assert verdict.findings.counts == ()
    assert verdict.findings.inputs.measure == "turn-time"
    effect = verdict.measured["effect"]
    assert (effect["pairs"], effect["met"]) == (12, True), effect
    assert effect["low"] <= effect["high"] < 0
    assert verdict.measured["tests"] == {
        "files": 1, "claimed": True, "claimed_passed": 1, "claimed_failed": 1,
    }  # fmt: skip


async def test_an_effect_that_is_not_met_is_said_and_decides_nothing():
    """A second try: more cases of each gate, and more lives of the measure, which every judge counts."""
    task = Task(measure="recall-hits", wanted=Wanted(direction="less"), tries=2)
    judgment = await judged(FEWER, task, budget=replace(QUICK, parallel=2))
    verdict = judgment.verdict
    assert verdict.decision is Decision.ACCEPT, (verdict.measured["reason"], judgment.notes)
    assert (
        "recall-hits: expected less, not met: the difference is 2 to 2"
        in (verdict.measured["reason"])
    )
    assert set(verdict.findings.counts) == {(6, 8)}
    assert len(verdict.findings.counts) == 36
    assert verdict.findings.inputs.tries == 2


async def test_what_is_rejected_is_not_measured():
    wrong = change(
        PARENT, "loop.py", "    said = memory.before(position, RECENT)\n", "    said = []\n"
    )
    judgment = await judged(wrong, Task(measure="template-bytes"))
    assert failed(judgment) >= {"history"}
    assert judgment.verdict.findings.counts == ()
    assert "effect" not in judgment.verdict.measured


def test_every_measure_has_a_name_that_fits():
    assert {measure_of(name) for name in MEASURES} == set(MEASURES)
