"""Writing small files so that a crash leaves the old one or the new one, never half of either."""

import os
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by `data`: temporary file, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def set_mark(path: Path, token: bytes = b"") -> None:
    """Make the file `path`, durable: what it stands for has begun. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, token)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def clear_mark(path: Path) -> None:
    """Remove what `set_mark` made: it is finished. Raises OSError."""
    if path.exists():
        path.unlink(missing_ok=True)
        sync_folder(path.parent)


def read_mark(path: Path) -> bytes | None:
    """Return the token of a mark, None if there is none. Raises OSError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def sync_folder(folder: Path, fsync: Callable[[int], None] | None = None) -> None:
    """Make renames in `folder` durable; `fsync` is where a test may cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        (fsync or os.fsync)(descriptor)
    finally:
        os.close(descriptor)
