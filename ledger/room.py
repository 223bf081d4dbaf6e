"""Room kept ahead in the write-ahead log, so that a small commit costs the disk one write.

A sync of a file that grew writes the file system's journal, too: on ext4 that doubles the time of a
commit of one event. So zeros are written behind the log's end, a mebibyte at a time, and the next
commits write over them. SQLite takes a frame of zeros for the end of its log, for it does not carry
the salts of the log's header; so does `ledger.wal`. Nothing is synced here: what the power takes of
the room held nothing. Only the thread that commits may call this, after a commit: nobody else
writes to the log. A log that is begun anew lies in room already.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_ROOM_BYTES: Final = 1 << 20
"""Some sixty commits of one event; written in a fraction of what one of their syncs takes."""


class Room:
    """Call `keep` after small commits: a large one is not held up by the file's growing."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(f"{database.name}-wal")
        self._log: int | None = None
        self._end = 0

    def keep(self) -> None:
        """Write zeros behind the log if it has reached its end. Never fails: a commit was made."""
        with suppress(OSError):  # a full disk says so at the next commit that needs more of it
            if self._log is None:
                self._log = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            size = os.fstat(self._log).st_size
            if size != self._end:
                self._end = size + os.pwrite(self._log, bytes(_ROOM_BYTES), size)

    def close(self) -> None:
        """Let go of the log, which is closed next."""
        if self._log is not None:
            os.close(self._log)
            self._log = None
