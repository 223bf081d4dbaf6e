"""Saving what is whole in a damaged home: reads it and its state, writes one bundle elsewhere.

Needs no key and no node, and opens nothing of the home but for reading. The signed heads that
prove events are looked for wherever this node keeps them: the guard, the relay, the outbox.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from ledger.core.errors import InvalidData, InvalidGenesis, StoreError, StoreLocked, TimmyError
from ledger.core.lineage import Lineage
from ledger.files import sync_folder
from ledger.release import GuardFile
from ledger.salvage import Outcome, Progress, Salvage, find_heads
from ledger.whole import is_written
from node.home import Home

_HEADS_IN: Final = ("relay.db", "relay.db-wal", "outbox.db", "outbox.db-wal")
_CHUNK_BYTES: Final = 16 * 1024 * 1024
_OVERLAP_BYTES: Final = 64 * 1024
"""A note that lies across the edge of two chunks is whole in one of them: NOTE_BYTES_MAX."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescued:
    """What was written where, and what it holds."""

    file: Path
    size: int
    ledger_id: bytes
    name: str | None
    outcome: Outcome


def rescue(home: Home, output: Path, *, force: bool, progress: Progress) -> Rescued:
    """Save what is whole in `home` into a bundle. Raises StoreError if there is nothing."""
    _check_output(home, output, force=force)
    if is_written(home.ledger):
        raise StoreLocked(
            f"a node is running in {home.path}", hint="stop it first: its files change under it"
        )
    with closing(Salvage.read(home.ledger, progress)) as found:
        lineage = _lineage(found)
        ledger_id = lineage.ledger_id if lineage else _ledger_by_guard(home)
        heads = [] if lineage is None else find_heads(_places(home, ledger_id), lineage)
        outcome = found.prove(heads)
        if not found.kept:
            raise StoreError(
                f"no event in {home.ledger} is whole: nothing was written",
                hint="bring the newest backup or export back: timmy import FILE",
            )
        epoch = max((head.checkpoint.epoch for head in heads), default=0)
        size = _write(found, output, ledger_id, epoch)
    name = lineage.genesis.name if lineage else None
    return Rescued(file=output, size=size, ledger_id=ledger_id, name=name, outcome=outcome)


def _check_output(home: Home, output: Path, *, force: bool) -> None:
    target = output.absolute().parent.resolve()
    for folder in (home.path.resolve(), home.state.resolve()):
        if target.is_relative_to(folder):
            raise TimmyError(
                f"{output} is in {folder}, which is not written to",
                hint="save it elsewhere, best on another disk: -o FILE",
            )
    if output.exists() and not force:
        raise TimmyError(f"{output} is already there", hint="--force replaces it")


def _lineage(found: Salvage) -> Lineage | None:
    """Return whose log it is, if an event that was found is a genesis, every signature checked."""
    for event in found.first():
        try:
            return found.lineage_of(event)
        except (InvalidGenesis, InvalidData):
            continue
    return None


def _ledger_by_guard(home: Home) -> bytes:
    """Name a ledger whose genesis is lost by the one guard that is here; empty if unknown."""
    guards = [path.parent.name for path in home.state.glob("*/head") if len(path.parent.name) == 64]
    try:
        return bytes.fromhex(guards[0]) if len(guards) == 1 else b""
    except ValueError:
        return b""


def _places(home: Home, ledger_id: bytes) -> Iterator[bytes]:
    for path in (
        GuardFile(home.state, ledger_id).path,
        *(home.path / name for name in _HEADS_IN),
    ):
        try:
            with path.open("rb") as file:
                yield from _chunks(file)
        except OSError:
            continue  # one place fewer to find heads in


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    before = b""
    while part := file.read(_CHUNK_BYTES):
        yield before + part
        before = part[-_OVERLAP_BYTES:]


def _write(found: Salvage, output: Path, ledger_id: bytes, epoch: int) -> int:
    temporary = output.with_name(f".{output.name}.{os.getpid()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
            found.write(file, ledger_id, epoch)
            file.flush()
            os.fsync(file.fileno())
        size = temporary.stat().st_size
        temporary.replace(output)
        sync_folder(output.absolute().parent)
    except OSError as error:
        raise TimmyError(
            f"{output} cannot be written: {error.strerror}", hint="choose another place: -o FILE"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)  # half a life, in plain words, must not lie about
    return size
