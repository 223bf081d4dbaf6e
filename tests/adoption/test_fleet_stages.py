"""Whose turn it is to take an adoption up: the rules one by one, and whole fleets that run on them.

The fleets are small machines: each member reads what it has copied, which is old and of some
members older than of others, and nobody tells it anything else.
"""

import random

from hypothesis import given
from hypothesis import strategies as st

from genesis.core.adopting.stages import Fate, Next, Pace, Report, rollout_of, stages_of, stand

PACE = Pace(first=1, percent=25, patience_ms=1_000)
ROLLOUT = bytes(32)
IDS = st.sets(st.binary(min_size=32, max_size=32), min_size=1, max_size=24)
FATES = st.sampled_from([*Fate])


def ids(count):
    return [bytes([number]) * 32 for number in range(count)]


def told(fates, at_ms=0):
    return {one: Report(fate=fate, since_ms=at_ms) for one, fate in fates.items()}


def asked(own, stages, fates, **more):
    return stand(own, stages, told(fates), pace=PACE, now_ms=more.pop("now_ms", 0), **more)


@given(
    IDS, st.binary(min_size=32, max_size=32), st.integers(1, 9), st.integers(1, 100), st.randoms()
)
def test_everybody_is_in_one_stage_and_the_same_for_all(members, rollout, first, percent, chance):
    pace = Pace(first=first, percent=percent)
    stages = stages_of(rollout, members, pace)
    shuffled = [*members]
    chance.shuffle(shuffled)
    assert stages_of(rollout, shuffled, pace) == stages
    flat = [one for stage in stages for one in stage]
    assert sorted(flat) == sorted(members)
    assert all(stages)
    assert len(stages) <= 3
    assert len(stages[0]) == min(first, len(members))
    gone = flat[chance.randrange(len(flat))]
    left = stages_of(rollout, set(members) - {gone}, pace)
    assert [one for stage in left for one in stage] == [one for one in flat if one != gone]


def test_first_one_then_a_quarter_then_all():
    sizes = {
        count: [len(one) for one in stages_of(ROLLOUT, ids(count), PACE)] for count in range(10)
    }
    assert (sizes[0], sizes[1], sizes[2], sizes[4]) == ([], [1], [1, 1], [1, 3])
    assert (sizes[5], sizes[8], sizes[9]) == ([1, 1, 3], [1, 1, 6], [1, 2, 6])
    assert [len(one) for one in stages_of(ROLLOUT, ids(200), PACE)] == [1, 49, 150]


def test_another_adoption_begins_with_others():
    members = ids(20)
    firsts = {stages_of(bytes([n]) * 32, members, PACE)[0] for n in range(40)}
    assert len(firsts) > 10
    base, root = bytes(32), b"r" * 32
    named = {rollout_of(base, root, bytes([n]) * 32) for n in range(5)}
    assert len(named | {rollout_of(root, base, bytes(32))}) == 6


@given(IDS, st.data())
def test_nobody_begins_before_its_turn_or_after_a_rollback(members, data):
    stages = stages_of(ROLLOUT, members, PACE)
    flat = [one for stage in stages for one in stage]
    fates = {one: data.draw(FATES) for one in flat}
    for one in flat:
        found = asked(one, stages, fates)
        before = [other for stage in stages[: found.own] for other in stage]
        if fates[one] is not Fate.NONE:
            assert found.next is Next.BEGUN
        elif Fate.BACK in fates.values():
            assert found.next is Next.HALTED
            assert found.halted_by == tuple(sorted(m for m in flat if fates[m] is Fate.BACK))
        elif all(fates[other] is Fate.SETTLED for other in before):
            assert found.next is Next.BEGIN
        else:
            assert found.next is Next.WAIT
            assert found.waits_for
        forced = asked(one, stages, fates, forced=True)
        assert forced.next is (Next.BEGIN if fates[one] is Fate.NONE else Next.BEGUN)


@given(IDS, st.data())
def test_a_lie_opens_a_stage_or_holds_it_up_and_does_nothing_else(members, data):
    """Whatever one member says, another's own fate and stage stay what they are."""
    stages = stages_of(ROLLOUT, members, PACE)
    flat = [one for stage in stages for one in stage]
    fates = {one: data.draw(FATES) for one in flat}
    liar = data.draw(st.sampled_from(flat))
    for fate in Fate:
        lied = fates | {liar: fate}
        for one in set(flat) - {liar}:
            true, false = asked(one, stages, fates), asked(one, stages, lied)
            assert (true.own, true.stages) == (false.own, false.stages)
            assert (true.next is Next.BEGUN) == (false.next is Next.BEGUN)
            others = {m for m in true.halted_by if m != liar}
            assert false.next is not Next.BEGIN or not others


def test_a_member_of_no_stage_begins_only_if_it_is_told_to():
    stages = stages_of(ROLLOUT, ids(3), PACE)
    stranger = b"s" * 32
    assert asked(stranger, stages, {}).next is Next.OUT
    assert asked(stranger, stages, {}, forced=True).next is Next.BEGIN
    everywhere = dict.fromkeys(ids(3), Fate.SETTLED)
    assert asked(stranger, stages, everywhere).open_ == len(stages)


def test_a_stage_that_lasts_is_late_and_a_false_clock_only_hides_it():
    first, second = ids(2)
    stages = ((first,), (second,))
    reports = told({first: Fate.SETTLED}, at_ms=5_000)

    def late(now_ms, reports=reports):
        return stand(second, stages, reports, pace=PACE, now_ms=now_ms).late

    assert not late(6_000)
    assert late(6_001)
    assert not late(6_001, told({first: Fate.SETTLED}, at_ms=2**60))
    assert not late(9_000, told({first: Fate.SETTLED, second: Fate.SETTLED}))
    assert not late(9_000, told({first: Fate.SETTLED, second: Fate.BACK})), "that is a halt"


class Fleet:
    """Members that act on what they have copied of each other; `bad` ones roll back."""

    def __init__(self, seed, *, count, bad=(), silent=()):
        self.chance = random.Random(seed)
        self.members = ids(count)
        self.stages = stages_of(bytes([seed % 256]) * 32, self.members, PACE)
        flat = [one for stage in self.stages for one in stage]
        self.bad, self.silent = {flat[n] for n in bad}, {flat[n] for n in silent}
        self.true = dict.fromkeys(self.members, Fate.NONE)
        self.copies = {one: dict(self.true) for one in self.members}
        self.begun = []

    def run(self):
        for _ in range(60 * len(self.members) ** 2):  # enough for each pair to meet in each stage
            one = self.chance.choice(self.members)
            other = self.chance.choice(self.members)
            if self.chance.random() < 0.5 and one not in self.silent:
                self.copies[other][one] = self.true[one]
            else:
                self.act(one)
        return self

    def act(self, one):
        self.copies[one][one] = self.true[one]
        if self.true[one] is Fate.TRYING:
            self.true[one] = Fate.BACK if one in self.bad else Fate.SETTLED
        elif asked(one, self.stages, self.copies[one]).next is Next.BEGIN:
            assert Fate.BACK not in self.copies[one].values()
            self.true[one] = Fate.TRYING
            self.begun.append(one)


def test_whole_fleets_follow_and_stop_at_the_stage_that_goes_wrong():
    for seed in range(16):
        count = 3 + seed % 8
        good = Fleet(seed, count=count).run()
        assert set(good.true.values()) == {Fate.SETTLED}
        assert [*map(good.begun.index, good.stages[0])] == [0]
        for place in range(len(good.stages)):
            index = sum(map(len, good.stages[:place]))
            fleet = Fleet(seed, count=count, bad=[index]).run()
            begun = {one for stage in fleet.stages[: place + 1] for one in stage}
            assert set(fleet.begun) <= begun, "nobody of a later stage has begun"
            assert {fleet.true[one] for one in fleet.begun} <= {Fate.SETTLED, Fate.BACK}
        hung = Fleet(seed, count=count, silent=[0]).run()
        assert hung.begun == [*hung.stages[0]], "who is silent is waited for"
