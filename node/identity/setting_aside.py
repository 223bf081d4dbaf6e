"""Beginning anew at the last released head: what a held node appended since goes to a file.

A node that woke as an old copy of itself appended, and released nothing: nobody was shown a head
over that, and others hold other events at those positions. So its ledger goes back to its last
released head, and on from there: as a mirror has it, or with the record of a new epoch, which so
keeps nothing that contradicts what it gives up. The new ledger is made complete beside the old one
and takes its name at the end; a crash before that changes nothing. What is left out is written
first, an event a line, as `timmy log --json` shows them; what was erased meanwhile is erased again.
That file is nobody's record: no head covers it, and no redaction looks into it.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from attest.verify.plain import jsonable
from ledger.core.errors import Refused
from ledger.core.event import Envelope, Event
from ledger.core.redaction import targets
from ledger.core.types import REDACTED
from ledger.files import sync_folder, write_atomically
from ledger.log import Log
from ledger.mirror import MirrorLog
from ledger.sqlite import SqliteStore, locked
from node import console
from node.home import Home
from node.open import now_ms

_BATCH: Final = 1000
"""Events a commit."""
_NEW: Final = "renewed.db"
T = TypeVar("T")


def renew(home: Home, log: Log, released: int, grow: Callable[[Path], T]) -> tuple[T, Path]:
    """Make another ledger of the first `released` events of `log` and what `grow` appends to it.

    `grow` is given its path. Returns what it does, and the file with the events of `log` that are
    not in the new ledger. Once `log` is closed, `put_in_place` ends it.
    """
    new = home.path / _NEW
    _remove(new)
    with MirrorLog(SqliteStore.create(new)) as other:
        for start in range(0, released, _BATCH):
            records = log.records(start, min(start + _BATCH, released))
            other.take([(one, Envelope.parse(one.envelope)) for one in records], ())
    grown = grow(new)
    with writer(new) as other:
        parted = _parted(log, other, released)
        left_out = list(log.events(parted))
        _erase_again(left_out, other, parted)
    last = log.read(log.size - 1).id.hex()[:16]
    file = home.set_aside / f"{parted}-{log.size}-{last}.jsonl"
    file.parent.mkdir(mode=0o700, exist_ok=True)
    lines = [json.dumps(jsonable(console.row(event))) + "\n" for event in left_out]
    write_atomically(file, "".join(lines).encode())
    return grown, file


def writer(path: Path) -> Log:
    """Open a ledger that is not in place yet."""
    return Log(SqliteStore.open(path), clock=now_ms, entropy=os.urandom)


def put_in_place(home: Home) -> None:
    """Let the new ledger take the name of the old one, which is closed; views are made anew.

    Raises Refused, StoreLocked; then nothing is changed.
    """
    with locked(home.ledger):
        _put_in_place(home)


def _put_in_place(home: Home) -> None:
    if any(path.exists() and path.stat().st_size for path in _beside(home.path / _NEW)):
        raise Refused(
            "the new ledger was not written whole; the old one is as it was",
            hint="see that the disk has room and is well, then give the command again",
        )
    if any(path.exists() and path.stat().st_size for path in _beside(home.ledger)):
        raise Refused(
            f"another program reads {home.ledger}", hint="end it, then give the command again"
        )
    sync_folder(home.path)  # what was set aside is there to stay before it goes from here
    for path in (home.views, home.snapshot):
        _remove(path)
    for path in _beside(home.ledger):
        path.unlink(missing_ok=True)
    (home.path / _NEW).replace(home.ledger)
    sync_folder(home.path)
    _remove(home.path / _NEW)


def _parted(log: Log, other: Log, same: int) -> int:
    """The first event that is another one in the two, or is in `log` alone; `same` are not."""
    both = min(log.size, other.size)
    differ = (at for at in range(same, both) if log.read(at).id != other.read(at).id)
    return next(differ, both)


def _erase_again(left_out: Sequence[Event], other: Log, parted: int) -> None:
    """A redaction that is left out had targets that are not."""
    for event in left_out:
        wanted = [target for target in targets(event) if target < parted]
        if event.type == REDACTED.name and wanted:
            reason, actor = event.payload["reason"], event.payload["actor"]
            other.append_now(other.redaction(wanted, reason=reason, actor=actor))


def _remove(path: Path) -> None:
    for one in (path, *_beside(path), path.with_suffix(".lock")):
        one.unlink(missing_ok=True)


def _beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + end) for end in ("-wal", "-shm")]
