"""A block's Merkle tree against a dumb twin, and the two old holes in it."""

import hashlib

import pytest

from attest.core import limits
from attest.core.errors import BadPath, DuplicatedSibling
from attest.core.merkle import MerklePath, build_path
from attest.core.transaction import double_sha256


def leaves(count: int) -> list[bytes]:
    return [hashlib.sha256(b"%d" % number).digest() for number in range(count)]


def dumb_root(level: list[bytes]) -> bytes:
    """Straight from the description: pair up, repeat the last if odd, until one is left."""
    if len(level) == 1:
        return level[0]
    pairs = level + level[-1:] * (len(level) % 2)
    return dumb_root([double_sha256(a + b) for a, b in zip(pairs[::2], pairs[1::2], strict=True)])


@pytest.mark.parametrize("count", [*range(1, 40), 100, 255, 256, 257])
def test_every_path_of_every_small_block(count):
    txids = leaves(count)
    root = dumb_root(txids)
    for index, txid in enumerate(txids):
        path, built = build_path(txids, index)
        assert built == root
        assert path.root(txid) == root
        assert path.root(hashlib.sha256(txid).digest()) != root


def test_mainnet_block_100000():
    # Four transactions; from the block explorer of your choice.
    txids = [
        bytes.fromhex(text)[::-1]
        for text in (
            "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87",
            "fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4",
            "6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4",
            "e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d",
        )
    ]
    root = "f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766"
    assert build_path(txids, 2)[1][::-1].hex() == root


def test_a_leaf_proven_at_two_positions_is_refused():
    # CVE-2012-2459: with three leaves, the third also seems to stand at position 3.
    txids = leaves(3)
    honest, root = build_path(txids, 2)
    assert honest.root(txids[2]) == root
    ghost = MerklePath(index=3, siblings=honest.siblings)
    with pytest.raises(DuplicatedSibling):
        ghost.root(txids[2])
    with pytest.raises(DuplicatedSibling):
        build_path([*txids, txids[2]], 0)


def test_a_duplicated_subtree_is_refused():
    txids = leaves(6)
    assert dumb_root(txids) == dumb_root([*txids, *txids[4:]])
    with pytest.raises(DuplicatedSibling):
        build_path([*txids, *txids[4:]], 0)


@pytest.mark.parametrize(
    ("index", "siblings"),
    [(1, ()), (-1, ()), (2, (bytes(32),)), (0, (bytes(31),)), (0, (b"",))],
)
def test_malformed_paths(index, siblings):
    with pytest.raises(BadPath):
        MerklePath(index=index, siblings=siblings)


def test_no_path_is_deeper_than_a_block():
    deep = (bytes(32),) * limits.PATH_DEPTH_MAX
    assert MerklePath(index=2**limits.PATH_DEPTH_MAX - 1, siblings=deep)
    with pytest.raises(BadPath):
        MerklePath(index=0, siblings=(*deep, bytes(32)))


@pytest.mark.parametrize("index", [-1, 3])
def test_positions_outside_the_block(index):
    with pytest.raises(BadPath):
        build_path(leaves(3), index)
