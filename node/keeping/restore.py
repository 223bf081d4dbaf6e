"""From a backup to a home: everything verified first, then put in place with one rename.

The home is made complete in a folder beside it and gets its name at the end. A crash before that
leaves no home, and a leftover that the next restore removes.

A restored ledger may be older than what this agent has shown the world. The guard in the state
directory knows; it is not in the backup, and restoring does not touch it. What it says decides
whether the node may release (`ledger.release`), and is told at once.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis import trees
from genesis.birth import SOUL_MODE
from genesis.keys import private
from ledger.core.errors import GuardError, GuardMissing, TimmyError
from ledger.files import sync_folder, write_atomically
from node.home import Home, HomeError
from node.keeping.backup import ADOPTED, SCRIPTS, SOUL, Contents, check
from node.keeping.filling import fill
from node.keeping.outgoing import Say
from node.open import open_log, released

AGREES: Final = "agrees"
MISSING: Final = "missing"
AHEAD: Final = "ahead"
_FROM_MIRROR: Final = (
    "if another node mirrors this ledger, fetch what is missing: timmy recover --from-mirror URL"
)
_CHOICES: Final = {
    MISSING: (
        _FROM_MIRROR,
        "bring the state directory of the old machine along: {guard}",
        "if it is lost, begin a new epoch with the recovery kit: timmy recover --kit FILE",
    ),
    AHEAD: (
        _FROM_MIRROR,
        "restore a newer backup, or bring the newest home back: nothing is given up then",
        "if what came later is lost, begin a new epoch: timmy recover --kit FILE",
    ),
}
_DISK_TIMES: Final = 2
"""The database, with its indexes and its write-ahead log, to the backup's size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """What the state directory's guard says of a restored ledger, and what there is to choose."""

    state: str
    text: str
    choices: tuple[str, ...] = ()


def restore(home: Home, file: Path, *, say: Say) -> Contents:
    """Make `home` from a backup. Raises TimmyError (HomeError, InvalidBundle) and makes nothing."""
    require_empty(home.path)
    say(f"verifying {file}")
    contents = check(file)
    say(f"{contents.report.size} events, every one verified; writing {home.path}")
    parent = home.path.parent
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_space(parent, file)
        _build(home.path, file, contents)
        sync_folder(parent)
    except OSError as error:
        raise TimmyError(
            f"{home.path} cannot be made: {error.strerror}",
            hint="choose another home, on a disk with space: timmy --home FOLDER restore FILE",
        ) from error
    return contents


def require_empty(path: Path) -> None:
    """Raise HomeError unless nothing is there, or an empty folder."""
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        raise HomeError(
            f"{path} is not empty: a backup is restored into an empty home only",
            hint="choose another: timmy --home FOLDER restore FILE, or move this one away",
        )


def _require_space(folder: Path, file: Path) -> None:
    needed, found = _DISK_TIMES * file.stat().st_size, shutil.disk_usage(folder).free
    if found < needed:
        raise TimmyError(
            f"restoring needs {needed} bytes free in {folder}, there are {found}",
            hint="free some space: nothing was changed",
        )


def _build(target: Path, file: Path, contents: Contents) -> None:
    remove_leftovers(target)
    working = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
    lock = os.open(working, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _write_files(working, contents)
        fill(file, working / "ledger.db", contents.report)
        for folder in (working, *(p for p in working.iterdir() if p.is_dir())):
            sync_folder(folder)
        working.rename(target)  # replaces an empty folder, never one with something in it
    except BaseException:
        trees.discard(working)
        raise
    finally:
        os.close(lock)


def _write_files(home: Path, contents: Contents) -> None:
    for tree in contents.trees:
        trees.store_tree(home, tree)
    trees.set_current(home, contents.adopted)
    for path, data in contents.files.items():
        if path.startswith("trees/"):
            continue
        target = home / path
        for folder in reversed(target.relative_to(home).parents):
            private.make_folder(home / folder)
        write_atomically(target, data, mode=_mode(path))
    assert ADOPTED in contents.files


def _mode(path: str) -> int:
    if path.startswith(f"{SCRIPTS}/"):
        return private.FOLDER_MODE  # jobs run them
    return SOUL_MODE if path == SOUL else private.FILE_MODE


def _prefix(target: Path) -> str:
    return f".{target.name}.restoring-"


def remove_leftovers(target: Path) -> None:
    """Remove what a restore to `target` that was killed left, but nothing that one works on."""
    for left in target.parent.glob(f"{_prefix(target)}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                trees.discard(left)
            finally:
                os.close(descriptor)


def guarded(home: Home) -> Guarded:
    """Compare the guard of this machine's state directory with the ledger that is in `home`."""
    with open_log(home) as log:
        guard = home.state / log.ledger_id.hex() / "head"
        try:
            head = released(home, log)
        except GuardError as error:
            state = MISSING if isinstance(error, GuardMissing) else AHEAD
            choices = tuple(text.format(guard=guard) for text in _CHOICES[state])
            return Guarded(state=state, text=str(error), choices=choices)
    return Guarded(state=AGREES, text=f"it continues the last released head, of size {head.size}")
