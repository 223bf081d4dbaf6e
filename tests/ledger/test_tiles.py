"""The tree taken up from its store at sizes where tiles and levels begin, beside rows of all nodes."""

import random
from hashlib import sha256

import pytest

from ledger.core.errors import InvalidProof
from ledger.core.tiles import TILE_WIDTH, Tile, Tree
from tests.ledger import dumb_merkle

SIZE = 256 * 256 + 3 * 256 + 77
"""Two levels of tiles are full, a third has begun."""


def all_rows(leaves):
    """Row by row the hashes of all perfect subtrees."""
    rows = [leaves]
    while len(rows[-1]) > 1:
        pairs = zip(rows[-1][::2], rows[-1][1::2], strict=False)
        rows.append([sha256(b"\x01" + left + right).digest() for left, right in pairs])
    return rows


ROWS = all_rows([sha256(b"%d" % number).digest() for number in range(SIZE)])


class Stored:
    """What a store holds of the first `size` leaves; notes what was asked for."""

    def __init__(self, size):
        self.size, self.asked = size, []

    def read_tile(self, level, index):
        self.asked.append((level, index))
        row = self.row(8 * level)[index * TILE_WIDTH : (index + 1) * TILE_WIDTH]
        assert len(row) == TILE_WIDTH, f"no full tile {index} of level {level}"
        return b"".join(row)

    def row(self, height):
        return ROWS[height][: self.size >> height]

    def tile_roots(self, level, start):
        assert level >= 0
        return self.row(8 * (level + 1))[start:]

    def leaves(self, start):
        return iter(self.row(0)[start:])

    def restore(self):
        return Tree.restore(self.read_tile, self.tile_roots, self.leaves, self.size)


@pytest.fixture(scope="module")
def roots():
    return {size: dumb_merkle.root(ROWS[0][:size]) for size in SIZES}


SIZES = [0, 1, 2, 255, 256, 257, 511, 512, 600, 65_535, 65_536, 65_537, 65_792, SIZE]


@pytest.mark.parametrize("size", SIZES)
def test_a_restored_tree_is_the_tree_that_was_stored(size, roots):
    stored = Stored(size)
    tree = stored.restore()
    assert (tree.size, tree.root()) == (size, roots[size])
    assert stored.asked == [], "the edge is in the leaves and in the roots of tiles"
    for before in (one for one in SIZES if one <= size):
        assert tree.root(before) == roots[before]
    with pytest.raises(InvalidProof):
        tree.root(size + 1)
    with pytest.raises(InvalidProof):
        tree.root(-1)


@pytest.mark.parametrize("size", SIZES[:-1])
def test_a_restored_tree_grows_into_the_next_one(size, roots):
    tree = Stored(size).restore()
    following = SIZES[SIZES.index(size) + 1]
    if following - size > 300:
        following = size + 300
    for leaf in ROWS[0][size:following]:
        tree.append(leaf)
    assert tree.root() == roots.get(following, dumb_merkle.root(ROWS[0][:following]))
    for height in (0, 3, 8, 16):
        if count := following >> height:
            assert tree.node(height, count - 1) == ROWS[height][count - 1]
    tiles = [
        Tile(level=level, index=index, hashes=Stored(SIZE).read_tile(level, index), root=above)
        for level in (0, 1)
        for index, above in enumerate(ROWS[8 * level + 8])
        if size < (index + 1) << (8 * level + 8) <= following
    ]
    assert tree.take_tiles() == tiles
    assert tree.take_tiles() == []


@pytest.mark.parametrize("size", [600, SIZE])
def test_paths_of_a_restored_tree_are_those_of_the_rfc(size):
    tree, random_ = Stored(size).restore(), random.Random(size)
    for at in [255, size - 1, random_.randrange(size)]:
        assert tree.inclusion(at, size) == dumb_merkle.path(at, ROWS[0][:size])
    for before in [256, 300, size - 1]:
        assert tree.consistency(before, size) == dumb_merkle.proof(before, ROWS[0][:size])


def test_every_node_of_a_restored_tree_is_the_one_of_its_row():
    tree = Stored(SIZE).restore()
    for height, row in enumerate(ROWS):
        for at in {0, 1, 3, 255, 256, len(row) // 2, len(row) - 2, len(row) - 1}:
            if 0 <= at < len(row):
                assert tree.node(height, at) == row[at]
        with pytest.raises(InvalidProof):
            tree.node(height, len(row))


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("by", [-1, 1])
def test_a_store_with_too_few_or_too_many_hashes_of_a_level_is_refused(missing, by):
    stored = Stored(65_536 + 600)
    rows = {level: list(stored.row(8 * level)) for level in range(3)}
    rows[missing] = rows[missing][:-1] if by < 0 else [*rows[missing], bytes(32)]
    with pytest.raises(InvalidProof, match=f"level {missing} holds"):
        Tree.restore(
            stored.read_tile,
            lambda level, start: rows[level + 1][start:],
            lambda start: rows[0][start:],
            stored.size,
        )


def test_a_fork_reads_the_same_store_and_each_tile_once_with_its_origin():
    stored = Stored(600)
    tree = stored.restore()
    fork = tree.fork()
    fork.append(bytes(32))
    assert fork.node(0, 3) == tree.node(0, 3) == ROWS[0][3]
    assert tree.node(0, 300) == fork.node(0, 300) == ROWS[0][300]
    assert stored.asked == [(0, 0), (0, 1)]
    assert (tree.size, fork.size) == (600, 601)
    assert fork.root() == dumb_merkle.root([*ROWS[0][:600], bytes(32)])


def test_a_fork_has_the_tiles_that_nobody_took_yet():
    tree = Tree(lambda *_: b"")
    for leaf in ROWS[0][:300]:
        tree.append(leaf)
    fork = tree.fork()
    assert fork.node(0, 7) == ROWS[0][7]
    [tile] = fork.take_tiles()
    assert (tile.level, tile.index, tile.root) == (0, 0, ROWS[8][0])
    assert tree.take_tiles() == [tile], "each has them until it gives them away"


@pytest.mark.parametrize("width", [1, 5, 128, 255])
def test_the_edge_of_one_tile_is_not_taken_for_that_of_the_next(width):
    """Both are as wide at some time, and nobody looked in between."""
    tree = Tree(lambda *_: b"")
    for at, leaf in enumerate(ROWS[0][:800]):
        tree.append(leaf)
        if tree.size % TILE_WIDTH == width:
            assert tree.node(0, at) == leaf


def test_many_heads_are_read_from_one_tree():
    """More ranges than are remembered at once."""
    tree = Stored(5000).restore()
    for size in range(5000, 3, -1):
        tree.root(size)
    for size in (4999, 3333, 700, 5):
        assert tree.root(size) == dumb_merkle.root(ROWS[0][:size])
