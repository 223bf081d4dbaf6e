"""How a file, a folder or a git branch looks: 32 bytes to compare, by which a job is woken.

A file looks as its size, its time of change and its identity say; a folder as its own entries do.
What is inside is not read: a file that is written without any of the three changing is not noticed.
A branch looks as the commit it names. What is absent, or may not be looked at, looks like that too.

Not covered: folders below a folder; a file system that hangs holds up the looking, nothing else.
"""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeAlias

from ledger.core import hashing
from runtime.core.errors import JobRefused
from runtime.core.schedule import COMMIT, NOSTR, Watch

SIGHT: Final = "timmy-node 2026-11 sight of a watched path v1"
_ENTRIES_MAX: Final = 10_000
"""Of a folder. One with more is known by its own time of change, which new and gone names set."""
_GIT_S_MAX: Final = 10.0
_ABSENT: Final = b"absent"
_UNREADABLE: Final = b"unreadable"


Sight: TypeAlias = Callable[[Watch], Awaitable[bytes | None]]
"""How a place looks now, 32 bytes; None if that cannot be told now. May raise JobRefused."""


async def sight(watch: Watch) -> bytes:
    """Return how the place looks now, 32 bytes. Raises JobRefused where there is no git.

    What lies on Nostr relays is not looked at here.
    """
    if watch.what == NOSTR:
        raise JobRefused("nobody looks at relays here", hint="on file, on commit")
    if watch.what == COMMIT:
        looks = await _commit(watch)
    else:
        looks = await asyncio.to_thread(_file, Path(watch.path))
    return hashing.digest(SIGHT, looks)


def _file(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISDIR(status.st_mode):
            return _facts(status)
        with os.scandir(path) as entries:
            rows: list[bytes] = []
            for entry in entries:
                if len(rows) == _ENTRIES_MAX:
                    return _facts(status)
                rows.append(os.fsencode(entry.name) + b"\0" + _entry(entry))
    except (FileNotFoundError, NotADirectoryError):
        return _ABSENT
    except OSError:
        return _UNREADABLE
    return b"\n".join(sorted(rows))


def _entry(entry: os.DirEntry[str]) -> bytes:
    try:
        return _facts(entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return _ABSENT


def _facts(status: os.stat_result) -> bytes:
    kind = stat.S_IFMT(status.st_mode)
    return f"{kind} {status.st_size} {status.st_mtime_ns} {status.st_ino}".encode()


async def _commit(watch: Watch) -> bytes:
    """Ask git which object a name stands for, and for nothing that leads it further.

    The repository may be the agent's to write, and this runs outside of its sandbox: the object is
    not looked up, for a repository can say that a missing one is to be fetched, and by which
    command.
    """
    name = f"refs/heads/{watch.branch}" if watch.branch else "HEAD"
    plain = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    plain |= {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}
    try:
        git = await asyncio.create_subprocess_exec(
            "git", "-C", watch.path, "rev-parse", "--verify", "--quiet", "--end-of-options", name,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, env=plain,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise JobRefused("there is no git on this machine", hint="apt install git") from error
    try:
        async with asyncio.timeout(_GIT_S_MAX):
            found, _ = await git.communicate()
    except TimeoutError:
        return _UNREADABLE
    finally:
        if git.returncode is None:
            git.kill()
            await git.wait()
    return found.strip() if git.returncode == 0 else _ABSENT
