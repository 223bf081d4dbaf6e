"""Rooms: the folders of the host that children held by Landlock write to, and their removal.

In memory where there is /dev/shm, so that a control group counts what lies there. Named after the
process that made them, so that the next one removes what a process that was killed left behind. So
are the folders of a judgment (`workplace`), which children only read, and those in which children
stand whom nothing holds (`Workplace`).

Not covered: how much a room may hold (the warden, or the control group); nodes of one user that
share such a folder and see no process of each other, as in two containers.
"""

import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_MEMORY_FOLDER: Final = Path("/dev/shm")  # noqa: S108 - where memory can be had as a folder
_PREFIX: Final = "timmy-room-"
_MADE: Final = re.compile(r"([0-9]+)-[a-z0-9_]{8}")
"""What stands behind the prefix: the process, and what `mkdtemp` drew."""
_MODE: Final = 0o700
"""Of what it makes. Somebody's own folder of such a name is open to others as a rule."""


class Room:
    """A folder on the host for one child, `state` in it the child's own; gone after `cleanup`."""

    def __init__(self) -> None:
        self.in_memory = os.access(_MEMORY_FOLDER, os.W_OK | os.X_OK)
        base = _MEMORY_FOLDER if self.in_memory else Path(tempfile.gettempdir())
        self.path = _made(base, _PREFIX).resolve()
        self.state = self.path / "state"
        self.packages = self.path / "site"
        self.state.mkdir(mode=0o700)

    def cleanup(self) -> None:
        """Remove it with all that the child left. Only when every process of the child is dead."""
        remove(self.path)

    def site(self, package: Path | None) -> Path:
        """Make and return a folder that has this package and no other."""
        self.packages.mkdir(mode=0o700)
        if package is not None:
            (self.packages / package.name).symlink_to(package.resolve())
        return self.packages


class Workplace:
    """A folder for files that nobody needs afterwards: `timmy-KIND-..`, where such are made.

    Making it removes those of the same kind that processes left that are dead.
    """

    def __init__(self, kind: str) -> None:
        self.path = _made(Path(tempfile.gettempdir()), f"timmy-{kind}-")

    def cleanup(self) -> None:
        """Remove it with all that is in it."""
        remove(self.path)


@contextmanager
def workplace(kind: str) -> Iterator[Path]:
    """Make a `Workplace` that is gone after the block, and return its path."""
    place = Workplace(kind)
    try:
        yield place.path
    finally:
        place.cleanup()


def _made(base: Path, prefix: str) -> Path:
    _sweep(base, prefix)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=base))


def remove(room: Path) -> None:
    """Remove a folder that a confined program wrote to, once it is dead; what fails stays.

    Step by step, each on a path of few parts: it may have nested folders deeper than a path can be
    long, taken rights off them, or put links there, which are not followed.
    """
    waiting, number = [room], 0
    while waiting:
        folder = waiting.pop()
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in list(entries):
                with suppress(OSError):
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.path)  # noqa: PTH108 - an entry, no Path
                        continue
                    os.chmod(entry.path, 0o700)  # noqa: PTH101 - an entry, no Path
                    number += 1
                    flat = room / f"{number}.flat"
                    os.rename(entry.path, flat)  # noqa: PTH104 - an entry, no Path
                    waiting.append(flat)
        with suppress(OSError):
            folder.rmdir()
    with suppress(OSError):
        room.rmdir()


def _sweep(base: Path, prefix: str) -> None:
    """Remove what a process of this user that was killed could not remove itself."""
    for path in base.glob(f"{prefix}*-*"):
        made = _MADE.fullmatch(path.name.removeprefix(prefix))
        with suppress(OSError):
            found = path.lstat()
            shut = stat.S_ISDIR(found.st_mode) and found.st_mode & 0o777 == _MODE
            ours = shut and found.st_uid == os.getuid()
            if made is not None and ours and not _runs(int(made[1])):
                remove(path)


def _runs(process: int) -> bool:
    """Whether there is such a process. The kernel says so where there is no /proc, too."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
