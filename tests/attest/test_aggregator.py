"""The aggregator: what it takes and refuses, what outlives it, and ten thousand ledgers in one block."""

import hashlib
from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from attest.aggregator import Accepted, Aggregator
from attest.core import limits
from attest.core.commitment import Kind
from attest.core.delegation import SlottedLink, verify_aggregated
from attest.core.errors import (
    HeadDoesNotContinue,
    HeadNotNewer,
    InvalidProof,
    InvalidSubmission,
    NothingPending,
    Refused,
    SealNotOpen,
    TooManyLedgers,
    TooManySubmissions,
    UnknownLedger,
    WrongSlot,
)
from attest.core.header import REGTEST
from attest.core.submission import Shown, Submission
from attest.rounds import Rounds
from attest.state import MemoryState
from ledger.core import codec
from ledger.core.checkpoint import Checkpoint, sign_checkpoint
from ledger.core.errors import StoreDamaged, StoreSchema
from ledger.core.event import Draft, Event, seal
from ledger.core.keys import Signer
from ledger.core.merkle import leaf_hash
from ledger.core.tiles import Tree
from node.anchors.aggregating import log_key_of as real_log_key_of

HOUR_MS = 3_600_000
OWN = hashlib.sha256(b"the aggregator's own ledger").digest()


def log_key_of(records, epoch, size):
    """The newest record's, of those that begin below the head."""
    return [one for one in records if one.position < max(1, size - 1)][-1].payload["keys"]["log"]


@dataclass
class Ledger:
    """A ledger of somebody: event 0 names its key, the others are leaves alone."""

    number: int
    leaves: list[bytes] = field(default_factory=list)

    def __post_init__(self):
        draft = Draft(
            type="genesis.born", stream=bytes(16), payload={"keys": {"log": self.signer.public}}
        )
        salts = hashlib.sha512(b"%d" % self.number).digest()
        event = seal(draft, position=0, stream_sequence=0, ts_ms=self.number, salts=salts)
        self.birth, self.id = event.record, Event.open(event.record).id
        self.leaves.append(leaf_hash(event.record.envelope))

    @property
    def signer(self):
        return Signer(hashlib.sha256(b"log key %d" % self.number).digest())

    def tree(self, size):
        while len(self.leaves) < size:
            self.leaves.append(hashlib.sha256(b"%d %d" % (self.number, len(self.leaves))).digest())
        tree = Tree(lambda *_: b"")
        for leaf in self.leaves[:size]:
            tree.append(leaf)
        return tree

    def head(self, size, *, epoch=0, root=None):
        root = self.tree(size).root() if root is None else root
        checkpoint = Checkpoint(ledger_id=self.id, epoch=epoch, size=size, root=root)
        return sign_checkpoint(checkpoint, self.signer)

    def submission(self, size, *, since=0, birth=True, **changes):
        tree = self.tree(size)
        first = None
        if birth:
            path = tuple(tree.inclusion(0, size))
            first = Shown(
                position=0,
                envelope=self.birth.envelope,
                salt=self.birth.salt,
                payload=self.birth.payload,
                path=path,
            )
        path = tuple(tree.consistency(since, size)) if since else ()
        made = {
            "note": self.head(size).encode(),
            "birth": first,
            "since": since,
            "consistency": path,
        }
        return Submission(**(made | changes))


@dataclass
class Clock:
    ms: int = 1_790_000_000_000

    def __call__(self):
        return self.ms


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def rounds(tmp_path):
    with Rounds(tmp_path / "aggregate.db") as opened:
        yield opened


def service(rounds, clock, anchorer=None, **changes):
    given = {"log_key_of": log_key_of} | changes
    return Aggregator(rounds=rounds, anchorer=anchorer, now_ms=clock, **given)


@pytest.fixture
def alone(rounds, clock):
    """Without an anchorer: for what never comes to a transaction."""
    return service(rounds, clock)


LEDGER, OTHER = Ledger(1), Ledger(2)


async def test_a_head_is_kept_before_it_is_acknowledged(tmp_path, clock):
    path = tmp_path / "aggregate.db"
    with Rounds(path) as rounds:
        found = await service(rounds, clock).add(LEDGER.submission(5).encode())
    digest = LEDGER.head(5).anchor_digest()
    assert (found.ledger, found.size, found.waiting) == (LEDGER.id, 5, True)
    with Rounds(path) as rounds:
        known = rounds.known(LEDGER.id)
        assert known.head == LEDGER.head(5).checkpoint
        assert len(digest) == len(known.digest)
        assert known.log_key == LEDGER.signer.public
        assert rounds.waiting() == 1


async def test_the_newest_head_wins(alone, rounds, clock):
    for size, since in ((3, 0), (5, 3), (9, 5)):
        await alone.add(LEDGER.submission(size, since=since, birth=not since).encode())
    assert rounds.waiting() == 1
    closed = rounds.close({}, clock())
    assert closed.ledgers == 1
    assert (await alone.proof(LEDGER.id, closed)).digest_of(LEDGER.id) == rounds.known(
        LEDGER.id
    ).digest
    assert rounds.known(LEDGER.id).head.size == 9
    assert rounds.waiting() == 0


async def test_the_same_head_again_changes_nothing(alone, rounds):
    data = LEDGER.submission(5).encode()
    first = await alone.add(data)
    rounds.close({}, 0)
    for _ in range(3 * limits.SUBMISSIONS_PER_HOUR):
        again = await alone.add(data)
    assert again == Accepted(ledger=first.ledger, size=5, digest=first.digest, waiting=False)


def foreign_birth():
    return OTHER.submission(5).birth


REFUSED = {
    "not CBOR": (b"\xff", InvalidSubmission),
    "another field": (codec.encode({"note": b""}), InvalidProof),
    "too long": (bytes(limits.SUBMISSION_BYTES_MAX + 1), InvalidSubmission),
    "since below zero": (LEDGER.submission(5).encode().replace(b"since\x00", b"since\x20"), InvalidSubmission),
    "no note": (LEDGER.submission(5, note=b"x").encode(), InvalidSubmission),
    "no event 0": (LEDGER.submission(5, birth=False).encode(), UnknownLedger),
    "event 0 of another ledger": (
        Submission(note=LEDGER.head(5).encode(), birth=foreign_birth(), since=0, consistency=()).encode(),
        InvalidSubmission),
    "event 0 under another head": (
        Submission(note=LEDGER.head(5).encode(), birth=LEDGER.submission(6).birth, since=0, consistency=()).encode(),
        InvalidSubmission),
    "a note of another key": (
        LEDGER.submission(5, note=sign_checkpoint(LEDGER.head(5).checkpoint, OTHER.signer).encode()).encode(),
        InvalidSubmission),
    "event 0 that is none": (
        Submission(note=LEDGER.head(5).encode(), birth=Shown(position=0, envelope=b"x", salt=bytes(32), payload=b"", path=()),
                   since=0, consistency=()).encode(),
        InvalidSubmission),
}  # fmt: skip


@pytest.mark.parametrize(("data", "error"), REFUSED.values(), ids=REFUSED)
async def test_what_an_unknown_ledger_may_not_bring(alone, rounds, data, error):
    with pytest.raises(error):
        await alone.add(data)
    assert rounds.count() == 0


def another_history(size, since):
    head = LEDGER.head(size, root=hashlib.sha256(b"rewritten").digest())
    return LEDGER.submission(size, since=since, note=head.encode(), birth=False)


CONTINUED = {
    "an older head": (LEDGER.submission(4, birth=False), HeadNotNewer, "size 4 in epoch 0"),
    "its size, another root": (another_history(5, 0), HeadNotNewer, "two histories"),
    "no proof": (LEDGER.submission(9, birth=False), HeadDoesNotContinue, "from size 0"),
    "a proof from another size": (LEDGER.submission(9, since=3, birth=False), HeadDoesNotContinue, "from size 3"),
    "another history": (another_history(9, 5), HeadDoesNotContinue, "does not continue"),
    "an earlier epoch": (LEDGER.submission(9, since=5, birth=False), HeadNotNewer, "in epoch 1"),
}  # fmt: skip


@pytest.mark.parametrize(("submission", "error", "words"), CONTINUED.values(), ids=CONTINUED)
async def test_a_head_must_continue_the_one_before(alone, rounds, submission, error, words):
    epoch = 1 if error is HeadNotNewer and "epoch 1" in words else 0
    first = LEDGER.submission(5, note=LEDGER.head(5, epoch=epoch).encode())
    await alone.add(first.encode())
    before = rounds.known(LEDGER.id)
    with pytest.raises(error, match=words):
        await alone.add(submission.encode())
    assert rounds.known(LEDGER.id) == before


async def test_a_recovered_log_goes_on_in_its_next_epoch(alone, rounds):
    await alone.add(LEDGER.submission(5).encode())
    later = LEDGER.submission(9, since=5, note=LEDGER.head(9, epoch=1).encode(), birth=False)
    await alone.add(later.encode())
    assert rounds.known(LEDGER.id).head.epoch == 1


def handed(size, *, records=1, since=0, by=None, **changes):
    """A head of a ledger that changed its keys at 4, by the key that `records` lead to."""
    lived = Ledger(3)
    keys = [lived.signer, Signer(hashlib.sha256(b"second log key").digest())]
    payload = {"keys": {"log": keys[1].public}}
    salts = hashlib.sha512(b"handoff").digest()
    draft = Draft(type="soul.handed_off", stream=bytes(16), payload=payload)
    record = seal(draft, position=4, stream_sequence=1, ts_ms=5, salts=salts).record
    lived.tree(4)
    lived.leaves.append(leaf_hash(record.envelope))
    tree = lived.tree(size)
    shown = Shown(
        position=4,
        envelope=record.envelope,
        salt=record.salt,
        payload=record.payload,
        path=tuple(tree.inclusion(4, size)) if size > 4 else (),
    )
    signer = keys[records - 1] if by is None else keys[by]
    note = sign_checkpoint(lived.head(size).checkpoint, signer).encode()
    lineage = (shown,) if records == 2 else ()
    return lived.submission(size, since=since, note=note, lineage=lineage, **changes)


async def test_a_ledger_that_was_handed_over_goes_on_under_its_new_key(alone, rounds):
    before = handed(5)
    await alone.add(before.encode())
    ledger = before.named.ledger_id
    assert rounds.known(ledger).records == 1
    with pytest.raises(InvalidSubmission, match="the note"):
        await alone.add(handed(8, by=1, since=5, birth=False).encode())
    await alone.add(handed(8, records=2, since=5).encode())
    known = rounds.known(ledger)
    assert (known.head.size, known.records) == (8, 2)
    await alone.add(handed(9, by=1, since=8, birth=False).encode())
    with pytest.raises(InvalidSubmission, match="the note"):  # a thief of the old key
        await alone.add(handed(12, by=0, since=9, birth=False).encode())
    with pytest.raises(HeadNotNewer, match="by 1 records, 2 are known"):
        await alone.add(handed(12, by=0, since=9).encode())
    assert rounds.known(ledger).head.size == 9


async def test_a_lineage_stands_in_the_log(alone):
    good = handed(8, records=2)
    with pytest.raises(InvalidSubmission, match="event 4 is not under this head"):
        await alone.add(replace(good, lineage=(replace(good.lineage[0], path=()),)).encode())
    with pytest.raises(InvalidSubmission, match="without event 0"):
        replace(good, birth=None)
    value = codec.decode(good.encode(), bytes_max=2**17)
    for entry in ([0, value["genesis"]], [True, value["genesis"]], [4], {}):
        with pytest.raises(InvalidSubmission, match="a record of a lineage"):
            Submission.decode(codec.encode(value | {"lineage": [entry]}))


async def test_what_names_no_key_is_no_submission(rounds, clock):
    """What the node asks of genesis and lineage: here event 0 has nothing of a birth."""
    found = await service(rounds, clock, log_key_of=real_log_key_of).add_all(
        [LEDGER.submission(5).encode(), b"x"]
    )
    assert [type(one) for one in found] == [InvalidSubmission, InvalidSubmission]
    assert "whose key signs it" in str(found[0])


async def test_submissions_an_hour(rounds, clock):
    bounded = service(rounds, clock, submissions_per_hour=2)
    sizes = count(2)
    size = next(sizes)
    await bounded.add(LEDGER.submission(size).encode())

    async def another():
        nonlocal size
        before, size = size, next(sizes)
        await bounded.add(LEDGER.submission(size, since=before, birth=False).encode())

    await another()
    kept = size
    with pytest.raises(TooManySubmissions, match="2 submissions in this hour"):
        await another()
    size = kept
    clock.ms += HOUR_MS
    await another()


async def test_no_more_ledgers_than_allowed(rounds, clock):
    bounded = service(rounds, clock, ledgers_max=2)
    data = [Ledger(number).submission(2).encode() for number in range(10, 13)]
    found = await bounded.add_all(data)
    assert [isinstance(one, Accepted) for one in found] == [True, True, False]
    assert isinstance(found[2], TooManyLedgers)
    with pytest.raises(TooManyLedgers):
        await bounded.add(data[2])
    assert rounds.count() == 2
    await bounded.add(Ledger(10).submission(4, since=2, birth=False).encode())


async def test_one_bad_submission_does_not_hold_up_the_others(alone, rounds):
    data = [LEDGER.submission(5).encode(), b"x", OTHER.submission(2).encode()]
    found = await alone.add_all(data)
    assert [type(one) for one in found] == [Accepted, InvalidSubmission, Accepted]
    assert rounds.waiting() == 2


async def test_damaged_slots_are_noticed(tmp_path, alone, rounds, clock):
    await alone.add(LEDGER.submission(5).encode())
    closed = rounds.close({OWN: bytes(32)}, clock())
    rounds._tree = None
    rounds._db.execute("UPDATE slots SET digest = zeroblob(32) WHERE ledger = ?", (LEDGER.id,))
    with pytest.raises(StoreDamaged, match="lead to another root"):
        await alone.proof(LEDGER.id, closed)
    rounds._db.execute("DELETE FROM slots")
    with pytest.raises(StoreDamaged, match="0 slots, 2 were closed"):
        await alone.proof(LEDGER.id, closed)


def test_a_file_of_another_program_is_refused(tmp_path):
    path = tmp_path / "aggregate.db"
    with Rounds(path) as rounds:
        rounds._db.pragma("user_version", 9)
    with pytest.raises(StoreSchema):
        Rounds(path)


# ---- with a chain ---------------------------------------------------------------------------------


async def test_a_round_waits_for_the_seal_and_for_the_round_before(world, rounds, clock):
    anchorer = world.anchorer()
    aggregator = service(rounds, clock, anchorer)
    with pytest.raises(NothingPending):
        await aggregator.close({})
    await aggregator.add(LEDGER.submission(5).encode())
    with pytest.raises(SealNotOpen):
        await aggregator.close({})
    assert rounds.waiting() == 1

    state = MemoryState()
    anchorer, _ = await world.opened(state)
    aggregator.anchorer = anchorer
    first = await aggregator.close({OWN: bytes(32)})
    await aggregator.add(OTHER.submission(2).encode())
    with pytest.raises(Refused, match="round 0 is not in a block yet"):
        await aggregator.close({})
    status = await aggregator.advance()
    assert [link.kind for link in status.links] == [Kind.OPENING, Kind.AGGREGATE]
    assert status.links[1].digest == first.root
    with pytest.raises(Refused, match="no fresher digest"):
        await anchorer.bump(digest=bytes(32))
    await anchorer.bump()  # the fee alone: still an aggregate of the same root
    status = await aggregator.advance()
    assert (status.links[1].variants, status.links[1].kind) == (2, Kind.AGGREGATE)
    await world.mine()
    second = await service(rounds, clock, world.anchorer(state)).close({})  # another process
    assert second.number == 1


async def test_a_root_is_asked_for_until_a_link_carries_it(world, rounds, clock):
    """The anchorer remembers one wish, and another's may replace or precede ours."""
    anchorer, _ = await world.opened()
    aggregator = service(rounds, clock, anchorer)
    await aggregator.add(LEDGER.submission(5).encode())
    closed = await aggregator.close({})
    await anchorer.anchor(hashlib.sha256(b"somebody said: anchor now").digest())
    await aggregator.advance()
    await world.mine()
    status = await aggregator.advance()
    assert [link.kind for link in status.links] == [Kind.OPENING, Kind.ANCHOR, Kind.AGGREGATE]
    assert status.links[2].digest == closed.root
    await world.mine()
    assert len((await aggregator.advance()).links) == 3


async def test_a_delegated_seal_aggregates_nothing(world, rounds, clock):
    """After a link of kind 5 only an anchor may come, or no proof over it would hold."""
    anchorer, _ = await world.opened()
    aggregator = service(rounds, clock, anchorer)
    await aggregator.add(LEDGER.submission(5).encode())
    await anchorer.anchor(hashlib.sha256(b"delegation").digest(), kind=Kind.DELEGATION)
    await aggregator.advance()
    await world.mine()
    with pytest.raises(Refused, match="its next link is the return"):
        await aggregator.close({})
    await world.anchored(anchorer, hashlib.sha256(b"return").digest())
    await aggregator.close({})
    status = await aggregator.advance()
    assert [link.kind for link in status.links][1:] == [
        Kind.DELEGATION,
        Kind.ANCHOR,
        Kind.AGGREGATE,
    ]


LEDGERS, SAMPLE = 10_000, 50


def cheap(number):
    """A ledger of one event whose note is really signed; 10,000 of them take seconds."""
    ledger = Ledger(number)
    found = ledger.birth
    birth = Shown(
        position=0, envelope=found.envelope, salt=found.salt, payload=found.payload, path=()
    )
    note = ledger.head(1, root=ledger.leaves[0]).encode()
    return ledger.id, Submission(note=note, birth=birth, since=0, consistency=()).encode()


@pytest.mark.usefixtures("unmeasured")
async def test_ten_thousand_ledgers_in_one_transaction(world, rounds, clock):
    anchorer, _ = await world.opened()
    aggregator = service(rounds, clock, anchorer)
    made = [cheap(1000 + number) for number in range(LEDGERS - 1)]
    for start in range(0, len(made), 1000):
        found = await aggregator.add_all([data for _, data in made[start : start + 1000]])
        assert all(isinstance(one, Accepted) for one in found)
    own = hashlib.sha256(b"the aggregator's head").digest()
    closed = await aggregator.close({OWN: own})
    assert closed.ledgers == LEDGERS
    await aggregator.advance()
    await world.mine()
    status = await aggregator.advance()
    assert [link.kind for link in status.links] == [Kind.OPENING, Kind.AGGREGATE]
    link = replace(await anchorer.prove(1), spent=())
    digests = {
        ledger: rounds.known(ledger).digest for ledger, _ in made[:: LEDGERS // (SAMPLE - 1)]
    }
    digests[OWN] = own
    assert len(digests) >= SAMPLE
    sizes = []
    for ledger, digest in digests.items():
        slot = await aggregator.proof(ledger, closed)
        value = SlottedLink(link=link, slot=slot).to_value()
        sizes.append(len(codec.encode(value["slot"])))
        shown = SlottedLink.from_value(codec.decode(codec.encode(value), bytes_max=2**20))
        result = verify_aggregated(
            link=shown.link, slot=shown.slot, ledger=ledger, digest=digest, network=REGTEST
        )
        assert result.link.confirmations == 1
    assert 400 < sum(sizes) / len(sizes) < 700
    stranger = Ledger(7)
    absent = await aggregator.proof(stranger.id, closed)
    assert absent.digest_of(stranger.id) is None
    with pytest.raises(WrongSlot):
        verify_aggregated(
            link=link, slot=absent, ledger=stranger.id, digest=bytes(32), network=REGTEST
        )
