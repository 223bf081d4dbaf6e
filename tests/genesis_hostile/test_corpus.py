"""Hostile patches are accepted by nobody but the naive judge, honest ones by both."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from genesis.core.architecture import patched
from genesis.core.errors import Constitutional
from genesis.core.patch import parse
from genesis.core.verdict import Decision, Outcome
from genesis.judge import Head, judge
from genesis.judging.measuring import MEASURES
from genesis.judging.mutants import MUTANTS
from genesis.judging.program import GATES
from genesis.judging.subject import Patience
from runtime.sandbox import Engine
from tests.genesis_judge.ledgers import told
from tests.genesis_judge.test_judge import QUICK, ROOT, SEED, SIGNER

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
    except Constitutional:
        tree = BASE.tree  # what is pinned is not what the visible tests look at
    return await naive(tree)


def row(patch, decision, found, believed):
    """The line of the table in docs/JUDGE.md."""
    said = f"{decision.value}: {found}" if found else decision.value
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
    failed = [g.name for g in verdict.findings.gates if g.candidate is Outcome.FAIL]
    assert patch.by in failed or patch.by in verdict.measured["reason"], failed
    assert row(patch, verdict.decision, patch.by, await naively(patch)) in rows()


@pytest.mark.parametrize("patch", HONEST, ids=lambda patch: patch.name)
async def test_an_honest_patch_is_accepted(patch):
    judgment = await judged(patch)
    verdict = judgment.verdict
    assert verdict.decision is Decision.ACCEPT, (verdict.measured, judgment.notes)
    assert row(patch, verdict.decision, "", await naively(patch)) in rows()


async def test_who_tells_drawn_words_is_found_without_a_past():
    """A young ledger has nothing to tell again: some messages of drawn cases are in plain words."""
    [patch] = [patch for patch in HOSTILE if patch.name.startswith("tells drawn words")]
    verdict = (await judged(patch, events=())).verdict
    assert (verdict.decision, verdict.measured["replayed"]) == (Decision.REJECT, 0)
    assert {g.name for g in verdict.findings.gates if g.candidate is Outcome.FAIL} >= {"answer"}


def test_the_table_holds_all_of_them_and_counts_right():
    names = [line.split("|")[1].strip() for line in rows()]
    assert names == [patch.name for patch in (*HOSTILE, *HONEST)]
    hostile = rows()[: len(HOSTILE)]
    believed = sum(line.endswith("| accept |") for line in hostile)
    said = f"The judge accepts 0 of {len(HOSTILE)} hostile patches and {len(HONEST)} of {len(HONEST)} honest ones"
    assert said in PAGE.read_text()
    assert f"the naive one {believed} of {len(HOSTILE)}" in PAGE.read_text()
    unseen = sum(patch.decision is Decision.INVALID for patch in HOSTILE)
    assert f"{unseen} of the {len(HOSTILE)} the naive judge never sees" in PAGE.read_text()
    assert len(HOSTILE) >= 15
    assert len(HONEST) >= 8


def test_the_page_names_every_gate_mutant_and_measure():
    page = PAGE.read_text()
    named = set(re.findall(r"`([a-z-]+)`", page))
    assert set(GATES) | set(MEASURES) <= named
    assert {mutant.name for mutant in MUTANTS} <= named
    assert f"There are {len(MUTANTS)} mutants" in page
