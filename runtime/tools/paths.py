"""Opens the very file that was decided, wherever links lead by the time of the act.

A decided path is resolved: no part of it was a link. Each part is opened from the one before, and
none through a link, so what is opened has that path or the call fails; somebody who swaps a folder
for a link meanwhile (a shell of the same agent) gains nothing. Only plain files are read and
written: a pipe would wait for ever, a device is no file.

Not covered: hard links and mounts below the folder; making either takes rights that what runs in
the sandbox does not have.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from runtime.core.errors import ToolFailed
from runtime.core.permissions import FileCall
from runtime.core.tool import ToolContext

_NO_LINK: Final = os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_DIRECTORY | _NO_LINK


def decided(context: ToolContext) -> str:
    """Return the resolved path of the call."""
    if not isinstance(context.call, FileCall):
        raise ToolFailed("this call was not decided as one about a file")
    return context.call.path.resolved


def shown(path: str, context: ToolContext) -> str:
    """Return a path as the model knows it: from the folder on, if it lies there."""
    return os.path.relpath(path, context.folder) if _inside(path, context.folder) else path


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


@contextmanager
def parent_of(path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """Open the folder of a resolved path; yield its descriptor and the last name.

    `make`: make folders that are missing. Raises OSError.
    """
    *folders, name = [part for part in path.split("/") if part] or ["."]
    opened = os.open("/", _FOLDER)
    try:
        for folder in folders:
            try:
                inner = os.open(folder, _FOLDER, dir_fd=opened)
            except FileNotFoundError:
                if not make:
                    raise
                os.mkdir(folder, 0o755, dir_fd=opened)
                inner = os.open(folder, _FOLDER, dir_fd=opened)
            os.close(opened)
            opened = inner
        yield opened, name
    finally:
        os.close(opened)


@contextmanager
def reading(path: str) -> Iterator[BinaryIO]:
    """Open a plain file to read. Raises OSError, ToolFailed for what is no plain file."""
    with parent_of(path) as (folder, name):
        opened = os.open(name, os.O_RDONLY | os.O_NONBLOCK | _NO_LINK, dir_fd=folder)
    with os.fdopen(opened, "rb") as file:
        mode = os.fstat(opened).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(21, "Is a directory")
        if not stat.S_ISREG(mode):
            raise ToolFailed("this is no plain file: a pipe, a socket or a device")
        yield file


def replace(path: str, data: bytes) -> bool:
    """Write a whole file in one step, beside it and over it; tell whether it is new.

    Keeps the mode of the file that was there. Raises OSError, ToolFailed.
    """
    with parent_of(path, make=True) as (folder, name):
        mode = _mode(name, folder)
        draft = f".{name[:100]}.{os.urandom(6).hex()}.tmp"
        opened = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o644, dir_fd=folder
        )
        try:
            with os.fdopen(opened, "wb") as file:
                if mode is not None:
                    os.fchmod(opened, mode)
                file.write(data)
            os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(draft, dir_fd=folder)
            raise
    return mode is None


def _mode(name: str, folder: int) -> int | None:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found):
        raise IsADirectoryError(21, "Is a directory")
    if not stat.S_ISREG(found):
        raise ToolFailed("this is no plain file: a link, a pipe, a socket or a device")
    return stat.S_IMODE(found)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn what the system says of a path into words for the model."""
    try:
        yield
    except OSError as error:
        raise ToolFailed(f"{what}: {(error.strerror or 'it failed').lower()}") from error
