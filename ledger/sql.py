"""The one door to SQLite: opening databases safely, and foreign errors turned into ours.

Every page carries a checksum (cksumvfs, 8 reserved bytes): a flipped bit is an error at the read
that meets it, not a wrong answer. Free pages, which no query reads, and the write-ahead log are
read as bytes by `check_files`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep
from typing import Final

import apsw
import apsw.sqlite_extra

from ledger.core.errors import (
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreSchema,
    StoreUnmade,
)
from ledger.wal import read_wal

_CHECKSUM_VFS: Final = "cksmvfs"
_CHECKSUM_BYTES: Final = 8
_PAGE_BYTES: Final = 8192
_PAGE_READS_MAX: Final = 3
"""A page that a running node is just writing reads as damaged once, hardly twice."""
_PAGE_READ_AGAIN_SECONDS: Final = 0.05
_BUSY_MS: Final = 5000
"""A writer holds the lock for one commit; five seconds means something is wrong."""
ERASING: Final = ".erasing"
"""Suffix of a mark beside a database: words were erased, and bytes of them may be left in it."""
_TRUNCATE_MS: Final = 250
"""How long emptying the log waits for readers: whoever wants it emptied asks again later."""
_PRAGMAS: Final = (
    "trusted_schema=OFF",
    "cell_size_check=ON",
    "foreign_keys=ON",
    "mmap_size=0",
    "temp_store=MEMORY",  # no words in temporary files, which no redaction would find
)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise our errors for SQLite's. `what` names the file for the reader of the message."""
    try:
        yield
    except apsw.FullError as error:
        raise StoreFull(
            f"the disk is full: {what} takes no more",
            hint="free some space; reading goes on and appending resumes by itself",
        ) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise StoreDamaged(f"{what} is damaged: {error}") from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreLocked(f"{what} is busy: {error}") from error
    except apsw.IOError as error:
        if getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_DATA:
            raise StoreDamaged(f"{what} is damaged: a page does not match its checksum") from error
        raise StoreError(
            f"{what} cannot be read or written: {error}", hint="run: timmy doctor"
        ) from error
    except UnicodeDecodeError as error:
        raise StoreDamaged(f"{what} holds text that is not UTF-8") from error
    except apsw.Error as error:
        raise StoreError(f"{what}: {error}") from error


def _load_checksums() -> None:
    """Register cksumvfs once per process; it becomes the default way to open files."""
    if _CHECKSUM_VFS not in apsw.vfs_names():
        connection = apsw.Connection(":memory:")
        apsw.sqlite_extra.load(connection, "cksumvfs")
        connection.close()


def connect(path: Path, *, create: bool = False, read_only: bool = False) -> apsw.Connection:
    """Open a checksummed database with the pragmas every database of ours has."""
    _load_checksums()
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    if create:
        flags |= apsw.SQLITE_OPEN_CREATE
    connection = apsw.Connection(str(path), flags=flags, vfs=_CHECKSUM_VFS)
    connection.set_busy_timeout(_BUSY_MS)
    for pragma in _PRAGMAS:
        connection.execute(f"pragma {pragma}")
    if not read_only:
        if create:
            connection.reserve_bytes(reserve=_CHECKSUM_BYTES)
            connection.execute(f"pragma page_size={_PAGE_BYTES}")
        connection.execute("pragma secure_delete=ON")
        connection.execute("pragma journal_mode=WAL")
        connection.execute("pragma wal_autocheckpoint=4000")
        connection.execute("pragma journal_size_limit=67108864")
    return connection


def check_application(connection: apsw.Connection, what: str, application: int) -> int:
    """Refuse a database of another program; return the version of ours."""
    found = connection.pragma("application_id"), connection.pragma("user_version")
    if found == (0, 0) and not connection.pragma("schema_version"):
        raise StoreUnmade(
            f"{what} is empty", hint="restore it from a backup, or move it away and begin again"
        )
    if found[0] != application:
        raise StoreSchema(
            f"{what} is not ours: application id {found[0]}, expected {application}",
            hint="another program wrote it: restore ours from a backup, or choose another home",
        )
    return int(found[1])


def check_schema(connection: apsw.Connection, what: str, application: int, version: int) -> None:
    """Refuse a database of another program or another version of this one."""
    found = check_application(connection, what, application)
    if found != version:
        raise StoreSchema(f"{what} has schema {found}, this version reads {version}")


def truncate_wal(connection: apsw.Connection) -> bool:
    """Move every page into the database and empty the log. False if a reader holds it back."""
    connection.set_busy_timeout(_TRUNCATE_MS)
    try:
        busy, _, _ = connection.execute("pragma wal_checkpoint(TRUNCATE)").fetchall()[0]
    except (apsw.BusyError, apsw.LockedError):
        return False
    finally:
        connection.set_busy_timeout(_BUSY_MS)
    return not busy


def checksum_holds() -> Callable[[bytes], bool]:
    """Return the test that a page passes when it is read: does it match its checksum?"""
    _load_checksums()
    connection = apsw.Connection(":memory:", vfs=_CHECKSUM_VFS)

    def holds(page: bytes) -> bool:
        return bool(connection.execute("select verify_checksum(?)", (page,)).get)

    return holds


def check_log(path: Path) -> frozenset[int]:
    """Return the pages that the write-ahead log holds. Raises StoreDamaged if it lost commits."""
    wal = read_wal(path)
    if wal.damaged is not None:
        where = f"at frame {wal.damaged}" if wal.damaged else "in its header"
        raise StoreDamaged(
            f"{path}-wal is damaged {where}: what was committed after frame {wal.frames} is lost",
            hint="run: timmy doctor",
        )
    return wal.pages


def check_files(path: Path) -> None:
    """Read the database and its write-ahead log as bytes. Raises StoreDamaged.

    Every page whose newest copy is in the file must match its checksum, in use or free: a bit that
    flips in a free page harms nothing yet, and is told because the disk does such things. Call it
    while nothing in this process has the database open: closing a file gives up every POSIX lock
    that the process has on it (sqlite.org/howtocorrupt.html, section 2.2).
    """
    _load_checksums()
    checker = apsw.Connection(":memory:")
    try:
        suspects = set(_bad_pages(checker, path, None))
        for _ in range(_PAGE_READS_MAX - 1):
            suspects -= _settled_log(path)
            if not suspects:
                break
            sleep(_PAGE_READ_AGAIN_SECONDS)
            suspects &= set(_bad_pages(checker, path, suspects))
        suspects -= _settled_log(path)
    finally:
        checker.close()
    if suspects:
        raise StoreDamaged(
            f"{path} is damaged: page {min(suspects)} does not match its checksum",
            hint="run: timmy doctor",
        )


def _settled_log(path: Path) -> frozenset[int]:
    """`check_log` beside a writer: a log that is being begun anew looks damaged once."""
    for _ in range(_PAGE_READS_MAX - 1):
        with suppress(StoreDamaged):
            return check_log(path)
        sleep(_PAGE_READ_AGAIN_SECONDS)
    return check_log(path)


def _bad_pages(checker: apsw.Connection, path: Path, only: set[int] | None) -> Iterator[int]:
    """Yield the numbers, from 1, of pages that do not match their checksum."""
    with path.open("rb") as file:
        number = 0
        while len(page := file.read(_PAGE_BYTES)) == _PAGE_BYTES:
            number += 1
            if number == 1 and (page[16:18], page[20]) != (b"\x20\x00", _CHECKSUM_BYTES):
                yield 1
            elif (only is None or number in only) and not checker.execute(
                "select verify_checksum(?)", (page,)
            ).get:
                yield number
