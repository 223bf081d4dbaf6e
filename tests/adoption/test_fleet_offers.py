"""What a member takes from another's ledger: what an operator approved there, and nothing else."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.core.adopting.stages import Fate, Report, rollout_of
from genesis.core.approval import Word
from genesis.core.granting import SKEW_MS, VALID_MS
from genesis.core.proposal import parse_proposal
from ledger.core import types
from ledger.core.errors import Refused, TimmyError
from ledger.core.event import Cause
from node.fleet.offers import FleetApproval, trials_of
from tests.adoption.offered import (
    BASE,
    DOCUMENT,
    LOG_KEY,
    NOW,
    OPERATOR,
    OURS,
    ROOT,
    THIEF,
    Ledger,
    World,
)
from tests.genesis_approval.world import findings


def test_what_the_operator_approved_there_is_offered_here():
    world = World().approved()
    offer = world.offer()
    assert offer.yes.keys == (OPERATOR.public,)
    assert (offer.document, offer.member.name) == (DOCUMENT, "ann")
    assert offer.answer.answer.question.verdict == offer.yes.verdict
    assert offer.cause == Cause(
        position=world.theirs.at, id=offer.proposal.id, ledger=world.theirs.log.ledger_id
    )


NOT_OFFERED = {
    "nobody said yes": (lambda it: it.judged(), "nobody has approved it"),
    "no verdict": (lambda it: it.said(b"v" * 32), "no verdict"),
    "a yes of who may do other things here": (lambda it: it.said(it.judged(), THIEF), "approved"),
    "a yes of the member's own key": (lambda it: it.said(it.judged(), LOG_KEY), "approved it"),
    "a yes to another verdict": (lambda it: (it.judged(), it.said(b"v" * 32)), "does not count"),
    "a yes to another result": (lambda it: it.said(it.judged(), root=b"r" * 32), "approved it"),
    "a yes to another ledger": (lambda it: it.said(it.judged(), ledger=b"l" * 32), "approved it"),
    "a verdict of nobody's": (lambda it: it.said(it.judged(key=THIEF)), "no verdict"),
    "a verdict by our key, not by theirs": (lambda it: it.said(it.judged(key=OURS)), "no verdict"),
    "a verdict without words": (lambda it: it.said(it.judged(words=False)), "without words"),
    "another judge": (lambda it: it.said(it.judged(evaluator=b"e" * 32)), "by the judge"),
    "a verdict on another patch": (lambda it: it.said(it.judged(result_root=BASE)), "no verdict"),
    "rejected, too": (
        lambda it: (it.said(it.judged()), it.judged(findings(passed=False))), "rejects it",
    ),
    "a later no": (
        lambda it: (it.said(it.judged()), it.said(b"v" * 32, word=Word.DISAPPROVE)), "says no",
    ),
    "a yes of long ago": (lambda it: it.said(it.judged(), at_ms=NOW - VALID_MS - 1), "days old"),
    "a yes dated ahead": (
        lambda it: it.said(it.judged(), at_ms=NOW + SKEW_MS + 1), "nobody has approved it",
    ),
    "the same, and once more in its time": (
        lambda it: (
            it.said(digest := it.judged(), at_ms=NOW + SKEW_MS + 1),
            it.pass_by(SKEW_MS), it.said(digest, at_ms=NOW + SKEW_MS + 1),
        ),
        "nobody has approved it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_OFFERED)
def test_nothing_else_is(name):
    does, why = NOT_OFFERED[name]
    world = World()
    does(world.theirs)
    world.offers.clock = lambda: NOW + 2 * SKEW_MS  # the time of what was dated ahead has come
    with pytest.raises(Refused, match=why):
        world.offer()


def test_nor_what_is_not_of_our_fleet_or_not_proven():
    with pytest.raises(Refused, match="nobody who decides at this node"):
        World(operator=THIEF).approved().offer()
    world = World().approved()
    with pytest.raises(Refused, match="no member"):
        world.offers.offer(b"x" * 32, world.theirs.at)
    world.size = world.theirs.log.size - 1  # the yes is stored, and no head covers it
    with pytest.raises(Refused, match="nobody has approved it"):
        world.offer()
    world.size = world.theirs.at
    with pytest.raises(Refused, match="has no event"):
        world.offer()
    with pytest.raises(Refused, match="constitutional"):
        World(touches=["pinned"]).approved().offer()
    with pytest.raises(Refused, match="another document"):
        World(document=b"d" * 32).approved().offer()
    with pytest.raises(Refused, match="no proposed patch"):
        world.size = None
        world.offers.offer(world.theirs.log.ledger_id, 0)


# ---- taken up ------------------------------------------------------------------------------------


def followed(world, **more):
    """The same in our ledger, taken up from theirs, and judged here."""
    cause = Cause(
        position=world.theirs.at, id=world.theirs.log.read(world.theirs.at).id,
        ledger=world.theirs.log.ledger_id,
    )  # fmt: skip
    ours = Ledger(world.own, causes=(cause,), **more)
    return ours, FleetApproval(own=world.approval, offers=world.offers)


def test_what_was_taken_up_is_granted_once_our_judge_accepts_it():
    world = World().approved()
    ours, allowed = followed(world)
    with pytest.raises(Refused, match="no verdict"):
        allowed.granted(ours.at)
    assert allowed.standing(ours.at)["why"] == "unjudged"
    digest = ours.judged(key=OURS)
    found = allowed.granted(ours.at)
    assert (found.verdict, found.root) == (digest, ROOT)
    assert found.approvers == (OPERATOR.public,)
    with pytest.raises(Refused, match="not approved"):
        world.approval.granted(ours.at)  # by itself that is nobody's yes here
    assert not world.approval.standing(ours.at)["granted"]
    told = allowed.standing(ours.at)
    assert (told["granted"], told["why"], told["text"]) == (
        True,
        None,
        "approved at another member",
    )
    assert (told["verdict"], told["approvers"]) == (digest, [OPERATOR.public])
    assert allowed.objection(ours.at) == ""


def test_a_no_counts_wherever_it_was_said():
    for where in ("here", "there"):
        world = World().approved()
        ours, allowed = followed(world)
        ours.judged(key=OURS)
        place = ours if where == "here" else world.theirs
        place.said(b"v" * 32, word=Word.DISAPPROVE)
        assert "says no" in allowed.objection(ours.at)
        with pytest.raises(Refused):
            allowed.granted(ours.at)


@pytest.mark.parametrize("changed", ["root", "base", "sha256"])
def test_what_is_not_the_same_is_not_granted_by_it(changed):
    world = World().approved()
    ours, allowed = followed(world, **{changed: b"o" * 32})
    names = {"root": "result_root", "base": "parent_root", "sha256": "patch_sha256"}
    ours.judged(key=OURS, **{names[changed]: b"o" * 32})
    with pytest.raises(Refused, match="not what the operator approved"):
        allowed.granted(ours.at)


def test_what_was_made_here_is_approved_here_or_not_at_all():
    world = World().approved()
    ours = Ledger(world.own)
    ours.judged(key=OURS)
    allowed = FleetApproval(own=world.approval, offers=world.offers)
    with pytest.raises(Refused, match="is not approved"):
        allowed.granted(ours.at)
    ours.said(ours.judged(key=OURS))
    assert allowed.granted(ours.at).approvers == (OPERATOR.public,)


# ---- reports -------------------------------------------------------------------------------------


def test_a_ledger_reports_how_its_adoptions_went():
    world = World()
    it, key = world.theirs, rollout_of(BASE, ROOT, parse_proposal(DOCUMENT).digest)

    def fate():
        return trials_of(it.log, it.log.size)[key].report

    at = it.staged()
    assert fate() == Report(fate=Fate.TRYING, since_ms=NOW)
    it.step(types.PATCH_SETTLED, adoption=at + 1)
    it.step(types.PATCH_ADOPTED, adoption=at)
    assert fate().fate is Fate.TRYING
    it.step(types.PATCH_SETTLED, adoption=at)
    settled = it.log.size
    assert fate().fate is Fate.SETTLED
    it.step(types.PATCH_ROLLED_BACK, adoption=at)
    assert fate().fate is Fate.BACK
    assert trials_of(it.log, settled)[key].report.fate is Fate.SETTLED, "what is proven, no more"
    again = it.staged()
    assert fate().fate is Fate.TRYING
    it.step(types.PATCH_SETTLED, adoption=again)
    assert world.offers.trials()[it.log.ledger_id][key].report.fate is Fate.SETTLED


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 5), st.binary(max_size=33), st.just(ROOT)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["root", "tree"]), inner)
    ),
    max_leaves=4,
)
FIELDS = st.dictionaries(st.sampled_from(["patch", "root", "before", "adoption"]), VALUES)
KINDS = st.sampled_from(
    [types.PATCH_STAGED, types.PATCH_CANARY, types.PATCH_SETTLED, types.PATCH_ROLLED_BACK]
)


@given(st.lists(st.tuples(KINDS, FIELDS), max_size=6))
def test_whatever_a_member_writes_into_its_own_ledger_is_read_or_passed_over(steps):
    it = World().theirs
    for kind, payload in steps:
        it.step(kind, **payload)
    for trial in trials_of(it.log, it.log.size).values():
        assert (trial.base, trial.root, trial.origin) == (BASE, ROOT, None)


def test_a_copy_that_cannot_be_read_reports_nothing(monkeypatch):
    world = World()
    world.theirs.staged()
    assert world.offers.trials()[world.theirs.log.ledger_id]
    monkeypatch.setattr(world.offers, "mirrors", dict)
    fresh = replace(world.offers, _read={})
    assert fresh.trials() == {world.own.ledger_id: {}, world.theirs.log.ledger_id: {}}
    with pytest.raises(TimmyError, match="no copy"):
        world.offer()
