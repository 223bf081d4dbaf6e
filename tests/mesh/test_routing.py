"""Who answers a message: a seeded simulator of a fleet of three behind a gateway.

`python -m tests.mesh.test_routing [messages]` prints what became of them.
"""

import heapq
import random
import sys
from collections import Counter
from dataclasses import dataclass, field

import pytest

from mesh.core.fleet import routing
from mesh.core.fleet.duty import order
from mesh.core.fleet.routing import (
    Forward,
    Letter,
    Times,
    Unanswered,
    holds,
    home_of,
    redirect,
)

NOW_S = 1_000_000_000
MEMBERS = tuple(bytes([number]) * 32 for number in range(1, 4))
GATEWAY = -1


@dataclass
class Fleet:
    """One message. Members renew leases, die and come back; a link is cut; frames are lost.

    Everybody has a clock of his own, up to `clocks_s` off; a lease runs on the clock of who heard
    of it, as in `node.fleet.leases`.
    """

    seed: int
    dies: bool = True
    cuts: bool = True
    loss: float = 0.05
    clocks_s: int = 3600
    delivered: list[bytes] = field(default_factory=list)
    duplicates: list[bytes] = field(default_factory=list)
    answered: dict[int, bytes] = field(default_factory=dict)
    waited_s: float = 0.0

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self.queue, self.count = [], 0
        self.conversation = self.seed.to_bytes(16, "big")
        places = range(-1, 3)
        self.off = {place: self.random.randint(-self.clocks_s, self.clocks_s) for place in places}
        self.letter = Letter(self.conversation, MEMBERS, NOW_S + self.off[GATEWAY])
        self.leases = {
            place: dict.fromkeys(MEMBERS, NOW_S + self.off[place] + 60) for place in places
        }
        home = MEMBERS.index(order(self.conversation, MEMBERS)[0])
        self.down = {home: self._span(300)} if self.dies else {}
        self.apart = {home: self._span(600)} if self.cuts else {}

    def clock(self, place, now):
        return int(now + self.off[place])

    def _span(self, longest_s):
        begin = NOW_S + self.random.uniform(-200, 30)
        return begin, begin + self.random.uniform(1, longest_s)

    def at(self, when, what, *more):
        self.count += 1
        heapq.heappush(self.queue, (when, self.count, what, more))

    def within(self, spans, place, now):
        begin, end = spans.get(place, (0, 0))
        return begin <= now < end

    def send(self, now, sender, receiver, what, *more):
        cut = self.within(self.apart, sender, now) or self.within(self.apart, receiver, now)
        if not cut and self.random.random() >= self.loss:
            self.at(now + 0.05 + self.random.expovariate(1), what, receiver, *more)

    def run(self):
        for number in range(3):
            self.at(NOW_S - 200 + number, self.renew, number)
        self.at(NOW_S, self.tick, GATEWAY)
        while self.queue and self.queue[0][0] < NOW_S + 1500:
            now, _, what, more = heapq.heappop(self.queue)
            if not self.within(self.down, more[0], now):
                what(now, *more)
            elif what in self.lasting():
                self.at(self.down[more[0]][1], what, *more)
        return self

    def lasting(self):
        """What a member that was down goes on with when it is back."""
        return (self.renew,)

    def renew(self, now, number):
        self.heard(now, number, number)
        for other in set(range(-1, 3)) - {number}:
            self.send(now, number, other, self.heard, number)
        self.at(now + routing.TIMES.lease_s / 3, self.renew, number)

    def heard(self, now, place, member):
        self.leases[place][MEMBERS[member]] = self.clock(place, now) + routing.TIMES.lease_s

    def tick(self, now, _place):
        if not self.delivered:
            self.do(now, self.letter.tick(self.clock(GATEWAY, now), self.leases[GATEWAY]))

    def do(self, now, actions):
        for action in actions:
            match action:
                case Forward(to=to):
                    self.send(now, GATEWAY, MEMBERS.index(to), self.handed)
                case routing.Wake(at_s=at_s):
                    self.at(max(at_s - self.off[GATEWAY], now + 1), self.tick, GATEWAY)

    def handed(self, now, number):
        """A member takes a message once: it is in its ledger then, and so is the answer."""
        now_s = self.clock(number, now)
        other = redirect(self.conversation, MEMBERS[number], MEMBERS, self.leases[number], now_s)
        if other is not None and number not in self.answered:
            self.send(now, number, GATEWAY, self.named, MEMBERS[number], other)
            return
        self.answer(now, number)

    def answer(self, now, number):
        """It has its answer: the one it made before, or one that it makes now."""
        answer = self.answered.setdefault(number, b"answer of %d" % number)
        self.at(now + 3, self.reply, number, answer)

    def reply(self, now, number, answer):
        for again in range(0, 900, 30):  # an outbox tries until it is taken
            self.send(now + again, number, GATEWAY, self.told, MEMBERS[number], answer)

    def named(self, now, _place, by, to):
        now_s = self.clock(GATEWAY, now)
        if not self.delivered:
            self.do(now, self.letter.redirected(by, to, now_s, self.leases[GATEWAY]))

    def told(self, now, _place, _by, answer):
        """The gateway's ledger has one answer of a message: the first (`Forwarding.answered`)."""
        if not self.delivered:
            self.delivered.append(answer)
            self.waited_s = now - NOW_S
        elif answer not in self.delivered:
            self.duplicates.append(answer)


def test_every_message_is_answered_once_whatever_fails():
    for seed in range(300):
        fleet = Fleet(seed).run()
        assert len(fleet.delivered) == 1
        assert set(fleet.duplicates) <= set(fleet.answered.values()) - set(fleet.delivered)


def test_without_failures_the_home_answers_and_nobody_else():
    for seed in range(60):
        fleet = Fleet(seed, dies=False, cuts=False, loss=0).run()
        home = MEMBERS.index(order(fleet.conversation, MEMBERS)[0])
        assert list(fleet.answered) == [home]
        assert fleet.waited_s < 30


def test_a_home_that_dies_is_followed_within_a_lease_and_what_clocks_differ():
    waits = [Fleet(seed, cuts=False, loss=0).run().waited_s for seed in range(150)]
    assert max(waits) <= routing.TIMES.lease_s + routing.TIMES.slack_s + routing.TIMES.retry_s + 15
    assert max(waits) > 60, "else none died"


def test_a_second_answer_is_made_behind_a_cut_link_and_told_apart():
    fleets = [Fleet(seed, dies=False).run() for seed in range(150)]
    twice = [fleet for fleet in fleets if len(fleet.answered) > 1]
    assert twice
    assert any(fleet.duplicates for fleet in twice)


def letter():
    return Letter(b"talk", MEMBERS, NOW_S)


def all_alive(until_s=NOW_S + 60):
    return dict.fromkeys(MEMBERS, until_s)


def test_a_message_moves_on_only_when_the_lease_has_ended_for_longer_than_clocks_differ():
    first, second, _ = order(b"talk", MEMBERS)
    leases = all_alive() | {first: NOW_S + 10, second: NOW_S + 900}
    one = letter()
    assert one.tick(NOW_S, leases)[0] == Forward(to=first)
    assert one.tick(NOW_S + 5, leases) == [routing.Wake(at_s=NOW_S + 25)]
    assert one.tick(NOW_S + 39, leases)[0] == Forward(to=first), "again: nothing was heard"
    assert one.tick(NOW_S + 40, leases)[0] == Forward(to=second)


def test_nobody_alive_and_nobody_trusted():
    one = letter()
    assert one.tick(NOW_S, {}) == [routing.Wake(at_s=NOW_S + 20)]
    assert one.redirected(MEMBERS[0], MEMBERS[1], NOW_S, {}) == [], "it was not asked"
    late = one.tick(NOW_S + routing.KEPT_S + 1, {})
    assert late[0] == Unanswered()
    assert one.tick(NOW_S + routing.KEPT_S + 30, {}) == [
        routing.Wake(at_s=NOW_S + routing.KEPT_S + 50)
    ]


def test_a_redirection_is_believed_for_a_lease():
    first, second, third = order(b"talk", MEMBERS)
    one, leases = letter(), {third: NOW_S + 3600}
    assert one.tick(NOW_S, leases)[0] == Forward(to=third)
    assert one.redirected(third, b"stranger" * 4, NOW_S + 1, leases) == []
    assert one.redirected(third, second, NOW_S + 1, leases)[0] == Forward(to=second, through=third)
    assert one.tick(NOW_S + 2 + routing.TIMES.lease_s, leases)[0] == Forward(to=third)
    assert first not in (second, third)


def test_a_home_behind_a_cut_link_is_asked_through_who_names_it():
    """Else two members would send the message to and fro for as long as the link is cut."""
    first, second, _ = order(b"talk", MEMBERS)
    one, leases = letter(), {second: NOW_S + 3600}
    one.tick(NOW_S, leases)
    for again in range(0, 300, 20):
        now = NOW_S + 1 + again
        found = one.redirected(second, first, now, leases) or one.tick(now, leases)
        assert found[0] in (Forward(to=first, through=second), Forward(to=second))


def test_a_member_names_the_home_it_knows_and_takes_what_is_its_own():
    first, second, third = order(b"talk", MEMBERS)
    assert redirect(b"talk", third, MEMBERS, all_alive(), NOW_S) == first
    assert redirect(b"talk", first, MEMBERS, {}, NOW_S) is None
    alive = {second: NOW_S + 60}
    assert redirect(b"talk", third, MEMBERS, alive, NOW_S) == second
    assert home_of(b"talk", MEMBERS, {}, NOW_S) is None


def test_every_time_is_made_of_the_lease():
    assert (Times().presence_s, Times().slack_s, Times().retry_s) == (30, 30, 20)
    short = Times(lease_s=3)
    assert (short.presence_s, short.slack_s, short.retry_s) == (1, 1, 1)
    assert holds({b"a": NOW_S}, b"a", NOW_S, short)
    assert not holds({b"a": NOW_S}, b"a", NOW_S + 1, short)
    with pytest.raises(ValueError, match="2 s, at least 3"):
        Times(lease_s=2)


def main(argv):
    messages = int(argv[0]) if argv else 10_000
    for how in ({"dies": False, "cuts": False}, {"cuts": False}, {"dies": False}, {}):
        told, waits = Counter(), []
        for seed in range(messages):
            fleet = Fleet(seed, **how).run()
            told[len(fleet.delivered), len(fleet.answered)] += 1
            waits.append(fleet.waited_s)
        waits.sort()
        never = sum(count for (delivered, _), count in told.items() if not delivered)
        twice = sum(count for (_, made), count in told.items() if made > 1)
        print(
            f"{how or 'dies and is cut off'}: {messages} messages, {never} not answered, "
            f"{twice} with a second answer made; waited {waits[messages // 2]:.0f} s in the "
            f"median, {waits[messages * 99 // 100]:.0f} s at p99, {waits[-1]:.0f} s at most"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
