"""Files that hold secrets: created once, whole or not at all, readable by their owner only.

    create   temporary file (O_EXCL, 0600), fsync, hard link to the final name, unlink, fsync folder
    replace  the same with a rename over the old file

A link fails if the name is taken, so two births at once cannot overwrite each other; a crash leaves
the old state or the new, and at worst a temporary file, which the next write removes. Reading
refuses a file or folder that others may read, one that somebody else owns, and symbolic links.

Not covered: root and other processes of the same user, backups that copy modes loosely, and file
systems without hard links (FAT), where creation fails with an error that says so.
"""

import os
import secrets
import shlex
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genesis.core.errors import (
    PrivateFileError,
    PrivateFileExists,
    PrivateFileExposed,
    PrivateFileMissing,
)
from ledger.files import sync_folder

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_TEMPORARY = ".new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The system calls that make a write durable and visible, in one place where a test may cut."""

    fsync: Callable[[int], None] = os.fsync
    link: Callable[[Path, Path], None] = os.link
    replace: Callable[[Path, Path], None] = os.replace
    unlink: Callable[[Path], None] = os.unlink


REAL_DISK = Disk()


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def check_private(path: Path, status: os.stat_result, *, mode: int) -> None:
    """Raise PrivateFileExposed unless we own it and nobody else may touch it."""
    if status.st_uid != os.geteuid():
        raise PrivateFileExposed(
            f"{path} belongs to user {status.st_uid}, this process is user {os.geteuid()}",
            hint=f"run as its owner, or: chown {os.geteuid()} {_quoted(path)}",
        )
    loose = stat.S_IMODE(status.st_mode) & 0o077
    if loose:
        raise PrivateFileExposed(
            f"{path} has mode {stat.S_IMODE(status.st_mode):04o}, expected {mode:04o}",
            hint=f"chmod {mode:o} {_quoted(path)}",
        )


def make_folder(path: Path, *, disk: Disk = REAL_DISK) -> None:
    """Make a folder (and its parents) of mode 0700, or check the one that is there."""
    if path.is_dir() and not path.is_symlink():
        check_private(path, path.lstat(), mode=FOLDER_MODE)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        path.mkdir(mode=FOLDER_MODE)
        path.chmod(FOLDER_MODE)  # whatever the umask is
    except OSError as error:
        raise PrivateFileError(f"cannot make {path}: {error.strerror}") from error
    sync_folder(path.parent, disk.fsync)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that a crash left beside `path`."""
    for left in path.parent.glob(f".{path.name}.*{_TEMPORARY}"):
        left.unlink(missing_ok=True)


def _write_temporary(path: Path, data: bytes, mode: int, disk: Disk) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_TEMPORARY}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        disk.fsync(descriptor)
    return temporary


def create(path: Path, data: bytes, *, mode: int = FILE_MODE, disk: Disk = REAL_DISK) -> None:
    """Create `path` whole and durable. Raises PrivateFileExists if the name is taken."""
    try:
        remove_leftovers(path)
        temporary = _write_temporary(path, data, mode, disk)
        try:
            disk.link(temporary, path)
        finally:
            disk.unlink(temporary)
        sync_folder(path.parent, disk.fsync)
    except FileExistsError as error:
        raise PrivateFileExists(
            f"{path} exists and is never overwritten",
            hint=f"move it away first: mv {_quoted(path)} {_quoted(path)}.old",
        ) from error
    except OSError as error:
        raise PrivateFileError(
            f"cannot write {path}: {error.strerror}",
            hint="the folder must be writable and on a file system with hard links",
        ) from error


def replace(path: Path, data: bytes, *, mode: int = FILE_MODE, disk: Disk = REAL_DISK) -> None:
    """Put `data` in the place of an existing file: the old or the new is there at any moment."""
    try:
        remove_leftovers(path)
        disk.replace(_write_temporary(path, data, mode, disk), path)
        sync_folder(path.parent, disk.fsync)
    except OSError as error:
        raise PrivateFileError(f"cannot write {path}: {error.strerror}") from error


def link(path: Path, name: Path, *, disk: Disk = REAL_DISK) -> None:
    """Give a file a second name, durably. Raises PrivateFileError."""
    try:
        disk.link(path, name)
        sync_folder(name.parent, disk.fsync)
    except OSError as error:
        raise PrivateFileError(f"cannot keep {path} as {name}: {error.strerror}") from error


def rename(path: Path, name: Path, *, disk: Disk = REAL_DISK) -> None:
    """Give a file another name, over a file that may have it, durably. Raises PrivateFileError."""
    try:
        disk.replace(path, name)
        sync_folder(name.parent, disk.fsync)
    except OSError as error:
        raise PrivateFileError(f"cannot rename {path} to {name}: {error.strerror}") from error


def open_regular(path: Path, flags: int = 0) -> int:
    """Return a read descriptor of a regular file; never waits on a pipe or a device.

    Raises PrivateFileMissing or PrivateFileError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    except FileNotFoundError as error:
        raise PrivateFileMissing(f"cannot read {path}: {error.strerror}") from error
    except OSError as error:
        raise PrivateFileError(f"cannot read {path}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PrivateFileError(f"{path} is not a regular file")
    return descriptor


def read(path: Path, *, bytes_max: int) -> bytes:
    """Return the bytes of a private file.

    Raises PrivateFileMissing, PrivateFileExposed (with the chmod to run), or PrivateFileError for
    a link, a special file, or more than `bytes_max` bytes.
    """
    descriptor = open_regular(path, os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        check_private(path, os.fstat(descriptor), mode=FILE_MODE)
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise PrivateFileError(f"{path} holds more than {bytes_max} bytes")
    return data
