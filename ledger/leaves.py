"""The leaf hashes of a foreign log, 32 bytes each: enough to prove, and not a word of it.

    leaves           the hashes, one behind the other: a tile of level 0 is 8,192 bytes of it
    leaves.size      how many of them are durable, and the root over those: 40 bytes

Hashes are appended first and counted then, so a crash leaves some that do not count, and they are
cut off. Opening reads and hashes all of them (a second for a million), and every tile is hashed
again when it is read: whatever damages the file is found before it proves anything. Damage cannot
be mended here; whoever keeps this fetches the hashes again (`LeafLog.discard`). What reads raises
StoreDamaged, or StoreError if the disk gives nothing or the file was closed meanwhile.

Upper levels of the tree lie in memory: 32 bytes for 256 leaves.

Like `ledger.mirror`, it knows nothing of signatures: that the hashes are of this log is for the
caller to know. `shown` are event 0 and the records of lineage, which say whose log it is.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ledger.core.errors import NotFound, StoreDamaged, StoreError
from ledger.core.event import Event
from ledger.core.lineage import LINEAGE_TYPES, Lineage
from ledger.core.merkle import HASH_BYTES, leaf_hash, perfect_root
from ledger.core.tiles import TILE_WIDTH, Tree
from ledger.files import write_atomically

_TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES
_SIZE_BYTES: Final = 8
_READ_TILES: Final = 256
"""Two megabytes are read and hashed at a time."""


class LeafLog:
    """The copy, as its one writer. Empty until the first `take`."""

    def __init__(self, path: Path) -> None:
        """Open what lies at `path`, all of it hashed. Raises StoreError, OSError."""
        self._path = path
        self.shown: tuple[Event, ...] = ()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        self._roots: list[bytearray] = []
        """Of each level, the roots of its full tiles: the hashes of the next."""
        self._tree = Tree(self._tile)
        try:
            self._restore()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Release the file. Further calls are errors."""
        self._file.close()

    @staticmethod
    def discard(path: Path) -> None:
        """Put a damaged file aside, as `<name>.damaged`, in the place of an older one."""
        path.replace(path.with_name(f"{path.name}.damaged"))
        _size_path(path).unlink(missing_ok=True)

    # ---- reading ----------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Number of leaves that are durable."""
        return self._tree.size

    @property
    def tree(self) -> Tree:
        """The tree over them. Read only."""
        return self._tree

    def root(self, size: int) -> bytes:
        """The root over the first `size` leaves."""
        return self._tree.root(size)

    def leaves(self, start: int, stop: int) -> list[bytes]:
        """The leaf hashes [start, stop)."""
        return [self._tree.node(0, at) for at in range(start, stop)]

    def lineage(self) -> Lineage | None:
        """Which keys were in charge when, by what was shown; None without it."""
        if not self.shown:
            return None
        lineage = Lineage.of(self.shown[0])
        for event in self.shown[1:]:
            lineage = lineage.add(event)
        return lineage

    def lineage_records(self) -> list[Event]:
        """The handoffs and recoveries that were shown."""
        return [event for event in self.shown if event.type in LINEAGE_TYPES]

    def read(self, position: int) -> Event:
        """One of the events that were shown. Raises NotFound for any other, or if it is no leaf."""
        found = next((one for one in self.shown if one.position == position < self.size), None)
        if found is not None:
            leaf = self._tree.node(0, position)
            if leaf_hash(found.record.envelope) == leaf:
                return found
        raise NotFound(f"event {position} is not here", hint="this copy holds leaf hashes only")

    # ---- growing ----------------------------------------------------------------------------

    def take(self, leaves: Sequence[bytes]) -> None:
        """Append leaf hashes, durably. Raises OSError, and none of them counts then."""
        data, end = memoryview(b"".join(leaves)), self.size * HASH_BYTES
        while data:
            written = os.pwrite(self._file.fileno(), data, end)
            data, end = data[written:], end + written
        os.fsync(self._file.fileno())
        tree, roots = self._tree.fork(), [bytearray(row) for row in self._roots]
        tree.extend(leaves)
        _keep(roots, tree)
        told = tree.size.to_bytes(_SIZE_BYTES, "big") + tree.root()
        write_atomically(_size_path(self._path), told)
        self._roots, self._tree = roots, tree

    def _restore(self) -> None:
        try:
            told = _size_path(self._path).read_bytes()
        except FileNotFoundError:
            told = bytes(_SIZE_BYTES) + self._tree.root()
        size, root = int.from_bytes(told[:_SIZE_BYTES], "big"), told[_SIZE_BYTES:]
        found = os.fstat(self._file.fileno()).st_size
        if found < size * HASH_BYTES:
            raise StoreDamaged(
                f"{self._path} holds {found} bytes, {size * HASH_BYTES} were written"
            )
        for leaves in self._rows(size):
            self._tree.extend(leaves)
            _keep(self._roots, self._tree)
        if self._tree.root() != root:
            raise StoreDamaged(f"{self._path} does not lead to the root of its {size} leaves")
        self._file.truncate(size * HASH_BYTES)

    def _rows(self, size: int) -> Iterator[list[bytes]]:
        for start in range(0, size, _READ_TILES * TILE_WIDTH):
            count = min(_READ_TILES * TILE_WIDTH, size - start)
            yield _hashes(self._read(start * HASH_BYTES, count * HASH_BYTES))

    def _tile(self, level: int, index: int) -> bytes:
        """A full tile; one of leaves is hashed again. Raises StoreError."""
        if level:
            return bytes(self._roots[level - 1][index * _TILE_BYTES : (index + 1) * _TILE_BYTES])
        data = self._read(index * _TILE_BYTES, _TILE_BYTES)
        root = self._roots[0][index * HASH_BYTES : (index + 1) * HASH_BYTES]
        if len(data) != _TILE_BYTES or perfect_root(_hashes(data)) != root:
            raise StoreDamaged(f"{self._path}: tile {index} is not what was written")
        return data

    def _read(self, start: int, length: int) -> bytes:
        try:
            return os.pread(self._file.fileno(), length, start)
        except (OSError, ValueError) as error:  # ValueError: it is closed
            raise StoreError(f"{self._path} cannot be read: {error}") from error


def _keep(roots: list[bytearray], tree: Tree) -> None:
    """Take in the roots of the tiles that a tree filled since."""
    for tile in tree.take_tiles():
        if tile.level == len(roots):
            roots.append(bytearray())
        roots[tile.level] += tile.root


def _size_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.size")


def _hashes(data: bytes) -> list[bytes]:
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
