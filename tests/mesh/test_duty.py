"""Who does a planned run: a seeded simulator of fleets whose links, clocks and members fail.

`python -m tests.mesh.test_duty [runs]` prints how often each mode did a run twice, or not at all.
"""

import copy
import heapq
import random
import sys
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.core.fleet import duty
from mesh.core.fleet.duty import (
    AGAIN,
    FORGOTTEN,
    HELD,
    SKEW_S_MAX,
    Ask,
    Begin,
    Candidate,
    Grant,
    Mode,
    Plan,
    Questions,
    Refusal,
    Skip,
    Turns,
    Voter,
    Wake,
)

PLANNED_S = 1_000_000_000
RUN = bytes(16)
MEMBERS = tuple(bytes([number]) * 32 for number in range(1, 6))


@dataclass
class Fleet:
    """One run in a fleet of five: everything that happens is drawn from one seed."""

    mode: Mode
    seed: int
    lacks: frozenset[int] = frozenset()
    """Members that have the role, and not the job: they begin nothing, and say so when asked."""
    loss: float = 0.05
    late: float = 0.02
    clocks_s: int = 400
    """How far clocks are ahead or behind."""
    restored: int = 0
    """Members that die near the run's time and come back as an old backup has them, whole."""
    rules: frozenset[str] = frozenset({"holds", "floors", "begins"})
    """What such a one does: grants nothing until it is told, nor anything of before after that; and
    begins nothing of before itself."""
    begun: list[int] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self.queue, self.count = [], 0
        self.plan = Plan(
            run=self.seed.to_bytes(16, "big"),
            planned_s=PLANNED_S,
            mode=self.mode,
            members=MEMBERS,
            voters=MEMBERS,
            manifest=b"m" * 32,
        )
        self.skews = [self.random.randint(-self.clocks_s, self.clocks_s) for _ in MEMBERS]
        self.voters = [Voter(member) for member in MEMBERS]
        self.candidates = [Candidate(self.plan, member) for member in MEMBERS]
        self.recorded = [False] * 5  # that the run is begun, as a ledger has it
        self.down = [self._spans(0.3, 300) for _ in MEMBERS]
        sides = [self.random.random() < 0.4 for _ in MEMBERS]
        self.side, self.cut = sides, self._spans(0.6, 1200)
        self.kept, self.held = {}, set()
        for number in self.random.sample(range(5), self.restored):
            self._brought_back(number)

    def _brought_back(self, number):
        """When it is copied, dies, wakes as the copy, and hears that it is one."""
        dies = PLANNED_S + self.random.uniform(0, 400)
        wakes = dies + self.random.uniform(1, 200)
        self.down[number].append((dies, wakes))
        self.kept[number] = (Voter(MEMBERS[number]), False)
        self.at(dies - self.random.expovariate(1 / 300), self.copied, number)
        self.at(wakes, self.wakes_old, number)
        self.at(wakes + self.random.uniform(0, 300), self.told_old, number)

    def copied(self, _now, number):
        self.kept[number] = copy.deepcopy(self.voters[number]), self.recorded[number]

    def wakes_old(self, _now, number):
        self.voters[number], self.recorded[number] = self.kept[number]
        self.held.add(number)

    def told_old(self, now, number):
        self.held.discard(number)
        if "floors" in self.rules:
            self.voters[number].lost(self.clock(number, now))
        self.tick(now, number)

    def _spans(self, chance, longest_s):
        if self.random.random() > chance:
            return []
        begin = PLANNED_S + self.random.uniform(-300, 600)
        return [(begin, begin + self.random.uniform(1, longest_s))]

    def at(self, when, what, *more):
        self.count += 1
        heapq.heappush(self.queue, (when, self.count, what, more))

    def clock(self, number, now):
        return int(now) + self.skews[number]

    def is_down(self, number, now):
        return any(begin <= now < end for begin, end in self.down[number])

    def send(self, now, sender, receiver, what, *more):
        parted = self.side[sender] != self.side[receiver]
        if parted and any(begin <= now < end for begin, end in self.cut):
            return
        for _ in range(2 if self.random.random() < 0.05 else 1):  # a frame may come twice
            if self.random.random() >= self.loss:
                late = self.random.expovariate(1 / 2) + (self.random.random() < self.late) * 200
                self.at(now + 0.05 + late, what, receiver, *more)

    def run(self):
        for number in set(range(5)) - self.lacks:
            self.at(PLANNED_S - 500, self.tick, number)
            for _, end in self.down[number]:
                self.at(end, self.restart, number)
        while self.queue:
            now, _, what, more = heapq.heappop(self.queue)
            if now > PLANNED_S + 4000:
                break
            if not self.is_down(more[0], now):
                what(now, *more)
        return self

    def restart(self, now, number):
        """Everything but what is on disk is gone: a voter's grants, and that a run was begun."""
        if not self.recorded[number]:
            self.candidates[number] = Candidate(self.plan, MEMBERS[number])
        if number not in self.lacks:
            self.tick(now, number)

    def barred(self, number):
        """Whether it asks nobody for this run, and heeds no word that is still under way to it."""
        old = number in self.held or self.voters[number].begins_s > PLANNED_S
        return old and "begins" in self.rules

    def tick(self, now, number):
        if not self.recorded[number] and not self.barred(number):
            self.do(now, number, self.candidates[number].tick(self.clock(number, now)))

    def do(self, now, number, actions):
        for action in actions:
            match action:
                case Begin():
                    self.recorded[number], self.begun_s = True, now - PLANNED_S
                    self.begun.append(number)
                    for other in set(range(5)) - {number}:
                        for again in range(0, 900, 20):  # an outbox tries until it is taken
                            self.send(now + again, number, other, self.heard, number)
                case Skip(why=why):
                    self.skipped[number] = why
                    if any(one in why for one in AGAIN):
                        self.candidates[number] = Candidate(self.plan, MEMBERS[number])
                        self.at(now + 5, self.tick, number)
                case Questions(ask=ask, voters=voters):
                    for voter in voters:
                        self.send(now, number, MEMBERS.index(voter), self.asked, ask, number)
                case Turns(members=members):
                    for member in members:
                        self.send(now, number, MEMBERS.index(member), self.turn, number)
                case _:
                    late = action.at_s - self.clock(number, now)
                    self.at(now + max(late, 0.5), self.tick, number)

    def asked(self, now, number, ask, sender):
        answer = self.voters[number].asked(
            ask, self.clock(number, now), manifest=b"m" * 32, members=MEMBERS,
            held="holds" in self.rules and number in self.held,
        )  # fmt: skip
        self.send(now, number, sender, self.answered, answer)

    def turn(self, now, number, sender):
        self.send(now, number, sender, self.told, MEMBERS[number], number not in self.lacks)

    def told(self, now, number, member, has):
        self.candidates[number].told_of(member, has=has)
        self.tick(now, number)

    def answered(self, now, number, answer):
        if not self.recorded[number] and not self.barred(number):
            clock = self.clock(number, now)
            self.do(now, number, self.candidates[number].answered(answer, clock))

    def heard(self, now, number, sender):
        if not self.recorded[number]:
            self.do(now, number, self.candidates[number].heard_begun(MEMBERS[sender]))


def tally(mode, runs, **how):
    """How often a run was begun, by how many times it was."""
    return Counter(len(Fleet(mode, seed, **how).run().begun) for seed in range(runs))


def test_a_majority_never_begins_a_run_twice_whatever_fails():
    told = tally(Mode.QUORUM, 2_000)
    assert set(told) <= {0, 1}
    assert told[1] > 1_500, "a rule that never begins a run begins none twice"


RULES = ("holds", "floors", "begins")


def test_nor_does_one_with_members_that_come_back_from_an_old_backup():
    for restored in (1, 2):
        told = tally(Mode.QUORUM, 1_000, restored=restored)
        assert set(told) <= {0, 1}
        assert told[1] > 600


@pytest.mark.parametrize("rule", RULES)
def test_without_any_of_its_rules_an_old_backup_does_begin_some_twice(rule):
    rules = frozenset(RULES) - {rule}
    assert any(
        len(Fleet(Mode.QUORUM, seed, restored=2, rules=rules).run().begun) > 1
        for seed in range(6_000)
    )


def test_owners_behind_cut_links_do_begin_a_run_twice_and_hardly_ever_not_at_all():
    told = tally(Mode.OWNER, 500, clocks_s=20)
    assert 0 < told[2] < 250, "else the simulator cuts nothing, or everything"
    assert told[0] < 5


def test_a_pinned_run_is_begun_by_the_one_it_is_pinned_to():
    for seed in range(100):
        fleet = Fleet(Mode.PINNED, seed).run()
        assert fleet.begun in ([], [0])
        others = {number for number in fleet.skipped if number}
        assert {fleet.skipped[number] for number in others} <= {"pinned to another", MISSED}


MISSED = "begun by another member"


@pytest.mark.parametrize("mode", list(Mode))
def test_where_nothing_fails_the_first_of_the_order_does_it_alone(mode):
    for seed in range(50):
        fleet = Fleet(mode, seed, loss=0, late=0)
        fleet.skews, fleet.down, fleet.cut = [0] * 5, [[]] * 5, []
        first = MEMBERS[0] if mode is Mode.PINNED else duty.order(fleet.plan.run, MEMBERS)[0]
        assert fleet.run().begun == [MEMBERS.index(first)]


@given(st.sets(st.binary(min_size=4, max_size=4), min_size=1, max_size=8), st.binary())
def test_a_member_that_leaves_moves_no_turn_but_its_own(members, run):
    ranked = duty.order(run, members)
    assert set(ranked) == members
    for gone in members:
        left = tuple(member for member in ranked if member != gone)
        assert duty.order(run, members - {gone}) == left


def ask(member=MEMBERS[0], run=RUN, planned_s=PLANNED_S, until_s=PLANNED_S + 900, manifest=b"m"):
    return Ask(run=run, planned_s=planned_s, until_s=until_s, member=member, manifest=manifest)


def answer(voter, question, now_s=PLANNED_S):
    return voter.asked(question, now_s, manifest=b"m", members=MEMBERS)


def test_a_voter_grants_a_run_once_and_the_same_member_again():
    voter = Voter(MEMBERS[4])
    assert answer(voter, ask()) == Grant(ask=ask(), voter=MEMBERS[4])
    assert answer(voter, ask()) == Grant(ask=ask(), voter=MEMBERS[4])
    refusal = answer(voter, ask(MEMBERS[1]))
    assert (refusal.why, refusal.holder) == ("granted to another member", MEMBERS[0])


@pytest.mark.parametrize(
    ("question", "now_s", "why"),
    [
        (ask(b"stranger"), PLANNED_S, "no member"),
        (ask(manifest=b"old"), PLANNED_S, "another manifest"),
        (ask(until_s=PLANNED_S - 1), PLANNED_S, "no window"),
        (ask(until_s=PLANNED_S + duty.WINDOW_S_MAX + 1), PLANNED_S, "no window"),
        (ask(), PLANNED_S - duty.SKEW_S_MAX - 1, "not its time"),
        (ask(), PLANNED_S + 900 + duty.SKEW_S_MAX + 1, "not its time"),
    ],
)
def test_a_voter_refuses_with_a_reason(question, now_s, why):
    voter = Voter(MEMBERS[4])
    refusal = answer(voter, question, now_s)
    assert isinstance(refusal, Refusal)
    assert refusal.why == why
    assert not voter.granted


def test_a_clock_that_was_ahead_and_is_set_back_grants_nothing_twice():
    voter = Voter(MEMBERS[4])
    answer(voter, ask())
    ahead = PLANNED_S + 2 * duty.KEPT_S
    answer(voter, ask(run=b"later", planned_s=ahead, until_s=ahead), ahead)
    assert RUN not in voter.granted
    assert answer(voter, ask(MEMBERS[1])).why == "of before what this voter remembers"


def test_who_may_be_an_old_copy_grants_nothing_and_says_so():
    voter = Voter(MEMBERS[4])

    def held(question):
        return voter.asked(question, PLANNED_S, manifest=b"m", members=MEMBERS, held=True)

    assert held(ask()).why == HELD
    assert HELD in AGAIN
    assert not voter.granted
    answer(voter, ask())
    assert held(ask()).why == HELD, "nor again what it remembers: it says no word that counts"
    assert held(ask(MEMBERS[1])).holder == MEMBERS[0]


def test_an_old_copy_grants_nothing_that_it_can_have_granted():
    """What it forgot was granted by now, by its clock, and no run is granted an hour ahead."""
    forgot, voter = Voter(MEMBERS[4]), Voter(MEMBERS[4])
    newest = ask(planned_s=PLANNED_S + SKEW_S_MAX, until_s=PLANNED_S + SKEW_S_MAX)
    assert isinstance(answer(forgot, newest), Grant)
    voter.lost(PLANNED_S)
    assert answer(voter, ask(MEMBERS[1], planned_s=newest.planned_s, until_s=newest.until_s),
                  newest.planned_s).why == FORGOTTEN  # fmt: skip
    later = ask(planned_s=newest.planned_s + 1, until_s=newest.planned_s + 1)
    assert answer(forgot, later).why == "not its time"
    assert isinstance(answer(voter, later, later.planned_s), Grant)
    assert voter.begins_s == voter.floor_s == voter.promises_s - 1 == later.planned_s
    voter.lost(PLANNED_S - 1000)
    assert voter.begins_s == later.planned_s, "it never goes back"


def test_a_voter_that_is_full_says_so(monkeypatch):
    monkeypatch.setattr(duty, "GRANTS_MAX", 2)
    voter = Voter(MEMBERS[4])
    for number in range(2):
        assert isinstance(answer(voter, ask(run=bytes([number]))), Grant)
    assert "as many as a voter keeps" in answer(voter, ask(run=b"x")).why
    assert isinstance(answer(voter, ask(run=bytes([1]))), Grant)


def test_answers_of_others_and_of_other_questions_count_for_nothing():
    plan = Plan(run=RUN, planned_s=PLANNED_S, mode=Mode.QUORUM, members=MEMBERS, voters=MEMBERS)
    first = duty.order(RUN, MEMBERS)[0]
    candidate = Candidate(plan, first)
    [questions, _] = candidate.tick(PLANNED_S)
    mine = questions.ask
    for strange in (
        Grant(ask=mine, voter=b"stranger"),
        Grant(ask=ask(first, run=b"another"), voter=MEMBERS[1]),
        Grant(ask=ask(MEMBERS[1]), voter=MEMBERS[1]),
    ):
        assert candidate.answered(strange, PLANNED_S) == []
    for _ in range(3):  # one voter three times is one voter
        assert candidate.answered(Grant(ask=mine, voter=MEMBERS[1]), PLANNED_S) == []
    assert candidate.answered(Grant(ask=mine, voter=MEMBERS[2]), PLANNED_S) == []
    [begin] = candidate.answered(Grant(ask=mine, voter=MEMBERS[3]), PLANNED_S)
    assert isinstance(begin, Begin)
    assert candidate.answered(Grant(ask=mine, voter=MEMBERS[4]), PLANNED_S) == []
    assert candidate.tick(PLANNED_S + 1) == []


def test_who_comes_late_listens_for_a_grace_before_it_begins():
    plan = Plan(run=RUN, planned_s=PLANNED_S, mode=Mode.OWNER, members=MEMBERS)
    late = Candidate(plan, duty.order(RUN, MEMBERS)[0])
    assert late.tick(PLANNED_S + 200) == [Wake(at_s=PLANNED_S + 260)]
    assert late.tick(PLANNED_S + 259) == [Wake(at_s=PLANNED_S + 260)]
    assert late.heard_begun(MEMBERS[4]) == [Skip(run=RUN, why=MISSED, holder=MEMBERS[4])]
    alone = Candidate(plan, duty.order(RUN, MEMBERS)[0])
    alone.tick(PLANNED_S + 200)
    assert isinstance(alone.tick(PLANNED_S + 260)[0], Begin)
    assert alone.heard_begun(MEMBERS[4]) == []


def test_who_looks_a_moment_late_was_there_in_time():
    plan = Plan(run=RUN, planned_s=PLANNED_S, mode=Mode.OWNER, members=MEMBERS)
    first, second, *_ = duty.order(RUN, MEMBERS)
    moment_s = PLANNED_S + duty.LATE_S
    assert isinstance(Candidate(plan, first, PLANNED_S).tick(moment_s)[0], Begin)
    in_time = Candidate(plan, second, PLANNED_S)
    assert in_time.tick(moment_s - 1) == [Wake(at_s=moment_s)], "then it asks after the first"
    [turns, wake] = in_time.tick(moment_s)
    assert (turns.members, wake) == ((first,), Wake(at_s=moment_s + 15))
    later = Wake(at_s=moment_s + 1 + plan.grace_s)
    assert Candidate(plan, first, PLANNED_S).tick(moment_s + 1) == [later]
    listens = Wake(at_s=moment_s + plan.grace_s)
    for since_s in (None, PLANNED_S + 1):
        assert Candidate(plan, first, since_s).tick(moment_s) == [listens]


def test_a_fleet_that_was_off_as_a_whole_splits_no_votes():
    """All come back in one moment, long after the run's time: they ask one after the other."""
    plan = Plan(
        run=RUN, planned_s=PLANNED_S, mode=Mode.QUORUM, members=MEMBERS, voters=MEMBERS,
        window_s=duty.WINDOW_S_MAX,
    )  # fmt: skip
    back_s = PLANNED_S + 7200
    back = [Candidate(plan, member) for member in duty.order(RUN, MEMBERS)]
    first_s = back_s + plan.grace_s
    for rank, candidate in enumerate(back):
        assert candidate.tick(back_s) == [Wake(at_s=first_s + rank * duty.LATE_S)]
        for turn_s in range(first_s, first_s + rank * plan.grace_s):
            assert not any(isinstance(one, Questions) for one in candidate.tick(turn_s))
        assert isinstance(candidate.tick(first_s + rank * plan.grace_s)[0], Questions)


def test_who_has_not_got_the_job_says_so_and_is_not_waited_for():
    plan = Plan(run=RUN, planned_s=PLANNED_S, mode=Mode.OWNER, members=MEMBERS)
    first, second, third, *_ = duty.order(RUN, MEMBERS)
    one = Candidate(plan, third, PLANNED_S)
    assert one.tick(PLANNED_S) == [Wake(at_s=PLANNED_S + 10)]
    [turns, wake] = one.tick(PLANNED_S + 10)
    assert turns.members == (first, second)
    assert turns.ask.member == third
    assert wake == Wake(at_s=PLANNED_S + 25), "a question that got no answer is asked again"
    one.told_of(first, has=False)
    one.told_of(b"stranger", has=False)
    assert one.tick(PLANNED_S + 11)[0] == Turns(ask=turns.ask, members=(second,))
    one.told_of(second, has=True)
    assert one.tick(PLANNED_S + 12) == [Wake(at_s=PLANNED_S + 60)], "one grace, not two"
    one.told_of(second, has=False)
    assert isinstance(one.tick(PLANNED_S + 13)[0], Begin)


def test_members_without_the_job_cost_seconds():
    """Up to three of five, in both modes: without a word of theirs each would cost a grace."""
    for mode in (Mode.QUORUM, Mode.OWNER):
        for seed in range(60):
            fleet = Fleet(mode, seed, frozenset(range(seed % 4)), loss=0, late=0)
            fleet.skews, fleet.down, fleet.cut = [0] * 5, [[]] * 5, []
            assert len(fleet.run().begun) == 1
            assert fleet.begun[0] not in fleet.lacks
            assert fleet.begun_s < 3 * duty.LATE_S + 15 + 10


def test_a_minority_skips_and_says_how_many_it_had():
    plan = Plan(run=RUN, planned_s=PLANNED_S, mode=Mode.QUORUM, members=MEMBERS, voters=MEMBERS)
    candidate = Candidate(plan, duty.order(RUN, MEMBERS)[0])
    [questions, _] = candidate.tick(PLANNED_S)
    candidate.answered(Grant(ask=questions.ask, voter=MEMBERS[1]), PLANNED_S)
    [again, _] = candidate.tick(PLANNED_S + 15)
    assert set(again.voters) == set(MEMBERS) - {MEMBERS[1]}
    assert candidate.tick(plan.until_s + 1) == [Skip(run=RUN, why="1 of 5 voters, 3 needed")]
    late = Candidate(plan, duty.order(RUN, MEMBERS)[0])
    late.tick(PLANNED_S)
    answers = [Grant(ask=questions.ask, voter=voter) for voter in MEMBERS[:3]]
    said = [late.answered(one, plan.until_s + 1) for one in answers]
    assert said == [[], [], [Skip(run=RUN, why="granted too late")]]


def main(argv):
    runs = int(argv[0]) if argv else 10_000
    for mode, clocks_s in ((Mode.QUORUM, 400), (Mode.QUORUM, 20), (Mode.OWNER, 20)):
        told = {cut: Counter() for cut in (False, True)}
        for seed in range(runs):
            fleet = Fleet(mode, seed, clocks_s=clocks_s)
            parted = bool(fleet.cut) and len(set(fleet.side)) > 1
            told[parted][len(fleet.run().begun)] += 1
        print(f"{mode}, clocks off by up to {clocks_s} s:")
        for parted, how in told.items():
            doubles = sum(count for times, count in how.items() if times > 1)
            where = "a link was cut" if parted else "no link was cut"
            print(f"  {where}: {how.total()} runs, {doubles} twice or more, {how[0]} not at all")
            if mode is Mode.QUORUM and doubles:
                sys.exit("a quorum granted a run twice")
    for restored in (1, 2):
        for rules in (RULES, *(set(RULES) - {rule} for rule in RULES), ()):
            told = tally(Mode.QUORUM, runs, restored=restored, rules=frozenset(rules))
            doubles = sum(count for times, count in told.items() if times > 1)
            print(f"{restored} come back from an old backup, {sorted(rules)}: {runs} runs, "
                  f"{doubles} twice or more, {told[0]} not at all")  # fmt: skip
            if doubles and set(rules) == set(RULES):
                sys.exit("a quorum granted a run twice")


if __name__ == "__main__":
    main(sys.argv[1:])
