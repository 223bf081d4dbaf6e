"""Adoptions as facts: one at a time, a stack of what is in force, turns counted by their tree."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.codec import encode
from ledger.core.state import State
from runtime.core.adoptions import (
    SHARE_OF,
    STACK_MAX,
    TIMES_MAX,
    Adoptions,
    Stage,
    in_share,
    reduce_adoptions,
)
from runtime.core.agenda import reduce_agenda

BIRTH, NEW, NEWER = (bytes([n]) * 32 for n in (1, 2, 3))
ROOTS = {BIRTH: b"\x11" * 32, NEW: b"\x12" * 32, NEWER: b"\x13" * 32}


class Told:
    """A state that is told events one by one."""

    def __init__(self):
        self.state = State((reduce_agenda, reduce_adoptions))
        self.ms = 1000

    def tell(self, kind, **payload):
        position = self.state.size
        self.state.apply(
            SimpleNamespace(
                position=position, type=kind, payload=payload, ts_ms=self.ms, stream=bytes(16),
                cause=SimpleNamespace(id=bytes([position % 256]) * 32),
            )
        )  # fmt: skip
        self.state.digest()  # encodes every entry that changed
        return position

    def stage(self, tree=NEW, before=BIRTH, **more):
        facts = {
            "patch": 0, "root": ROOTS[tree], "tree": tree, "version": None,
            "before": {"tree": before, "version": None, "root": ROOTS[before]},
            "share": 500, "window_s": 60, "turns": 2, "reducers": bytes(32),
        }  # fmt: skip
        return self.tell("patch.staged", **facts | more)

    def adopt(self, tree=NEW, before=BIRTH):
        staged = self.stage(tree, before)
        self.tell("patch.adopted", adoption=staged)
        self.tell("patch.settled", adoption=staged)
        return staged

    def message(self, conversation="home"):
        return self.tell("message.received", conversation=conversation, author="ann", screen="pass")

    def turn(self, message, tree, outcome="answered", ms=10, attempt=1):
        self.tell("turn.started", message=message, turn=b"t" * 16, attempt=attempt, tree=tree)
        self.ms += ms
        if outcome:
            self.tell("turn.finished", message=message, turn=b"t" * 16, outcome=outcome)

    @property
    def now(self):
        return Adoptions(self.state.entries)


def test_an_adoption_goes_through_its_stages_and_a_rollback_takes_it_off():
    told = Told()
    assert told.now.in_force is None
    staged = told.stage()
    assert told.now.under_way.stage is Stage.STAGED
    assert told.now.in_force.tree == BIRTH  # nothing is different yet
    assert told.now.before is None
    told.ms = 5000
    told.tell("patch.canary", adoption=staged)
    trial = told.now.under_way
    assert (trial.stage, trial.since) == (Stage.CANARY, 5000)
    assert (trial.before.tree, trial.base, trial.result.tree) == (BIRTH, ROOTS[BIRTH], NEW)
    told.tell("patch.adopted", adoption=staged)
    assert told.now.under_way.stage is Stage.NODE
    assert told.now.in_force.tree == NEW
    assert told.now.before.tree == BIRTH
    at = told.tell("patch.settled", adoption=staged)
    assert told.now.under_way is None
    assert (told.now.settled.position, told.now.settled.root) == (at, ROOTS[NEW])
    second = told.stage(NEWER, NEW)
    told.tell("patch.adopted", adoption=second)
    assert [one.tree for one in told.now.stack] == [BIRTH, NEW, NEWER]
    told.tell("patch.rolledback", adoption=second)  # in its window
    assert told.now.under_way is None
    assert told.now.in_force.tree == NEW
    told.tell("patch.rolledback", adoption=staged)  # what settled
    assert told.now.in_force.tree == BIRTH
    told.tell("patch.rolledback", adoption=staged)
    assert [one.tree for one in told.now.stack] == [BIRTH]


@pytest.mark.parametrize("stage", ["staged", "canary", "node"])
def test_a_rollback_at_any_stage_leaves_what_was(stage):
    told = Told()
    first = told.adopt(NEW)
    staged = told.stage(NEWER, NEW)
    if stage != "staged":
        told.tell("patch.canary", adoption=staged)
    if stage == "node":
        told.tell("patch.adopted", adoption=staged)
    told.tell("patch.rolledback", adoption=first)  # names another one: nothing happens
    assert told.now.under_way is not None
    told.tell("patch.rolledback", adoption=staged)
    assert told.now.under_way is None
    assert [one.tree for one in told.now.stack] == [BIRTH, NEW]


def test_what_does_not_follow_is_passed_over():
    told = Told()
    for kind in ("canary", "adopted", "settled", "rolledback"):
        told.tell(f"patch.{kind}", adoption=0)
    assert told.now.stack == []
    staged = told.stage()
    before = dict(told.state.entries)
    told.stage(NEWER)  # while one is under way
    told.tell("patch.settled", adoption=staged)  # it is not adopted
    told.tell("patch.adopted", adoption=staged + 1)
    told.tell("patch.canary", adoption="x")
    assert told.state.entries == before
    told.tell("patch.adopted", adoption=staged)
    told.tell("patch.canary", adoption=staged)
    assert told.now.under_way.stage is Stage.NODE
    told.tell("patch.settled", adoption=staged)
    told.stage(NEWER, BIRTH)  # not upon what is in force
    assert told.now.under_way is None


def test_a_share_of_the_conversations_and_the_same_ones_each_time():
    names = [f"talk {n}" for n in range(2000)]
    first = [in_share(ROOTS[NEW], name, 100) for name in names]
    assert first == [in_share(ROOTS[NEW], name, 100) for name in names]
    assert 140 < sum(first) < 260
    assert first != [in_share(ROOTS[NEWER], name, 100) for name in names]  # others each time
    assert all(in_share(ROOTS[NEW], name, SHARE_OF) for name in names[:100])
    wider = [in_share(ROOTS[NEW], name, 300) for name in names]
    assert all(w for f, w in zip(first, wider, strict=True) if f)


def test_whose_a_turn_is():
    told = Told()
    inside = next(f"a{n}" for n in range(99) if in_share(ROOTS[NEW], f"a{n}", 500))
    outside = next(f"b{n}" for n in range(99) if not in_share(ROOTS[NEW], f"b{n}", 500))
    early, mine, other = told.message(inside), told.message(inside), told.message(outside)

    def whose(conversation, message):
        return told.now.tree_for(conversation, message, BIRTH)

    assert whose(inside, early) == BIRTH
    staged = told.stage()
    assert whose(inside, early) == BIRTH
    told.turn(early, BIRTH, outcome=None)
    told.tell("patch.canary", adoption=staged)
    assert whose(inside, early) == BIRTH  # begun by it
    assert whose(inside, mine) == NEW
    assert whose(outside, other) == BIRTH
    told.turn(mine, NEW, outcome=None)
    told.tell("turn.moved", message=mine, reason="died")
    assert whose(inside, mine) == BIRTH
    assert told.now.moved(mine) == 1
    assert told.now.under_way.candidate.crashes == 1
    told.tell("patch.adopted", adoption=staged)
    assert whose(inside, early) == BIRTH  # it may end there
    assert whose(outside, other) == NEW
    told.tell("turn.finished", message=mine, outcome="answered")
    assert told.now.moved(mine) == 0
    assert f"taken/{mine}" not in told.state.entries


def test_turns_are_counted_by_their_tree():
    told = Told()
    staged = told.stage()
    told.tell("patch.canary", adoption=staged)
    told.turn(told.message("a"), NEW, ms=70)
    told.turn(told.message("b"), BIRTH, ms=30)
    told.turn(told.message("c"), NEW, "failed")
    told.turn(told.message("d"), NEW, "replaced")
    told.turn(told.message("e"), NEW, "cancelled")
    crashed = told.message("f")
    told.turn(crashed, NEW, outcome=None)
    told.turn(crashed, NEW, outcome=None, attempt=2)
    told.tell("tool.decided", turn=b"t" * 16, effect="deny")
    told.tell("tool.decided", turn=b"t" * 16, effect="allow")
    told.tell("policy.decided", message=crashed, action="hold", conversation="f", author="ann")
    one, other = told.now.under_way.candidate, told.now.under_way.present
    assert (one.answered, one.errors, one.crisis, one.crashes, one.denied) == (1, 1, 1, 1, 1)
    assert (one.times, other.times) == ((70,), (30,))
    assert one.ended == 3
    assert not [key for key in told.state.entries if key.startswith("taken/")]
    told.tell("patch.adopted", adoption=staged)
    trial = told.now.under_way
    assert trial.candidate.ended == 0  # this stage counts for itself
    assert trial.present.times == (30,)  # what it is compared with stays
    for n in range(TIMES_MAX + 3):
        told.turn(told.message(f"g{n}"), NEW, ms=n)
    assert told.now.under_way.candidate.answered == TIMES_MAX + 3
    assert told.now.under_way.candidate.times[0] == 3


def test_the_stack_is_bounded():
    told = Told()
    trees = [bytes([n]) * 32 for n in range(STACK_MAX + 3)]
    for before, tree in pairwise(trees):
        ROOTS[tree] = tree
        ROOTS.setdefault(before, before)
        told.adopt(tree, before)
    assert [one.tree for one in told.now.stack] == trees[-STACK_MAX:]


KINDS = [
    "patch.staged", "patch.canary", "patch.adopted", "patch.settled", "patch.rolledback",
    "turn.started", "turn.moved", "turn.finished", "policy.decided", "tool.decided",
    "message.received",
]  # fmt: skip
VALUES = st.one_of(
    st.integers(-2, 40), st.booleans(), st.none(), st.text(max_size=3), st.binary(max_size=3),
    st.sampled_from([BIRTH, NEW, b"t" * 16, "answered", "failed", "deny", "hold", "died"]),
    st.just({"tree": BIRTH, "version": None, "root": ROOTS[BIRTH]}), st.lists(st.none(), max_size=2),
)  # fmt: skip
NAMES = [
    "patch", "root", "tree", "version", "before", "share", "window_s", "turns", "reducers",
    "adoption", "message", "reason", "turn", "attempt", "outcome", "action", "effect",
    "conversation", "author", "screen",
]  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(NAMES), VALUES)),
                max_size=30), st.integers(0, 4))  # fmt: skip
def test_no_payload_breaks_it(events, at):
    told = Told()
    for n, (kind, payload) in enumerate(events):
        if n == at:
            told.tell("patch.canary", adoption=told.stage())
        told.tell(kind, **payload)
        trial = told.now.under_way
        assert trial is None or (trial.candidate.ended >= 0 and trial.result)
        assert told.now.tree_for("home", 0, BIRTH)
        encode(dict(told.state.entries))
    assert len(told.now.stack) <= STACK_MAX


class Dumb:
    """The same rules as a history: what is in force is read off the list of what happened."""

    def __init__(self):
        self.trial, self.history, self.under = None, [], []

    def tell(self, kind, position, adoption, tree):
        trial = self.trial
        if kind == "staged" and trial is None:
            self.trial = [position, "staged", tree]
            self.under = self.under or [(None, BIRTH)]
        elif kind == "rolledback":
            names_trial = trial is not None and trial[0] == adoption
            if trial is not None and not names_trial:
                return
            self.trial = None if names_trial else trial
            if len(self.under) > 1 and self.under[-1][0] == adoption:
                self.under.pop()
        elif trial is not None and trial[0] == adoption:
            if kind == "canary" and trial[1] == "staged":
                trial[1] = "canary"
            elif kind == "adopted" and trial[1] != "node":
                trial[1] = "node"
                self.under.append((adoption, trial[2]))
            elif kind == "settled" and trial[1] == "node":
                self.trial = None


STEPS = st.tuples(
    st.sampled_from(["staged", "canary", "adopted", "settled", "rolledback"]),
    st.sampled_from([-3, -2, -1, 0]),
    st.sampled_from([NEW, NEWER]),
)


@settings(deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_it_agrees_with_a_dumb_twin(sequence):
    told, dumb, staged = Told(), Dumb(), [0, 0, 0, 0]
    for kind, which, tree in sequence:
        adoption, at = staged[which], told.state.size
        if kind == "staged":
            now = told.now.in_force
            told.stage(tree, BIRTH if now is None else now.tree)
            staged.append(at)
        else:
            told.tell(f"patch.{kind}", adoption=adoption)
        dumb.tell(kind, at, adoption, tree)
        assert [(one.adoption, one.tree) for one in told.now.stack] == dumb.under
        trial = told.now.under_way
        seen = None if trial is None else [trial.staged, trial.stage.value, trial.tree]
        assert seen == dumb.trial
