"""The store's twin in memory: what the SQLite store must do, in the fewest lines that say it."""

from collections.abc import Iterator

from ledger.core.errors import StoreDamaged
from ledger.core.event import Record
from ledger.core.tiles import Tile
from ledger.store import Batch


class MemoryStore:
    """Keeps everything in lists and dicts; nothing survives the process."""

    def __init__(self) -> None:
        self.damage: StoreDamaged | None = None
        self._records: list[Record] = []
        self._streams: dict[bytes, list[int]] = {}
        self._keys: dict[bytes, int] = {}
        self._tiles: dict[tuple[int, int], Tile] = {}

    @property
    def size(self) -> int:
        """Number of events stored."""
        return len(self._records)

    def append(self, batch: Batch) -> None:
        """See Store.append."""
        for record, envelope in batch.events:
            self._records.append(record)
            self._streams.setdefault(envelope.stream, []).append(record.position)
            if envelope.idempotency_key is not None:
                self._keys[envelope.idempotency_key] = record.position
        for tile in batch.tiles:
            self._tiles[tile.level, tile.index] = tile
        for position in batch.erase:
            self._records[position] = self._records[position]._replace(
                content=None, content_salt=None
            )

    def records(self, start: int, stop: int) -> Iterator[Record]:
        """See Store.records."""
        yield from self._records[start:stop]

    def position_of(self, idempotency_key: bytes) -> int | None:
        """See Store.position_of."""
        return self._keys.get(idempotency_key)

    def stream_length(self, stream: bytes) -> int:
        """See Store.stream_length."""
        return len(self._streams.get(stream, []))

    def stream_positions(self, stream: bytes, start: int, stop: int) -> list[int]:
        """See Store.stream_positions."""
        return self._streams.get(stream, [])[start:stop]

    def tile(self, level: int, index: int) -> bytes:
        """See Store.tile."""
        if (level, index) not in self._tiles:
            raise StoreDamaged(f"tile {index} of level {level} is missing")
        return self._tiles[level, index].hashes

    def tile_roots(self, level: int, start: int) -> list[bytes]:
        """See Store.tile_roots."""
        found = sorted(at for at in self._tiles if at[0] == level and at[1] >= start)
        return [self._tiles[at].root for at in found]

    def scrub(self) -> bool:
        """See Store.scrub."""
        return True

    @property
    def erasing(self) -> bool:
        """See Store.erasing."""
        return False

    def close(self) -> None:
        """See Store.close."""
