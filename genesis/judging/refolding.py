"""Folds events with changed software in the cage, and takes what it folds back, in another one.

Events are told as they are asked for, and a state is read in parts (`genesis.judging.packing`): of
a ledger, however long, no more is held than a part, and of a changed state its bytes.

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
import io
import math
import re
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import resources
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, TypeAlias

from genesis.core import limits
from genesis.core.constitution import Software
from genesis.core.verdict import Outcome
from genesis.judging.budget import Budget
from genesis.judging.packing import (
    FRAME_BYTES_MAX,
    FULL_BYTES,
    framed,
    frames_of,
    maps_of,
    rows_of,
)
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor, StoreError
from ledger.core.event import Event, Record
from ledger.core.hashing import tagged
from ledger.core.state import BASIC_REDUCERS, State, part_of
from runtime.core.reducers import REDUCERS
from runtime.sandbox import Engine, SandboxLimits, spawn
from runtime.tasks import to_its_end

FOLD_TAG: Final = "timmy/refold/v2"
STATE_BYTES_FREE: Final = 4 * 1024 * 1024
"""All entries of a state of 4,000 events: ten times what it takes. What a longer ledger has comes
on top (`Bounds.of`)."""
ENTRIES_FREE: Final = 65_536
"""Entries of it: each is hashed here, a second for as many."""
_END_BYTES: Final = 64
_A_MAP: Final = b"\xa0"
"""CBOR begins a map so, or with more; an array with less."""
_PARTS_MAX: Final = 1_024
_PART: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LIBRARIES: Final = (
    *("blake3", "cbor2", "croniter", "dateutil", "msgspec", "six", "typing_extensions"),
)
"""What folding imports beside Python's own library."""
_FOLDING: Final = ("ledger/", "runtime/")
"""Packages that a reducer may import from."""

Records: TypeAlias = Callable[[int, int], Iterable[Record]]
"""Reads the records of [start, stop) in order."""


class Unsound(ValueError):
    """What a subject handed over is no state; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a subject may hand over as one state: the bytes of its frames, and the entries."""

    state_bytes: int = STATE_BYTES_FREE
    entries: int = ENTRIES_FREE

    @classmethod
    def of(cls, own: "Fold") -> "Bounds":
        """Return the bounds where `own` is the state that is there."""
        times = limits.FOLD_STATE_TIMES_MAX
        return cls(
            state_bytes=STATE_BYTES_FREE + times * _length(own.maps),
            entries=ENTRIES_FREE + times * own.entries,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """A state after `size` events. `maps` are its entries, encoded, as they were handed over."""

    size: int
    digest: bytes
    parts: Mapping[str, bytes]
    entries: int
    maps: tuple[bytes, ...] = field(compare=False, repr=False)

    @classmethod
    def of(cls, size: int, maps: Sequence[bytes], bounds: Bounds) -> "Fold":
        """Take what a subject handed over. Raises Unsound. Seconds, not for a loop."""
        sums: dict[str, int] = {}
        count, last = 0, b""
        for encoded in maps:
            try:
                some = decode(encoded, bytes_max=FRAME_BYTES_MAX)
            except InvalidCbor as error:
                raise Unsound("it is not the encoding of a state") from error
            if type(some) is not dict or not some or None in some.values():
                raise Unsound("it is no state")
            count += len(some)
            if count > bounds.entries:
                raise Unsound(f"it is no state of at most {bounds.entries} entries")
            for key in map(encode, some):
                if key <= last:
                    raise Unsound("its entries are in no order")
                last = key
            named = set(map(part_of, some))
            if len(named | sums.keys()) > _PARTS_MAX or not all(map(_PART.fullmatch, named)):
                raise Unsound("it has parts without a plain name, or too many")
            State((), some, size, sums, dict.fromkeys(some)).digest()  # counts into the sums
        return cls._of(State((), {}, size, sums), count, tuple(maps))

    @classmethod
    def held(cls, state: State) -> "Fold":
        """Take a state of our own. Raises Unsound for one that nobody could hand over."""
        maps = tuple(maps_of(state.entries, encode))
        if max(map(len, maps), default=0) > FRAME_BYTES_MAX:
            raise Unsound(f"an entry of it has more than {FRAME_BYTES_MAX} bytes")
        return cls._of(state, len(state.entries), maps)

    @classmethod
    def _of(cls, state: State, entries: int, maps: tuple[bytes, ...]) -> "Fold":
        return cls(size=state.size, digest=state.digest(), parts=state.parts(), entries=entries,
                   maps=maps)  # fmt: skip

    def differs(self, other: "Fold") -> list[str]:
        """Return the parts of the state that the two do not share."""
        names = sorted({*self.parts, *other.parts})
        return [name for name in names if self.parts.get(name) != other.parts.get(name)]

    def frames(self) -> Iterator[bytes]:
        """Yield the state as a subject hands it over."""
        yield from map(framed, self.maps)
        yield framed(encode([self.size, self.digest]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Events to fold, as a subject is told them, and after how many it is asked for its state.

    `older` reads what stands before `events`, from event 0 on; None: nothing does, or nobody is
    told of it. `bounds` are those of each state that is handed over.
    """

    events: Sequence[Event]
    sizes: tuple[int, ...]
    older: Records | None = field(default=None, repr=False)
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def first(self) -> int:
        """Position of the first event; of none, 0."""
        return self.events[0].position if self.events and self.older is None else 0

    @property
    def count(self) -> int:
        """How many events are folded."""
        return max(self.sizes, default=self.first) - self.first

    def frames(self) -> Iterator[bytes]:
        """Yield what a subject is told: nobody's words are in it. Reads the store."""
        yield framed(encode([self.first, list(self.sizes)]))
        older = self.older(0, self.events[0].position) if self.older and self.events else ()
        records = chain(older, (one.record for one in self.events))
        yield from rows_of(((one.envelope, one.salt, one.payload) for one in records), encode)

    def folded(self) -> tuple[Fold, ...]:
        """Fold here, with the software that judges: what the parent in the cage must come to.

        Not for an event loop, nor for what is older. Raises Unsound for a state beyond the bounds.
        """
        state = State((*BASIC_REDUCERS, *REDUCERS), size=self.first)
        return folded_on(state, self.events, self.sizes)


def folded_on(state: State, events: Iterable[Event], sizes: Sequence[int]) -> tuple[Fold, ...]:
    """Fold `state` on with these events; return it at each size. Raises Unsound."""
    rest, found = iter(events), []
    for size in sizes:
        while state.size < size:
            bare = next(rest).record._replace(content=None, content_salt=None)
            state.apply(Event.open(bare))
        found.append(Fold.held(state))
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
        """Have `software` fold. Raises SandboxError, OSError, StoreError."""
        folder = self.folder / name
        if not folder.exists():
            await to_its_end(asyncio.to_thread(_write_software, software, folder))
        said = await self._said(name, folder, told, told.frames(), states=len(told.sizes))
        if isinstance(said, Tried):
            return replace(said, why=f"it does not fold what is there: {said.why}")
        try:
            folds = await asyncio.to_thread(_folds_of, said, told)
        except Unsound as error:
            return Tried(outcome=Outcome.FAIL, why=f"it does not fold what is there: {error}")
        return Tried(outcome=Outcome.PASS, folds=folds)

    async def back(self, name: str, module: bytes, new: Fold, told: Told) -> Tried:
        """Have a migration take one state back. Raises SandboxError, OSError."""
        folder = self.folder / name
        await to_its_end(asyncio.to_thread(_write_migration, module, new, folder))
        said = await self._said(name, folder, told, iter(()), states=1)
        if isinstance(said, Tried):
            return replace(said, why=f"the migration that it declares: {said.why}")
        try:
            fold = await asyncio.to_thread(_old_of, said, new.size, told.bounds)
        except Unsound as error:
            return Tried(outcome=Outcome.FAIL, why=f"the migration that it declares: {error}")
        return Tried(outcome=Outcome.PASS, folds=(fold,))

    async def _said(
        self, name: str, folder: Path, told: Told, frames: Iterator[bytes], *, states: int
    ) -> bytes | Tried:
        """Run what lies in a folder; return what it handed over, or how it failed."""
        budget, bounds = self.budget, told.bounds
        more_s = told.count / limits.FOLD_EVENTS_PER_S_MIN
        bytes_max = states * (bounds.state_bytes + _END_BYTES)
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            held = _limits(budget.limits, bounds, more_s)
            child = await spawn(folder, theirs, limits=held, engine=self.engine)
            try:
                async with asyncio.timeout(budget.patience.case_s + more_s):
                    said = await _conversation(ours, frames, bytes_max)
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


def _limits(given: SandboxLimits, bounds: Bounds, more_s: float) -> SandboxLimits:
    """Return what a subject may take: more for a longer ledger, and a larger state."""
    memory = limits.FOLD_MEMORY_TIMES * (bounds.state_bytes - STATE_BYTES_FREE)
    cpu, wall = given.cpu_seconds, given.wall_s
    return replace(
        given,
        memory_bytes=2 * given.memory_bytes + memory,
        cpu_seconds=None if cpu is None else cpu + math.ceil(more_s),
        wall_s=None if wall is None else wall + more_s,
    )


def _states_of(said: bytes) -> Iterator[tuple[tuple[bytes, ...], list[Any]]]:
    """Read states that were handed over: the maps of each, and what ends it. Raises Unsound."""
    maps: list[bytes] = []
    try:
        for frame in frames_of(io.BytesIO(said).read):
            if frame[:1] >= _A_MAP:
                _check_full(maps)
                maps.append(frame)
                continue
            end = decode(frame, bytes_max=_END_BYTES)
            yield tuple(maps), end if type(end) is list else []
            maps = []
    except Unsound:
        raise
    except (InvalidCbor, ValueError) as error:
        raise Unsound("it hands over no states") from error
    if maps:
        raise Unsound("it hands over a state without an end")


def _check_full(maps: Sequence[bytes]) -> None:
    """Raise Unsound if no map may follow these: reading each costs the digests of all parts."""
    if maps and len(maps[-1]) < FULL_BYTES:
        raise Unsound("it hands over a state in smaller parts than it should")


def _folds_of(said: bytes, told: Told) -> tuple[Fold, ...]:
    """Read what was handed over: a state for each size. Raises Unsound."""
    found = [*islice(_states_of(said), len(told.sizes) + 1)]
    if len(found) != len(told.sizes):
        raise Unsound(f"it hands over {len(found)} states, {len(told.sizes)} were asked for")
    return tuple(
        _fold_of(maps, end, size, told.bounds)
        for (maps, end), size in zip(found, told.sizes, strict=True)
    )


def _fold_of(maps: tuple[bytes, ...], end: list[Any], wanted: int, bounds: Bounds) -> Fold:
    match end:
        case [int(size), bytes(digest)] if type(size) is int:
            if size != wanted:
                raise Unsound(f"its state is of {size} events, {wanted} were to be folded")
            fold = _bounded(maps, wanted, bounds)
            if fold.digest != digest:
                raise Unsound("the digest that it names is not that of the state it hands over")
            return fold
    raise Unsound("it hands over no states")


def _old_of(said: bytes, size: int, bounds: Bounds) -> Fold:
    """Read the state that a migration handed over, and nothing else. Raises Unsound."""
    match [*islice(_states_of(said), 2)]:
        case [(maps, [int(count)])]:
            fold = _bounded(maps, size, bounds)
            if fold.entries == count:
                return fold
    raise Unsound("it is not the encoding of a state")


def _bounded(maps: tuple[bytes, ...], size: int, bounds: Bounds) -> Fold:
    if (length := _length(maps)) > bounds.state_bytes:
        raise Unsound(f"it hands over a state of {length} bytes, more than {bounds.state_bytes}")
    return Fold.of(size, maps, bounds)


def _length(maps: Iterable[bytes]) -> int:
    """Bytes of the frames that a state is handed over in."""
    return sum(len(framed(one)) for one in maps)


async def _conversation(channel: socket.socket, frames: Iterator[bytes], bytes_max: int) -> bytes:
    """Tell frames as long as they are read, and hear what is said beside it. Raises StoreError."""
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(_tell(channel, frames))
        said = await _all(channel, bytes_max)
        telling.cancel()
    if not telling.cancelled() and (fault := telling.result()) is not None:
        raise fault
    return said


async def _tell(channel: socket.socket, frames: Iterator[bytes]) -> StoreError | None:
    """Return what kept us from telling all: raised into a group it could hide a cancellation."""
    loop = asyncio.get_running_loop()
    try:
        while (frame := await asyncio.to_thread(next, frames, None)) is not None:
            await loop.sock_sendall(channel, frame)
    except StoreError as error:
        return error
    except ConnectionError:
        return None  # it ended: what it said decides
    finally:
        with suppress(OSError):  # it ended
            channel.shutdown(socket.SHUT_WR)
    return None


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


def _write_drivers(main: str, folder: Path) -> None:
    drivers = resources.files("genesis.judging")
    (folder / "main.py").write_bytes(drivers.joinpath(main).read_bytes())
    (folder / "packing.py").write_bytes(drivers.joinpath("packing.py").read_bytes())


def _write_migration(module: bytes, new: Fold, folder: Path) -> None:
    """Write what taking a state back needs, and nothing else."""
    folder.mkdir()
    _write_drivers("inverting.py", folder)
    (folder / "migration.py").write_bytes(module)
    (folder / "_state").write_bytes(b"".join(map(framed, new.maps)))


def _write_software(software: Software, folder: Path) -> None:
    """Write what a fold needs. Not durable: it is gone with the judgment."""
    for path, data in software.items():
        if not path.startswith(_FOLDING):
            continue
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    _write_drivers("folding.py", folder)
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
