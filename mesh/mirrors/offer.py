"""What a node has of a log to give to others: its own, or one that it mirrors.

Everything is read from the log and its newest released head, so nothing leaves above a guarded
head. Who may have what is for `mesh.mirrors.offering` to decide.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.event import Event, Record
from ledger.core.lineage import LINEAGE_TYPES
from ledger.core.tiles import TILE_WIDTH
from ledger.core.types import LINEAGE_STREAM
from ledger.leaves import LeafLog
from ledger.log import Log
from ledger.proof import prove
from mesh.core import limits
from mesh.core.errors import Refused
from mesh.core.mirrors.packages import (
    encode_bodies,
    encode_leaves,
    encode_package,
    package_path,
)

_HASH_BYTES: Final = 32


class NotOffered(Refused):
    """There is no such thing here (yet)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafOffer:
    """Hashes, and the newest head that may be shown; `head` raises NotOffered without one."""

    log: LeafLog | Log
    head: Callable[[], SignedCheckpoint]

    def introduction(self, since: int) -> bytes:
        """The newest head, who signs it, and how it continues a head of size `since`."""
        head, file = self.head(), io.BytesIO()
        records = [
            event.position
            for event in self._lineage()
            if event.type in LINEAGE_TYPES and event.position < head.size
        ]
        known = [since] if 0 < since < head.size else []
        prove(self.log, [head], 0, file, also=records, since=known)
        return file.getvalue()

    def _lineage(self) -> Iterable[Event]:
        if isinstance(self.log, Log):
            return self.log.stream(LINEAGE_STREAM, last=self.log.size)
        return self.log.shown

    def tile(self, level: int, index: int, width: int) -> bytes:
        """The first `width` hashes of a tile (c2sp.org/tlog-tiles). Raises NotOffered."""
        row = self.head().size >> (8 * level)
        here = max(0, min(TILE_WIDTH, row - index * TILE_WIDTH))
        if not 0 < width <= here:
            raise NotOffered(f"tile {index} of level {level} has {here} hashes, not {width}")
        tree, first = self.log.tree, index * TILE_WIDTH
        return b"".join(tree.node(8 * level, first + column) for column in range(width))

    def leaves(self, start: int, size: int) -> bytes:
        """The leaf hashes from `start` on in its run, in the tree of `size`, and a path."""
        self._within(start, size)
        index = start // limits.LEAVES_EVENTS
        end = min((index + 1) * limits.LEAVES_EVENTS, size)
        tree = self.log.tree
        path = package_path(tree, index, size, limits.LEAVES_EVENTS)
        return encode_leaves([tree.node(0, at) for at in range(start, end)], path)

    def _within(self, start: int, stop: int) -> None:
        size = self.head().size
        if not 0 <= start < stop <= size:
            raise NotOffered(f"no events {start} to {stop}: the newest head is of {size} events")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer(LeafOffer):
    """A log with its words."""

    log: Log

    def package(self, start: int, size: int) -> bytes:
        """The envelopes from `start` on in its package, in the tree of `size`, and a path."""
        self._within(start, size)
        index = start // limits.PACKAGE_EVENTS
        end = min((index + 1) * limits.PACKAGE_EVENTS, size)
        envelopes = [record.envelope for record in self.log.records(start, end)]
        return encode_package(envelopes, package_path(self.log.tree, index, size))

    def bodies(self, start: int, stop: int) -> bytes:
        """Payloads and contents of the first events of [start, stop), as many as fit."""
        self._within(start, stop)
        return encode_bodies(self._one_by_one(start, min(stop, start + limits.PACKAGE_EVENTS)))

    def _one_by_one(self, start: int, stop: int) -> Iterator[Record]:
        """So that what does not fit into an answer is hardly read."""
        for at in range(start, stop, _READ_EVENTS):
            yield from self.log.records(at, min(at + _READ_EVENTS, stop))


_READ_EVENTS: Final = 16
"""At most 17 MiB in memory before an answer is full."""
