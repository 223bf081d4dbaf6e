"""Voters change while a run is decided: a seeded simulator of manifests that reach members late.

`python -m tests.mesh.test_voters [runs]` prints how often a run was begun twice, with each part of
what prevents it taken out, and with none.
"""

import copy
import heapq
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

import pytest

from mesh.core.errors import InvalidManifest
from mesh.core.fleet import duty, manifest
from mesh.core.fleet.duty import (
    AGAIN,
    NEXT_VOTERS,
    OTHER_MANIFEST,
    Ask,
    Begin,
    Candidate,
    Grant,
    Mode,
    Plan,
    Questions,
    Refusal,
    Skip,
    Voter,
)
from mesh.core.fleet.manifest import VOTER, Manifest, Member, SignedManifest

PLANNED_S = 1_000_000_000
END_S = PLANNED_S + 6_000
KEYS = tuple(bytes([number]) * 32 for number in range(1, 8))
OPERATOR = b"o" * 32
RESTORED = "who was down comes back from an old backup"
KINDS = ("add", "remove", "swap", "several", "any")
"""How the voters change: by one more, one less, one for another, any other set, or each in turn."""


@cache
def member(number, *, votes):
    roles = ("home", "jobs", VOTER) if votes else ("home", "jobs")
    return Member(ledger=KEYS[number], nostr=KEYS[number], name=f"n{number}", roles=roles)


def signed(made, *approving):
    """As a member keeps it, who checked the signatures: they are not what is tried here."""
    return SignedManifest(
        manifest=made, signature=bytes(64), approvals=tuple((KEYS[n], bytes(64)) for n in approving)
    )


def first(voting):
    members = tuple(member(n, votes=n in voting) for n in range(len(KEYS)))
    quorum = len(voting) // 2 + 1
    return Manifest(number=0, previous=b"", operator=OPERATOR, members=members, quorum=quorum)


def following(old, voting, members, since):
    """The manifest after one, with these voters and members; numbers of KEYS."""
    made = tuple(member(n, votes=n in voting) for n in sorted(members))
    if voting == {KEYS.index(one.nostr) for one in old.voters}:
        since = old.since
    return old.following(members=made, quorum=len(voting) // 2 + 1, since=since)


@dataclass
class Fleet:
    """One run. The operator changes the voters up to four times meanwhile; each member is told of
    it late, asks for the run under whatever it knows, dies and comes back, and is cut off.
    """

    seed: int
    kind: str = "any"
    boundary: bool = True
    """Whether voters of the planned time decide; else those of the newest manifest."""
    promises: bool = True
    """Whether who signs new voters grants nothing for them under the old ones from then on."""
    checks: bool = True
    """Whether who has granted what the new ones are to decide does not sign them."""
    restored: bool = False
    """Whether who was down comes back as an old backup has it, whole, with all that it knew."""
    waits: bool = True
    """Whether such a one grants, signs and begins nothing until it is told, nor anything of before
    after that."""
    begun: list[int] = field(default_factory=list)

    def __post_init__(self):
        self.random = draw = random.Random(self.seed)
        self.queue, self.count = [], 0
        voting = set(draw.sample(range(len(KEYS)), draw.randint(2, 5)))
        self.chains = [manifest.Fleet.begin(signed(first(voting)))]
        self.digests = [self.chains[0].manifest.digest]
        self.knows = [0] * len(KEYS)
        self.books = [Voter(key) for key in KEYS]
        self.candidates = [None] * len(KEYS)
        self.recorded = [False] * len(KEYS)
        self.skews = [draw.randint(-400, 400) for _ in KEYS]
        self.down = [self.span(0.3, 600) for _ in KEYS]
        self.deaf = [self.span(0.5, 6000) for _ in KEYS]  # to manifests
        self.side, self.cut = [draw.random() < 0.4 for _ in KEYS], self.span(0.7, 3000)
        self.proposed, self.approved = None, set()
        self.changes = draw.randint(1, 4)
        self.old, self.backups = set(), {}
        for number, (begin, end) in enumerate(self.down):
            if self.restored and end:
                self.at(begin - draw.expovariate(1 / 1000), self.copied, number)
                self.at(end, self.wakes_old, number)
                self.at(end + draw.uniform(0, 600), self.told_old, number)

    def copied(self, _now, number):
        self.backups[number] = copy.deepcopy(
            (self.books[number], self.recorded[number], self.knows[number])
        )

    def wakes_old(self, _now, number):
        self.books[number], self.recorded[number], self.knows[number] = self.backups[number]
        self.candidates[number] = None
        self.old.add(number)

    def told_old(self, now, number):
        self.old.discard(number)
        if self.waits:
            self.books[number].lost(self.clock(number, now))

    def span(self, chance, longest_s):
        if self.random.random() > chance:
            return (0, 0)
        begin = PLANNED_S + self.random.uniform(-2000, 3000)
        return (begin, begin + self.random.uniform(1, longest_s))

    def at(self, when, what, *more):
        self.count += 1
        heapq.heappush(self.queue, (when, self.count, what, more))

    def clock(self, number, now):
        return int(now) + self.skews[number]

    def send(self, now, sender, receiver, what, *more):
        begin, end = self.cut
        if begin <= now < end and self.side[sender] != self.side[receiver]:
            return
        if self.random.random() >= 0.05:
            late = self.random.expovariate(1 / 2) + (self.random.random() < 0.02) * 200
            self.at(now + 0.05 + late, what, receiver, *more)

    def run(self):
        self.at(PLANNED_S + self.random.uniform(-3000, 2500), self.propose, 0)
        for number in range(len(KEYS)):
            self.at(PLANNED_S - 3000 + self.random.uniform(0, 60), self.hear, number)
            for _ in range(self.random.randint(1, 3)):
                self.at(PLANNED_S + self.random.uniform(0, 4000), self.begins_to_ask, number)
        while self.queue and self.queue[0][0] < END_S:
            now, _, what, more = heapq.heappop(self.queue)
            begin, end = self.down[more[0]]
            if not begin <= now < end:
                what(now, *more)
            elif what in (self.hear, self.propose, self.begins_to_ask):
                self.candidates[more[0]] = None  # what is not on disk is gone
                self.at(end, what, *more)
        return self

    # ---- manifests: the operator's word comes and goes at member 0 -------------------------------

    def propose(self, now, _number):
        """Propose the next one, or another one in the place of one that voters do not sign."""
        if self.changes == 0:
            return
        old, draw = self.chains[-1].manifest, self.random
        voting = {KEYS.index(one.nostr) for one in old.voters}
        members = {KEYS.index(one.nostr) for one in old.members}
        new = self.drawn(voting)
        if draw.random() < 0.4:
            members -= voting - new  # who votes no more is taken out
        lead_s = draw.choice([0, 10, draw.uniform(0, 600), draw.uniform(0, 4000)])
        since = max(old.since, self.clock(0, now) + int(lead_s))
        self.proposed, self.approved = following(old, new, members | new, since), set()
        for number in voting:
            person_s = draw.expovariate(1 / 100)
            self.at(now + person_s, self.asked_to_sign, number, self.proposed)
        self.at(now + draw.uniform(300, 1500), self.propose, 0)  # unless it holds by then

    def drawn(self, voting):
        draw, others = self.random, sorted(set(range(len(KEYS))) - voting)
        kind = draw.choice(KINDS[:4]) if self.kind == "any" else self.kind
        if kind == "several":
            return set(draw.sample(range(len(KEYS)), draw.randint(1, 6)))
        new = set(voting)
        if kind in ("remove", "swap") and len(voting) > (kind == "remove"):
            new.discard(draw.choice(sorted(voting)))
        if kind in ("add", "swap") and others:
            new.add(draw.choice(others))
        return new

    def asked_to_sign(self, now, number, proposed):
        if number in self.old and self.waits:
            return
        if self.knows[number] != proposed.number - 1:
            if self.knows[number] < proposed.number:
                self.at(now + 60, self.asked_to_sign, number, proposed)
            return
        book, old = self.books[number], self.chains[self.knows[number]].manifest
        if self.promises and proposed.electorate != old.electorate:
            held = book.promise(old.number, proposed.since)
            if not held and not self.checks:
                book.promised = old.number, proposed.since
            elif not held:
                return
        self.send(now, number, 0, self.signed_by, number, proposed)

    def signed_by(self, now, _number, by, proposed):
        if proposed != self.proposed:
            return
        self.approved.add(by)
        try:
            fleet = self.chains[-1].advance(signed(proposed, *sorted(self.approved)))
        except manifest.MissingQuorum:
            return
        self.proposed, self.changes = None, self.changes - 1
        self.chains.append(fleet)
        self.digests.append(fleet.manifest.digest)
        self.at(now + self.random.expovariate(1 / 600), self.propose, 0)

    def hear(self, now, number):
        """Be told of manifests by any other member that is reached and knows more."""
        begin, end = self.deaf[number]
        if not begin <= now < end:
            other = self.random.randrange(len(KEYS))
            newest = self.knows[other] if other else len(self.chains) - 1
            self.send(now, other, number, self.told, newest)
        self.at(now + 60, self.hear, number)

    def told(self, _now, number, newest):
        self.knows[number] = max(self.knows[number], newest)

    # ---- the run ---------------------------------------------------------------------------------

    def plan(self, number):
        known = self.chains[self.knows[number]]
        deciding = known.voters_at(PLANNED_S)
        if not self.boundary:
            deciding = tuple(one.nostr for one in known.manifest.voters)
        members = {one.nostr for one in known.manifest.members}
        asked = tuple(one for one in deciding if one in members)
        return Plan(
            run=bytes(32), planned_s=PLANNED_S, mode=Mode.QUORUM, members=(KEYS[number],),
            voters=asked, gone=len(deciding) - len(asked), grace_s=0, window_s=duty.WINDOW_S_MAX,
            manifest=self.digests[self.knows[number]],
        )  # fmt: skip

    def begins_to_ask(self, now, number):
        if self.waits and (number in self.old or self.books[number].begins_s > PLANNED_S):
            return
        if not self.recorded[number]:
            self.candidates[number] = Candidate(self.plan(number), KEYS[number])
            self.tick(now, number, self.candidates[number])

    def tick(self, now, number, candidate):
        if self.candidates[number] is candidate and not self.recorded[number]:
            self.do(now, number, candidate.tick(max(PLANNED_S, self.clock(number, now))))

    def do(self, now, number, actions):
        for action in actions:
            match action:
                case Begin():
                    self.recorded[number] = True
                    self.begun.append(number)
                case Skip(why=why):
                    if any(one in why for one in AGAIN):
                        self.at(now + 20, self.begins_to_ask, number)
                case Questions(ask=ask, voters=voters):
                    for voter in voters:
                        self.send(now, number, KEYS.index(voter), self.asked, ask, number)
                case _:
                    late = max(action.at_s - self.clock(number, now), 0.5)
                    self.at(now + late, self.tick, number, self.candidates[number])

    def asked(self, now, number, ask, sender):
        known = self.chains[self.knows[number]].manifest
        answer = self.books[number].asked(
            ask, self.clock(number, now), manifest=self.digests[self.knows[number]],
            members=[one.nostr for one in known.members], number=known.number,
            held=self.waits and number in self.old,
        )  # fmt: skip
        self.send(now, number, sender, self.answered, answer)

    def answered(self, now, number, answer):
        candidate = self.candidates[number]
        if candidate is not None and not self.recorded[number]:
            self.do(now, number, candidate.answered(answer, self.clock(number, now)))


def tally(runs, begin=0, **how):
    """How often a run was begun, by how many times it was."""
    return Counter(len(Fleet(seed, **how).run().begun) for seed in range(begin, begin + runs))


@pytest.mark.parametrize("kind", KINDS)
def test_no_run_is_begun_twice_however_the_voters_change(kind):
    told = tally(150, kind=kind)
    assert set(told) <= {0, 1}
    assert told[1] > 75, "a rule that never begins a run begins none twice"


@pytest.mark.parametrize("part", ["boundary", "promises", "checks"])
def test_without_any_part_of_it_some_are(part):
    taken_out = {"boundary": {"boundary": False, "promises": False}}.get(part, {part: False})
    fleets = (Fleet(seed, "several", **taken_out).run() for seed in range(3_000))
    assert any(len(one.begun) > 1 for one in fleets)


def test_nor_is_one_where_members_come_back_from_old_backups():
    told = tally(300, restored=True)
    assert set(told) <= {0, 1}
    assert told[1] > 100
    assert any(count > 1 for count in tally(1_000, restored=True, waits=False))


def test_the_simulator_changes_voters_and_lets_members_know_it_late():
    fleets = [Fleet(seed).run() for seed in range(100)]
    assert sum(len(one.chains) > 2 for one in fleets) > 30
    assert sum(one.chains[-1].voters_at(PLANNED_S) != one.chains[0].voters_at(0)
               for one in fleets) > 10  # fmt: skip
    assert sum(any(book.promised for book in one.books) for one in fleets) > 50
    assert sum(len(set(one.knows)) > 1 for one in fleets) > 5


# ---- the rules one by one ------------------------------------------------------------------------


def ask(planned_s=PLANNED_S, by=0, run=b"r" * 16):
    return Ask(
        run=run, planned_s=planned_s, until_s=planned_s + 900, member=KEYS[by], manifest=b"m" * 32
    )


def answer(voter, question, number=0):
    return voter.asked(
        question, question.planned_s, manifest=b"m" * 32, members=KEYS, number=number
    )


def test_who_signed_new_voters_leaves_them_what_is_theirs_and_nothing_else():
    voter = Voter(KEYS[0])
    assert voter.promise(3, PLANNED_S)
    assert isinstance(answer(voter, ask(PLANNED_S - 1), number=3), Grant)
    refusal = answer(voter, ask(run=b"s" * 16), number=3)
    assert (refusal.why, refusal.holder) == (NEXT_VOTERS, None)
    assert isinstance(answer(voter, ask(run=b"s" * 16), number=2), Refusal), "nor under an older"
    assert isinstance(answer(voter, ask(run=b"s" * 16), number=4), Grant)
    assert NEXT_VOTERS in AGAIN
    assert OTHER_MANIFEST in AGAIN


def test_who_has_granted_what_the_new_voters_are_to_decide_does_not_sign_them():
    voter = Voter(KEYS[0])
    answer(voter, ask())
    assert voter.promises_s == PLANNED_S + 1
    assert not voter.promise(0, PLANNED_S)
    assert voter.promised is None
    assert voter.promise(0, PLANNED_S + 1)
    lost = Voter(KEYS[0], floor_s=PLANNED_S)  # it may have granted anything before
    assert not lost.promise(0, PLANNED_S - 1)
    assert lost.promise(0, PLANNED_S)


def test_a_promise_is_kept_when_its_manifest_is_dropped_for_another():
    voter = Voter(KEYS[0])
    assert voter.promise(0, PLANNED_S)
    assert voter.promise(0, PLANNED_S + 100)
    assert answer(voter, ask(PLANNED_S + 50)).why == NEXT_VOTERS
    assert voter.promise(1, PLANNED_S + 200)
    assert isinstance(answer(voter, ask(PLANNED_S + 50), number=1), Grant)
    assert voter.promise(0, PLANNED_S + 300), "an older one says nothing new"
    assert answer(voter, ask(PLANNED_S + 250, run=b"s" * 16), number=1).why == NEXT_VOTERS


def test_a_run_stays_with_the_voters_of_its_time_whatever_follows():
    one = manifest.Fleet.begin(signed(first({0, 1, 2})))
    two = one.advance(signed(following(one.manifest, {1, 2, 3}, range(7), 1000), 1, 2))
    same = two.manifest.following(members=[m for m in two.manifest.members if m.name != "n6"])
    three = two.advance(signed(same))
    four = three.advance(signed(following(same, {3, 4}, range(1, 6), 2000), 1, 2))
    assert one.voters_at(5000) == one.voters_at(999) == (KEYS[0], KEYS[1], KEYS[2])
    for later in (two, three, four):
        assert later.voters_at(999) == one.voters_at(999)
        assert later.voters_at(1000) == later.voters_at(1999) == (KEYS[1], KEYS[2], KEYS[3])
    assert four.voters_at(2000) == (KEYS[3], KEYS[4])
    assert three.voters_at(2000) == two.voters_at(1000)


def test_a_manifest_moves_that_time_with_the_voters_and_never_back():
    one = manifest.Fleet.begin(signed(first({0, 1, 2})))
    with pytest.raises(InvalidManifest, match="the same with the same"):
        one.advance(signed(one.manifest.following(since=1000), 0, 1))
    two = one.advance(signed(following(one.manifest, {0, 1}, range(7), 1000), 0, 1))
    with pytest.raises(InvalidManifest, match="since 999"):
        two.advance(signed(following(two.manifest, {0, 1, 2}, range(7), 999), 0, 1))
    assert two.advance(signed(following(two.manifest, {0, 1, 2}, range(7), 1000), 0, 1))


def test_voters_who_are_no_members_any_more_count_and_are_not_asked():
    plan = Plan(run=b"r" * 16, planned_s=PLANNED_S, mode=Mode.QUORUM, members=KEYS[:1],
                voters=KEYS[:2], gone=1, grace_s=0)  # fmt: skip
    candidate = Candidate(plan, KEYS[0])
    [questions, _] = candidate.tick(PLANNED_S)
    assert questions.voters == KEYS[:2]
    grants = [Grant(ask=questions.ask, voter=voter) for voter in (KEYS[2], *KEYS[:2])]
    said = [candidate.answered(one, PLANNED_S) for one in grants]
    assert said[:2] == [[], []], "a grant of who is gone is none"
    assert isinstance(said[2][0], Begin)
    late = Candidate(plan, KEYS[0])
    late.tick(PLANNED_S)
    assert late.tick(plan.until_s + 1)[0].why == "0 of 3 voters, 2 needed"


def main(argv):
    runs = int(argv[0]) if argv else 10_000
    whole = {kind: {"kind": kind} for kind in KINDS}
    parts = {
        "as it was: the newest voters decide": {"boundary": False, "promises": False},
        "signed without a promise": {"promises": False},
        "signed whatever was granted before": {"checks": False},
        RESTORED: {"restored": True},
        "the same, and votes as if nothing had been": {"restored": True, "waits": False},
    }
    for name, how in (whole | parts).items():
        told = tally(runs, **how)
        twice = sum(count for times, count in told.items() if times > 1)
        print(f"{name}: {runs} runs, {twice} twice or more, {told[0]} not at all", flush=True)
        if twice and (name in whole or name == RESTORED):
            sys.exit("a quorum granted a run twice")


if __name__ == "__main__":
    main(sys.argv[1:])
