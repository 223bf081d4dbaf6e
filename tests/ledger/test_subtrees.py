"""What a signed head proves of a log that lost events: beside a twin that knows every leaf."""

import itertools
import random

import pytest

from ledger.core.errors import InvalidProof
from ledger.core.merkle import EMPTY_ROOT
from ledger.core.salvage import Evidence, gaps, proven_by, spans
from tests.ledger import dumb_merkle

TILE = 256


def leaf(number):
    return random.Random(number).randbytes(32)


def false(number):
    return random.Random(f"false {number}").randbytes(32)


LEAVES = [leaf(number) for number in range(3 * TILE)]


def subtree(level, index, leaves=LEAVES):
    return dumb_merkle.root(leaves[index << level : (index + 1) << level])


def tile(index):
    return b"".join(LEAVES[index * TILE : (index + 1) * TILE])


def uncovered(size, have):
    """The largest perfect subtrees of the tree of `size` with no leaf in `have`, by trying all."""
    found = []

    def cover(start, stop):
        held = any(at in have for at in range(start, stop))
        width = stop - start
        if not held and width & (width - 1) == 0 and start % width == 0:
            level = width.bit_length() - 1
            found.append((level, start >> level, dumb_merkle.root(LEAVES[start:stop])))
        elif width > 1:
            middle = start + dumb_merkle.split(width)
            cover(start, middle)
            cover(middle, stop)

    cover(0, size)
    return found


def evidence(have, tiles=(), roots=()):
    return Evidence({at: [LEAVES[at]] for at in have}, dict(tiles), dict(roots))


# ---- ranges -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(7))
def test_ranges_and_their_gaps_are_the_positions_and_the_others(size):
    for have in itertools.chain.from_iterable(
        itertools.combinations(range(7), count) for count in range(8)
    ):
        ranges = spans(have)
        assert [at for start, stop in ranges for at in range(start, stop)] == list(have)
        assert all(a[1] < b[0] for a, b in itertools.pairwise(ranges))
        left = gaps(ranges, size)
        assert [at for start, stop in left for at in range(start, stop)] == sorted(
            set(range(size)) - set(have)
        )
        assert all(a[1] < b[0] for a, b in itertools.pairwise(left))


# ---- what a head proves -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13])
def test_a_head_over_leaves_that_are_all_there_proves_them_and_needs_no_more(size):
    root = dumb_merkle.root(LEAVES[:size])
    found = evidence(range(size)).prove(size, root)
    assert (found.size, found.subtrees) == (size, ())
    assert found.proven == dict(enumerate(LEAVES[:size]))
    assert evidence(range(size)).prove(size, false(1)) is None
    assert evidence(range(size - 1)).prove(size, root) is None
    assert evidence(range(size)).prove(0, EMPTY_ROOT) is None


LOST = {
    "one": {5},
    "two beside": {6, 7},
    "two apart": {3, 12},
    "a quarter of a tile": set(range(64, 128)),
    "a tile": set(range(TILE)),
    "the second tile and one": {9, *range(TILE, 2 * TILE)},
    "all of both tiles": set(range(2 * TILE)),
    "all but one": set(range(2 * TILE)) - {300},
    "here and there": set(random.Random(1).sample(range(2 * TILE), 90)),
}


@pytest.mark.parametrize("size", [2 * TILE, 2 * TILE + 1, 2 * TILE + 77, 3 * TILE - 1])
@pytest.mark.parametrize("lost", LOST)
def test_what_tiles_kept_proves_the_events_beside_what_is_lost(lost, size):
    """The hashes for a stranger are the fewest there can be, in the order of the leaves."""
    have = set(range(size)) - LOST[lost]
    tiles = {(0, index): [tile(index)] for index in range(2)}
    root = dumb_merkle.root(LEAVES[:size])
    found = evidence(have, tiles).prove(size, root)
    assert found.proven == {at: LEAVES[at] for at in have}
    assert list(found.subtrees) == uncovered(size, have)
    assert proven_by(size, root, found.subtrees, found.proven.get) == sorted(have)


def test_a_tile_whose_leaves_are_all_lost_is_known_by_its_root():
    """A root stands with its tile, and in the tile above, where that is full."""
    size = 2 * TILE + 3
    root = dumb_merkle.root(LEAVES[:size])
    have = set(range(TILE, size))
    node = subtree(8, 0)
    for found in (
        evidence(have, roots={(0, 0): [node]}).prove(size, root),
        evidence(have, {(1, 0): [node + bytes(255 * 32)]}).prove(size, root),
    ):
        assert found.proven == {at: LEAVES[at] for at in have}
        assert found.subtrees == ((8, 0, node),)
    assert evidence(have, roots={(0, 1): [node]}).prove(size, root) is None
    assert evidence(have, roots={(1, 0): [node]}).prove(size, root) is None
    assert evidence(have, {(1, 0): [bytes(32) + node]}).prove(size, root) is None


def test_tiles_say_something_at_every_eighth_level_only():
    row = b"".join(leaf(at) for at in range(TILE))
    found = Evidence(
        {}, {(0, 0): [row], (1, 2): [row, row[::-1]]}, {(0, 600): [false(1)], (0, 4): [false(2)]}
    )
    assert [found.stored(0, at) for at in (0, 1, 255)] == [[leaf(0)], [leaf(1)], [leaf(255)]]
    assert found.stored(0, 256) == []
    assert found.stored(8, 2 * TILE + 7)[0] == leaf(7)
    assert found.stored(8, 600) == [leaf(88), row[::-1][88 * 32 : 89 * 32], false(1)]
    assert found.stored(8, 4) == [false(2)]
    for level in (1, 4, 7, 9, 15):
        assert found.stored(level, 2) == []


@pytest.mark.parametrize("count", range(6))
def test_false_copies_are_tried_up_to_a_bound(count):
    """Beyond it an event is called unproven, and no event is ever called proven by a false one."""
    size = 5
    root = dumb_merkle.root(LEAVES[:size])
    leaves = {at: [LEAVES[at]] for at in range(size)}
    leaves[3] = [*(false(at) for at in range(count)), LEAVES[3]]
    found = Evidence(leaves, {}, {}).prove(size, root)
    if count < 4:
        assert found.proven == dict(enumerate(LEAVES[:size]))
        assert found.subtrees == ()
    else:
        assert found is None


def test_an_event_that_is_false_is_not_proven_by_the_tile_beside_it():
    size = TILE
    root = dumb_merkle.root(LEAVES[:size])
    leaves = {at: [LEAVES[at]] for at in range(size)} | {7: [false(1)]}
    found = Evidence(leaves, {(0, 0): [tile(0)]}, {}).prove(size, root)
    assert found.proven == {at: LEAVES[at] for at in range(size) if at != 7}
    assert found.subtrees == ((0, 7, LEAVES[7]),)


def test_a_false_tile_hides_no_event_that_is_there():
    size = 2 * TILE
    root = dumb_merkle.root(LEAVES[:size])
    wrong = tile(0)[:32] * TILE
    found = evidence(range(size), {(0, 0): [wrong, tile(0)]}, {(0, 0): [false(3)]}).prove(
        size, root
    )
    assert len(found.proven) == size
    assert found.subtrees == ()


def test_one_evidence_proves_several_heads():
    have = set(range(3 * TILE)) - {100, 400}
    known = evidence(have, {(0, index): [tile(index)] for index in range(3)})
    for size in (50, 300, 600, 3 * TILE, 300):
        found = known.prove(size, dumb_merkle.root(LEAVES[:size]))
        assert set(found.proven) == {at for at in have if at < size}
        assert list(found.subtrees) == uncovered(size, have)


# ---- the stranger's side ----------------------------------------------------------------------------

SIZE = 13
ROOT = dumb_merkle.root(LEAVES[:SIZE])
SUBTREES = [(1, 1, subtree(1, 1)), (0, 12, LEAVES[12])]
HELD = {at: LEAVES[at] for at in range(SIZE) if at not in {2, 3, 12}}


def test_a_stranger_finds_the_positions_in_order():
    assert proven_by(SIZE, ROOT, SUBTREES, HELD.get) == sorted(HELD)
    assert proven_by(SIZE, ROOT, reversed(SUBTREES), HELD.get) == sorted(HELD)
    assert proven_by(0, EMPTY_ROOT, [], HELD.get) == []
    assert proven_by(1, LEAVES[0], [], HELD.get) == [0]
    top = [(3, 0, subtree(3, 0)), (2, 2, subtree(2, 2)), (0, 12, LEAVES[12])]
    assert proven_by(SIZE, ROOT, top, {}.get) == []


REFUSED = {
    "nothing for a lost event": SUBTREES[:1],
    "one given twice": [*SUBTREES, SUBTREES[0]],
    "one under another": [*SUBTREES, (0, 2, LEAVES[2])],
    "one beside the tree": [*SUBTREES, (0, 13, LEAVES[13])],
    "one far beside it": [*SUBTREES, (4, 1, LEAVES[13])],
    "one that hangs over the edge": [*SUBTREES, (2, 3, LEAVES[13])],
    "a level below the leaves": [*SUBTREES, (-1, 0, LEAVES[13])],
    "an index below zero": [*SUBTREES, (0, -1, LEAVES[13])],
    "a level that no tree has": [*SUBTREES, (200, 0, LEAVES[13])],
    "a hash that is too short": [SUBTREES[0], (0, 12, LEAVES[12][:-1])],
    "a false hash": [SUBTREES[0], (0, 12, LEAVES[11])],
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_stranger_takes_no_list_that_says_more_or_less(name):
    with pytest.raises(InvalidProof):
        proven_by(SIZE, ROOT, REFUSED[name], HELD.get)


@pytest.mark.parametrize("size", [0, 1, SIZE])
def test_a_stranger_is_told_where_it_leads_instead(size):
    with pytest.raises(InvalidProof, match="lead to root"):
        proven_by(size, false(1), SUBTREES if size == SIZE else [], HELD.get)


def test_what_a_size_claims_costs_nothing():
    """Half of the largest tree in one hash: the other leads to an event that is not there."""
    size = 1 << 48
    with pytest.raises(InvalidProof, match=f"neither event {size // 2} nor"):
        proven_by(size, ROOT, [(47, 0, LEAVES[0])], {}.get)
    root = dumb_merkle.root([LEAVES[0], LEAVES[1]])
    both = [(47, 0, LEAVES[0]), (47, 1, LEAVES[1])]
    assert proven_by(size, root, both, {}.get) == []
    assert proven_by(size, LEAVES[0], [(48, 0, LEAVES[0])], {}.get) == []
