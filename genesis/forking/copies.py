"""An exported session as files, for another process: a copy, never the parent's own home.

    FOLDER/ledger.db      the events below the head, sealed as they are
    FOLDER/snapshot.db    the newest state that the ledger attests, if there is one
    FOLDER/session.cbor   the head and what goes with it (`genesis.core.exported`), written last

The folder is 0700, each file 0600: it holds everything that was said. What was interrupted goes on
where it stopped, and a copy of before grows to a newer head; events that are there already must be
the same. Opening a copy reads every envelope and compares the root, so that a file that was changed
is refused before anything is tried on it.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

from genesis.core import limits
from genesis.core.errors import InvalidExport, PrivateFileError, PrivateFileMissing
from genesis.core.exported import About
from genesis.forking.session import REDUCERS, Exported, now_ms
from genesis.keys import private
from ledger.core.errors import InvalidData, StoreError
from ledger.core.event import Event
from ledger.core.merkle import fold_peaks, leaf_hash, perfect_root, push
from ledger.core.redaction import targets
from ledger.core.tiles import TILE_LEVELS, TILE_WIDTH
from ledger.files import sync_folder, write_atomically
from ledger.log import Log
from ledger.mirror import MirrorLog
from ledger.replay import reducers_hash
from ledger.snapshot import SnapshotFile
from ledger.sqlite import SqliteStore

_LEDGER: Final = "ledger.db"
_SNAPSHOT: Final = "snapshot.db"
_ABOUT: Final = "session.cbor"
_BATCH_EVENTS: Final = 1000
"""Copied in one commit: what is lost of an interrupted copy takes some hundredths of a second."""


def save(exported: Exported, folder: Path) -> None:
    """Write `exported` into `folder`, or bring the copy there forward; not for an event loop.

    Raises InvalidExport if something else lies there, if the folder or a file in it is somebody
    else's or open to others; StoreFull and StoreError from below.
    """
    about = exported.about
    if about.size > limits.EXPORT_EVENTS_MAX:
        raise InvalidExport(
            f"a session of {about.size} events, at most {limits.EXPORT_EVENTS_MAX}",
            hint="fork it in the node that has it",
        )
    try:
        private.make_folder(folder)
        _check_folder(folder)
    except PrivateFileError as error:
        raise InvalidExport(str(error), hint=error.hint) from error
    with suppress(FileNotFoundError):
        (folder / _ABOUT).unlink()  # until it is there again the copy is not whole
    path = folder / _LEDGER
    store = SqliteStore.open(path) if path.exists() else SqliteStore.create(path)
    with MirrorLog(store) as copy:
        _copy_events(exported, copy)
    _copy_snapshot(exported, folder / _SNAPSHOT)
    write_atomically(folder / _ABOUT, about.encode())
    sync_folder(folder)


def _check_folder(folder: Path) -> None:
    """Refuse what is none of an export's own files: others, links, what somebody else made."""
    known = {f"{name}{end}" for name in (_LEDGER, _SNAPSHOT) for end in ("", "-wal", "-shm")}
    known |= {_ABOUT, "ledger.lock", "ledger.db.erasing"}
    for path in folder.iterdir():
        if path.name not in known:
            raise InvalidExport(
                f"{folder} holds {path.name}, which is none of an export's files",
                hint="name an empty folder, or one that an export was written into",
            )
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise InvalidExport(f"{path} is not a regular file", hint="name an empty folder")
        private.check_private(path, status, mode=private.FILE_MODE)


def _copy_events(exported: Exported, copy: MirrorLog) -> None:
    log, size = exported.log, exported.about.size
    if copy.size > size or (copy.size and copy.root(copy.size) != log.tree.root(copy.size)):
        raise InvalidExport(
            f"the {copy.size} events that were copied before are not of this session",
            hint="name an empty folder",
        )
    records = log.records(copy.size, size)
    while batch := list(islice(records, _BATCH_EVENTS)):
        events = [Event.open(record) for record in batch]
        erased = [at for event in events for at in targets(event) if at < event.position]
        copy.take([(event.record, event.envelope) for event in events], erased)


def _copy_snapshot(exported: Exported, path: Path) -> None:
    state = exported.snapshot_state()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    if state is None:
        return
    snapshot = SnapshotFile(path)
    try:
        snapshot.save(state.size, reducers_hash(REDUCERS), state.entries)
    finally:
        snapshot.close()


@contextmanager
def opened(folder: Path, *, digest_key: bytes | None = None) -> Iterator[Exported]:
    """Open a copy, every envelope and the root checked; not for an event loop.

    `digest_key`: that of the parent's steps, which is in no file. Raises InvalidExport.
    """
    about = _about(folder)
    try:
        store = SqliteStore.open_read_only(folder / _LEDGER)
        log = Log(store, clock=now_ms, entropy=os.urandom, reading=True)
    except StoreError as error:
        raise InvalidExport(f"{folder / _LEDGER}: {error}", hint=error.hint) from error
    with log:
        try:
            _check(log, about)
        except (StoreError, InvalidData) as error:
            raise InvalidExport(f"{folder / _LEDGER}: {error}", hint="export it anew") from error
        found = Exported(about=about, log=log, snapshot=folder / _SNAPSHOT)
        yield found if digest_key is None else replace(found, digest_key=digest_key)


def _about(folder: Path) -> About:
    path = folder / _ABOUT
    try:
        data = private.read(path, bytes_max=limits.EXPORT_ABOUT_BYTES_MAX)
        private.check_private(folder, folder.lstat(), mode=private.FOLDER_MODE)
    except PrivateFileMissing as error:
        raise InvalidExport(
            f"{error}: this is no export, or one that was interrupted",
            hint="write it again into the same folder: it goes on where it stopped",
        ) from error
    except PrivateFileError as error:
        raise InvalidExport(str(error), hint=error.hint) from error
    return About.decode(data)


def _check(log: Log, about: About) -> None:
    if log.size != about.size:
        raise InvalidExport(f"{log.size} events are there, {about.size} were exported")
    peaks: list[bytes] = []
    records = log.records(0, about.size)
    while tile := list(islice(records, TILE_WIDTH)):
        leaves = [leaf_hash(record.envelope) for record in tile]
        if len(leaves) == TILE_WIDTH:
            push(peaks, tile[0].position >> TILE_LEVELS, perfect_root(leaves))
            continue
        for at, leaf in enumerate(leaves):
            push(peaks, at, leaf)
    if fold_peaks(peaks) != about.root or log.tree.root(about.size) != about.root:
        raise InvalidExport(
            f"the {about.size} events are not those of the head {about.root.hex()[:16]}",
            hint="export it anew",
        )
    if log.ledger_id != about.ledger:
        raise InvalidExport("the first event is another one than the export says")
