"""Consensus-critical: the RFC 9162 Merkle tree: paths, and roots computed from paths.

Computing and comparing are apart: `root_from_inclusion` returns what a proof leads to,
`verify_inclusion` compares it and names both roots when they differ. Trees are read through a
`NodeSource`, a function (level, index) -> hash of the perfect subtree over leaves
[index << level, (index + 1) << level). Only perfect subtrees never change, so only they are kept.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, TypeAlias

from ledger.core import limits
from ledger.core.errors import InvalidProof

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()

NodeSource: TypeAlias = Callable[[int, int], bytes]
RangeSource: TypeAlias = Callable[[int, int], bytes]
"""(start, stop) -> root over those leaves, where RFC 9162 splits there."""


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry), RFC 9162 section 2.1.1."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), RFC 9162 section 2.1.1."""
    return sha256(b"\x01" + left + right).digest()


def _split(width: int) -> int:
    """Return the largest power of two smaller than `width`, for width >= 2."""
    return 1 << ((width - 1).bit_length() - 1)


def range_root(node: NodeSource, start: int, stop: int) -> bytes:
    """Root of leaves [start, stop), where `start` is where an RFC 9162 split may fall."""
    peaks: list[bytes] = []
    while start < stop:
        level = (stop - start).bit_length() - 1
        peaks.append(node(level, start >> level))
        start += 1 << level
    return fold_peaks(peaks)


def fold_peaks(peaks: Sequence[bytes]) -> bytes:
    """Root of a tree from its perfect subtrees, largest first. No peaks: the empty root."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def parents(row: Sequence[bytes]) -> list[bytes]:
    """`node_hash` of each pair, quicker than one by one; an odd last hash has no parent yet."""
    return [
        sha256(b"\x01" + left + right).digest()
        for left, right in zip(row[::2], row[1::2], strict=False)
    ]


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Root over a power of two of hashes: the quick way up for those who have them together."""
    if len(hashes).bit_count() != 1:
        raise ValueError(f"{len(hashes)} hashes are no power of two")
    row = hashes
    while len(row) > 1:
        row = parents(row)
    return row[0]


def push(peaks: list[bytes], index: int, root: bytes) -> None:
    """Add subtree number `index` of one size to the perfect subtrees, largest first, before it.

    `fold_peaks` gives the root: all that a verifier needs who reads a log once from its beginning.
    A subtree of one size may follow larger ones only.
    """
    while index & 1:
        root = node_hash(peaks.pop(), root)
        index >>= 1
    peaks.append(root)


def consistency_path(ranges: RangeSource, size1: int, size2: int) -> list[bytes]:
    """PROOF(size1, D_size2) of RFC 9162 section 2.1.4.1. Requires 0 < size1 <= size2."""
    if not 0 < size1 <= size2:
        raise InvalidProof(f"no consistency proof from size {size1} to {size2}")
    path: list[bytes] = []
    start, stop, whole = 0, size2, True
    while size1 != stop:
        middle = start + _split(stop - start)
        if size1 <= middle:
            path.append(ranges(middle, stop))
            stop = middle
        else:
            path.append(ranges(start, middle))
            start, whole = middle, False
    if not whole:
        path.append(ranges(start, stop))
    path.reverse()
    return path


def _check_path(path: Sequence[bytes]) -> None:
    if len(path) > limits.PROOF_HASHES_MAX:
        raise InvalidProof(f"{len(path)} hashes, at most {limits.PROOF_HASHES_MAX}")
    for hash_ in path:
        if len(hash_) != HASH_BYTES:
            raise InvalidProof(f"hash of {len(hash_)} bytes, expected {HASH_BYTES}")


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Root that `path` leads to from leaf hash `leaf`, RFC 9162 section 2.1.3.2.

    Raises InvalidProof if the path's length does not fit index and size.
    """
    _check_path([leaf])
    _check_path(path)
    if not 0 <= index < size <= limits.TREE_SIZE_MAX:
        raise InvalidProof(f"index {index} is not in a tree of size {size}")
    fn, sn, root = index, size - 1, leaf
    for hash_ in path:
        if sn == 0:
            raise InvalidProof(f"{len(path)} hashes are too many for index {index} of {size}")
        if fn & 1 or fn == sn:
            root = node_hash(hash_, root)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            root = node_hash(root, hash_)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise InvalidProof(f"{len(path)} hashes are too few for index {index} of {size}")
    return root


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Raise InvalidProof unless `leaf` is at `index` of the tree of `size` with `root`."""
    found = root_from_inclusion(leaf, index, size, path)
    if found != root:
        raise InvalidProof(f"inclusion leads to root {found.hex()}, expected {root.hex()}")


def roots_from_consistency(
    size1: int, size2: int, path: Sequence[bytes], root1: bytes
) -> tuple[bytes, bytes]:
    """Both roots that `path` leads to, RFC 9162 section 2.1.4.2. Requires 0 < size1 < size2."""
    _check_path(path)
    if not 0 < size1 < size2 <= limits.TREE_SIZE_MAX:
        raise InvalidProof(f"no consistency from size {size1} to {size2}")
    if not path:
        raise InvalidProof("empty consistency proof")
    hashes = [root1, *path] if size1 & (size1 - 1) == 0 else list(path)
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = hashes[0]
    for hash_ in hashes[1:]:
        if sn == 0:
            raise InvalidProof(f"{len(path)} hashes are too many from {size1} to {size2}")
        if fn & 1 or fn == sn:
            first, second = node_hash(hash_, first), node_hash(hash_, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, hash_)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise InvalidProof(f"{len(path)} hashes are too few from {size1} to {size2}")
    return first, second


def verify_consistency(
    size1: int, size2: int, path: Sequence[bytes], root1: bytes, root2: bytes
) -> None:
    """Raise InvalidProof unless the tree (size1, root1) is a prefix of (size2, root2).

    Equal sizes need equal roots and an empty path. From size 0 nothing can be proven.
    """
    if size1 <= 0:
        raise InvalidProof(f"nothing is proven from size {size1}: every tree continues it")
    if size1 == size2:
        if path:
            raise InvalidProof(f"{len(path)} hashes between trees of equal size {size1}")
        if root1 != root2:
            raise InvalidProof(f"two roots at size {size1}: {root1.hex()} and {root2.hex()}")
        return
    found1, found2 = roots_from_consistency(size1, size2, path, root1)
    if found1 != root1:
        raise InvalidProof(f"consistency leads to old root {found1.hex()}, expected {root1.hex()}")
    if found2 != root2:
        raise InvalidProof(f"consistency leads to new root {found2.hex()}, expected {root2.hex()}")
