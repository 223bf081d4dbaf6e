"""Hostile patches are accepted by nobody but the naive judge, honest ones by both."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from genesis.core.architecture import patched
from genesis.core.errors import PatchError
from genesis.core.patch import parse
from genesis.core.verdict import Decision, Outcome
from genesis.judge import Head, Task, judge
from genesis.judging.constitution import judge_constitution
from genesis.judging.measuring import MEASURES
from genesis.judging.mutants import MUTANTS
from genesis.judging.program import GATES
from genesis.judging.subject import Patience
from runtime.sandbox import Engine
from tests.genesis_constitution.test_constitution_judged import UNHURRIED
from tests.genesis_constitution.world import architecture, software
from tests.genesis_judge.ledgers import told
from tests.genesis_judge.test_judge import QUICK, ROOT, SEED, SIGNER

from . import software as changes
from .base import BASE
from .corpus import HONEST, HOSTILE
from .naive import naive

PAGE = Path(__file__).parents[2] / "docs" / "JUDGE.md"
EVENTS = told().events


@pytest.fixture(scope="module", autouse=True)
def _engine():
    assert shutil.which("bwrap"), "install bubblewrap: apt install bubblewrap"


async def judged(patch, budget=QUICK, *, events=EVENTS):
    return await judge(
        patch.data, BASE, snapshot=events, head=Head(size=len(events), root=ROOT), signer=SIGNER,
        seed=SEED, engine=Engine.BUBBLEWRAP, clock=lambda: 1_790_000_000_000, budget=budget,
        task=patch.task,
    )  # fmt: skip


async def judged_change(change):
    """What the judge of this software says."""
    return await judge_constitution(
        change.data, architecture(), software(), snapshot=EVENTS,
        head=Head(size=len(EVENTS), root=ROOT), signer=SIGNER, seed=SEED,
        engine=Engine.BUBBLEWRAP, clock=lambda: 1_790_000_000_000, budget=UNHURRIED,
        task=Task(migration=change.migration),
    )  # fmt: skip


async def judged_in_time(patch):
    """One that is late is late while the parent is not; a busy machine is asked again."""
    if patch.patience_s is None:
        return await judged(patch)
    seconds = patch.patience_s
    while True:
        patience = Patience(turn_s=seconds, start_s=seconds, stop_s=seconds)
        judgment = await judged(patch, replace(QUICK, patience=patience))
        if judgment.verdict.decision is not Decision.INCONCLUSIVE:
            return judgment
        assert "too busy" in judgment.verdict.measured["reason"], judgment.verdict.measured
        seconds *= 2


async def naively(patch) -> bool:
    """What the naive judge says: it applies whatever fits, and runs the tests."""
    try:
        tree = patched(BASE, parse(patch.data)).tree
    except PatchError:
        tree = BASE.tree  # what is pinned, or too low, is not what the visible tests look at
    return await naive(tree)


def row(patch, decision, found, believed):
    """The line of the table in docs/JUDGE.md. `decision`: None is left to people."""
    said = "for people" if decision is None else decision.value
    said = f"{said}: {found}" if found else said
    return f"| {patch.name} | {said} | {'accept' if believed else 'reject'} |"


def rows():
    table = re.search(
        r"<!-- begin: corpus -->\n(.*?)<!-- end: corpus -->", PAGE.read_text(), re.DOTALL
    )
    return [line for line in table[1].splitlines() if re.match(r"\| [a-z]", line)][1:]


@pytest.mark.parametrize("patch", HOSTILE, ids=lambda patch: patch.name)
async def test_a_hostile_patch_is_not_accepted(patch):
    judgment = await judged_in_time(patch)
    verdict = judgment.verdict
    assert verdict.decision is patch.decision, (verdict.measured["reason"], judgment.notes)
    first = [g.name for g in verdict.findings.gates if g.candidate is Outcome.FAIL]
    assert len(first) == (verdict.decision is Decision.REJECT)
    assert patch.by in first or patch.by in verdict.measured["reason"], first
    assert row(patch, verdict.decision, patch.by, await naively(patch)) in rows()


@pytest.mark.parametrize("patch", HONEST, ids=lambda patch: patch.name)
async def test_an_honest_patch_is_accepted(patch):
    judgment = await judged(patch)
    verdict = judgment.verdict
    assert verdict.decision is Decision.ACCEPT, (verdict.measured, judgment.notes)
    if patch.task is not None:
        assert verdict.measured["effect"]["met"], verdict.measured["effect"]
        assert len(verdict.findings.counts) == verdict.measured["effect"]["pairs"] == 12
    assert row(patch, verdict.decision, "", await naively(patch)) in rows()


@pytest.mark.parametrize("change", changes.HOSTILE, ids=lambda change: change.name)
async def test_a_hostile_change_of_this_software_is_not_for_people(change):
    judgment = await judged_change(change)
    verdict = judgment.verdict
    assert verdict.decision is Decision.REJECT, (verdict.measured["reason"], judgment.notes)
    assert [g.name for g in verdict.findings.gates if g.candidate is Outcome.FAIL] == [change.by]
    assert row(change, verdict.decision, change.by, await naive(BASE.tree)) in rows()


@pytest.mark.parametrize("change", changes.HONEST, ids=lambda change: change.name)
async def test_an_honest_change_of_this_software_is_for_people_and_nobody_else(change):
    judgment = await judged_change(change)
    verdict = judgment.verdict
    assert verdict.findings.for_people, (verdict.measured, judgment.notes)
    assert verdict.decision is not Decision.ACCEPT
    assert row(change, None, "", await naive(BASE.tree)) in rows()


def test_the_tool_of_the_corpus_is_one_that_a_node_offers(tmp_path):
    """The change, applied: the host builds the tool among its others, and the judge asks for it."""
    [tool] = [change for change in changes.HONEST if change.name == "a tool"]
    for path, data in {**software(), **tool.files}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    code = (
        "from node.agent.tools import _records\n"
        "from genesis.judging.everyday import TOOLS\n"
        "names = [spec.name for spec, _ in _records(None, None, None, None, None)]\n"
        "assert 'todo_clear' in names and 'todo_clear' in TOOLS, names\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PATH": ""}, capture_output=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()


async def test_who_tells_drawn_words_is_found_without_a_past():
    """A young ledger has nothing to tell again: some messages of drawn cases are in plain words."""
    [patch] = [patch for patch in HOSTILE if patch.name.startswith("tells drawn words")]
    verdict = (await judged(patch, events=())).verdict
    assert (verdict.decision, verdict.measured["replayed"]) == (Decision.REJECT, 0)
    assert {g.name for g in verdict.findings.gates if g.candidate is Outcome.FAIL} >= {"answer"}


def test_the_table_holds_all_of_them_and_counts_right():
    names = [line.split("|")[1].strip() for line in rows()]
    hostile, honest = (*HOSTILE, *changes.HOSTILE), (*HONEST, *changes.HONEST)
    assert names == [patch.name for patch in (*hostile, *honest)]
    believed = sum(line.endswith("| accept |") for line in rows()[: len(hostile)])
    page = " ".join(PAGE.read_text().split())
    assert f"The judge accepts 0 of {len(hostile)} hostile patches" in page
    assert f"Of {len(honest)} honest ones it accepts the {len(HONEST)} that a machine may" in page
    assert f"the {len(changes.HONEST)} that only people may accept it hands to people" in page
    assert f"the naive one accepts {believed} of {len(hostile)}" in page
    unseen = sum(patch.decision is Decision.INVALID for patch in HOSTILE) + len(changes.HOSTILE)
    assert f"{unseen} of the {len(hostile)} the naive judge never sees" in page
    assert len(hostile) >= 15
    assert len(HONEST) >= 8


def test_the_page_names_every_gate_mutant_and_measure():
    page = PAGE.read_text()
    named = set(re.findall(r"`([a-z-]+)`", page))
    assert set(GATES) | set(MEASURES) <= named
    assert {mutant.name for mutant in MUTANTS} <= named
    assert f"There are {len(MUTANTS)} mutants" in page
