"""The anchorer's durable state: a few small CBOR records.

`StateStore` is the port; `MemoryState` is its twin for tests and dry runs, `FileState` one file a
record in a directory of its own, mode 0600, replaced atomically and on disk before `put` returns.

Not covered: encryption (nothing here is secret; it is signed transactions and digests), and more
than one anchorer on a directory, which the lock refuses.
"""

import asyncio
import fcntl
import os
import re
from pathlib import Path
from typing import Any, Final, Protocol, Self

from attest.core import limits
from attest.core.errors import StateDamaged, StateError, StateLocked
from ledger.core import codec
from ledger.core.errors import InvalidCbor
from ledger.files import write_atomically

_KEY: Final = re.compile(r"[a-z0-9-]{1,64}")
_SUFFIX: Final = ".cbor"
_LOCK_NAME: Final = "lock"


class StateStore(Protocol):
    """Named records, each a map of the ledger's CBOR profile.

    Keys are lower-case letters, digits and dashes, 1 to 64 of them. When `put` returns, the record
    survives a power cut; if it raises or never returns, `get` gives the old record or the new one,
    never a mixture.
    """

    async def get(self, key: str) -> dict[str, Any] | None:
        """The record, or None. Raises StateError."""

    async def put(self, key: str, record: dict[str, Any]) -> None:
        """Write the record, replacing an older one. Raises StateError."""


def _encode(key: str, record: dict[str, Any]) -> bytes:
    assert _KEY.fullmatch(key), key
    data = codec.encode(record)
    if len(data) > limits.RECORD_BYTES_MAX:
        raise StateError(
            f"record {key} has {len(data)} bytes, at most {limits.RECORD_BYTES_MAX} allowed"
        )
    return data


def _decode(key: str, data: bytes) -> dict[str, Any]:
    try:
        record = codec.decode(data, bytes_max=limits.RECORD_BYTES_MAX)
    except InvalidCbor as error:
        raise StateDamaged(f"record {key} is damaged: {error}") from error
    if not isinstance(record, dict):
        raise StateDamaged(f"record {key} is {type(record).__name__}, expected a map")
    return record


class MemoryState:
    """The port's memory twin: encodes like the real one, forgets at exit."""

    def __init__(self) -> None:
        self._records: dict[str, bytes] = {}

    async def get(self, key: str) -> dict[str, Any] | None:
        """The record, or None."""
        assert _KEY.fullmatch(key), key
        data = self._records.get(key)
        return None if data is None else _decode(key, data)

    async def put(self, key: str, record: dict[str, Any]) -> None:
        """Write the record."""
        self._records[key] = _encode(key, record)


class FileState:
    """One file a record. Open it as a context manager: it holds the directory's lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: int | None = None

    def __enter__(self) -> Self:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"cannot use {self._folder}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise StateLocked(f"another process holds {self._folder}") from error
        self._lock = lock
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def get(self, key: str) -> dict[str, Any] | None:
        """The record, or None. Raises StateDamaged or StateError."""
        assert _KEY.fullmatch(key), key
        data = await asyncio.to_thread(self._read, key)
        return None if data is None else _decode(key, data)

    async def put(self, key: str, record: dict[str, Any]) -> None:
        """Write the record and wait for the disk. Raises StateError."""
        data = _encode(key, record)
        await asyncio.to_thread(self._write, key, data)

    def _read(self, key: str) -> bytes | None:
        try:
            with (self._folder / (key + _SUFFIX)).open("rb") as file:
                return file.read(limits.RECORD_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"cannot read record {key}: {error.strerror}") from error

    def _write(self, key: str, data: bytes) -> None:
        if self._lock is None:
            raise RuntimeError("FileState is used outside its context")
        final = self._folder / (key + _SUFFIX)
        try:
            write_atomically(final, data)
        except OSError as error:
            raise StateError(
                f"cannot write record {key}: {error.strerror}", hint="is the disk full?"
            ) from error
