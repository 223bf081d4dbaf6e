"""Consensus-critical: the growing tree, kept as C2SP tlog-tiles of 256 hashes (8 levels each).

`Tree` holds the right edge: the perfect subtrees that make the current root, and the unfinished
tile of each tile level. Full tiles never change; they are handed out by `take_tiles` to be stored
and read back through the reader given at construction. Any historic root is recomputable.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ledger.core import merkle
from ledger.core.errors import InvalidProof
from ledger.core.merkle import HASH_BYTES, node_hash

TILE_LEVELS: Final = 8
TILE_WIDTH: Final = 1 << TILE_LEVELS
_CACHED_TILES_MAX: Final = 1024
"""1,024 expanded tiles are 16 MiB: random proofs in a quarter million events from memory."""

_RANGES_MAX: Final = 4096
"""A tree has at most 48 of them; this holds those of the last hundred sizes asked for."""

_IN_TILE: Final = tuple((TILE_WIDTH >> height) - 1 for height in range(TILE_LEVELS))
"""Masks an index of each height to its place in the tile."""

TileReader: TypeAlias = Callable[[int, int], bytes]
"""(tile level, tile index) -> the 8,192 bytes of a full tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A full tile: 256 hashes and the root over them (a hash of the next tile level)."""

    level: int
    index: int
    hashes: bytes
    root: bytes


@dataclass(slots=True)
class Tree:
    """The tree of `size` leaves. Not thread-safe: one writer owns it."""

    read_tile: TileReader
    size: int = 0
    _peaks: list[bytes] = field(default_factory=list)
    _partial: list[bytearray] = field(default_factory=lambda: [bytearray()])
    _full: list[Tile] = field(default_factory=list)
    _cache: "OrderedDict[tuple[int, int], list[bytes]]" = field(default_factory=OrderedDict)
    _edges: dict[int, list[bytes]] = field(default_factory=dict)
    _ranges: dict[tuple[int, int], bytes] = field(default_factory=dict)

    @classmethod
    def restore(
        cls,
        read_tile: TileReader,
        tile_roots: Callable[[int, int], list[bytes]],
        leaves: Callable[[int], Iterable[bytes]],
        size: int,
    ) -> "Tree":
        """Rebuild the right edge of a stored tree.

        `tile_roots(level, start)` lists the stored roots of full tiles of `level` from tile index
        `start` on; `leaves(start)` yields leaf hashes from leaf index `start` on. Reads less than
        256 of each level, whatever the size.
        """
        tree = cls(read_tile)
        tree._partial = []
        width, level = size, 0
        while width or level == 0:
            start = width & ~(TILE_WIDTH - 1)
            found = leaves(start) if level == 0 else tile_roots(level - 1, start)
            row = bytearray(b"".join(found))
            if len(row) != (width - start) * HASH_BYTES:
                raise InvalidProof(
                    f"level {level} holds {len(row) // HASH_BYTES} hashes from {start}, "
                    f"expected {width - start}"
                )
            tree._partial.append(row)
            width >>= TILE_LEVELS
            level += 1
        tree.size = size
        tree._peaks = [tree.node(bit, ((size >> (bit + 1)) << 1)) for bit in _bits(size)]
        return tree

    def fork(self) -> "Tree":
        """Copy the edge, sharing the cache: append to the copy, keep it only if stored."""
        return Tree(
            self.read_tile,
            self.size,
            list(self._peaks),
            [bytearray(row) for row in self._partial],
            list(self._full),
            self._cache,
        )

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash: amortised one more hash."""
        self._partial[0] += leaf
        self._merge(0, leaf)

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add leaf hashes in order, perfect subtrees at a time: quicker than one by one."""
        at = 0
        while at < len(leaves):
            room = self.size & -self.size or TILE_WIDTH
            width = min(room, TILE_WIDTH, 1 << ((len(leaves) - at).bit_length() - 1))
            run = leaves[at : at + width]
            self._partial[0] += b"".join(run)
            self._merge(width.bit_length() - 1, merkle.perfect_root(run))
            at += width

    def _merge(self, level: int, root: bytes) -> None:
        """Take in the root over the newest 1 << `level` leaves, at most a tile of them."""
        index = self.size >> level
        self.size += 1 << level
        while True:
            if level and level % TILE_LEVELS == 0:
                self._close(level // TILE_LEVELS - 1, index, root)
            if not index & 1:
                break
            root = node_hash(self._peaks.pop(), root)
            index >>= 1
            level += 1
        self._peaks.append(root)

    def _close(self, level: int, index: int, root: bytes) -> None:
        row = self._partial[level]
        self._full.append(Tile(level=level, index=index, hashes=bytes(row), root=root))
        row.clear()
        self._edges.pop(level, None)
        if level + 1 == len(self._partial):
            self._partial.append(bytearray())
        self._partial[level + 1] += root

    def take_tiles(self) -> list[Tile]:
        """Return the tiles filled since the last call: they must be stored with the leaves."""
        full, self._full = self._full, []
        return full

    def root(self, size: int | None = None) -> bytes:
        """Return the root at `size` leaves; now, if not given."""
        if size is None or size == self.size:
            return merkle.fold_peaks(self._peaks)
        if not 0 <= size < self.size:
            raise InvalidProof(f"size {size} is beyond this tree of {self.size}")
        return self.range_root(0, size)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return PATH(index, D_size) of RFC 9162 section 2.1.3.1, from the leaf up.

        At each level the subtree beside, as far as the tree of `size` has it: eight levels out of
        each tile on the way. Raises InvalidProof unless 0 <= index < size.
        """
        self._within(size)
        if not 0 <= index < size:
            raise InvalidProof(f"index {index} is not in a tree of size {size}")
        path: list[bytes] = []
        level, top = 0, (size - 1).bit_length()
        while level < top:
            tile_level = level // TILE_LEVELS
            rows = self._rows(tile_level, index >> (level + TILE_LEVELS))
            for height in range(min(TILE_LEVELS, top - level)):
                beside, whole = index >> level ^ 1, size >> level
                if beside < whole:
                    at = (beside & _IN_TILE[height]) * HASH_BYTES
                    path.append(rows[height][at : at + HASH_BYTES])
                elif beside << level < size:
                    path.append(self.range_root(beside << level, size))
                level += 1
        return path

    def consistency(self, size1: int, size2: int) -> list[bytes]:
        """Return the consistency path from `size1` to `size2`."""
        self._within(size2)
        return merkle.consistency_path(self.range_root, size1, size2)

    def _within(self, size: int) -> None:
        if size > self.size:
            raise InvalidProof(f"size {size} is beyond this tree of {self.size}")

    def range_root(self, start: int, stop: int) -> bytes:
        """Root over leaves [start, stop), where RFC 9162 splits there.

        What is no perfect subtree is folded once and remembered: leaves never change, and every
        proof in a tree of one size needs the same few.
        """
        width = stop - start
        if width and width & (width - 1) == 0:
            level = width.bit_length() - 1
            return self.node(level, start >> level)
        root = self._ranges.get((start, stop))
        if root is None:
            root = merkle.range_root(self.node, start, stop)
            if len(self._ranges) >= _RANGES_MAX:
                self._ranges.clear()
            self._ranges[start, stop] = root
        return root

    def node(self, level: int, index: int) -> bytes:
        """Hash of the perfect subtree over leaves [index << level, (index + 1) << level)."""
        tile_level, height = divmod(level, TILE_LEVELS)
        tile_index, column = divmod(index << height, TILE_WIDTH)
        rows = self._rows(tile_level, tile_index)
        at = (column >> height) * HASH_BYTES
        if height < len(rows) and at + HASH_BYTES <= len(rows[height]):
            return rows[height][at : at + HASH_BYTES]
        raise InvalidProof(f"node {index} of level {level} is not in this tree of {self.size}")

    def _rows(self, level: int, index: int) -> list[bytes]:
        if level >= len(self._partial):
            return []
        if index == self.size >> (TILE_LEVELS * (level + 1)):
            return self._edge(level)
        for tile in self._full:
            # Not stored yet, so not cached: the commit that stores it may still fail.
            if (tile.level, tile.index) == (level, index):
                return _expand(tile.hashes)
        return self._cached(level, index)

    def _edge(self, level: int) -> list[bytes]:
        """The unfinished tile, expanded; kept until it grows."""
        row = self._partial[level]
        known = self._edges.get(level)
        if known is None or len(known[0]) != len(row):
            known = self._edges[level] = _expand(bytes(row))
        return known

    def _cached(self, level: int, index: int) -> list[bytes]:
        key = (level, index)
        rows = self._cache.get(key)
        if rows is None:
            rows = self._cache[key] = _expand(self.read_tile(level, index))
            if len(self._cache) > _CACHED_TILES_MAX:
                self._cache.popitem(last=False)
        return rows


def _bits(size: int) -> list[int]:
    """Return the set bits of `size`, highest first: one perfect subtree each."""
    return [bit for bit in range(size.bit_length() - 1, -1, -1) if size >> bit & 1]


def _expand(hashes: bytes) -> list[bytes]:
    """All perfect subtrees above a row of hashes, as rows of concatenated hashes."""
    rows = [hashes]
    row = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
    while len(row) > 1:
        row = merkle.parents(row)
        rows.append(b"".join(row))
    return rows
