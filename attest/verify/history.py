"""What a verified file shows of its log's history: enough to put another file beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ledger.core.bundle import Consistency
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.tiles import Tree


class Tiles(dict[tuple[int, int], bytes]):
    """Full tiles of a tree that is computed again, in memory: 32 bytes an event."""

    def __call__(self, level: int, index: int) -> bytes:
        """Return the hashes of one, as a tree's `read_tile`."""
        return self[level, index]

    def take(self, tree: Tree) -> None:
        """Keep what the tree has filled since the last call."""
        self.update({(tile.level, tile.index): tile.hashes for tile in tree.take_tiles()})


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Signed heads of one log and epoch, smallest first, and what leads to them.

    `tree` is there if every leaf is; otherwise `paths`, the consistency proofs by their two sizes,
    and `leaves`, the leaf hashes of single events that are proven under one of the heads.
    `kept` is how many events the record of each epoch kept. Of a file that failed before these were
    checked, and of a single note, nothing but the heads is here.
    """

    ledger_id: bytes
    epoch: int
    heads: tuple[SignedCheckpoint, ...]
    kept: Mapping[int, int] = field(default_factory=dict)
    tree: Tree | None = None
    paths: Mapping[tuple[int, int], Consistency] = field(default_factory=dict)
    leaves: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many events it is a history of."""
        return self.heads[-1].size if self.tree is None else self.tree.size

    @property
    def age(self) -> tuple[int, int]:
        """Of two histories of one log that continue each other, the greater is the newer one."""
        return self.epoch, self.size

    def leaf(self, position: int) -> bytes | None:
        """Return the leaf hash of the event at `position`, if this shows it."""
        if self.tree is not None and position < self.tree.size:
            return self.tree.node(0, position)
        return self.leaves.get(position)
