"""Where two trees part: against a twin that compares leaf by leaf, and against tiles that lie."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.errors import InvalidProof
from ledger.core.merkle import leaf_hash, verify_inclusion
from ledger.core.parting import (
    TILES_MAX,
    Agreed,
    Need,
    Parted,
    Side,
    Untrue,
    compare,
)
from ledger.core.tiles import TILE_LEVELS, Tree

SIZES = st.one_of(st.integers(1, 40), st.integers(200, 600), st.integers(65_530, 66_100))
LEAVES = [leaf_hash(number.to_bytes(4, "big")) for number in range(66_200)]


def tree(leaves):
    """A tree whose tiles stay in memory."""
    kept = {}
    found = Tree(lambda level, index: kept[level, index])
    for at in range(0, len(leaves), 4096):
        found.extend(leaves[at : at + 4096])
        kept.update({(tile.level, tile.index): tile.hashes for tile in found.take_tiles()})
    return found


def leaves(size, parts_at):
    """`size` leaves; those from `parts_at` on are of another history."""
    other = [leaf_hash(b"other" + at.to_bytes(4, "big")) for at in range(parts_at, size)]
    return LEAVES[: min(size, parts_at)] + other


def tile(of, need):
    first = need.index << TILE_LEVELS
    level = TILE_LEVELS * need.level
    return b"".join(of.node(level, first + column) for column in range(need.width))


def run(one, other, *, local=(True, False), spoil=lambda number, data: data):
    """Compare two trees to the end; say how many tiles were asked for."""
    sides = [
        Side(size=of.size, root=of.root(), here=of.node if here else None)
        for of, here in zip((one, other), local, strict=True)
    ]
    for asked in range(TILES_MAX):
        step = compare(*sides)
        if not isinstance(step, Need):
            return step, asked
        of = one if step.side is sides[0] else other
        step.side.take(step, spoil(asked, tile(of, step)))
    raise AssertionError("more tiles than there may be")


def check(found, one, other, index):
    for branch, of in zip(found.branches, (one, other), strict=True):
        assert (branch.index, branch.size) == (index, of.size)
        verify_inclusion(branch.leaf, index, of.size, branch.path, of.root())
        assert list(branch.path) == of.inclusion(index, of.size)
    assert found.branches[0].leaf != found.branches[1].leaf


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, st.integers(0, 66_100), st.sampled_from(((True, False), (False, False))))
def test_the_first_leaf_that_differs_is_found_and_shown(size, larger, parts_at, local):
    one, other = tree(LEAVES[:size]), tree(leaves(larger, parts_at))
    found, asked = run(one, other, local=local)
    if parts_at >= min(size, larger):  # the twin: leaf by leaf
        assert found == Agreed()
    else:
        check(found, one, other, parts_at)
    assert asked <= 24


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 700), st.integers(1, 700), st.integers(0, 700), st.integers(0, 30),
    st.integers(0, 10**6), st.booleans(),
)  # fmt: skip
def test_tiles_that_lie_prove_nothing_that_is_not_so(size, larger, parts_at, which, at, both):
    """A flipped byte in one tile: whoever is then said to have parted, has."""
    one, other = tree(LEAVES[:size]), tree(leaves(larger, parts_at))

    def spoil(number, data):
        if number != which:
            return data
        where = at % len(data)
        return data[:where] + bytes([data[where] ^ 1]) + data[where + 1 :]

    found, _ = run(one, other, local=(not both, False), spoil=spoil)
    match found:
        case Parted():
            check(found, one, other, found.branches[0].index)
        case Agreed():
            assert parts_at >= min(size, larger)
        case Untrue(reason=reason):
            assert reason


def test_the_tree_of_one_history_under_the_head_of_another_is_untrue():
    """What a liar gives who shows one head and has the other tree: the other's own tiles."""
    mine, shown, given = tree(LEAVES[:300]), tree(leaves(400, 299)), tree(LEAVES[:400])
    sides = Side(size=300, root=mine.root(), here=mine.node), Side(size=400, root=shown.root())
    while isinstance(step := compare(*sides), Need):
        step.side.take(step, tile(given, step))
    assert isinstance(step, Untrue)
    assert step.side is sides[1]


def test_a_tile_of_another_width_is_refused():
    side = Side(size=300, root=bytes(32))
    step = compare(side, Side(size=299, root=bytes(32), here=tree(LEAVES[:299]).node))
    assert isinstance(step, Need)
    with pytest.raises(InvalidProof):
        side.take(step, bytes(32 * step.width - 1))
    with pytest.raises(InvalidProof):
        side.take(step, b"")


def test_a_path_is_checked_against_the_signed_root():
    of = tree(LEAVES[:5])
    side = Side(size=5, root=bytes(32), here=of.node)
    with pytest.raises(InvalidProof):
        side.branch(3)
    with pytest.raises(InvalidProof):
        side.check()


@pytest.mark.parametrize("parts_at", [0, 1, 2, 255, 256, 299])
@pytest.mark.parametrize(("size", "larger"), [(300, 700), (700, 300)])
def test_two_leaves_are_shown_where_both_trees_are_elsewhere(size, larger, parts_at):
    one, other = tree(LEAVES[:size]), tree(leaves(larger, parts_at))
    found, _ = run(one, other, local=(False, False))
    check(found, one, other, parts_at)


@pytest.mark.parametrize("which", [0, 1])
def test_of_two_sides_the_one_whose_tile_lies_is_untrue(which):
    """A tile above that is not made of those below: the leaves below are those of the other side."""
    trees = (tree(LEAVES[:700]), tree(LEAVES[:900]))
    sides = [Side(size=of.size, root=of.root()) for of in trees]
    while isinstance(step := compare(*sides), Need):
        at = sides.index(step.side)
        data = tile(trees[at], step)
        step.side.take(step, bytes(32) + data[32:] if (at, step.level) == (which, 1) else data)
    assert isinstance(step, Untrue)
    assert step.side is sides[which]
    assert step.reason.startswith("its hashes lead to root")


def test_a_leaf_that_is_not_under_its_root_is_blamed_on_its_side():
    one, other = tree(LEAVES[:700]), tree(leaves(900, 3))
    sides = [Side(size=of.size, root=of.root()) for of in (one, other)]
    while isinstance(step := compare(*sides), Need):
        data = tile(one if step.side is sides[0] else other, step)
        lies = step.side is sides[1] and (step.level, step.index) == (0, 0)
        step.side.take(step, data[:96] + b"\0" * 32 + data[128:] if lies else data)
    assert isinstance(step, Untrue)
    assert step.side is sides[1]
    assert step.reason != "None"
    assert step.reason


def test_every_pair_of_small_trees_is_told_apart_at_every_leaf():
    for size in range(1, 6):
        for larger in (more for more in range(1, 7) if more != size):
            for parts_at in range(min(size, larger)):
                one, other = tree(LEAVES[:size]), tree(leaves(larger, parts_at))
                found, _ = run(one, other)
                check(found, one, other, parts_at)
