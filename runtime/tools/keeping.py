"""Keeps `.timmy` of a folder as it is while a program may write to all of that folder.

In bubblewrap it is mounted read-only. Landlock grants a folder with all that is in it, so what a
program changed there is put back when it has ended, before anybody reads it: the rules in force are
those of before while a program runs (`busy`), and such programs run one at a time.

Not covered: a node that is killed meanwhile, and so never comes to put it back; files of `.timmy`
beyond ENTRIES_MAX or BYTES_MAX, with which no program is started.
"""

import asyncio
import os
import stat
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from runtime.core.errors import ToolFailed
from runtime.rooms import remove
from runtime.tasks import to_its_end

ENTRIES_MAX: Final = 200
"""Rules and a few context files."""
BYTES_MAX: Final = 4 * 1024 * 1024

_Kept = Mapping[str, tuple[int, bytes]]
"""Path from the folder on: mode, and bytes of a file or the target of a link."""


class Keeping:
    """What is kept while programs run; one for all that work in the same folder."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._running = False

    def busy(self) -> bool:
        """Whether a program runs that could change what is kept."""
        return self._running

    @asynccontextmanager
    async def kept(self, path: Path) -> AsyncIterator[list[str]]:
        """Have this folder, when the block is left, as it was; the list then says what was done.

        Raises ToolFailed if it holds more than can be kept.
        """
        async with self._lock:
            before = await asyncio.to_thread(_read, path)
            said: list[str] = []
            self._running = True
            try:
                yield said
            finally:
                changed = await to_its_end(asyncio.to_thread(_put_back, path, before))
                self._running = False
            if changed:
                said.append(f"[{path.name} was changed by this: it is as it was before]")


def _read(path: Path) -> _Kept:
    """Raises ToolFailed."""
    try:
        return _found(path)
    except OSError as error:
        raise ToolFailed(f"{path.name} cannot be read: {error.strerror}") from error


def _found(path: Path) -> _Kept:
    """Raises ToolFailed, OSError."""
    found, waiting, size = {}, [path], 0
    while waiting:
        one = waiting.pop()
        mode = one.lstat().st_mode
        data = b""
        if stat.S_ISDIR(mode):
            waiting += one.iterdir()
        elif stat.S_ISLNK(mode):
            data = os.fsencode(one.readlink())
        elif stat.S_ISREG(mode):
            with one.open("rb") as file:
                data = file.read(BYTES_MAX + 1)
        found[str(one.relative_to(path))] = (mode, data)
        size += len(data)
        if len(found) + len(waiting) > ENTRIES_MAX or size > BYTES_MAX:
            raise ToolFailed(
                f"{path.name} holds more than {ENTRIES_MAX} files or {BYTES_MAX} bytes: no program"
                " runs beside it without bubblewrap"
            )
    return found


def _put_back(path: Path, before: _Kept) -> bool:
    """Return whether it had to be. Raises OSError."""
    try:
        if _found(path) == before:
            return False
    except (OSError, ToolFailed):
        pass  # gone, shut, or grown: anything but what it was
    aside = Path(tempfile.mkdtemp(prefix=".timmy-", dir=path.parent))
    try:
        with suppress(FileNotFoundError):
            path.rename(aside / "changed")
        fresh = aside / "kept"
        _write(fresh, before)
        fresh.rename(path)
    finally:
        remove(aside)
    return True


def _write(fresh: Path, before: _Kept) -> None:
    folders = []
    for name in sorted(before):
        mode, data = before[name]
        one = fresh / name
        if stat.S_ISDIR(mode):
            one.mkdir(mode=0o700)
            folders.append((one, stat.S_IMODE(mode)))
        elif stat.S_ISLNK(mode):
            one.symlink_to(os.fsdecode(data))
        elif stat.S_ISREG(mode):
            one.write_bytes(data)
            one.chmod(stat.S_IMODE(mode))
    for folder, mode in folders:
        folder.chmod(mode)
