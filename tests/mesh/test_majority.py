"""Majority mode of answering: the same seeded fleets as in lease mode, and never two answers.

`python -m tests.mesh.test_majority [messages]` prints what became of them in both modes.
"""

import sys
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.core.fleet import duty, majority
from mesh.core.fleet.duty import (
    ANSWER_RUN_BYTES,
    HELD,
    Ask,
    Begin,
    Candidate,
    Grant,
    Questions,
    Refusal,
    Skip,
    Voter,
    Wake,
)
from mesh.core.fleet.majority import Term, plan_of, run_of, term_of
from mesh.core.fleet.routing import Times
from tests.mesh.test_routing import GATEWAY, MEMBERS, NOW_S, Fleet

FLEET = b"f" * 32
MANIFEST = b"m" * 32


@dataclass
class Thinking(Fleet):
    """Lease mode: an answer takes up to two minutes, and is made by whoever has the message."""

    def __post_init__(self):
        super().__post_init__()
        self.thinking = set()

    def answer(self, now, number):
        if number in self.answered:
            self.at(now, self.reply, number, self.answered[number])
        elif number not in self.thinking:
            self.thinking.add(number)
            self.at(now + self.random.uniform(1, 120), self.thought, number)

    def thought(self, now, number):
        self.answered[number] = b"answer of %d" % number
        self.at(now, self.reply, number, self.answered[number])

    def lasting(self):
        return (self.renew, self.thought)


@dataclass
class Majority(Thinking):
    """A home thinks only with a term, and records its answer only with the voters' grant.

    Any two clocks differ by an hour at the most: what a voter bears.
    """

    clocks_s: int = 1800
    restored: bool = False
    """Whether the home comes back as a backup has it that was made before it heard the message."""
    waits: bool = True
    """Whether it then grants and claims nothing until it is told, nor anything of before after."""
    made: list[int] = field(default_factory=list)
    """Who answered the message, each time."""

    def __post_init__(self):
        super().__post_init__()
        self.voters = [Voter(member) for member in MEMBERS]
        self.cases, self.kept, self.old = {}, 0, set()
        for home, (_, end) in self.down.items():
            if self.restored:
                self.at(end, self.wakes_old, home)
                self.at(end + self.random.uniform(0, 300), self.told_old, home)

    def wakes_old(self, _now, number):
        self.voters[number] = Voter(MEMBERS[number])
        self.answered.pop(number, None)
        self.thinking.discard(number)
        self.cases.pop(number, None)
        self.old.add(number)

    def told_old(self, now, number):
        self.old.discard(number)
        if self.waits:
            self.voters[number].lost(self.clock(number, now))

    def lasting(self):
        return (self.renew, self.thought, self.claim)

    def handed(self, now, number):
        if number not in self.answered and number not in self.thinking:
            term = term_of(MEMBERS, MEMBERS[number], self.leases[number], self.clock(number, now))
            if not term.holds:
                self.kept += 1
                return
        super().handed(now, number)

    def thought(self, now, number):
        if number not in self.thinking:
            return  # it died meanwhile, and forgot
        plan = plan_of(
            run_of(FLEET, self.conversation), self.clock(GATEWAY, NOW_S), me=MEMBERS[number],
            voters=MEMBERS, manifest=MANIFEST,
        )  # fmt: skip
        self.cases[number] = Candidate(plan, MEMBERS[number])
        self.claim(now, number)

    def claim(self, now, number):
        if number not in self.cases:
            return
        if self.waits and number in self.old:
            self.at(now + 5, self.claim, number)
            return
        if not self.barred(number):
            self.carry_out(now, number, self.cases[number].tick(self.clock(number, now)))

    def barred(self, number):
        """Whether it may have answered before, in a past that it forgot."""
        forgot = self.cases[number].plan.planned_s < self.voters[number].begins_s
        return self.waits and (number in self.old or forgot)

    def carry_out(self, now, number, actions):
        for action in actions:
            match action:
                case Begin():
                    self.made.append(number)
                    super().thought(now, number)
                case Questions(ask=ask, voters=voters):
                    for voter in voters:
                        self.send(now, number, MEMBERS.index(voter), self.asked, ask, number)
                case Wake(at_s=at_s):
                    self.at(max(at_s - self.off[number], now + 1), self.claim, number)
                case Skip(why=why) if HELD in why:
                    self.thinking.discard(number)
                    self.answer(now + 5, number)
                case Skip():
                    pass

    def asked(self, now, number, ask, sender):
        now_s = self.clock(number, now)
        word = self.voters[number].asked(
            ask, now_s, manifest=MANIFEST, members=MEMBERS,
            held=self.waits and number in self.old,
        )  # fmt: skip
        self.send(now, number, sender, self.voted, word)

    def voted(self, now, number, word):
        if number in self.cases and not self.barred(number):
            self.carry_out(now, number, self.cases[number].answered(word, self.clock(number, now)))


HOW = ({}, {"dies": False}, {"cuts": False})
"""What may fail: members die and links are cut, or one of the two; frames are always lost."""


@pytest.mark.parametrize("how", HOW)
def test_no_message_gets_two_answers_whatever_fails(how):
    fleets = [Majority(seed, **how).run() for seed in range(150)]
    assert {len(fleet.answered) for fleet in fleets} == {1}
    assert not any(fleet.duplicates for fleet in fleets)
    assert all(len(fleet.delivered) == 1 for fleet in fleets)
    assert any(len(fleet.thinking) > 1 for fleet in fleets), "else nobody was refused"


def test_nor_does_one_whose_home_comes_back_from_an_old_backup():
    fleets = [Majority(seed, cuts=False, restored=True).run() for seed in range(300)]
    assert {len(fleet.made) for fleet in fleets} <= {0, 1}
    assert sum(len(fleet.delivered) for fleet in fleets) > 150
    as_if_nothing = (Majority(seed, restored=True, waits=False).run() for seed in range(2_000))
    assert any(len(fleet.made) > 1 for fleet in as_if_nothing)


def test_who_is_cut_off_begins_nothing():
    assert any(Majority(seed).run().kept for seed in range(150))


@pytest.mark.parametrize("how", HOW)
def test_the_same_fleets_in_lease_mode_do_answer_twice(how):
    assert any(len(Thinking(seed, **how).run().answered) > 1 for seed in range(150))


def test_a_term_is_a_majority_of_voters_and_oneself_is_one():
    first, second, third = MEMBERS
    times, later = Times(lease_s=3), NOW_S + 100
    alive = {first: 0, second: later, third: 0}
    assert term_of(MEMBERS, first, alive, NOW_S, times) == Term(reached=2, voters=3)
    assert term_of(MEMBERS, first, alive, NOW_S, times).holds
    assert not term_of(MEMBERS, third, {}, NOW_S, times).holds
    assert term_of(MEMBERS[:2], third, {first: later, second: later}, NOW_S, times).holds
    assert not term_of(MEMBERS[:2], third, {first: later}, NOW_S, times).holds
    assert not term_of((), first, alive, NOW_S, times).holds, "no voters, no majority"
    assert [Term(reached=0, voters=count).needed for count in range(6)] == [1, 1, 2, 2, 3, 3]


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_message_has_a_name_of_its_own_length_in_each_fleet(fleet, message):
    run = run_of(fleet, message)
    assert len(run) == ANSWER_RUN_BYTES
    assert run != run_of(fleet, bytes(32)) or message == bytes(32)
    assert run != run_of(bytes(31) + b"x", message) or fleet == bytes(31) + b"x"


def asked(member=MEMBERS[0], **changed):
    run = run_of(FLEET, b"message")
    plan = plan_of(run, NOW_S, me=member, voters=MEMBERS, manifest=MANIFEST)
    fields = {
        "run": run, "planned_s": NOW_S, "until_s": plan.until_s, "member": member,
        "manifest": MANIFEST,
    }  # fmt: skip
    return Ask(**fields | changed)


@pytest.mark.parametrize("days", [0, 1, 5])
def test_an_answer_may_be_asked_for_days_after_its_message(days):
    voter, now_s = Voter(MEMBERS[2]), NOW_S + days * 86_400
    word = voter.asked(asked(), now_s, manifest=MANIFEST, members=MEMBERS)
    assert isinstance(word, Grant)
    other = voter.asked(asked(MEMBERS[1]), now_s, manifest=MANIFEST, members=MEMBERS)
    assert (other.why, other.holder) == ("granted to another member", MEMBERS[0])


def test_nobody_can_ask_for_what_a_voter_has_forgotten():
    """The last moment at which a question is heard is before the first at which a grant is lost."""
    assert duty.ANSWER_WINDOW_S + duty.SKEW_S_MAX < duty.KEPT_S
    voter = Voter(MEMBERS[2])
    voter.asked(asked(), NOW_S, manifest=MANIFEST, members=MEMBERS)
    last_s = NOW_S + duty.ANSWER_WINDOW_S + duty.SKEW_S_MAX
    for now_s in (last_s, last_s + 1, NOW_S + duty.KEPT_S + 1):
        word = voter.asked(asked(MEMBERS[1]), now_s, manifest=MANIFEST, members=MEMBERS)
        assert isinstance(word, Refusal)
    assert voter.granted == {}
    job = asked(run=bytes(16))
    assert voter.asked(job, NOW_S, manifest=MANIFEST, members=MEMBERS).why == "no window", (
        "a job's window is a day"
    )


def test_a_member_alone_among_voters_is_its_own_majority():
    plan = plan_of(run_of(FLEET, b"x"), NOW_S, me=MEMBERS[0], voters=MEMBERS[:1], manifest=MANIFEST)
    candidate, voter = Candidate(plan, MEMBERS[0]), Voter(MEMBERS[0])
    late_s = NOW_S + 3600
    [questions, _] = candidate.tick(late_s)
    word = voter.asked(questions.ask, late_s, manifest=MANIFEST, members=MEMBERS[:1])
    [begin] = candidate.answered(word, late_s)
    assert isinstance(begin, Begin), "who asks late waits for no grace"
    assert majority.ANSWER.endswith("v1")


def main(argv):
    messages = int(argv[0]) if argv else 10_000
    for how in HOW:
        for kind in (Thinking, Majority):
            told, waits, kept = Counter(), [], 0
            for seed in range(messages):
                fleet = kind(seed, **how).run()
                told[len(fleet.delivered), len(fleet.answered)] += 1
                waits.append(fleet.waited_s)
                kept += bool(getattr(fleet, "kept", 0))
            waits.sort()
            never = sum(count for (delivered, _), count in told.items() if not delivered)
            twice = sum(count for (_, made), count in told.items() if made > 1)
            print(
                f"{kind.__name__.lower()}, {how or 'both'}: {messages} messages, {twice} answered "
                f"twice, {never} not in 1,500 s, {kept} kept for a while; waited "
                f"{waits[messages // 2]:.0f} s in the median, {waits[messages * 99 // 100]:.0f} s "
                f"at p99"
            )
            if kind is Majority and twice:
                sys.exit("a majority answered a message twice")


if __name__ == "__main__":
    main(sys.argv[1:])
