"""A log is copied from peers that lie, drop, reorder, truncate and die; against a whole copy."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core import merkle
from ledger.core.codec import decode, encode
from ledger.core.event import Cause, Draft
from ledger.memory import MemoryStore
from ledger.mirror import MirrorLog
from mesh.core import limits
from mesh.core.mirrors.copying import (
    AskBodies,
    AskHead,
    AskPackage,
    Broken,
    Complete,
    Conflict,
    Doubt,
    Fault,
    Faulted,
    GivenUp,
    Pursue,
    Store,
)
from mesh.core.mirrors.replica import Replica
from mesh.core.witnesses.introduction import open_introduction
from mesh.mirrors.offer import NotOffered
from tests.ledger import heirs
from tests.spec import agent

from .lives import Life, everything

ROUNDS_MAX = 4000


class Dead(Exception):
    """The peer does not answer."""


def answer(offer, ask):
    match ask:
        case AskHead():
            return offer.introduction(ask.since)
        case AskPackage():
            return offer.package(ask.start, ask.size)
        case AskBodies():
            return offer.bodies(ask.start, ask.stop)


class Peer:
    """An honest peer, at some size of a life."""

    def __init__(self, life, size=None):
        self.life = life
        self.at(size)

    def at(self, size):
        self.size = self.life.size if size is None else size
        self.offer = self.life.offer(self.size)

    def answer(self, ask, rng):
        return answer(self.offer, ask)


class Liar(Peer):
    """Flips a bit, cuts, swaps or leaves out, in two of three answers."""

    def answer(self, ask, rng):
        data = super().answer(ask, rng)
        match rng.randrange(6):
            case 0:
                at = rng.randrange(len(data))
                return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
            case 1:
                return data[: rng.randrange(len(data))]
            case 2 if isinstance(ask, AskBodies):
                return encode([[*body[:2], None, None] for body in value(data)])
            case 2 if isinstance(ask, AskPackage):
                envelopes, path = value(data)
                return encode([envelopes[::-1], path])
            case 3 if isinstance(ask, AskBodies):
                return encode(value(data)[::-1])
            case 3:
                return rng.randbytes(rng.randrange(40))
        return data


class Keeper(Peer):
    """Still has, and sends, every word that was redacted."""

    def answer(self, ask, rng):
        if isinstance(ask, AskBodies):
            records = self.life.ledger.records[ask.start : ask.stop]
            return encode([[r.salt, r.payload, r.content_salt, r.content] for r in records])
        return super().answer(ask, rng)


class Dropper(Peer):
    def answer(self, ask, rng):
        if rng.random() < 0.6:
            raise Dead
        return super().answer(ask, rng)


def value(data):
    return decode(data, bytes_max=2**23)


class Copy:
    """What a mirror's driver does, with time and network in a seeded simulation."""

    def __init__(self, peers, seed=0, ledger_id=None):
        self.peers = peers
        self.id = ledger_id or next(iter(peers.values())).life.id
        self.rng = random.Random(seed)
        self.log = MirrorLog(MemoryStore())
        self.note = None
        self.now = 0.0
        self.seen = []
        self.asked = []
        self.stored = []
        self.restart()

    def restart(self):
        """As after kill -9: what is stored, and the note, are all that is left."""
        self.asked.clear()
        self.replica = Replica(
            self.id, self.log, self.peers, lineage=self.log.lineage(), pursued=self.note,
            jitter=iter(self.rng.random, None),
        )  # fmt: skip

    def step(self):
        self.asked += self.replica.requests(self.now)
        if not self.asked:
            wake = self.replica.wake_at()
            if wake is None:
                return
            self.now = max(self.now, wake)
            return
        self.now += 0.01
        ask = self.asked.pop(self.rng.randrange(len(self.asked)))
        try:
            data = self.peers[ask.source].answer(ask, self.rng)
        except (Dead, NotOffered):
            self.act(self.replica.failed(ask, Fault.UNREACHABLE, "no answer", self.now))
            return
        self.act(self.replica.answered(ask, data, self.now))

    def act(self, actions):
        for action in actions:
            self.seen.append(action)
            match action:
                case Pursue():
                    self.note = action.note
                case Store():
                    self.stored.append((self.replica.head.size, action.events))
                    self.log.take(action.events, action.erase)
        self.seen += self.replica.settled()

    def until(self, done):
        for _ in range(ROUNDS_MAX):
            if done(self):
                return self
            self.step()
        told = [str(one)[:80] for one in self.seen[-3:]]
        raise AssertionError(f"not done: {self.log.size} events, {told}")

    def completed(self, size):
        return self.until(lambda self: self.replica.complete and self.replica.complete.size == size)

    def faults(self):
        return {(one.source, one.fault) for one in self.seen if isinstance(one, Faulted)}

    def same_as(self, life, size=None):
        assert list(self.log.records()) == life.copy(size)
        assert self.log.tree.root() == life.ledger.tree.root(size)


@pytest.fixture(scope="module")
def life():
    return everything()


def test_an_honest_peer_is_copied_event_by_event(life):
    copy = Copy({"a": Peer(life)}).completed(life.size)
    copy.same_as(life)
    assert copy.faults() == set()
    assert sum(isinstance(one, Complete) for one in copy.seen) == 1
    assert copy.log.lineage().newest.number == 1
    assert copy.replica.lineage == copy.log.lineage()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_peers_do_nothing_but_the_log_is_stored(life, seed):
    """Each peer grows at its own time; the mirror is killed and begins again at any step."""
    rng = random.Random(seed)
    kinds = [Peer, Liar, Liar, Dropper, Keeper]
    peers = {f"{at}": kind(life, rng.randrange(1, life.size)) for at, kind in enumerate(kinds)}
    copy, whole, checked = Copy(peers, seed), life.copy(), 0
    for _ in range(600):
        copy.step()
        if rng.random() < 0.02:
            copy.restart()
        if rng.random() < 0.02:
            peer = peers[rng.choice(list(peers))]
            peer.at(rng.randrange(peer.size, life.size + 1))
        assert copy.replica.ended is None
        stored = copy.replica.head.size if copy.replica.head else 0
        if copy.log.size != checked:
            checked = copy.log.size
            now = life.copy(stored)
            for got, true, then in zip(copy.log.records(), whole, now, strict=False):
                assert got[:4] == true[:4]
                assert got in (then, life.ledger.records[got.position])  # erased in its turn
            assert checked <= stored
    for size, events in copy.stored:  # at once without what is redacted anywhere under the head
        now = life.copy(size)
        assert all(record == now[record.position] for record, _ in events)
    for peer in peers.values():
        peer.at(None)
    copy.completed(life.size).same_as(life)


@pytest.mark.parametrize("seed", range(4))
def test_redacted_words_are_never_stored_though_a_peer_sends_them(life, seed):
    copy, whole = Copy({"keeper": Keeper(life), "liar": Liar(life)}, seed), life.copy()
    copy.until(lambda copy: copy.log.size == life.size)
    for action in copy.seen:
        if isinstance(action, Store):
            for record, _ in action.events:
                assert record == whole[record.position]


def test_what_is_stored_is_erased_when_the_log_redacts_it_later():
    life = Life().say(300)
    peer = Peer(life)
    copy = Copy({"a": peer}).completed(life.size)
    assert copy.log.read(7).content is not None
    life.say(3).redact(7, 299)
    peer.at(None)
    copy.completed(life.size).same_as(life)
    assert copy.log.read(7).redacted
    assert copy.log.read(299).redacted


def test_the_twentieth_of_twenty_sources_is_asked_too(life):
    peers = {f"{at:02}": Peer(life, 30) for at in range(19)}
    copy = Copy(peers | {"19": Peer(life)}).completed(life.size)
    copy.same_as(life)
    assert copy.now >= 4 * limits.MIRROR_POLL_SECONDS, "the fourth behind the near ones"


def test_a_poll_asks_the_near_sources_and_one_more_however_many_there_are(life):
    copy = Copy({f"{at:03}": Peer(life, 30) for at in range(200)}).completed(30)
    asked = []
    for poll in range(1, 1000):
        now = copy.now + poll * limits.MIRROR_POLL_SECONDS
        asked.append([one.source for one in copy.replica.requests(now)])
        for one in copy.replica._sources.values():  # nothing is new
            one.asked.clear()
            if one.asked_head:
                one.asked_head = False
                one.head_due = now + copy.replica._poll_seconds(one)
    most = limits.MIRROR_SOURCES_MAX + 1
    assert sum(map(len, asked)) <= most * len(asked)
    assert max(map(len, asked)) <= most + 1, "one may slip into the next poll"
    assert {name for names in asked[:200] for name in names} == set(copy.peers)
    copy.replica.hurry()
    now += 1.0
    assert len(copy.replica.requests(now)) == limits.MIRROR_SOURCES_MAX


def test_a_far_source_that_fails_does_not_come_before_its_turn(life):
    class Gone(Peer):
        def answer(self, ask, rng):
            raise Dead

    copy = Copy({f"{at:02}": (Gone if at > 15 else Peer)(life, 30) for at in range(40)})
    copy.until(lambda copy: copy.now > 100 * limits.MIRROR_POLL_SECONDS)
    failed = Counter(one.source for one in copy.seen if isinstance(one, Faulted))
    assert set(failed) == {f"{at:02}" for at in range(16, 40)}
    assert max(failed.values()) <= 1 + 100 // 24


def test_words_that_a_peer_withholds_are_asked_for_elsewhere(life):
    class Withholder(Peer):
        def answer(self, ask, rng):
            data = super().answer(ask, rng)
            if isinstance(ask, AskBodies):
                return encode([[*body[:2], None, None] for body in value(data)])
            return data

    copy = Copy({"w": Withholder(life), "a": Peer(life)}).completed(life.size)
    copy.same_as(life)
    assert copy.faults() == {("w", Fault.WITHHELD)}
    alone = Copy({"w": Withholder(life)})
    for _ in range(200):
        alone.step()
    assert alone.log.size == 0


def test_requests_and_what_is_held_are_bounded(life, monkeypatch):
    monkeypatch.setattr(limits, "MIRROR_KEPT_BYTES_MAX", 20_000)
    monkeypatch.setattr(limits, "BODIES_BYTES", 3_000)
    copy = Copy({"a": Peer(life), "b": Peer(life)})
    while not copy.replica.complete:
        copy.step()
        assert len(copy.asked) <= 2 * limits.MIRROR_REQUESTS_MAX
        opened = [piece for piece in copy.replica._pieces if piece.events]
        assert len(opened) <= limits.MIRROR_AHEAD_PACKAGES
        kept = sum(len(e) for p in copy.replica._pieces for e in p.envelopes or ())
        assert kept == copy.replica._kept_bytes
        assert kept <= 20_000 + 12 * 256 * 200
    copy.same_as(life)


def test_a_second_root_of_one_size_ends_it_with_both_notes():
    life, other = Life().say(20), Life().say(19)
    other.ledger.add(agent.words("another history"))
    copy = Copy({"a": Peer(life)}).completed(life.size)
    copy.peers["a"] = Peer(other)
    copy.until(lambda copy: copy.replica.ended)
    [found] = [one for one in copy.seen if isinstance(one, Conflict)]
    notes = (life.head().encode(), other.head().encode())
    assert (found.known, found.shown, found.same_size) == (*notes, True)
    assert copy.replica.requests(copy.now + 1000) == []
    copy.same_as(life)


def test_a_smaller_head_of_another_history_ends_it_too():
    life, other = Life().say(20), Life().say(9)
    other.ledger.add(agent.words("another history"))
    copy = Copy({"a": Peer(life)}).completed(life.size)
    copy.peers["a"] = Peer(other)
    copy.until(lambda copy: copy.replica.ended)
    assert copy.replica.ended.same_size is False


def test_a_larger_head_that_does_not_continue_ours_is_no_evidence():
    life, other = Life().say(20), Life().say(9)
    other.ledger.add(agent.words("another history"))
    other.say(30)
    copy = Copy({"a": Peer(life)}).completed(life.size)
    copy.peers["a"] = Peer(other)
    copy.until(lambda copy: any(isinstance(one, Doubt) for one in copy.seen))
    assert copy.faults() == {("a", Fault.INCONSISTENT)}
    assert copy.replica.ended is None
    doubt = next(one for one in copy.seen if isinstance(one, Doubt))
    assert (doubt.known, doubt.shown) == (life.head().encode(), other.head().encode())
    assert doubt.source == "a"
    assert open_introduction(doubt.introduction, life.id).head == other.head()
    copy.same_as(life)


def test_a_handoff_that_the_introduction_hides_ends_it():
    """The old key signs on above it: the one who does that has the key, and is not in charge."""
    life = Life().say(10).hand_off().say(10)
    old = life.ledger.head(by=agent.LOG)
    peer = Peer(life)
    peer.offer = life.offer(head=old)
    peer.offer.log.stream = lambda *_, **__: []
    copy = Copy({"a": peer}).until(lambda copy: copy.replica.ended)
    assert isinstance(copy.replica.ended, Broken)
    assert "changes the keys" in copy.replica.ended.text
    assert copy.log.size == 0


def test_a_head_of_the_old_key_above_a_known_handoff_is_refused():
    life = Life().say(10).hand_off().say(10)
    copy = Copy({"a": Peer(life)}).completed(life.size)
    life.say(5)
    copy.peers["a"].offer = life.offer(head=life.ledger.head(by=agent.LOG))
    for _ in range(30):
        copy.step()
    assert copy.replica.complete.size == life.size - 5
    assert ("a", Fault.FALSE) in copy.faults()


def test_a_recovery_that_keeps_what_is_stored_is_followed():
    life = Life().say(30)
    copy = Copy({"a": Peer(life, 20)}).completed(20)
    again = life.recover(25).say(300)
    copy.peers["a"] = Peer(again)
    copy.completed(again.size).same_as(again)


def test_a_recovery_below_a_head_that_was_pursued_is_followed(monkeypatch):
    """What was pursued, and not stored, is given up with what the recovery gave up."""
    monkeypatch.setattr(limits, "BODIES_BYTES", 3_000)
    life = Life().say(600)
    copy = Copy({"a": Peer(life)})
    copy.until(lambda copy: 0 < copy.log.size < life.size)
    kept = copy.log.size + 3
    again = life.recover(kept).say(9)
    copy.peers["a"] = Peer(again)
    copy.completed(again.size).same_as(again)


def test_a_recovery_that_gives_up_stored_events_ends_this_copy():
    life = Life().say(30)
    copy = Copy({"a": Peer(life)}).completed(life.size)
    copy.peers["a"] = Peer(life.recover(12).say(40))
    copy.until(lambda copy: copy.replica.ended)
    assert copy.replica.ended == GivenUp(epoch=1, kept=12)


def test_a_recovery_may_give_up_a_handoff():
    """Its keys are not in charge any more, and its number may come again: nobody lied."""
    life = Life().say(30)
    copy = Copy({"a": Peer(life)}).completed(life.size)
    copy.peers["a"] = Peer(life.hand_off(1).say(5))
    copy.until(lambda copy: copy.replica.lineage.newest.number == 1)
    assert copy.log.size == 31
    again = life.recover(31).hand_off(2).say(5)
    copy.peers["a"] = Peer(again)
    copy.completed(again.size).same_as(again)
    assert copy.replica.lineage == copy.log.lineage()
    copy.peers["a"] = Peer(life)
    behind = copy.now + 30
    copy.until(lambda copy: copy.now > behind)
    assert copy.replica.ended is None


def test_a_log_that_breaks_its_own_rules_is_not_stored():
    life = Life().say(5)
    life.ledger.add(agent.words("out of order"), stream_sequence=9)
    copy = Copy({"a": Peer(life)}).until(lambda copy: copy.replica.ended)
    assert copy.replica.ended == Broken(text="event 6: stream sequence 9, expected 3")
    assert copy.log.size == 0


def future(life):
    life.redact(life.size + 1).say(3)


def unordered(life):
    life.ledger.add(agent.fact(1), ts_ms=1)


def uncaused(life):
    later = Cause(position=life.size, id=bytes(32))
    life.ledger.add(agent.fact(1, causes=[later]))


def miscaused(life):
    life.ledger.add(agent.fact(1, causes=[Cause(position=2, id=bytes(32))]))


def misplaced(life):
    draft = heirs.recovery(life.ledger, None)
    life.ledger.add(replace(draft, stream=agent.STREAM))


def mistargeted(life):
    life.ledger.add(Draft(type="ledger.redacted", stream=bytes(16), payload={"targets": "all"}))


@pytest.mark.parametrize("parts", [True, False], ids=["part by part", "at once"])
@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (future, "which is not before it"),
        (unordered, "is before its predecessor's"),
        (uncaused, "is not an earlier event"),
        (miscaused, "cause 2 is not an earlier event"),
        (misplaced, "outside its stream"),
        (mistargeted, "targets is not an array"),
    ],
)
def test_each_rule_of_a_log_is_asked(broken, words, parts, monkeypatch):
    if parts:
        monkeypatch.setattr(limits, "BODIES_BYTES", 2_000)
    life = Life().say(40)
    broken(life)
    copy = Copy({"a": Peer(life)}).until(lambda copy: copy.replica.ended)
    assert isinstance(copy.replica.ended, Broken)
    assert words in copy.replica.ended.text
    assert copy.log.size <= 41


def test_a_log_that_uses_an_idempotency_key_twice_is_not_stored():
    """No store of ours could hold it; nobody's fault but the log's."""
    life = Life().say(300)
    for number in (1, 2):
        draft = agent.fact(number)
        life.ledger.add(replace(draft, idempotency_key=bytes(16)))
    copy = Copy({"a": Peer(life)}).until(lambda copy: copy.replica.ended)
    assert "idempotency key" in copy.replica.ended.text


def test_a_head_that_claims_a_tree_without_end_is_not_pursued():
    """Its owner can make one: a path of any hashes leads to some root, and he signs that."""
    life = Life().say(3)
    event = life.ledger.records[0]
    path = [bytes([at]) * 32 for at in range(47)]
    root = merkle.root_from_inclusion(merkle.leaf_hash(event.envelope), 0, 2**47, path)
    head = life.head(2**47, root=root).encode()
    data = agent.bundle(
        [["header", "proof", life.id, 0], ["subject", 0], agent.event_record(event),
         ["inclusion", 0, 2**47, path], ["checkpoint", head]]
    )  # fmt: skip
    copy = Copy({"a": Peer(life)})
    copy.peers["a"].answer = lambda ask, rng: data
    for _ in range(20):
        copy.step()
    assert copy.faults() == {("a", Fault.FALSE)}
    assert copy.replica.head is None
    assert "at most" in copy.seen[0].text


def test_a_head_whose_only_source_is_gone_gives_way_to_a_smaller_one(life):
    copy = Copy({"gone": Peer(life), "behind": Peer(life, 400)})
    copy.until(lambda copy: copy.replica.head and copy.replica.head.size == life.size)

    def dead(ask, rng):
        raise Dead

    copy.peers["gone"].answer = dead
    begin = copy.now
    copy.completed(400).same_as(life, 400)
    assert copy.now >= begin + limits.MIRROR_RETREAT_SECONDS
    del copy.peers["gone"].answer
    copy.completed(life.size).same_as(life)


def test_another_log_is_not_taken_for_this_one(life):
    copy = Copy({"a": Peer(life)}, ledger_id=bytes(32))
    for _ in range(20):
        copy.step()
    assert copy.faults() == {("a", Fault.FALSE)}


def test_a_copy_that_was_damaged_is_not_called_complete(monkeypatch):
    monkeypatch.setattr(limits, "BODIES_BYTES", 3_000)
    life = Life().say(600)
    copy = Copy({"a": Peer(life)}).until(lambda copy: copy.log.size > 300)
    size = copy.log.size
    foreign = Life(agent.Ledger())
    foreign.ledger.add(agent.genesis_draft())
    foreign.ledger.add(agent.words("not these"))
    copy.log._restored = foreign.say(size - 2).offer().log.tree
    copy.until(lambda copy: copy.replica.ended)
    assert "does not lead to the root" in copy.replica.ended.text


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=400), kind=st.sampled_from([AskHead, AskPackage, AskBodies]))
def test_no_answer_makes_it_raise(data, kind):
    copy = Copy({"a": SMALL})
    copy.asked += copy.replica.requests(copy.now)
    while not any(type(ask) is kind for ask in copy.asked):
        copy.step()
        copy.asked += copy.replica.requests(copy.now)
    ask = next(ask for ask in copy.asked if type(ask) is kind)
    copy.act(copy.replica.answered(ask, data, copy.now))
    assert copy.log.size == 0


SMALL = Peer(Life().say(3))
