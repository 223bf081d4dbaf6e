"""A file of weights on this machine: whole, of a model that speaks, and the one that was asked for.

The head is read at each look; the digest (SHA-256, what publishers of weights print) is computed
once and kept with path, inode, size and time of change: while none of them differs the file is
taken for the same; `unchanged` asks again while it is in use. Not covered: whoever writes into the
file and sets its time of change back; he could write into this node's files as well.
"""

import hashlib
import json
import mmap
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from ledger.files import write_atomically
from runtime.core.errors import InvalidWeights
from runtime.core.gguf import Gguf, check_model, read_head

_CHUNK_BYTES: Final = 4 * 1024 * 1024
_KNOWN_MAX: Final = 64
"""Digests that are kept: more files than a machine has models."""
_CACHE_BYTES_MAX: Final = 256 * 1024

Progress = Callable[[int, int], None]
"""Told how many bytes of how many were read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A file that was looked at: its head is whole and so is its length."""

    path: Path
    size: int
    head: Gguf = field(repr=False)
    mark: str = field(repr=False)
    """Differs when the file is another one, or was written to."""

    @property
    def title(self) -> str:
        """What to call it: its file's name without the ending."""
        return self.path.stem


def look(path: Path) -> Weights:
    """Look at a file. Raises InvalidWeights."""
    path = path.expanduser().absolute()
    try:
        with _opened(path) as file:
            found = os.fstat(file.fileno())
            head = _head(file, found)
    except OSError as error:
        raise InvalidWeights(
            f"{path} cannot be read: {error.strerror}", hint="name a GGUF file on this machine"
        ) from error
    except InvalidWeights as error:
        hint = error.hint or "name a whole GGUF file of a language model"
        raise InvalidWeights(f"{path}: {error}", hint=hint) from error
    return Weights(path=path, size=found.st_size, head=head, mark=_mark(found))


def _head(file: BinaryIO, found: os.stat_result) -> Gguf:
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        raise InvalidWeights("no file, or an empty one")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        head = read_head(data)
    check_model(head, found.st_size)
    return head


def _opened(path: Path) -> BinaryIO:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe is refused, not waited for
    return os.fdopen(os.open(path, flags), "rb")


def _mark(found: os.stat_result) -> str:
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def unchanged(weights: Weights) -> bool:
    """Whether its path still leads to the file that was looked at, not written to since.

    A file that cannot be looked at is no longer known to be the same. Blocks as a disk does.
    """
    try:
        return _mark(weights.path.stat()) == weights.mark
    except OSError:
        return False


def check_digest(weights: Weights, sha256: bytes, asked: str) -> None:
    """Refuse weights other than those asked for (`asked`: hexadecimal, "" for any).

    Raises InvalidWeights.
    """
    if asked and asked.lower() != sha256.hex():
        raise InvalidWeights(
            f"{weights.path} has the SHA-256 {sha256.hex()}, expected {asked.lower()}",
            hint="it is another file, or was damaged: fetch it again, or name its digest",
        )


class Digests:
    """SHA-256 of files, remembered in a file that may be lost at any time."""

    def __init__(self, cache: Path | None) -> None:
        """`cache` None: remember nothing beyond this object's life."""
        self._cache = cache
        self._known: dict[str, tuple[str, str]] | None = None

    def of(self, weights: Weights, progress: Progress = lambda *_: None) -> bytes:
        """Return the digest of a file, read anew if it is not the one that was read.

        Blocks for as long as the disk takes. Raises InvalidWeights if the file is changed
        meanwhile.
        """
        known = self._read() if self._known is None else self._known
        mark, digest = known.get(str(weights.path), ("", ""))
        if mark != weights.mark:
            digest = _computed(weights, progress).hex()
            known = {name: entry for name, entry in known.items() if name != str(weights.path)}
            newest = [*known.items(), (str(weights.path), (weights.mark, digest))]
            self._known = dict(newest[-_KNOWN_MAX:])
            self._write()
        return bytes.fromhex(digest)

    def _read(self) -> dict[str, tuple[str, str]]:
        if self._cache is None:
            return {}
        try:
            if self._cache.stat().st_size > _CACHE_BYTES_MAX:
                return {}
            found = json.loads(self._cache.read_text())
            return {
                str(name): (str(mark), bytes.fromhex(digest).hex())
                for name, (mark, digest) in found.items()
                if len(digest) == 2 * hashlib.sha256().digest_size
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _write(self) -> None:
        if self._cache is not None:
            write_atomically(self._cache, json.dumps(self._known, indent=1).encode())


def _computed(weights: Weights, progress: Progress) -> bytes:
    hasher, done = hashlib.sha256(), 0
    try:
        with _opened(weights.path) as file:
            # No further than it was long: a file that grows as fast as it is read has no end.
            while done <= weights.size and (chunk := file.read(_CHUNK_BYTES)):
                hasher.update(chunk)
                done += len(chunk)
                progress(done, weights.size)
            same = _mark(os.fstat(file.fileno())) == weights.mark
    except OSError as error:
        raise InvalidWeights(f"{weights.path} cannot be read: {error.strerror}") from error
    if not same:
        raise InvalidWeights(
            f"{weights.path} was written to while it was read", hint="wait for the download to end"
        )
    return hasher.digest()
