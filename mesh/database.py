"""The mesh's one door to SQLite: opening a file of ours, and turning apsw's errors into ours.

Every file says whose it is (`application_id`) and in which form (`user_version`); any other is
refused before it is touched. WAL, so that a reader never waits; how much a power cut may take is
the caller's `synchronous`: NORMAL may lose the last commits, FULL none; neither corrupts.

What is deleted is overwritten. Pages whose rows were moved elsewhere keep them all the same, and so
does the write-ahead log; `erase` leaves nothing of what must be gone.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import apsw

from ledger.core.errors import StoreError as LedgerStoreError
from ledger.files import clear_mark, read_mark, set_mark
from ledger.migrations import History, Step, migrate
from ledger.sql import ERASING, truncate_wal
from mesh.core.errors import StoreError, StoreSchema

_APPLICATION_ID = 0x54696D79
"""ASCII "Timy"; `file` shows it."""
_IN_MEMORY_BYTES_MAX: Final = 64 << 20
"""Up to here a file is rewritten by way of memory: others' temporary folders need not see it."""


@contextmanager
def errors_as_ours(path: Path) -> Iterator[None]:
    """Raise StoreError, naming the file, for whatever SQLite reports inside."""
    try:
        yield
    except apsw.FullError as error:
        raise StoreError(f"no space left for {path}", hint="free some disk space") from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        hint = f"it can be rebuilt: stop the node and remove {path.name}"
        raise StoreError(f"damaged database {path}: {error}", hint=hint) from error
    except apsw.Error as error:
        raise StoreError(f"database {path}: {error}") from error


@contextmanager
def transaction(connection: apsw.Connection, path: Path) -> Iterator[None]:
    """Commit what is done inside, or nothing of it. Raises StoreError."""
    with errors_as_ours(path), connection:
        yield


def open_database(
    path: Path,
    *,
    schema: str,
    version: int,
    synchronous: Literal["NORMAL", "FULL"],
    steps: Mapping[int, Step] = MappingProxyType({}),
) -> apsw.Connection:
    """Open or create the database at `path`, or bring one of an older version forward by `steps`.

    Raises StoreSchema if the file is another program's or another version's, StoreError for the
    rest. `schema` is run once, in the transaction that also marks the file.
    """
    with errors_as_ours(path):
        connection = apsw.Connection(str(path))
        try:
            connection.set_busy_timeout(5000)  # a backup may hold the file for a moment
            _own(connection, path, schema, version, steps)
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA journal_size_limit = 16777216")
            connection.execute("PRAGMA secure_delete = ON")
        except BaseException:
            connection.close()
            raise
    return connection


def erase(
    connection: apsw.Connection, path: Path, names: Collection[str], delete: Callable[[], None]
) -> bool:
    """Run `delete` on the rows of these names, and leave no byte of them in the file or its log.

    Also of rows of these names that went before, of which pages and log may still hold something.
    False if a reader keeps the log from being emptied: call again with the same names. A mark
    beside the file stands until it is done. Takes as long as writing the file anew. Raises
    StoreError.
    """
    mark = path.with_suffix(ERASING)
    token = hashlib.sha256("\n".join(sorted(names)).encode()).digest()
    try:
        with errors_as_ours(path):
            if read_mark(mark) != token:  # or it was written anew, and its log is left
                set_mark(mark)
                with connection:
                    delete()
                small = path.stat().st_size <= _IN_MEMORY_BYTES_MAX
                connection.execute(f"PRAGMA temp_store = {'MEMORY' if small else 'DEFAULT'}")
                connection.execute("VACUUM")
                set_mark(mark, token)
            if not truncate_wal(connection):
                return False
        clear_mark(mark)
    except OSError as error:
        raise StoreError(f"{mark}: {error.strerror}", hint="free some disk space") from error
    return True


def _own(
    connection: apsw.Connection, path: Path, schema: str, version: int, steps: Mapping[int, Step]
) -> None:
    found_id = connection.pragma("application_id")
    found_version = connection.pragma("user_version")
    if (found_id, found_version) == (_APPLICATION_ID, version):
        connection.execute("PRAGMA journal_mode = WAL")
        return
    if found_id == _APPLICATION_ID and found_version in steps:
        _bring_forward(connection, path, version, steps)
        return
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if tables or found_id or found_version:
        raise StoreSchema(
            f"{path} is form {found_version} of application {found_id:#x},"
            f" expected {version} of {_APPLICATION_ID:#x}",
            hint=f"it can be rebuilt: stop the node and remove {path.name}",
        )
    connection.execute("PRAGMA journal_mode = WAL")
    with connection:
        connection.execute(schema)
        connection.pragma("application_id", _APPLICATION_ID)
        connection.pragma("user_version", version)


def _bring_forward(
    connection: apsw.Connection, path: Path, version: int, steps: Mapping[int, Step]
) -> None:
    """Take the steps to `version`, each whole or not at all, as the ledger's own are taken."""
    history = History(application=_APPLICATION_ID, version=version, steps=steps, kept={})
    try:
        migrate(connection, path, history)
    except LedgerStoreError as error:
        raise StoreError(str(error), hint=error.hint) from error
    connection.execute("PRAGMA journal_mode = WAL")
