"""Consensus-critical: which of some events a signed head proves, when others are lost.

A head signs one root. It can be computed from the leaves that are there and, for what is not, from
hashes of whole subtrees that a tile kept. `Evidence` finds out which events a head proves and which
subtree hashes a stranger needs to see it too; `proven_by` is the stranger's side. One list for a
head, and no path for each event: a million events that lost one page need some thirty hashes.

Where damage left several hashes for one node, all are tried, up to a bound: an event that is beyond
it is called unproven, never the other way round.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import Final, TypeAlias

from ledger.core import limits
from ledger.core.errors import InvalidProof
from ledger.core.merkle import EMPTY_ROOT, HASH_BYTES, node_hash
from ledger.core.tiles import TILE_LEVELS, TILE_WIDTH

PURPOSE: Final = "salvage"
"""Purpose of the bundle, and name of the attachment that says how many events there were."""
SUBTREES: Final = "subtrees"
"""Name of the attachments that hold a head's subtree hashes."""
HEADS_MAX: Final = 1000
"""Heads of one salvage: the newest ones are written."""
_CANDIDATES_MAX: Final = 4
"""Hashes tried for one node: of events, of a tile, of a tile's root, and one to spare."""
_LEVELS_MAX: Final = limits.TREE_SIZE_MAX.bit_length()

Subtree: TypeAlias = tuple[int, int, bytes]
"""(level, index, hash) of the perfect subtree over leaves [index << level, index + 1 << level)."""


def spans(positions: Iterable[int]) -> list[tuple[int, int]]:
    """Return ascending positions as half-open ranges."""
    found: list[tuple[int, int]] = []
    for position in positions:
        if found and found[-1][1] == position:
            found[-1] = (found[-1][0], position + 1)
        else:
            found.append((position, position + 1))
    return found


def gaps(ranges: Iterable[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """Return what ascending `ranges` leave out of [0, size)."""
    edges = [(0, 0), *ranges, (size, size)]
    return [(a[1], min(b[0], size)) for a, b in pairwise(edges) if a[1] < min(b[0], size)]


def _split(start: int, stop: int) -> int:
    """Where RFC 9162 splits [start, stop), of two leaves or more."""
    return start + (1 << ((stop - start - 1).bit_length() - 1))


def _perfect(start: int, stop: int) -> tuple[int, int] | None:
    """(level, index) if [start, stop) is a perfect subtree."""
    width = stop - start
    level = width.bit_length() - 1
    return (level, start >> level) if width == 1 << level and not start % width else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a head proves: positions with their leaf hashes, and the hashes of everything else."""

    size: int
    proven: dict[int, bytes]
    subtrees: tuple[Subtree, ...]


@dataclass(slots=True)
class Evidence:
    """Leaf hashes of events that were found, and tiles, each perhaps false.

    `leaves`: position -> leaf hashes claimed for it. `tiles`: (tile level, tile index) -> the 8,192
    bytes of each copy. `roots`: the same key -> roots claimed over them.
    """

    leaves: Mapping[int, list[bytes]]
    tiles: Mapping[tuple[int, int], list[bytes]]
    roots: Mapping[tuple[int, int], list[bytes]]
    _large: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)
    _small: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)

    def prove(self, size: int, root: bytes) -> Proof | None:
        """Return what a signed head of `size` and `root` proves; None if it cannot be computed."""
        if size < 1 or root not in self._span(0, size):
            return None
        proven: dict[int, bytes] = {}
        subtrees: list[Subtree] = []
        self._descend(0, size, root, proven, subtrees)
        return Proof(size=size, proven=proven, subtrees=tuple(subtrees))

    def stored(self, level: int, index: int) -> list[bytes]:
        """Return the hashes that tiles hold for a node; none but at every eighth level."""
        tile_level, rest = divmod(level, TILE_LEVELS)
        if rest:
            return []
        at = index % TILE_WIDTH * HASH_BYTES
        key = (tile_level, index // TILE_WIDTH)
        found = [tile[at : at + HASH_BYTES] for tile in self.tiles.get(key, [])]
        return found + (list(self.roots.get((tile_level - 1, index), [])) if level else [])

    def _nodes(self, level: int, index: int) -> list[bytes]:
        """Every hash that a node may have."""
        if level == 0:
            return _distinct([*self.leaves.get(index, []), *self.stored(0, index)])
        memory = self._small if level < TILE_LEVELS else self._large
        known = memory.get((level, index))
        if known is None:
            if level == TILE_LEVELS:
                self._small.clear()
            left, right = self._nodes(level - 1, 2 * index), self._nodes(level - 1, 2 * index + 1)
            made = [node_hash(one, other) for one, other in product(left, right)]
            known = memory[level, index] = _distinct([*made, *self.stored(level, index)])
        return known

    def _span(self, start: int, stop: int) -> list[bytes]:
        perfect = _perfect(start, stop)
        if perfect is not None:
            return self._nodes(*perfect)
        middle = _split(start, stop)
        right = self._span(middle, stop)
        return _distinct(node_hash(a, b) for a, b in product(self._span(start, middle), right))

    def _descend(
        self, start: int, stop: int, root: bytes, proven: dict[int, bytes], out: list[Subtree]
    ) -> bool:
        """Note what a hash that is known to be right proves below it; False if it is nothing."""
        perfect = _perfect(start, stop)
        if perfect == (TILE_LEVELS, start >> TILE_LEVELS):
            self._small.clear()
        if stop - start == 1 and root in self.leaves.get(start, []):
            proven[start] = root
            return True
        mark = len(out)
        if stop - start > 1 and self._both(start, stop, root, proven, out):
            return True
        if perfect is not None:
            out[mark:] = [(*perfect, root)]
        return False

    def _both(
        self, start: int, stop: int, root: bytes, proven: dict[int, bytes], out: list[Subtree]
    ) -> bool:
        middle = _split(start, stop)
        for one, other in product(self._span(start, middle), self._span(middle, stop)):
            if node_hash(one, other) == root:
                left = self._descend(start, middle, one, proven, out)
                return self._descend(middle, stop, other, proven, out) or left
        return False


def _distinct(hashes: Iterable[bytes]) -> list[bytes]:
    return list(dict.fromkeys(hashes))[:_CANDIDATES_MAX]


def proven_by(
    size: int, root: bytes, subtrees: Iterable[Subtree], leaf: Callable[[int], bytes | None]
) -> list[int]:
    """Return the positions whose leaf hashes, with `subtrees`, lead to `root`, in order.

    Raises InvalidProof if something is missing, given twice, beside the tree, or leads elsewhere.
    Takes time by the leaves that are there, whatever `size` claims.
    """
    given: dict[tuple[int, int], bytes] = {}
    for level, index, hash_ in subtrees:
        inside = 0 <= level <= _LEVELS_MAX and 0 <= index << level < size
        if not inside or (level, index) in given or len(hash_) != HASH_BYTES:
            raise InvalidProof(f"subtree {index} of level {level} is given twice or out of place")
        given[level, index] = hash_
    found: list[int] = []
    used = 0

    def compute(start: int, stop: int) -> bytes:
        nonlocal used
        perfect = _perfect(start, stop)
        hash_ = None if perfect is None else given.get(perfect)
        if hash_ is not None:
            used += 1
            return hash_
        if stop - start > 1:
            middle = _split(start, stop)
            return node_hash(compute(start, middle), compute(middle, stop))
        mine = leaf(start)
        if mine is None:
            raise InvalidProof(f"neither event {start} nor a hash over it is here")
        found.append(start)
        return mine

    computed = compute(0, size) if size else EMPTY_ROOT
    if computed != root:
        raise InvalidProof(f"events lead to root {computed.hex()}, signed {root.hex()}")
    if used != len(given):
        raise InvalidProof(f"{len(given) - used} subtrees lie under others")
    return found
