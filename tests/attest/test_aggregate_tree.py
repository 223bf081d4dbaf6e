"""The tree of ledgers: against a dumb twin of 256 levels, and against whoever forges one."""

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attest.core import limits
from attest.core.aggregate import (
    EMPTY,
    AggregateTree,
    Slot,
    SlotProof,
    bit,
    branch_hash,
    slot_hash,
)
from attest.core.errors import InvalidProof, InvalidSlot
from ledger.core import codec
from ledger.core.errors import InvalidCbor

LEVELS = 256


def name(number: int) -> bytes:
    return hashlib.sha256(b"ledger %d" % number).digest()


def digest(number: int) -> bytes:
    return hashlib.sha256(b"head %d" % number).digest()


def dumb_root(digests: dict[bytes, bytes]) -> bytes:
    """All 256 levels, from the bottom: a node is its hash and whether one slot alone is under it."""
    row = {int.from_bytes(k, "big"): (slot_hash(k, v), True) for k, v in digests.items()}
    for _ in range(LEVELS):
        above: dict[int, tuple[bytes, bool]] = {}
        for place in {key >> 1 for key in row}:
            left, right = row.get(2 * place), row.get(2 * place + 1)
            if left is None or right is None:
                node, alone = left or right or (EMPTY, False)
                if not alone:
                    node = branch_hash(*(each[0] if each else EMPTY for each in (left, right)))
                above[place] = node, alone
            else:
                above[place] = branch_hash(left[0], right[0]), False
        row = above
    return row[0][0] if row else EMPTY


IDS = st.one_of(
    st.binary(min_size=32, max_size=32),
    # neighbours: long shared beginnings, up to the last bit
    st.builds(lambda n: (2**255 + n).to_bytes(32, "big"), st.integers(0, 40)),
    st.builds(lambda n: (1 << n).to_bytes(32, "big"), st.integers(0, 255)),
)
SETS = st.dictionaries(IDS, st.binary(min_size=32, max_size=32), max_size=12)


@given(SETS, IDS)
@example({}, bytes(32))
@example({bytes(32): bytes(32)}, b"\xff" * 32)
@example({bytes(31) + b"\x00": digest(0), bytes(31) + b"\x01": digest(1)}, bytes(31) + b"\x01")
@example({bytes(31) + b"\x00": digest(0), bytes(31) + b"\x01": digest(1)}, b"\x80" + bytes(31))
def test_root_and_proofs_are_those_of_the_dumb_tree(digests, stranger):
    tree = AggregateTree(digests)
    assert tree.root == dumb_root(digests)
    for ledger in [*digests, stranger]:
        proof = tree.prove(ledger)
        assert proof.root(ledger) == tree.root
        assert proof.digest_of(ledger) == digests.get(ledger)
        value = codec.decode(codec.encode(proof.to_value()), bytes_max=20_000)
        assert SlotProof.from_value(value) == proof


def test_one_golden_hash_over_many_trees():
    seen = hashlib.sha256()
    digests = {}
    for number in range(200):
        digests[name(number)] = digest(number)
        tree = AggregateTree(digests)
        seen.update(tree.root)
        for ledger in (name(0), name(number), name(number + 1)):
            proof = tree.prove(ledger)
            assert proof.root(ledger) == tree.root
            seen.update(codec.encode(proof.to_value()))
    assert tree.root == dumb_root(digests)
    assert seen.hexdigest() == "299aafdb90571c666b1679ea5a0503fa2a0b7e77583cbe4260d01dcdfe3bf8c8"


def test_proofs_are_short():
    tree = AggregateTree({name(number): digest(number) for number in range(10_000)})
    lengths = [len(tree.prove(name(number)).siblings) for number in range(0, 20_000, 37)]
    assert 13 < sum(lengths) / len(lengths) < 16
    assert max(lengths) < 30


def test_one_ledger_is_a_root_without_siblings():
    tree = AggregateTree({name(1): digest(1)})
    assert tree.prove(name(1)).siblings == ()
    assert tree.root == slot_hash(name(1), digest(1))
    other = tree.prove(name(2))
    assert other.end == Slot(ledger=name(1), digest=digest(1))
    assert (other.root(name(2)), other.digest_of(name(2))) == (tree.root, None)
    assert AggregateTree({}).prove(name(1)).root(name(1)) == EMPTY


def forged_twice() -> tuple[bytes, SlotProof, SlotProof]:
    """A tree that holds one key at its place and, with another digest, at another's."""
    mine = bytes(32)
    honest, doubled = Slot(ledger=mine, digest=digest(1)), Slot(ledger=mine, digest=digest(2))
    root = branch_hash(honest.hash, doubled.hash)
    return root, *(
        SlotProof(end=slot, siblings=(beside.hash,))
        for slot, beside in ((honest, doubled), (doubled, honest))
    )


def test_a_key_at_two_places_is_shown_at_one():
    root, first, second = forged_twice()
    mine = bytes(32)
    assert (first.root(mine), first.digest_of(mine)) == (root, digest(1))
    assert second.root(mine) != root
    # nor can it be reached along the id that the second place belongs to
    with pytest.raises(InvalidSlot, match="shares 0 bits"):
        second.root(b"\x80" + bytes(31))


@given(st.integers(0, 2**16 - 1), st.integers(0, 4), st.booleans())
def test_no_proof_is_of_two_places(seed, depth, nested):
    """Under one root, whatever tree it is of, every proof of one key says the same."""
    mine = seed.to_bytes(2, "big") + bytes(30)
    slots = [Slot(ledger=mine, digest=digest(number)) for number in range(2)]
    nodes = [slots[0].hash, slots[1].hash, digest(7)]
    if nested:
        nodes.append(branch_hash(nodes[0], nodes[1]))
    proofs = [
        SlotProof(end=end, siblings=(first, *[digest(8)] * depth))
        for end in (*slots, None)
        for first in nodes
    ]
    said = {}
    for proof in proofs:
        said.setdefault(proof.root(mine), set()).add(proof.digest_of(mine))
    assert all(len(found) == 1 for found in said.values())


@given(SETS.filter(bool), st.data())
def test_a_changed_proof_leads_elsewhere(digests, data):
    tree = AggregateTree(digests)
    ledger = data.draw(st.sampled_from([*digests, bytes(32), b"\xff" * 32]))
    raw = bytearray(codec.encode(tree.prove(ledger).to_value()))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        proof = SlotProof.from_value(codec.decode(bytes(raw), bytes_max=20_000))
        root = proof.root(ledger)
    except (InvalidProof, InvalidCbor):
        return
    assert root != tree.root


def test_bits_are_read_from_the_most_significant():
    assert [bit(b"\xa0" + bytes(31), depth) for depth in range(4)] == [1, 0, 1, 0]
    assert bit(bytes(31) + b"\x01", 255) == 1


MALFORMED = {
    "end of one item": {"end": [bytes(32)], "siblings": []},
    "end is text": {"end": ["a", bytes(32)], "siblings": []},
    "id of 31 bytes": {"end": [bytes(31), bytes(32)], "siblings": []},
    "digest of 33 bytes": {"end": [bytes(32), bytes(33)], "siblings": []},
    "sibling of 31 bytes": {"end": None, "siblings": [bytes(31)]},
    "sibling is null": {"end": None, "siblings": [None]},
    "lowest sibling is empty": {"end": None, "siblings": [bytes(32), digest(1)]},
    "257 siblings": {"end": [bytes(32), digest(1)], "siblings": [digest(1)] * 257},
    "nothing after 256 levels": {"end": None, "siblings": [digest(1)] * 256},
    "no siblings": {"end": None},
    "another field": {"end": None, "siblings": [], "more": 1},
    "not a map": [],
}


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED)
def test_malformed_proofs_are_refused(value):
    with pytest.raises(InvalidProof):
        SlotProof.from_value(value)


def test_arguments_are_refused():
    with pytest.raises(InvalidSlot, match="31 bytes"):
        AggregateTree({}).prove(bytes(31))
    with pytest.raises(InvalidSlot, match="31 bytes"):
        AggregateTree({}).prove(bytes(32)).root(bytes(31))
    too_many = dict.fromkeys((n.to_bytes(32, "big") for n in range(limits.LEDGERS_MAX + 1)), EMPTY)
    with pytest.raises(InvalidSlot, match="100001 ledgers"):
        AggregateTree(too_many)
