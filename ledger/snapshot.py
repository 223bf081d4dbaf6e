"""`snapshot.db`: the folded state at one size, so that a start does not fold from event 0.

Durability class: rebuildable, and never believed. A snapshot is taken up only if the ledger itself
holds a `state.attested` for exactly this size, these reducers and this digest, computed again from
every entry; its leaf must be in the tree. Anything else (another version's reducers, another
ledger, a damaged or doctored file) is no snapshot, and the state is folded from the beginning.

Only entries that changed are written. State holds commitments and never content, so no redaction
has anything to erase here.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import apsw

from ledger.attested import Kept
from ledger.core import types
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor, LedgerError, StoreError
from ledger.core.merkle import leaf_hash
from ledger.core.state import Reducer, State
from ledger.log import Log
from ledger.replay import reducers_hash
from ledger.sql import check_schema, connect, translated

APPLICATION_ID: Final = 0x54494D53
SCHEMA_VERSION: Final = 1
_VALUE_BYTES_MAX: Final = 16 * 1024 * 1024
"""The largest entry is a list of positions: a million of them fit."""
_SCHEMA: Final = """
create table head (size integer not null, reducers blob not null) strict;
create table entry (key text primary key, value blob not null) strict, without rowid;
"""


class SnapshotFile:
    """The snapshot of one node. Made by `load`, which also says what it found."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: apsw.Connection | None = None
        self._size: int | None = None

    def load(self, log: Log, reducers: tuple[Reducer, ...]) -> State | None:
        """Return the state at the snapshot's size, or None if there is none to be trusted.

        Looks only: a start that is refused leaves no file behind.
        """
        try:
            with translated(str(self._path)):
                state = self._read(log, reducers) if self._path.exists() else None
        except (StoreError, LedgerError, InvalidCbor):
            state = None
        self._size = None if state is None else state.size
        return state

    def _read(self, log: Log, reducers: tuple[Reducer, ...]) -> State | None:
        return _restored(self._open(), log, reducers, log.size - 1)

    @property
    def empty(self) -> bool:
        """Whether nothing was taken up or saved: then `save` wants every entry."""
        return self._size is None

    def save(self, size: int, reducers: bytes, entries: Mapping[str, Any]) -> None:
        """Write the entries that changed since the last save (None: removed), or all if `empty`."""
        with translated(str(self._path)):
            connection = self._open()
            gone = [(key,) for key, value in entries.items() if value is None]
            kept = [(key, encode(value)) for key, value in entries.items() if value is not None]
            connection.execute("begin immediate")
            try:
                if self.empty:
                    connection.execute("delete from entry")
                connection.executemany("delete from entry where key = ?", gone)
                connection.executemany("insert or replace into entry values (?,?)", kept)
                connection.execute("delete from head")
                connection.execute("insert into head values (?,?)", (size, reducers))
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise
        self._size = size

    def _open(self) -> apsw.Connection:
        if self._connection is not None:
            return self._connection
        try:
            self._connection = self._prepared()
        except (apsw.Error, StoreError, UnicodeDecodeError):
            self._delete()
            self._connection = self._prepared()
        return self._connection

    def _prepared(self) -> apsw.Connection:
        new = not self._path.exists()
        if new:
            self._path.touch(mode=0o600)
        connection = connect(self._path, create=new)
        connection.execute("pragma synchronous=NORMAL")
        if new:
            connection.execute(
                f"begin immediate; pragma application_id={APPLICATION_ID};"
                f"pragma user_version={SCHEMA_VERSION}; {_SCHEMA} commit"
            )
        check_schema(connection, str(self._path), APPLICATION_ID, SCHEMA_VERSION)
        return connection

    def _delete(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def close(self) -> None:
        """Release the file."""
        if self._connection is not None:
            with contextlib.suppress(apsw.Error):
                self._connection.close()
            self._connection = None


def kept_entries(path: Path) -> Kept | None:
    """Return what the snapshot at `path` holds, believed by nobody: a replay names keys by it."""
    if not path.exists():
        return None
    try:
        with translated(str(path)):
            connection = connect(path, read_only=True)
            check_schema(connection, str(path), APPLICATION_ID, SCHEMA_VERSION)
            head = connection.execute("select size from head").get
            found = {
                key: decode(value, bytes_max=_VALUE_BYTES_MAX)
                for key, value in connection.execute("select key, value from entry")
            }
            connection.close()
    except (StoreError, InvalidCbor):
        return None
    return None if head is None else Kept(size=head, entries=found)


def read_attested(
    path: Path, log: Log, reducers: tuple[Reducer, ...], at_most: int
) -> State | None:
    """Return the state of the snapshot at `path`, if the ledger attests it, of at most that size.

    As `SnapshotFile.load`, of a file that belongs to somebody else: it is not touched.
    """
    if not path.exists():
        return None
    try:
        with translated(str(path)):
            connection = connect(path, read_only=True)
            try:
                check_schema(connection, str(path), APPLICATION_ID, SCHEMA_VERSION)
                connection.execute("begin")
                return _restored(connection, log, reducers, at_most)
            finally:
                connection.close()
    except (StoreError, LedgerError, InvalidCbor):
        return None


def _restored(
    connection: apsw.Connection, log: Log, reducers: tuple[Reducer, ...], at_most: int
) -> State | None:
    head = connection.execute("select size, reducers from head").get
    if head is None or head[1] != reducers_hash(reducers) or head[0] > at_most:
        return None
    entries = connection.execute("select key, value from entry")
    state = State.restore_encoded(reducers, entries, head[0], bytes_max=_VALUE_BYTES_MAX)
    return state if _attested(log, state, head[1]) else None


def _attested(log: Log, state: State, reducers: bytes) -> bool:
    """Tell whether the ledger says of this size that its state was this one."""
    event = log.read(state.size)
    return (
        event.type == types.STATE_ATTESTED.name
        and event.payload.get("size") == state.size
        and event.payload.get("reducers") == reducers
        and event.payload.get("digest") == state.digest()
        and log.tree.node(0, state.size) == leaf_hash(event.record.envelope)
    )
