"""Consensus-critical: where two trees of one log part, and what shows it to anybody.

Two signed heads of two sizes exclude each other if one index has two different leaves under them. A
consistency proof that is refused, or fails, does not show that: whoever asks may have been lied to
about the proof. So the first such leaf is looked for, down from the largest subtrees that both
trees have, and each of the two leaves is led up to the root that was signed (docs/spec/witness.md,
"The proof of equivocation").

    two sides  ->  Need(a tile of one of them)  ...  Parted | Agreed | Untrue

Of each side some hashes are at hand: a log that lies here gives any node of its tree, a log
elsewhere gives C2SP tiles, one at a time. Tiles are a stranger's: those that do not lead to the
signed root prove nothing, and the side is *untrue*. What both sides' tiles are asked for grows with
the logarithm of the sizes.

Sans-I/O. Not here: who signed the heads, and that they are of one log and epoch.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ledger.core.equivocation import Branch
from ledger.core.errors import InvalidProof
from ledger.core.merkle import HASH_BYTES, perfect_root, range_root, verify_inclusion
from ledger.core.tiles import TILE_LEVELS, TILE_WIDTH

TILES_MAX: Final = 64
"""Of one comparison: two trees of 2^47 leaves have six levels of tiles each, asked for a few times
over; more are asked for by a bug only."""

Node: TypeAlias = Callable[[int, int], bytes]
"""(level, index) -> hash of the perfect subtree over leaves [index << level, ...)."""


@dataclass(slots=True, kw_only=True, eq=False)
class Side:
    """A tree of `size` leaves under a signed `root`. `here` gives its nodes, if it lies here."""

    size: int
    root: bytes
    here: Node | None = None
    _tiles: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)

    def take(self, need: "Need", data: bytes) -> None:
        """Take the tile that was needed. Raises InvalidProof for another number of hashes."""
        if len(data) != need.width * HASH_BYTES:
            raise InvalidProof(
                f"a tile of {len(data)} bytes, expected {need.width} hashes of {HASH_BYTES}"
            )
        row = [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
        self._tiles[need.level, need.index] = row

    def node(self, level: int, index: int) -> bytes:
        """A node of the tree. Raises _Missing for one above a tile that is not here."""
        if self.here is not None:
            return self.here(level, index)
        tile_level, height = divmod(level, TILE_LEVELS)
        tile_index, column = divmod(index << height, TILE_WIDTH)
        row = self._tiles.get((tile_level, tile_index))
        if row is None:
            left = (self.size >> TILE_LEVELS * tile_level) - tile_index * TILE_WIDTH
            width = min(TILE_WIDTH, left)
            raise _Missing(Need(side=self, level=tile_level, index=tile_index, width=width))
        return perfect_root(row[column : column + (1 << height)])

    def branch(self, index: int) -> Branch:
        """The leaf at `index`, with its path. Raises _Missing; InvalidProof if it leads astray."""
        path: list[bytes] = []
        start, stop = 0, self.size
        while stop - start > 1:
            middle = start + (1 << ((stop - start - 1).bit_length() - 1))
            if index < middle:
                path.append(range_root(self.node, middle, stop))
                stop = middle
            else:
                path.append(range_root(self.node, start, middle))
                start = middle
        leaf = self.node(0, index)
        path.reverse()
        verify_inclusion(leaf, index, self.size, path, self.root)
        return Branch(index=index, size=self.size, leaf=leaf, path=tuple(path))

    def check(self) -> None:
        """Raise InvalidProof unless the nodes lead to the root; _Missing."""
        found = range_root(self.node, 0, self.size)
        if found != self.root:
            raise InvalidProof(f"its hashes lead to root {found.hex()}, not {self.root.hex()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Ask `side` for the first `width` hashes of this tile, and `take` them."""

    side: Side
    level: int
    index: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """The trees exclude each other: one index, two leaves, each under its root."""

    branches: tuple[Branch, Branch]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """The smaller tree is the beginning of the larger one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Untrue:
    """What `side` gave is not of the tree under its root: nothing is shown."""

    side: Side
    reason: str


Step: TypeAlias = Need | Parted | Agreed | Untrue


class _Missing(Exception):
    def __init__(self, need: Need) -> None:
        super().__init__()
        self.need = need


def compare(one: Side, other: Side) -> Step:
    """Go on as far as what is at hand leads. Both sizes are at least 1, and differ."""
    try:
        index = _first(one, other)
        if index is None:
            return _checked(one) or _checked(other) or Agreed()
        found = []
        for side in (one, other):
            try:
                found.append(side.branch(index))
            except InvalidProof as error:
                return Untrue(side=side, reason=str(error))
        if found[0].leaf == found[1].leaf:  # a tile above them that is not made of those below
            return _checked(one) or _checked(other) or Untrue(side=other, reason="two equal leaves")
        return Parted(branches=(found[0], found[1]))
    except _Missing as missing:
        return missing.need


def _checked(side: Side) -> Untrue | None:
    try:
        side.check()
    except InvalidProof as error:
        return Untrue(side=side, reason=str(error))
    return None


def _first(one: Side, other: Side) -> int | None:
    """The index of the first leaf that differs, as far as nodes are to be believed."""
    start, common = 0, min(one.size, other.size)
    while start < common:
        level = (common - start).bit_length() - 1
        index = start >> level
        if one.node(level, index) != other.node(level, index):
            return _down(one, other, level, index)
        start += 1 << level
    return None


def _down(one: Side, other: Side, level: int, index: int) -> int:
    while level:
        level, index = level - 1, 2 * index
        if one.node(level, index) == other.node(level, index):
            index += 1
    return index
