import base64
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core import merkle
from ledger.core.errors import InvalidProof
from ledger.core.tiles import Tree
from tests.ledger import dumb_merkle as dumb

VECTORS = Path(__file__).parent.parent / "vectors/transparency-dev-merkle/testdata"


def leaves(n):
    return [merkle.leaf_hash(b"%d" % i) for i in range(n)]


class Stored:
    """A tree with its tiles in a dict, as the store keeps them."""

    def __init__(self, hashes=()):
        self.tiles, self.roots, self.leaves = {}, {}, list(hashes)
        self.tree = Tree(self.read)
        for leaf in hashes:
            self.tree.append(leaf)
        self.keep()

    def read(self, level, index):
        return self.tiles[level, index]

    def keep(self):
        for tile in self.tree.take_tiles():
            self.tiles[tile.level, tile.index] = tile.hashes
            self.roots[tile.level, tile.index] = tile.root

    def restore(self):
        def tile_roots(level, start):
            return [r for (lv, i), r in sorted(self.roots.items()) if lv == level and i >= start]

        return Tree.restore(
            self.read, tile_roots, lambda start: self.leaves[start:], len(self.leaves)
        )


def test_small_trees_agree_with_the_rfc_exhaustively():
    for n in range(1, 34):
        hashes = leaves(n)
        tree = Stored(hashes).tree
        assert tree.root() == dumb.root(hashes)
        for m in range(n):
            path = tree.inclusion(m, n)
            assert path == dumb.path(m, hashes)
            merkle.verify_inclusion(hashes[m], m, n, path, tree.root())
        for m in range(1, n + 1):
            path = tree.consistency(m, n)
            assert path == dumb.proof(m, hashes)
            merkle.verify_consistency(m, n, path, dumb.root(hashes[:m]), tree.root())


def test_accumulated_roots_have_one_known_value():
    tree, accumulated = Stored().tree, hashlib.sha256()
    for leaf in leaves(5000):
        tree.append(leaf)
        accumulated.update(tree.root())
    assert (
        accumulated.hexdigest()
        == "9324c17a5c834af27aff7f2c35d9863de55cab1c005a778da50247b7bda2c5d2"
    )


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_large_trees_agree_with_the_rfc_and_survive_restoring(data):
    n = data.draw(st.sampled_from([255, 256, 257, 511, 512, 1000, 70_000]))
    hashes = LARGE[:n]
    stored = _stored(n)
    size = data.draw(st.integers(1, n))
    index = data.draw(st.integers(0, size - 1))
    restored = stored.restore()
    for tree in (stored.tree, restored):
        assert tree.root(size) == dumb.root(hashes[:size])
        merkle.verify_inclusion(
            hashes[index], index, size, tree.inclusion(index, size), tree.root(size)
        )
        merkle.verify_consistency(size, n, tree.consistency(size, n), tree.root(size), tree.root())
    restored.append(hashes[0])
    assert restored.root() == dumb.root([*hashes, hashes[0]])


LARGE = leaves(70_000)
_CACHE = {}


def _stored(n):
    if n not in _CACHE:
        _CACHE[n] = Stored(LARGE[:n])
    return _CACHE[n]


@pytest.mark.parametrize("size", [0, 1, 3, 200, 255, 256, 257, 511, 512, 700])
def test_many_leaves_at_once_make_the_tree_of_one_by_one(size):
    for count in [*range(9), 255, 256, 257, 600, 1100]:
        single, several = Stored(LARGE[:size]), Stored(LARGE[:size])
        for leaf in LARGE[size : size + count]:
            single.tree.append(leaf)
        several.tree.extend(LARGE[size : size + count])
        assert several.tree.root() == single.tree.root() == dumb.root(LARGE[: size + count])
        assert several.tree.take_tiles() == single.tree.take_tiles()
        several.tree.append(b"x" * 32)
        single.tree.append(b"x" * 32)
        assert several.tree.root() == single.tree.root()


def test_every_path_in_the_largest_tree_leads_to_its_root():
    tree = _stored(70_000).tree
    for size in (1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 69_999, 70_000):
        root = tree.root(size)
        for index in {0, 1, size // 2, size - size % 256, size - 2, size - 1} & set(range(size)):
            merkle.verify_inclusion(LARGE[index], index, size, tree.inclusion(index, size), root)


@pytest.mark.parametrize("count", [0, 3, 5, 6, 7, 255, 257])
def test_only_a_power_of_two_of_hashes_has_a_perfect_root(count):
    with pytest.raises(ValueError, match=f"{count} hashes are no power of two"):
        merkle.perfect_root(LARGE[:count])
    assert merkle.perfect_root(LARGE[:256]) == dumb.root(LARGE[:256])


def test_there_is_no_path_of_what_is_not_in_the_tree():
    tree = _stored(257).tree
    for index, size in [(-1, 257), (257, 257), (5, 5), (0, 0), (0, 258)]:
        with pytest.raises(InvalidProof):
            tree.inclusion(index, size)


def test_a_fork_leaves_its_origin_alone():
    tree = Stored(leaves(300)).tree
    before = tree.root()
    fork = tree.fork()
    for leaf in leaves(400):
        fork.append(leaf)
    assert tree.root() == before
    assert fork.root() == dumb.root([*leaves(300), *leaves(400)])


def _vectors(kind):
    return sorted((VECTORS / kind).rglob("*.json"))


def _hash(text):
    return base64.b64decode(text or "")


@pytest.mark.parametrize("path", _vectors("inclusion"), ids=lambda p: str(p.relative_to(VECTORS)))
def test_public_inclusion_vectors(path):
    case = json.loads(path.read_text())
    arguments = (
        _hash(case["leafHash"]),
        case["leafIdx"],
        case["treeSize"],
        [_hash(item) for item in case["proof"] or []],
        _hash(case["root"]),
    )
    if case["wantErr"]:
        with pytest.raises(InvalidProof):
            merkle.verify_inclusion(*arguments)
    else:
        merkle.verify_inclusion(*arguments)


@pytest.mark.parametrize("path", _vectors("consistency"), ids=lambda p: str(p.relative_to(VECTORS)))
def test_public_consistency_vectors(path):
    case = json.loads(path.read_text())
    arguments = (
        case["size1"],
        case["size2"],
        [_hash(item) for item in case["proof"] or []],
        _hash(case["root1"]),
        _hash(case["root2"]),
    )
    if case["wantErr"]:
        with pytest.raises(InvalidProof):
            merkle.verify_consistency(*arguments)
    else:
        merkle.verify_consistency(*arguments)


@given(
    st.binary(max_size=40),
    st.integers(-2, 2**50),
    st.integers(-2, 2**50),
    st.lists(st.binary(min_size=30, max_size=33), max_size=70),
)
def test_any_proof_is_accepted_or_refused_by_name(leaf, index, size, path):
    with pytest.raises(InvalidProof):
        merkle.verify_inclusion(leaf, index, size, path, b"\x00" * 32)
    with pytest.raises(InvalidProof):
        merkle.verify_consistency(index, size + 1, path, leaf, b"\x01" * 32)


def test_reading_beyond_the_tree_is_refused():
    tree = Stored(leaves(3)).tree
    for call in (
        lambda: tree.root(4),
        lambda: tree.inclusion(0, 4),
        lambda: tree.inclusion(3, 3),
        lambda: tree.consistency(0, 3),
        lambda: tree.node(2, 0),
        lambda: tree.node(0, 3),
        lambda: tree.node(40, 0),
    ):
        with pytest.raises(InvalidProof):
            call()


def test_restoring_with_rows_missing_is_refused():
    stored = Stored(leaves(300))
    stored.leaves.pop()
    with pytest.raises(InvalidProof, match="level 0 holds 43 hashes from 256, expected 44"):
        Tree.restore(
            stored.read, lambda *_: list(stored.roots.values()), lambda s: stored.leaves[s:], 300
        )
