"""A changed reducer is held to the parent's own state after every event, not after the newest."""

import asyncio
from dataclasses import replace

import pytest

from genesis.core import limits
from genesis.core.front import Budget as Allowed
from genesis.core.patch import PatchClass
from genesis.core.verdict import Decision, Outcome
from genesis.forking.fork import fork_successor
from genesis.forking.session import REDUCERS, Session
from genesis.judging.constitution import UNMEASURED
from genesis.judging.refolding import Bounds, Cages, Fold, Told, Unsound
from genesis.judging.subject import Patience
from genesis.judging.whole import Whole, told_whole, tried_whole
from ledger.core import types
from ledger.core.event import Draft
from ledger.core.state import State
from node.agent.told_verdicts import facts, found_lines
from runtime.sandbox import Engine
from tests.genesis_constitution.world import (
    BACK,
    INVERSE,
    TODOS,
    architecture,
    diff,
    migration,
    software,
    swapped,
)
from tests.genesis_patches.world import FRONT, document, fenced
from tests.runtime.world import new_log

from .test_fork_successor import BUDGET, JUDGING

EVENTS, OLD, MANY = 5_500, 700, 4_500
"""More than a sample has; one that no sample has; as many lists as no sample has."""
KEPT = "    return ((todo_key(conversation), event.position),)"
WRONG = "    return ((todo_key(conversation), event.position + ({})),)"
CONSTITUTIONAL = replace(FRONT, patch_class=PatchClass.CONSTITUTIONAL)
ALIKE = {TODOS: software()[TODOS] + b"\n# A word more.\n"}


def wrong(when):
    """A reducer that is wrong by one when it says so."""
    return {TODOS: swapped(TODOS, KEPT, WRONG.format(when))}


@pytest.fixture(scope="module")
def log():
    """A long ledger of lists; each of the first thousand stands in a conversation of its own."""
    assert EVENTS - limits.FORK_SAMPLED_EVENTS > OLD
    assert limits.FORK_SAMPLED_EVENTS < MANY < EVENTS
    found = new_log()
    found.append_now(*(
        Draft(type=types.TODO_SET.name, stream=types.NODE_STREAM, content={"items": ["secret"]},
              payload={"conversation": f"c{n if n < 1_000 else n % 50}", "count": 1, "done": 0})
        for n in range(1, EVENTS)
    ))  # fmt: skip
    with found:
        yield found


def session(log):
    return Session(
        log=log, architecture=lambda _: architecture(), name="Timmy", soul="Be honest.",
        software=software,
    )  # fmt: skip


async def forked(log, changes, front=CONSTITUTIONAL, budget=BUDGET):
    assert log.size == EVENTS
    return await fork_successor(
        current_state=session(log).export(),
        architecture_patch=document(fenced(diff(changes)), front=front),
        budget=budget, engine=Engine.BUBBLEWRAP,
    ).run()  # fmt: skip


def told_of(verdict):
    return verdict.judgment.verdict.measured["constitution"]["state"]


def teeth_of(verdict):
    return {tooth.mutant: tooth.outcome for tooth in verdict.judgment.verdict.findings.teeth}


@pytest.mark.parametrize(
    ("changes", "declared", "why"),
    [
        (wrong(f"event.position == {OLD}"), "", "it changes a reducer silently: todo differs"),
        (wrong(f"_entries['type/todo.set'] > {MANY}"), "", "silently: todo differs"),
        (
            {**migration(), BACK: INVERSE.replace(
                "    return {", f"    if entries['type/todo.set'] > {MANY}:\n"
                "        entries.pop('todo/c0')\n    return {").encode()},
            BACK, "the migration that it declares loses todo",
        ),
    ],
)  # fmt: skip
async def test_what_is_wrong_beyond_a_sample_is_refused(log, changes, declared, why):
    found = await forked(log, changes, replace(CONSTITUTIONAL, migration=declared))
    assert found.decision is Decision.REJECT, (found.reason, found.judgment.notes)
    assert why in found.reason
    assert not found.for_people
    state = told_of(found)
    assert (state["first"], state["events"]) == (0, EVENTS)
    assert state["before"] == found.state.hex() == session(log).export().about.digest.hex()
    assert set(teeth_of(found).values()) == {Outcome.FAIL}
    assert "late" in teeth_of(found)


async def test_a_migration_is_taken_back_over_the_whole_ledger(log):
    front = replace(CONSTITUTIONAL, migration=BACK, evaluation="template-bytes, please")
    before = list(log.records())
    found = await forked(log, migration(), front)
    assert found.for_people, (found.reason, found.judgment.notes)
    assert not found.accepted
    assert f"the migration {BACK} is invertible over {EVENTS} events" in found.reason
    state = told_of(found)
    assert (state["first"], state["events"]) == (0, EVENTS)
    assert state["before"] == found.state.hex()
    assert (state["differs"], state["migration"]["invertible"]) == (["seen", "todo"], True)
    findings = found.judgment.verdict.findings
    assert (findings.inputs.measure, findings.counts) == ("template-bytes", ())
    effect = found.judgment.verdict.measured["effect"]
    assert effect == {"measure": "template-bytes", "said": UNMEASURED}
    told = list(found_lines(facts(found.judgment.verdict, words=True)))
    assert told == [("reason", found.reason), ("effect", UNMEASURED)]
    assert list(log.records()) == before


async def test_a_budget_that_is_too_small_says_so_and_nothing_is_found(log):
    front = replace(CONSTITUTIONAL, budget=Allowed(seconds=0))
    found = await forked(log, ALIKE, front)
    assert found.decision is Decision.INCONCLUSIVE
    assert not found.for_people
    assert found.reason == f"the judgment took too long: more than 0 s, for {EVENTS} events"


# ---- the parts of it -------------------------------------------------------------------------------


def whole_of(log, records=None):
    state = session(log).export().rebuild()
    newest = [*log.events(EVENTS - 10, EVENTS)]
    sample = Told(events=newest, sizes=(EVENTS,))
    return told_whole(Whole(records=records or log.records, state=state), sample)


def cages_in(folder, patience=JUDGING.patience):
    return Cages(
        folder=folder, budget=replace(JUDGING, patience=patience), engine=Engine.BUBBLEWRAP,
        note=lambda name, words: None,
    )  # fmt: skip


async def test_who_is_late_is_found_neither_good_nor_bad(log, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "FOLD_EVENTS_PER_S_MIN", 10**12)
    told, own = whole_of(log)
    cages = cages_in(tmp_path, Patience(case_s=0))
    found = await tried_whole(cages, software(), software(), told, own)
    assert (found.outcome, found.folds) == (Outcome.NOT_RUN, ())
    assert found.why == f"the {EVENTS} events of the whole ledger were not folded in time"


async def test_software_that_does_not_fold_beside_one_that_does_not_either(log, tmp_path):
    """The parent is asked only when the candidate fails; then a failure may be the machine's."""
    told, own = whole_of(log)
    bad = replace(software(), files={**software(), TODOS: b"raise ValueError\n"})
    cages = cages_in(tmp_path)
    found = await tried_whole(cages, software(), bad, told, own)
    assert (found.outcome, "it ends with an error" in found.why) == (Outcome.FAIL, True)
    (tmp_path / "both").mkdir()
    found = await tried_whole(cages_in(tmp_path / "both"), bad, bad, told, own)
    assert found.outcome is Outcome.NOT_RUN
    assert "the software as it is: it does not fold what is there" in found.why


async def test_a_ledger_is_told_in_parts_and_without_words(log):
    """No frame holds more than a part of it, and each record is read when it is asked for."""
    asked = []

    def records(start, stop):
        for record in log.records(start, stop):
            asked.append(record.position)
            yield record

    told, _ = whole_of(log, records)
    frames = told.frames()
    next(frames)
    first = next(frames)
    assert len(first) < 1 << 19
    assert 0 < len(asked) < EVENTS - 100
    rest = b"".join(frames)
    assert b"secret" not in first + rest
    assert (told.first, told.count, told.sizes) == (0, EVENTS, (EVENTS,))
    assert asked == [*range(EVENTS - 10)]


def test_bounds_grow_with_the_state_that_is_there_and_hold(log):
    _, own = whole_of(log)
    bounds = Bounds.of(own[-1])
    assert bounds.entries == Bounds().entries + limits.FOLD_STATE_TIMES_MAX * own[-1].entries
    assert bounds.state_bytes > Bounds().state_bytes
    tight = replace(bounds, entries=own[-1].entries - 1)
    assert Fold.of(EVENTS, own[-1].maps, bounds) == own[-1]
    with pytest.raises(Unsound, match="at most"):
        Fold.of(EVENTS, own[-1].maps, tight)


async def test_a_state_in_many_maps_has_the_digest_of_one(log):
    """What is summed up part by part is what a state has that is held whole."""
    state = await asyncio.to_thread(session(log).export().rebuild)
    state.entries["recent/long"] = "x" * 300_000
    state.entries["recent/longer"] = "y" * 300_000
    state = State.restore(REDUCERS, state.entries, state.size)
    fold = Fold.held(state)
    assert len(fold.maps) > 2
    again = Fold.of(state.size, fold.maps, Bounds())
    assert (again.digest, again.parts) == (state.digest(), state.parts())
    state.entries["recent/longest"] = "z" * (5 << 20)
    with pytest.raises(Unsound, match="more than"):
        Fold.held(State.restore(REDUCERS, state.entries, state.size))
