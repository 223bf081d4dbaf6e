"""How heads and proofs spread: a seeded simulator of fleets that churn, part, lose and lie.

`python -m tests.mesh.test_gossip [nodes ...]` prints the time to converge and the bytes of a node.
"""

import heapq
import random
import sys
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core.fleet import gossip
from mesh.core.fleet.gossip import (
    Check,
    Frozen,
    Gossip,
    Have,
    Head,
    Proof,
    Rumour,
    Summary,
    Want,
    wire_bytes,
)
from node.fleet import gossiping

NOTE_BYTES = 350
"""A signed head of ours, with its signature line."""
ROUND_S, FANOUT, COMPARE_ROUNDS = gossiping.ROUND_SECONDS, gossiping.FANOUT, 1
"""As a node does it: each round it compares with one of those that it tells."""
LOSS, LATENCY_S = 0.05, 0.2
CHURN_AN_HOUR = 0.3
QUIET_S, LONGEST_S = 120, 3600
LOOKS_MAX = 5


def head(log, size, branch=0, epoch=0):
    """A head as its log would sign it; `branch` is another history of the same log."""
    root = bytes([branch]) * 4 + size.to_bytes(28, "big")
    mark = b"%d %d %d " % (epoch, size, branch)
    return Head(
        log=log, epoch=epoch, size=size, root=root, note=(mark + log).ljust(NOTE_BYTES, b".")
    )


def log_id(number):
    return random.Random(number).randbytes(32)


@dataclass
class Fleet:
    """`count` nodes, each with a log; of them `liars` write two histories and show each to half."""

    count: int
    seed: int
    liars: int = 0
    part_s: float = 300.0
    churn: float = CHURN_AN_HOUR
    mute: float = 0.0
    """The share of looks into two heads that nobody answers: they are tried again, some times."""
    now: float = 0.0
    sent_bytes: int = 0
    heard: dict[int, set[bytes]] = field(default_factory=dict)
    found: dict[int, float] = field(default_factory=dict)

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self.nodes = [Gossip() for _ in range(self.count)]
        self.logs = [log_id(number) for number in range(self.count)]
        self.up = [True] * self.count
        self.side = [self.random.random() < 0.5 for _ in range(self.count)]
        self.liar = set(self.random.sample(range(self.count), self.liars))
        self.queue, self.number = [], 0
        self.sizes = [0] * self.count
        self.written_s = 0.0

    def at(self, when, what, *more):
        self.number += 1
        heapq.heappush(self.queue, (when, self.number, what, more))

    @property
    def parted(self):
        return 60 <= self.now < 60 + self.part_s

    def send(self, sender, receiver, message):
        self.sent_bytes += wire_bytes(message)
        parted = self.parted and self.side[sender] != self.side[receiver]
        if not parted and self.random.random() >= LOSS:
            late = self.random.expovariate(1 / LATENCY_S)
            self.at(self.now + late, self.arrives, receiver, sender, message)

    def arrives(self, receiver, sender, message):
        if self.up[receiver] and receiver not in self.liar:
            if sender in self.liar:
                self.heard.setdefault(sender, set()).add(message.heads[0].root[:4])
            answers, findings = self.nodes[receiver].answer(message)
            for answer in answers:
                self.send(receiver, sender, answer)
            self.look(receiver, findings)

    def look(self, node, findings, tries=1):
        """What the driver does: a mirror of the log tells whether one head continues another."""
        for finding in findings:
            if isinstance(finding, Check) and finding.old.root[:4] != finding.new.root[:4]:
                if self.random.random() < self.mute:
                    if tries < LOOKS_MAX:
                        self.at(self.now + ROUND_S, self.look, node, (finding,), tries + 1)
                    continue
                proof = Proof(
                    log=finding.new.log, data=tuple(sorted((finding.old.note, finding.new.note)))
                )
                self.look(node, self.nodes[node].conflict(proof))
            elif isinstance(finding, Frozen):
                self.found.setdefault(self.logs.index(finding.proof.log), self.now)

    def peers(self, node, count):
        """A node dials whom it knows: everybody, up or not."""
        return [p for p in self.random.sample(range(self.count), min(count + 1, self.count))
                if p != node][:count]  # fmt: skip

    def round(self, node, turn):
        self.at(self.now + ROUND_S, self.round, node, turn + 1)
        if not self.up[node] or node in self.liar:
            return
        told = self.nodes[node].rumour()
        if told is not None:
            for peer in self.peers(node, FANOUT):
                self.send(node, peer, told)
        if turn % COMPARE_ROUNDS == 0:
            for peer in self.peers(node, 1):
                self.send(node, peer, self.nodes[node].summary())

    def write(self, node):
        """Sign a longer head; a liar signs two, and tells each to some."""
        if not self.up[node]:
            return
        self.sizes[node] += self.random.randint(1, 50)
        self.written_s = self.now
        if node not in self.liar:
            self.nodes[node].take(head(self.logs[node], self.sizes[node]))
            return
        for peer in self.peers(node, 2 * FANOUT):
            size = self.sizes[node] + self.side[peer]  # never two of one size
            lie = head(self.logs[node], size, branch=self.side[peer])
            self.send(node, peer, Rumour(heads=(lie,)))

    def leave(self, node):
        self.up[node] = False
        self.at(self.now + self.random.expovariate(1 / 300), self.come_back, node)

    def come_back(self, node):
        self.up[node] = True  # with all that it had: heads are on disk

    @property
    def lied(self):
        """Liars of whom somebody honest heard both histories; else there is nothing to find."""
        return {liar for liar, branches in self.heard.items() if len(branches) == 2}

    @property
    def converged(self):
        """All that are up and honest have the newest head of every honest log, and all proofs."""
        honest = [n for n in range(self.count) if n not in self.liar]
        newest = {self.logs[n]: self.sizes[n] for n in honest if self.sizes[n]}
        lies = {self.logs[n] for n in self.lied}
        for number in honest:
            node = self.nodes[number]
            if self.up[number] and (
                any(log not in node.heads or node.heads[log][-1].size != size
                    for log, size in newest.items())
                or node.frozen.keys() != lies
            ):  # fmt: skip
                return False
        return True

    def run(self):
        for node in range(self.count):
            self.at(self.random.random(), self.round, node, node % COMPARE_ROUNDS)
            for _ in range(2):
                self.at(self.random.uniform(0, 120), self.write, node)
            leaves = self.random.expovariate(self.churn / 3600) if self.churn else LONGEST_S
            self.at(leaves, self.leave, node)
        check = 120.0
        while self.queue:
            self.now, _, what, more = heapq.heappop(self.queue)
            if self.now > LONGEST_S:
                return None
            if self.now > check:
                check = self.now + 5
                if not self.parted and self.converged:
                    return self.now
            what(*more)
        raise AssertionError("rounds go on for ever")


@pytest.mark.parametrize(("count", "seed"), [(2, 1), (10, 2), (10, 3), (40, 4)])
def test_honest_nodes_converge_whatever_is_lost_parted_or_left(count, seed):
    fleet = Fleet(count, seed)
    assert fleet.run() is not None
    assert not fleet.found, "nobody lied"


@pytest.mark.parametrize(("seed", "mute"), [(0, 0.0), (1, 0.0), (2, 0.5)])
def test_a_lying_minority_is_proven_to_everybody(seed, mute):
    fleet = Fleet(20, seed, liars=4, mute=mute)
    assert fleet.run() is not None
    assert set(fleet.found) == fleet.lied
    assert fleet.lied


def test_what_nobody_told_is_met_by_comparing():
    one, other = Gossip(), Gossip()
    for number in range(100):
        one.take(head(log_id(number), 5))
    for number in range(50, 150):
        other.take(head(log_id(number), 5 + number % 2))
    other.conflict(Proof(log=log_id(3), data=(b"a", b"b")))
    one.rumour(), other.rumour()
    assert compared(one, other) > 0
    assert {log: one.newest(log) for log in one.heads} == {
        log: other.newest(log) for log in other.heads if log != log_id(3)
    } | {log_id(3): head(log_id(3), 5)}
    assert one.frozen.keys() == other.frozen.keys() == {log_id(3)}
    assert compared(one, other) == 0, "where nothing differs a summary is not answered"
    assert wire_bytes(one.summary()) == 16 + 8 * gossip.BUCKETS


def compared(one, other):
    """Let two nodes compare until nobody answers; returns how many bytes were said after it."""
    said, waiting = 0, [(other, one, one.summary())]
    while waiting:
        receiver, sender, message = waiting.pop(0)
        for answer in receiver.answer(message)[0]:
            said += wire_bytes(answer)
            waiting.append((sender, receiver, answer))
    return said


steps = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(0, 3), st.integers(1, 6), st.integers(0, 1), st.booleans()
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_three_nodes_that_compare_know_what_a_plain_set_of_everything_knows(life):
    """The twin keeps every head for ever; two of one size with two roots freeze a log."""
    nodes, everything = [Gossip() for _ in range(3)], set()
    for node, number, size, branch, epoch in life:
        said = head(log_id(number), size, branch, int(epoch))
        nodes[node].take(said)
        everything.add(said)
    for _ in range(3):
        for one in nodes:
            for other in nodes:
                if one is not other:
                    compared(one, other)
    met = {(one.log, one.order) for one in everything if len(
        {other.root for other in everything if (other.log, other.order) == (one.log, one.order)}
    ) > 1}  # fmt: skip
    lies = {log for log, _ in met}
    for node in nodes:
        assert node.frozen.keys() <= lies
        for log in {one.log for one in everything} - lies:
            newest = max((one for one in everything if one.log == log), key=lambda one: one.order)
            assert node.newest(log) == newest
    frozen = {frozenset(node.frozen) for node in nodes}
    assert len(frozen) == 1, "who compared agrees"


def test_a_head_of_another_size_is_checked_and_a_frozen_log_is_heard_no_more():
    node, log = Gossip(), log_id(1)
    assert node.take(head(log, 5)) == []
    assert node.take(head(log, 5)) == []
    assert node.take(head(log, 9)) == [Check(old=head(log, 5), new=head(log, 9))]
    assert node.take(head(log, 7)) == [Check(old=head(log, 7), new=head(log, 9))], "it came late"
    assert node.newest(log) == head(log, 9)
    [found] = node.take(head(log, 7, branch=1))
    assert found == Frozen(
        proof=Proof(log=log, data=(head(log, 7).note, head(log, 7, branch=1).note))
    )
    assert node.take(head(log, 20)) == []
    assert node.conflict(found.proof) == []
    assert node.rumour() == Rumour(proofs=(found.proof,)), "a proof takes the place of the head"
    assert node.answer(Want(logs=(log,)))[0] == [Rumour(proofs=(found.proof,))]
    assert node.answer(Want(logs=(log_id(2),)))[0] == []


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(gossip, "LOGS_MAX", 3)
    monkeypatch.setattr(gossip, "OPEN_MAX", 2)
    node = Gossip()
    for number in range(5):
        node.take(head(log_id(number), 1))
    for size in range(2, 50):
        node.take(head(log_id(0), size))
    assert (len(node.heads), node.refused) == (3, 2)
    assert len(node.heads[log_id(0)]) == gossip.HEADS_KEPT
    told = node.rumour()
    assert [one.size for one in told.heads] == [49, 1]
    assert node.rumour() is None


@given(st.lists(st.binary(max_size=9), max_size=70), st.lists(st.integers(-9, 99), max_size=9))
def test_a_strange_summary_or_have_is_answered_within_bounds(fingerprints, buckets):
    node = Gossip()
    node.take(head(log_id(1), 3))
    answers, findings = node.answer(Summary(fingerprints=tuple(fingerprints)))
    assert not findings
    assert sum(map(wire_bytes, answers)) < 1000
    have = Have(buckets=tuple(buckets), newest={log_id(7): (0, 1, b"")}, frozen=frozenset())
    assert sum(map(wire_bytes, node.answer(have)[0])) < 1000


def main(argv):
    for count in [int(one) for one in argv] or [10, 100, 1000]:
        fleets = [
            Fleet(count, seed, count // 10, mute=0.5) for seed in range(1, 1 + max(1, 100 // count))
        ]
        done = [fleet.run() for fleet in fleets]
        late = sorted(when - 60 - fleets[0].part_s for when in done if when)
        lied = sum(len(fleet.lied) for fleet in fleets)
        found = sum(len(fleet.found) for fleet in fleets)
        sent = sum(fleet.sent_bytes for fleet in fleets) / len(fleets) / count / 1024
        print(
            f"{count} nodes, {count // 10} of them lie, {LOSS:.0%} of messages and half of the looks into "
            f"two heads lost, parted for {fleets[0].part_s:.0f} s, churn {CHURN_AN_HOUR:.0%} an hour: "
            f"{len(late)} of {len(fleets)} fleets converged, at most {late[-1]:.0f} s after it, "
            f"{found} of {lied} liars proven, {sent:.0f} KiB sent by a node",
            flush=True,
        )
        if len(late) < len(fleets) or found < lied:
            sys.exit("a fleet did not converge, or a liar was not proven")


if __name__ == "__main__":
    main(sys.argv[1:])
