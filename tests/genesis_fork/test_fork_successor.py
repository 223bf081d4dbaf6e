"""A session exported, copied, forked: what is refused, what is reported, what is never touched."""

import asyncio
import os
from dataclasses import replace

import pytest

from genesis.core.errors import Constitutional, ForkError, InvalidExport, InvalidPatch, StateDiffers
from genesis.core.exported import About
from genesis.core.front import Budget as Allowed
from genesis.core.patch import PatchClass
from genesis.core.verdict import Decision
from genesis.forking import copies
from genesis.forking.fork import Document, ForkBudget, LiveBudget, fork_successor
from genesis.judge import Budget
from genesis.judging.subject import Patience
from ledger.core.event import Draft
from runtime.counterfactual import Nobody
from runtime.sandbox import Engine, SandboxLimits
from tests.genesis_constitution.world import BACK, architecture, migration, software
from tests.genesis_constitution.world import diff as software_diff
from tests.genesis_judge.diffs import change, diff
from tests.genesis_patches.world import FRONT, document, fenced
from tests.sandbox.engines import ENGINES

from .world import ARCHITECTURE, PARENT, lived

JUDGING = Budget(
    patience=Patience(start_s=60, turn_s=60, stop_s=60, case_s=300),
    limits=SandboxLimits(cpu_seconds=30, wall_s=400),
    total_s=1_800,
    timed_rounds=0,
)
BUDGET = ForkBudget(judged=JUDGING, total_s=2_000, turn_s=120)
HONEST = change(PARENT, "prompt.py", "plainly and briefly", "plainly and kindly")
CUT = diff("runtime/agent/nothing.py", b"one\n", b"two\n")
PINNED = diff("genesis/judge.py", b"one\n", b"two\n")


async def test_a_copy_grows_is_whole_and_is_refused_when_it_is_not(tmp_path):
    async with lived(tmp_path) as (world, session):
        folder = tmp_path / "copy"
        early, late = session.export(at=3), session.export()
        assert early.about.size == 3
        await asyncio.to_thread(copies.save, early, folder)
        await asyncio.to_thread(copies.save, late, folder)
        for file in folder.iterdir():
            assert file.stat().st_mode & 0o077 == 0, file
        with copies.opened(folder) as found:
            assert found.about == late.about
            assert found.rebuild().digest() == late.about.digest
        assert About.decode(late.about.encode()) == late.about
        world.log.append_now(Draft(type="weather.changed", stream=bytes(16), payload={}))
        assert late.rebuild().size == late.about.size
        (folder / "session.cbor").write_bytes(replace(late.about, root=bytes(32)).encode())
        with pytest.raises(InvalidExport, match="not those of the head"), copies.opened(folder):
            pass
        (folder / "session.cbor").unlink()
        with pytest.raises(InvalidExport, match="interrupted"), copies.opened(folder):
            pass


def loose(folder):
    folder.chmod(0o755)


def loose_file(folder):
    (folder / "ledger.db").chmod(0o644)


def link(folder):
    (folder / "ledger.db").rename(folder.parent / "elsewhere.db")
    (folder / "ledger.db").symlink_to(folder.parent / "elsewhere.db")


def link_of_all(folder):
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to(folder.parent / "elsewhere")


def foreign(folder):
    os.chown(folder, 12345, 12345)


def foreign_file(folder):
    os.chown(folder / "session.cbor", 12345, 12345)


NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (loose, "has mode 0755, expected 0700"),
        (loose_file, "has mode 0644, expected 0600"),
        (link, "ledger.db is not a regular file"),
        (link_of_all, "cannot make .*copy"),
        pytest.param(foreign, "belongs to user 12345", marks=NEEDS_ROOT),
        pytest.param(foreign_file, "belongs to user 12345", marks=NEEDS_ROOT),
    ],
)
async def test_a_copy_goes_into_no_folder_that_others_can_reach(tmp_path, spoil, why):
    async with lived(tmp_path, said=()) as (world, session):
        folder = tmp_path / "copy"
        await asyncio.to_thread(copies.save, session.export(), folder)
        spoil(folder)
        world.log.append_now(Draft(type="weather.changed", stream=bytes(16), payload={}))
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        with pytest.raises(InvalidExport, match=why):
            await asyncio.to_thread(copies.save, session.export(), folder)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        if spoil in (loose, foreign, foreign_file):
            with pytest.raises(InvalidExport, match=why), copies.opened(folder):
                pass


async def test_another_state_than_the_parents_is_refused_by_name(tmp_path):
    async with lived(tmp_path, said=("hello",)) as (_, session):
        state = session.export()
        with pytest.raises(StateDiffers, match="the parent's is 0000"):
            replace(state, about=replace(state.about, digest=bytes(32))).rebuild()
        with pytest.raises(StateDiffers, match="another version's state is not taken up"):
            replace(state, about=replace(state.about, reducers=bytes(32))).rebuild()
        with pytest.raises(ForkError, match="cannot be forked at 0"):
            session.export(at=0)


@pytest.mark.parametrize(
    ("patch", "kind", "where"),
    [
        (document(fenced(CUT)), InvalidPatch, r"docs/x\.md:\d+: "),
        (document(fenced(PINNED)), Constitutional, r"docs/x\.md:\d+: "),
        (b"+++\ntitle = 1\n+++\n", InvalidPatch, r"docs/x\.md:\d+: "),
        (CUT, InvalidPatch, r"docs/x\.md:\d+: "),
    ],
)
async def test_what_does_not_fit_is_refused_with_file_and_line(tmp_path, patch, kind, where):
    async with lived(tmp_path, said=()) as (world, session):
        before = list(world.log.records())
        with pytest.raises(kind, match=where):
            fork_successor(
                current_state=session.export(),
                architecture_patch=Document(name="docs/x.md", data=patch),
                evaluation_task="try it",
            )
        assert list(world.log.records()) == before


async def test_an_honest_patch_is_accepted_and_what_differs_is_told(tmp_path):
    async with lived(tmp_path) as (world, session):
        before = list(world.log.records())
        successor = fork_successor(
            current_state=session.export(), architecture_patch=HONEST,
            evaluation_task="answer kindly", budget=BUDGET, engine=Engine.BUBBLEWRAP,
        )  # fmt: skip
        verdict = await successor.run()
        assert (verdict.decision, verdict.reason) == (Decision.ACCEPT, "")
        assert verdict.task == "answer kindly"
        assert verdict.sandbox.passed
        assert len(verdict.turns) == 2
        assert [turn.strayed for turn in verdict.turns] == [False, False]
        assert verdict.differing  # another prompt is another request, and none is on record
        assert list(world.log.records()) == before
        assert ARCHITECTURE.root == session.export().about.architecture.root


async def test_without_a_sandbox_nothing_is_decided(tmp_path):
    async with lived(tmp_path, said=()) as (_, session):
        successor = fork_successor(
            current_state=session.export(), architecture_patch=HONEST, engine=Engine.NONE,
            budget=BUDGET,
        )  # fmt: skip
        verdict = await successor.run()
        assert verdict.decision is Decision.INCONCLUSIVE
        assert not verdict.accepted
        with pytest.raises(ForkError, match="event loop runs here"):
            successor.run_until_complete()


async def test_a_proposals_budget_bounds_its_fork(tmp_path):
    async with lived(tmp_path, said=()) as (_, session):
        parts = {"engine": ENGINES[0], "current_state": session.export()}
        given = document(fenced(HONEST), front=replace(FRONT, budget=Allowed(seconds=0)))
        successor = fork_successor(architecture_patch=given, budget=BUDGET, **parts)
        assert successor.budget.total_s == BUDGET.total_s - JUDGING.total_s
        verdict = await successor.run()
        assert verdict.decision is Decision.INCONCLUSIVE
        assert verdict.reason == "the judgment took too long: more than 0 s"
        live = replace(BUDGET, live=LiveBudget(tokens=9_000))
        parts["current_state"] = replace(session, chain=Nobody()).export()
        with pytest.raises(ForkError, match="allows its evaluation no tokens"):
            fork_successor(architecture_patch=document(fenced(HONEST)), budget=live, **parts)
        some = document(fenced(HONEST), front=replace(FRONT, budget=Allowed(tokens=70, usd=1)))
        for patch, tokens, money in ((some, 70, 1_000_000), (HONEST, 9_000, None)):
            allowed = fork_successor(architecture_patch=patch, budget=live, **parts).budget.live
            assert (allowed.tokens, allowed.microusd) == (tokens, money)


# ---- changes of the reducers -----------------------------------------------------------------------


async def forked(session, front):
    """Fork by the migration of the reducers, as a document with this front matter."""
    return await fork_successor(
        current_state=session.export(),
        architecture_patch=document(fenced(software_diff(migration())), front=front),
        budget=BUDGET, engine=Engine.BUBBLEWRAP,
    ).run()  # fmt: skip


async def test_other_reducers_need_a_declared_way_back_and_are_for_people_then(tmp_path):
    """Tried by the judge of this software, on the fork's own events, and nothing is written."""
    front = replace(FRONT, patch_class=PatchClass.CONSTITUTIONAL)
    async with lived(tmp_path, said=("hello",)) as (world, lived_in):
        session = replace(lived_in, architecture=lambda _state: architecture(), software=software)
        before = list(world.log.records())
        silent = await forked(session, front)
        assert silent.decision is Decision.REJECT
        assert (silent.for_people, silent.migration) == (False, "")
        assert "it changes a reducer silently: seen, todo differs" in silent.reason
        declared = await forked(session, replace(front, migration=BACK))
        assert (declared.for_people, declared.accepted) == (True, False), declared.reason
        assert declared.migration == BACK
        count = len(before)
        assert f"the migration {BACK} is invertible over {count} events" in declared.reason
        assert (declared.state, declared.turns) == (session.export().about.digest, ())
        assert list(world.log.records()) == before
        with pytest.raises(Constitutional, match="is pinned"):
            await forked(replace(session, software=None), replace(front, migration=BACK))
