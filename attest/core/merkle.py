"""Consensus-critical: the Merkle tree of a block's transactions and paths in it.

An odd level duplicates its last node, so a block with its tail repeated has the same root
(CVE-2012-2459), and one leaf can be proven at two positions. A right-hand node that equals its
left sibling is therefore refused; a *left* node with an equal sibling is the honest odd level.
That an inner node can pose as a 64-byte transaction is refused where transactions are parsed.

Not covered: that the path is as long as the tree is high (the coinbase's path would show it).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from attest.core import limits
from attest.core.errors import BadPath, DuplicatedSibling
from attest.core.transaction import HASH_BYTES, double_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class MerklePath:
    """A leaf's position and its siblings from the bottom up, each 32 bytes."""

    index: int
    siblings: tuple[bytes, ...]

    def __post_init__(self) -> None:
        depth = len(self.siblings)
        if depth > limits.PATH_DEPTH_MAX:
            raise BadPath(f"{depth} levels, at most {limits.PATH_DEPTH_MAX} fit a block")
        if not 0 <= self.index < 1 << depth:
            raise BadPath(f"position {self.index} in a tree of {depth} levels")
        for sibling in self.siblings:
            if len(sibling) != HASH_BYTES:
                raise BadPath(f"sibling of {len(sibling)} bytes, expected {HASH_BYTES}")

    def root(self, leaf: bytes) -> bytes:
        """Return the root this path leads `leaf` to. Raises DuplicatedSibling."""
        node, index = leaf, self.index
        for level, sibling in enumerate(self.siblings):
            if index & 1:
                if sibling == node:
                    raise DuplicatedSibling(f"level {level} holds the same node twice")
                node = double_sha256(sibling + node)
            else:
                node = double_sha256(node + sibling)
            index >>= 1
        return node


def build_path(txids: Sequence[bytes], index: int) -> tuple[MerklePath, bytes]:
    """Return the path of `txids[index]` and the tree's root.

    Raises BadPath for a position outside the block, DuplicatedSibling for a mutated block.
    """
    if not 0 <= index < len(txids):
        raise BadPath(f"position {index} in a block of {len(txids)} transactions")
    level, position, siblings = list(txids), index, []
    while len(level) > 1:
        if any(left == right for left, right in zip(level[::2], level[1::2], strict=False)):
            raise DuplicatedSibling("two equal nodes side by side: the block was mutated")
        if len(level) % 2:
            level.append(level[-1])
        siblings.append(level[position ^ 1])
        level = [double_sha256(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
        position >>= 1
    return MerklePath(index=index, siblings=tuple(siblings)), level[0]
