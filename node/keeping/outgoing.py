"""Writing a bundle of a whole ledger beside a running node: an export, a backup.

The log only grows, so it is read without stopping anybody. One thing takes something out of it: a
redaction. Of words that are redacted while the file is written, a page that was read before holds
them, and a page that is read after lacks them though no redaction under the file's head says why.
So if a redaction is appended meanwhile, the file is written again. It gets its name when all of it
is on the disk and was read back and verified.
"""

import fcntl
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Generic, TypeVar

from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import Refused, StoreError, TimmyError
from ledger.core.types import REDACTED
from ledger.files import sync_folder
from ledger.log import Log
from node.client import refresh
from node.home import Home
from node.open import open_log, released

_TRIES_MAX: Final = 5
"""Redactions are rare; five in a row while a file is written are somebody's program."""

Say = Callable[[str], None]
T = TypeVar("T")
Fill = Callable[[Log, SignedCheckpoint, BinaryIO], T]
"""Writes everything under the head, and says what it wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written(Generic[T]):
    """A file that is whole. `unreleased`: events of the log not yet in it."""

    what: T
    length: int
    head: SignedCheckpoint
    unreleased: int


def write_whole(
    home: Home, target: Path, fill: Fill[T], check: Callable[[Path], object], *, say: Say
) -> Written[T]:
    """Write `target` with what `fill` writes of the home's ledger and `check` does not refuse.

    Raises GuardError for a home that may not release, TimmyError; then `target` is as it was.
    """
    temporary = target.with_name(f".{target.name}.new")
    try:
        with _private_file(temporary) as file:
            made = _write(home, fill, file, say)
            say("reading it back")
            check(temporary)
            temporary.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise TimmyError(
            f"{target} cannot be written: {error.strerror}", hint="choose another place: -o FILE"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)  # half a life, in plain words, must not lie about
    return made


def _private_file(path: Path) -> BinaryIO:
    """Open the temporary file, ours alone. Raises Refused if somebody else is writing it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.fdopen(os.open(path, flags, 0o600), "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise Refused(
            f"another command is writing to {path}", hint="wait for it, or choose -o FILE"
        ) from error
    return file


def _write(home: Home, fill: Fill[T], file: BinaryIO, say: Say) -> Written[T]:
    with closing(open_log(home)) as log:
        head = _head_over_redactions(home, log)
        for _ in range(_TRIES_MAX):
            file.seek(0)
            file.truncate()
            what = fill(log, head, file)
            file.flush()
            os.fsync(file.fileno())
            log.refresh()
            if _newest_redaction(log, head.size) is None:
                unreleased = log.size - head.size
                return Written(what=what, length=file.tell(), head=head, unreleased=unreleased)
            say("something was redacted meanwhile: beginning again without it")
            head = _head_over_redactions(home, log)
    raise StoreError(
        f"the log was redacted {_TRIES_MAX} times while it was written",
        hint="write the file when the redactions are done",
    )


def _head_over_redactions(home: Home, log: Log) -> SignedCheckpoint:
    """Return the last released head; a running node is asked for one if a redaction needs it."""
    head = released(home, log)
    if _newest_redaction(log, head.size) is None:
        return head
    refresh(home)
    head = released(home, log)
    at = _newest_redaction(log, head.size)
    if at is not None:
        raise Refused(
            f"event {at} is a redaction that no released head covers yet: without it the words "
            "that it erases would be missing in the file",
            hint="start the node, it releases a head within a second: timmy run",
        )
    return head


def _newest_redaction(log: Log, start: int) -> int | None:
    found = [event.position for event in log.events(start) if event.type == REDACTED.name]
    return found[-1] if found else None
