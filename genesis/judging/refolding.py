"""Folds events with changed software in the cage, and takes what it folds back, in another one.

A process that runs changed code can say what it likes and end when it likes. So it is asked for no
digest and no yes, but for its whole state, in the one encoding that there is; how many events it is
of, its digest and its parts are found here, of these bytes. Where a migration is declared, a second
process, in which nothing of the change is but that one module, is given this state and nothing
else, and what it hands over is held against the state that this process folded itself.

Not covered: changed code that knows that it is judged, folds as the present code does, and
otherwise at home.
"""

import asyncio
import importlib.util
import re
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

from genesis.core.constitution import Software
from genesis.core.verdict import Outcome
from genesis.judging.budget import Budget
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor
from ledger.core.event import Event
from ledger.core.hashing import tagged
from ledger.core.state import BASIC_REDUCERS, State, part_of
from runtime.core.reducers import REDUCERS
from runtime.sandbox import Engine, spawn
from runtime.tasks import to_its_end

FOLD_TAG: Final = "timmy/refold/v2"
STATE_BYTES_MAX: Final = 4 * 1024 * 1024
"""All entries of a state of 4,000 events: ten times what it takes. Decoded it is sixty times that
at worst, which a node has."""
ENTRIES_MAX: Final = 65_536
"""Entries of it: each is hashed here, a second for as many."""
_SAID_BYTES_MAX: Final = 2 * STATE_BYTES_MAX + 1024
_PARTS_MAX: Final = 1_024
_PART: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LIBRARIES: Final = (
    *("blake3", "cbor2", "croniter", "dateutil", "msgspec", "six", "typing_extensions"),
)
"""What folding imports beside Python's own library."""
_FOLDING: Final = ("ledger/", "runtime/")
"""Packages that a reducer may import from."""


class Unsound(ValueError):
    """What a subject handed over is no state; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """A state after `size` events: `encoded` is the CBOR of its entries, the rest found of it."""

    size: int
    encoded: bytes
    digest: bytes
    parts: Mapping[str, bytes]

    @classmethod
    def of(cls, size: int, encoded: bytes) -> "Fold":
        """Take what a subject handed over. Raises Unsound. A second at most, not for a loop."""
        try:
            entries = decode(encoded, bytes_max=STATE_BYTES_MAX)
        except InvalidCbor as error:
            raise Unsound("it is not the encoding of a state") from error
        if type(entries) is not dict or len(entries) > ENTRIES_MAX or None in entries.values():
            raise Unsound(f"it is no state of at most {ENTRIES_MAX} entries")
        parts = {part_of(key) for key in entries}
        if len(parts) > _PARTS_MAX or not all(map(_PART.fullmatch, parts)):
            raise Unsound("it has parts without a plain name")
        state = State.restore((), entries, size)
        return cls(size=size, encoded=encoded, digest=state.digest(), parts=state.parts())

    def differs(self, other: "Fold") -> list[str]:
        """Return the parts of the state that the two do not share."""
        names = sorted({*self.parts, *other.parts})
        return [name for name in names if self.parts.get(name) != other.parts.get(name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Events to fold, as a subject is given them, and after how many it is asked for its state."""

    events: Sequence[Event]
    sizes: tuple[int, ...]

    @property
    def first(self) -> int:
        """Position of the first event; of none, 0."""
        return self.events[0].position if self.events else 0

    def encode(self) -> bytes:
        """Return the file that a subject is given: nobody's words are in it."""
        rows: list[Any] = [
            [one.position, one.record.envelope, one.record.salt, one.record.payload]
            for one in self.events
        ]
        return encode([self.first, list(self.sizes), rows])

    def folded(self) -> tuple[Fold, ...]:
        """Fold here, with the software that judges: what the parent in the cage must come to.

        Not for an event loop. Raises Unsound for a state that is beyond the bounds.
        """
        state = State((*BASIC_REDUCERS, *REDUCERS), size=self.first)
        events, found = iter(self.events), []
        for size in self.sizes:
            while state.size < size:
                bare = next(events).record._replace(content=None, content_salt=None)
                state.apply(Event.open(bare))
            found.append(Fold.of(size, encode(state.entries)))
        return tuple(found)


def transcript_of(folds: Sequence[Fold]) -> bytes:
    """Return the 32 bytes that name what a subject folded."""
    return tagged(FOLD_TAG, encode([[one.size, one.digest] for one in folds]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How a subject came out. `late`: it may be the machine's doing."""

    outcome: Outcome
    folds: tuple[Fold, ...] = ()
    why: str = ""
    late: bool = False


BUSY: Final = Tried(outcome=Outcome.NOT_RUN, why="the machine may have been too busy", late=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cages:
    """Where subjects fold and migrations run. `note` is told what they printed, and why."""

    folder: Path
    budget: Budget
    engine: Engine
    note: Callable[[str, str], None]

    async def surely(self, name: str, software: Software, told: Told) -> Tried:
        """Fold twice, and once more what failed: once bad and once good says nothing."""
        first = await self.twice(name, software, told)
        if first.outcome is Outcome.PASS:
            return first
        again = await self.twice(f"{name}-again", software, told)
        failed = again.outcome is Outcome.FAIL and not (first.late or again.late)
        return again if failed and first.outcome is Outcome.FAIL else BUSY

    async def twice(self, name: str, software: Software, told: Told) -> Tried:
        """Fold twice: it must come to one state."""
        one = await self.once(name, software, told)
        if one.outcome is not Outcome.PASS:
            return one
        two = await self.once(name, software, told)
        if two.outcome is Outcome.PASS and two.folds != one.folds:
            return Tried(outcome=Outcome.FAIL, why="it did not fold to the same state twice")
        return two

    async def once(self, name: str, software: Software, told: Told) -> Tried:
        """Have `software` fold. Raises SandboxError, OSError."""
        folder = self.folder / name
        if not folder.exists():
            await to_its_end(asyncio.to_thread(_write_software, software, told, folder))
        said = await self._said(name, folder, _SAID_BYTES_MAX)
        if isinstance(said, Tried):
            return replace(said, why=f"it does not fold what is there: {said.why}")
        try:
            folds = await asyncio.to_thread(_folds_of, said, told.sizes)
        except Unsound as error:
            return Tried(outcome=Outcome.FAIL, why=f"it does not fold what is there: {error}")
        return Tried(outcome=Outcome.PASS, folds=folds)

    async def back(self, name: str, module: bytes, new: Fold) -> Tried:
        """Have a migration take one state back. Raises SandboxError, OSError."""
        folder = self.folder / name
        await to_its_end(asyncio.to_thread(_write_migration, module, new, folder))
        said = await self._said(name, folder, STATE_BYTES_MAX)
        if isinstance(said, Tried):
            return replace(said, why=f"the migration that it declares: {said.why}")
        try:
            fold = await asyncio.to_thread(Fold.of, new.size, said)
        except Unsound as error:
            return Tried(outcome=Outcome.FAIL, why=f"the migration that it declares: {error}")
        return Tried(outcome=Outcome.PASS, folds=(fold,))

    async def _said(self, name: str, folder: Path, bytes_max: int) -> bytes | Tried:
        """Run what lies in a folder; return what it handed over, or how it failed."""
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            limits = replace(self.budget.limits, memory_bytes=2 * self.budget.limits.memory_bytes)
            child = await spawn(folder, theirs, limits=limits, engine=self.engine)
            try:
                async with asyncio.timeout(self.budget.patience.case_s):
                    said = await _all(ours, bytes_max)
                    if len(said) > bytes_max:
                        why = f"it hands over more than {bytes_max} bytes"
                        return Tried(outcome=Outcome.FAIL, why=why)
                    status = await child.wait()
            except TimeoutError:
                return Tried(outcome=Outcome.FAIL, why="it was late", late=True)
            finally:
                await child.end()
        if not status:
            return said
        if words := child.stderr_tail().strip()[-1_000:]:
            self.note(name, f"exit status {status}: {words}")
        why = "it ends with an error"
        return Tried(outcome=Outcome.FAIL, why=why, late=child.timed_out)


def _folds_of(said: bytes, sizes: Sequence[int]) -> tuple[Fold, ...]:
    """Read what was handed over: a state for each size. Raises Unsound."""
    try:
        rows = decode(said, bytes_max=_SAID_BYTES_MAX)
    except InvalidCbor as error:
        raise Unsound("it hands over no states") from error
    if type(rows) is not list or len(rows) != len(sizes):
        raise Unsound("it hands over no states")
    return tuple(_fold_of(row, size) for row, size in zip(rows, sizes, strict=True))


def _fold_of(row: Any, wanted: int) -> Fold:
    match row:
        case [int(size), bytes(digest), bytes(encoded)]:
            if type(size) is not int or size != wanted:
                raise Unsound(f"its state is of {size} events, {wanted} were to be folded")
            fold = Fold.of(size, encoded)
            if fold.digest != digest:
                raise Unsound("the digest that it names is not that of the state it hands over")
            return fold
    raise Unsound("it hands over no states")


async def _all(channel: socket.socket, bytes_max: int) -> bytes:
    """Read until the other end closes, or has said more than it may."""
    loop, said = asyncio.get_running_loop(), bytearray()
    while len(said) <= bytes_max:
        try:
            data = await loop.sock_recv(channel, 64 * 1024)
        except OSError:  # it went away with something unread
            break
        if not data:
            break
        said += data
    return bytes(said)


def _driver(name: str) -> bytes:
    return resources.files("genesis.judging").joinpath(name).read_bytes()


def _write_migration(module: bytes, new: Fold, folder: Path) -> None:
    """Write what taking a state back needs, and nothing else."""
    folder.mkdir()
    (folder / "main.py").write_bytes(_driver("inverting.py"))
    (folder / "migration.py").write_bytes(module)
    (folder / "_state").write_bytes(new.encoded)


def _write_software(software: Software, told: Told, folder: Path) -> None:
    """Write what a fold needs. Not durable: it is gone with the judgment."""
    for path, data in software.items():
        if not path.startswith(_FOLDING):
            continue
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    (folder / "main.py").write_bytes(_driver("folding.py"))
    (folder / "_events").write_bytes(told.encode())
    site = folder / "_site"
    site.mkdir()
    for name in _LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        origin = Path(spec.origin)
        if spec.submodule_search_locations is None:
            shutil.copy(origin, site / origin.name)
        else:
            skipped = shutil.ignore_patterns("__pycache__")
            shutil.copytree(origin.parent, site / name, ignore=skipped)
