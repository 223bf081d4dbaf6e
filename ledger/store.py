"""The port to whatever keeps the ledger's bytes: one suite of tests runs on all of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ledger.core.errors import StoreDamaged
from ledger.core.event import Envelope, Record
from ledger.core.tiles import Tile


@dataclass(slots=True)
class Batch:
    """What one commit adds: events in position order, the tiles they filled, content to erase."""

    events: list[tuple[Record, Envelope]] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
    erase: list[int] = field(default_factory=list)


class Store(Protocol):
    """Keeps events, tiles and idempotency keys, and nothing it could compute.

    - `append` is atomic and durable: when it returns, everything in the batch survives a power
      loss; when it raises, nothing of it is there. Positions continue from `size` without a gap.
      Erasing removes content and content salt of the named events, which may be in the batch.
    - Nothing else ever changes or removes a stored byte.
    - `records` yields in position order and may be consumed slowly while appends go on.
    - One thread appends at a time; reading is safe from any thread.
    """

    damage: StoreDamaged | None
    """What opening for reading noticed, though something can be read."""

    @property
    def size(self) -> int:
        """Number of events stored."""

    def append(self, batch: Batch) -> None:
        """Commit `batch`. Raises StoreFull, StoreDamaged or StoreError."""

    def records(self, start: int, stop: int) -> Iterator[Record]:
        """Yield the records of [start, stop) that exist."""

    def position_of(self, idempotency_key: bytes) -> int | None:
        """Return the position of the event with this key."""

    def stream_length(self, stream: bytes) -> int:
        """Return how many events this stream has."""

    def stream_positions(self, stream: bytes, start: int, stop: int) -> list[int]:
        """Return the positions of a stream's events with sequence in [start, stop)."""

    def tile(self, level: int, index: int) -> bytes:
        """Return the 8,192 bytes of a full tile. Raises StoreDamaged if it is not there."""

    def tile_roots(self, level: int, start: int) -> list[bytes]:
        """Return the roots of full tiles of `level` from tile index `start` on."""

    def scrub(self) -> bool:
        """Leave no byte of erased content behind. False if a reader is in the way: try again."""

    @property
    def erasing(self) -> bool:
        """Whether an erasure was begun and not scrubbed since, in this process or another."""

    def close(self) -> None:
        """Release every resource. Further calls are errors."""
