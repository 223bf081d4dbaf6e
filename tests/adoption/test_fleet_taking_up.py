"""One member that follows: what keeps it from beginning, and what it does again, or never again."""

from itertools import pairwise
from types import SimpleNamespace

import pytest

from genesis.core.adopting.health import Plan
from genesis.core.adopting.stages import Pace, rollout_of
from genesis.core.approval import Word
from genesis.core.proposal import parse_proposal
from ledger.core import types
from ledger.core.errors import NotFound, Refused, TimmyError
from node.config import load
from node.fleet.stages import Stages, check_stages
from node.sections.adoption import AdoptionSection
from runtime.core.adoptions import Adoptions
from runtime.core.limits import PROPOSALS_OPEN_MAX
from runtime.core.proposals import Proposals
from tests.adoption.offered import BASE, DOCUMENT, NOW, OURS, ROOT, Ledger, World
from tests.genesis_approval.world import findings

ID = rollout_of(BASE, ROOT, parse_proposal(DOCUMENT).digest)
SECTION = AdoptionSection(
    follow="stages", first=1, percent=25, patience_hours=72, share_percent=10, window_s=3600,
    turns=20,
)  # fmt: skip


class Following(World):
    """Our part in a fleet of two, with a judge that says what it is told to."""

    def __init__(self):
        super().__init__()
        self.approved()
        self.adoption = self.theirs.staged()
        self.theirs.step(types.PATCH_SETTLED, adoption=self.adoption)
        self.time, self.accepts, self.judged, self.applied = NOW, True, 0, []
        self.while_judging = lambda: None
        self.book = self.approval.book
        self.stages = Stages(
            section=SECTION, patching=self, adopting=self, offers=self.offers,
            clock=lambda: self.time,
        )  # fmt: skip

    present = SimpleNamespace(read=lambda: SimpleNamespace(root=BASE))

    @property
    def proposals(self):
        return Proposals(self.book.state.entries)

    @property
    def now(self):
        return Adoptions(self.book.state.entries)

    async def propose(self, data, *, author, causes, taken_up):
        assert (data, taken_up) == (DOCUMENT, True)
        self.ours = Ledger(self.own, causes=causes, author=author)
        return self.own.read(self.ours.at)

    async def judge(self, position):
        assert position == self.ours.at
        self.judged += 1
        self.while_judging()
        if self.accepts is None:
            return {"decision": "inconclusive", "reason": "busy"}
        self.ours.judged(findings(passed=self.accepts), key=OURS)
        return {"decision": "accept" if self.accepts else "reject", "reason": None}

    async def apply(self, position, plan, *, by):
        self.applied.append((position, plan, by))
        self.ours.staged(
            tree=bytes(32), version=None, share=plan.share, window_s=plan.window_s,
            turns=plan.turns, reducers=bytes(32),
            before={"tree": bytes(32), "version": None, "root": BASE},
        )  # fmt: skip

    async def step(self, *, later_s=0):
        self.time += later_s * 1000
        await self.stages._step()

    @property
    def row(self):
        [row] = self.stages.value()["rollouts"]
        return row


async def test_it_proposes_records_judges_and_begins_with_its_own_plan():
    it = Following()
    assert (it.row["next"], it.row["offered"], it.stages.summary()) == ("begin", True, [])
    await it.step()
    [(position, plan, by)] = it.applied
    assert (plan.share, plan.window_s, plan.turns) == (100, 3600, 20)
    assert by == f"fleet/{it.theirs.log.ledger_id.hex()}"
    kinds = [event.type for event in it.own.stream(it.own.read(position).envelope.stream, last=9)]
    assert kinds == ["patch.proposed", "patch.reported", "patch.approved", "patch.judged"]
    await it.step(later_s=3600)
    assert len(it.applied) == 1
    assert it.row["next"] == "begun"


async def test_a_rollback_that_comes_while_it_judges_is_heeded():
    it = Following()
    it.while_judging = lambda: it.theirs.step(types.PATCH_ROLLED_BACK, adoption=it.adoption)
    await it.step()
    assert (it.judged, it.applied) == (1, [])
    assert it.stages.summary() == [f"{ID.hex()[:16]}: halted: ann rolled it back"]
    await it.step(later_s=3600)
    assert it.applied == []
    it.stages.force(ID.hex()[:8])
    await it.step()
    assert (it.judged, len(it.applied)) == (1, 1)


async def test_so_is_a_no_of_the_operator():
    it = Following()
    it.while_judging = lambda: it.theirs.said(b"v" * 32, word=Word.DISAPPROVE)
    await it.step()
    assert it.applied == []
    assert "says no" in it.row["why"]
    with pytest.raises(Refused, match="says no"):
        it.stages.force(ID.hex())


async def test_a_judge_that_found_nothing_out_is_asked_again_later_each_time():
    it = Following()
    it.accepts = None
    waits = []
    for _ in range(400):
        judged = it.judged
        await it.step(later_s=30)
        waits.append(it.judged > judged)
    at = [n for n, asked in enumerate(waits) if asked]
    gaps = [after - before for before, after in pairwise(at)]
    assert gaps == [1, 2, 4, 8, 16, 32, 64, 120, 120]
    assert "judge says inconclusive: busy" in it.row["trouble"]
    it.accepts = True
    await it.step(later_s=3600)
    assert len(it.applied) == 1


async def test_one_that_rejects_never_begins():
    it = Following()
    it.accepts = False
    for _ in range(20):
        await it.step(later_s=3600)
    assert (it.judged, it.applied) == (1, [])
    assert "rejects it" in it.stages.summary()[0]
    it.stages.force(ID.hex())
    await it.step()
    assert it.applied == [], "nor if it is told to"


async def test_what_was_withdrawn_here_is_not_proposed_again_unless_somebody_says_so():
    it = Following()
    it.accepts = None
    await it.step()
    it.ours.put(types.PATCH_WITHDRAWN.name, patch=it.ours.at, author="operator")
    first = it.ours.at
    await it.step(later_s=3600)
    assert it.ours.at == first
    assert "withdrawn at this member" in it.row["trouble"]
    it.accepts = True
    it.stages.force(ID.hex())
    await it.step()
    assert it.ours.at > first
    assert len(it.applied) == 1


async def test_a_full_list_of_proposals_is_waited_for():
    it = Following()
    for number in range(PROPOSALS_OPEN_MAX):
        Ledger(it.own, document=bytes([number]) * 32)
    size = it.own.size
    await it.step()
    assert it.own.size == size
    assert "proposals are open" in it.row["trouble"]


def test_a_node_does_not_follow_a_fleet_that_it_has_no_copies_of(tmp_path):
    file = tmp_path / "node.toml"
    file.write_text('[adoption]\nfollow = "stages"\n')
    with pytest.raises(TimmyError, match="no copies"):
        check_stages(load(file))
    file.write_text('[adoption]\nfollow = "stages"\n[mesh]\nmirror = ["fleet"]\n')
    check_stages(load(file))
    plan, pace = load(None).adoption.plan, load(None).adoption.pace
    assert (plan, pace) == (Plan(), Pace()), "what node.toml says is what is meant without it"
    assert load(None).adoption.follow == "off"


def test_what_is_forced_is_named_and_approved():
    it = Following()
    for named in ("", ID.hex()[:7], "f" * 64):
        with pytest.raises(NotFound, match="names no adoption"):
            it.stages.force(named)
    it.stages.section = AdoptionSection(
        **{name: getattr(SECTION, name) for name in SECTION.__struct_fields__} | {"follow": "off"}
    )
    with pytest.raises(Refused, match="does not follow"):
        it.stages.force(ID.hex())
    assert it.stages.value() == {"follow": "off", "rollouts": [], "fault": ""}


async def test_what_others_tried_without_approval_is_shown_and_bothers_nobody():
    it = Following()
    other = Ledger(it.theirs.log, document=b"d" * 32)
    at = other.staged()
    other.step(types.PATCH_ROLLED_BACK, adoption=at)
    [quiet, ours] = it.stages.value()["rollouts"]
    assert (quiet["next"], quiet["offered"], quiet["look"]) == ("halted", False, "")
    assert ours["rollout"] == ID
    await it.step()
    assert len(it.applied) == 1
