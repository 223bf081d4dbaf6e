"""The log: drafts in, durable events out, in one total order.

One thread commits. Whatever waits when it is free goes into one transaction (group commit), so that
a hundred writers share one fsync. An append that returned is durable; one that raised left nothing.
What the log does not know: who may append what (policy is the host's), and what was released to the
world (`ledger.release`).
"""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from ledger.core import limits, types
from ledger.core.errors import (
    IdempotencyConflict,
    InvalidData,
    InvalidEvent,
    InvalidProof,
    Moved,
    NotFound,
    Refused,
    StoreDamaged,
    StoreError,
    TimmyError,
)
from ledger.core.event import Cause, Draft, Event, Record, same_body, seal
from ledger.core.merkle import leaf_hash
from ledger.core.redaction import require_erasable, targets
from ledger.core.tiles import TILE_LEVELS, Tree
from ledger.opened import Opened
from ledger.scratch import Request, Result, Scratch
from ledger.store import Store
from ledger.unforeseen import unforeseen

Clock = Callable[[], int]
"""Unix time in milliseconds."""
Entropy = Callable[[int], bytes]
"""That many random bytes."""

_SALTS_BYTES: Final = 2 * limits.SALT_BYTES
_SCRUB_SECONDS: Final = 0.5
"""How soon a log that a reader held back is emptied again: soon, and no load."""

_RESTART: Final = "stop the node and start it again: what was acknowledged is durable"


class Log:
    """A ledger that is open for reading, and for appending if its store is.

    Owns the store: it is closed with the log, and when opening the log fails. With `reading` the
    tree is restored when it is first asked for: what is whole in a damaged ledger can be read.
    """

    def __init__(
        self, store: Store, *, clock: Clock, entropy: Entropy, reading: bool = False
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._commit_lock = threading.Lock()
        self._requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._waiting_lock = threading.Lock()
        self._last_ms = 0
        self._restored: Tree | None = None
        self._ended: StoreError | None = None
        self._opened = Opened(keeping=not reading)
        try:
            self._size = store.size
            if not reading:
                self._restored = self._restore()
                self._last_ms = self.read(self.size - 1).ts_ms if self.size else 0
            self._scrub_owed = not store.scrub()
        except BaseException:
            store.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finish what was asked for and release the store."""
        if self._writer is not None:
            self._requests.put(None)
            self._writer.join()
            self._writer = None
        self.finish_erasing()
        self._store.close()

    @property
    def erasing(self) -> bool:
        """Whether erased bytes may be left in the files: a reader is in the way, or a crash was."""
        return self._scrub_owed or self._store.erasing

    def finish_erasing(self, *, tries: int = 1) -> bool:
        """Leave no byte of what was erased; False if readers of this home are still in the way.

        The writer thread goes on trying by itself. Waits half a second between tries.
        """
        for following in range(tries):
            if following:
                threading.Event().wait(_SCRUB_SECONDS)
            with self._commit_lock:
                if self._scrub_owed:
                    self._scrub()
            if not self._scrub_owed:
                return True
        return False

    # ---- reading ----------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Number of durable events."""
        return self._size

    @property
    def tree(self) -> Tree:
        """The tree over all durable envelopes. Read only."""
        if self._restored is None:
            self._restored = self._restore()
        return self._restored

    @property
    def damage(self) -> StoreDamaged | None:
        """What opening the store noticed: what is left of it can be read."""
        return self._store.damage

    @property
    def clock_behind_ms(self) -> int:
        """How far the clock has gone back behind the newest event; 0 if it has not."""
        return max(0, self._last_ms - self._clock())

    @property
    def ledger_id(self) -> bytes:
        """The id of event 0, which fixes keys, SOUL and network."""
        return self.read(0).id

    def refresh(self) -> None:
        """Take in what another process appended, when the store was opened for reading."""
        tree = self.tree.fork()
        added = self._store.records(tree.size, self._store.size)
        tree.extend([leaf_hash(record.envelope) for record in added])
        self._restored, self._size = tree, tree.size

    def read(self, position: int) -> Event:
        """Return the event at `position`, every commitment checked. Raises NotFound.

        One of the newest that was looked at is not read and checked again, and is the same object:
        nobody changes its payload. What a redaction erases is forgotten before it is acknowledged.
        """
        if not 0 <= position < self.size:
            raise NotFound(f"there is no event {position}", hint=f"this log has {self.size} events")
        return next(self._opened.events(self.events, position, position + 1))

    def events(self, start: int = 0, stop: int | None = None) -> Iterator[Event]:
        """Yield the events of [start, stop) in order, every commitment checked.

        Raises StoreDamaged, with its position, at an event that is not what was appended.
        """
        for record in self.records(start, stop):
            try:
                event = Event.open(record)
            except InvalidData as error:
                raise StoreDamaged(
                    f"event {record.position}: {error}", position=record.position
                ) from error
            yield event

    def as_written(self, start: int = 0, stop: int | None = None) -> Iterator[Event]:
        """The same, for a reducer of the state: what brings old payloads forward leaves these."""
        end = self.size if stop is None else min(stop, self.size)
        return self._opened.events(self.events, start, end)

    def records(self, start: int = 0, stop: int | None = None) -> Iterator[Record]:
        """Yield stored records of [start, stop) in order, unchecked; a gap raises StoreDamaged."""
        end = self.size if stop is None else min(stop, self.size)
        expected = max(0, start)
        for record in self._store.records(expected, end):
            if record.position != expected:
                break
            expected += 1
            yield record
        if expected < end:
            raise StoreDamaged(f"event {expected} is missing", position=expected)

    def find(self, idempotency_key: bytes) -> Event | None:
        """Return the event that was appended with this key."""
        position = self._store.position_of(idempotency_key)
        return None if position is None or position >= self.size else self.read(position)

    def stream(self, stream: bytes, *, last: int) -> list[Event]:
        """Return the newest `last` events of a stream, oldest first."""
        return [self.read(at) for at in self.positions(stream, max(0, self._length(stream) - last))]

    def positions(self, stream: bytes, start: int) -> list[int]:
        """Return where the events of a stream are filed, from stream sequence `start` on."""
        return self._store.stream_positions(stream, start, self._length(stream))

    def _length(self, stream: bytes) -> int:
        """How many events of a stream can be read: a commit is in the store before it is here."""
        size, length = self.size, self._store.stream_length(stream)
        while any(at >= size for at in self._store.stream_positions(stream, length - 1, length)):
            length -= 1
        return length

    async def follow(self, start: int = 0) -> AsyncIterator[Event]:
        """Yield every event from `start` on, then each new one as it becomes durable."""
        while True:
            stop = self.size
            for event in self._opened.events(self.events, start, stop):
                yield event
            start = max(start, stop)
            await self.grown(start)

    async def grown(self, size: int) -> None:
        """Return as soon as the log has more than `size` events."""
        loop = asyncio.get_running_loop()
        while self.size <= size:
            woken = loop.create_future()
            with self._waiting_lock:
                self._waiting.append((loop, woken))
            if self.size <= size:
                await woken

    # ---- appending --------------------------------------------------------------------------

    async def append(self, *drafts: Draft, expected: int | None = None) -> list[Event]:
        """Append all drafts in one commit and return their events, durable.

        A draft whose idempotency key is known returns the event it made then; with another body
        it raises IdempotencyConflict. With `expected`, the first draft gets that position or Moved
        is raised. Raises InvalidData for a draft that breaks a bound, StoreFull and StoreError
        from below. Whatever is raised, nothing was appended.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()

        def resolve(result: Result) -> None:
            if not answer.done():
                answer.set_result(result)

        self._start_writer()

        def done(result: Result) -> None:
            loop.call_soon_threadsafe(resolve, result)

        self._requests.put(Request(drafts, done, expected))
        result = await answer
        if isinstance(result, TimmyError):
            raise result
        return result

    def append_now(self, *drafts: Draft, expected: int | None = None) -> list[Event]:
        """Append from code that has no event loop: the command line, tests, benchmarks."""
        results: list[Result] = []
        self._commit([Request(drafts, results.append, expected)])
        if isinstance(results[0], TimmyError):
            raise results[0]
        return results[0]

    def redaction(self, positions: list[int], *, reason: str, actor: str) -> Draft:
        """Return the draft that, appended, erases the content of `positions` for good.

        Raises NotFound, or Refused for an event that has no content: keys, rules and denials are
        payload and stay.
        """
        events = [self.read(position) for position in sorted(set(positions))]
        for event in events:
            require_erasable(event)
        return Draft(
            type=types.REDACTED.name,
            stream=types.NODE_STREAM,
            payload={
                "targets": [event.position for event in events],
                "reason": reason,
                "actor": actor,
            },
            causes=tuple(event.cause for event in events[: limits.CAUSES_MAX]),
        )

    def _start_writer(self) -> None:
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, name="ledger-writer", daemon=True)
            self._writer.start()

    def _write(self) -> None:
        while (first := self._next()) is not None:
            requests, count = [first], len(first.drafts)
            while count < limits.BATCH_EVENTS_MAX:
                try:
                    following = self._requests.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    self._commit(requests)
                    return
                requests.append(following)
                count += len(following.drafts)
            self._commit(requests)

    def _next(self) -> Request | None:
        """Wait for the next request; meanwhile empty the log if that is still owed."""
        while True:
            try:
                return self._requests.get(timeout=_SCRUB_SECONDS if self._scrub_owed else None)
            except queue.Empty:
                self.finish_erasing()

    def _commit(self, requests: list[Request]) -> None:
        """Seal every request's drafts, store them in one transaction, tell each its result."""
        with self._commit_lock:
            results = self._results(requests)
            if self._scrub_owed:
                self._scrub()
        for request, result in zip(requests, results, strict=True):
            with suppress(RuntimeError):  # its loop is closed: nobody waits for it any more
                request.done(result)
        self._wake()

    def _results(self, requests: list[Request]) -> list[Result]:
        """Carry out one commit. What nobody foresaw fails these requests, and no thread dies of it.

        If it came while storing, nobody knows what the store holds: no event is taken after it.
        """
        if self._ended is not None:
            return [self._ended] * len(requests)
        storing = False
        try:
            scratch = Scratch(self.size, self._last_ms)
            results: list[Result] = [self._gather(scratch, request) for request in requests]
            storing = True
            self._store_batch(scratch)
        except TimmyError as error:
            if not storing:
                return [error] * len(requests)
            return [r if isinstance(r, TimmyError) else error for r in results]
        except Exception as error:  # noqa: BLE001 - a bug must fail its callers, not the writer
            failed = unforeseen(error)
            if storing:
                self._ended = StoreError(f"no event is taken any more: {failed}", hint=_RESTART)
            return [failed] * len(requests)
        return results

    def _store_batch(self, scratch: Scratch) -> None:
        if not scratch.batch.events:
            return
        tree = self.tree.fork()
        tree.extend([leaf_hash(record.envelope) for record, _ in scratch.batch.events])
        scratch.batch.tiles = tree.take_tiles()
        self._scrub_owed |= bool(scratch.batch.erase)  # before: a commit that fails may leave bytes
        try:
            self._store.append(scratch.batch)
        finally:
            if scratch.batch.erase:
                self._opened.forget()
        self._restored, self._size = tree, tree.size
        self._last_ms = scratch.last_ms

    def _scrub(self) -> None:
        """Try once. What was committed stays committed: no writer is told of a failure here."""
        try:
            self._scrub_owed = not self._store.scrub()
        except StoreError:
            pass
        except Exception as error:  # noqa: BLE001 - it stays owed, and the writer lives on
            unforeseen(error)

    def _gather(self, scratch: Scratch, request: Request) -> Result:
        """Seal one request into the scratch; on a fault undo just this request."""
        drafts, size = request.drafts, scratch.size
        if request.expected not in (None, size):
            return Moved(f"the log has {size} events, expected {request.expected}")
        mark, erased = len(scratch.batch.events), len(scratch.batch.erase)
        try:
            lengths = {d.stream: self._next_sequence(scratch, d.stream) for d in drafts}
        except StoreError as error:
            return error
        try:
            return self._seal(scratch, drafts)
        except (InvalidData, Refused, StoreError) as error:
            for _, envelope in scratch.batch.events[mark:]:
                if envelope.idempotency_key is not None:
                    del scratch.keys[envelope.idempotency_key]
            del scratch.batch.events[mark:], scratch.batch.erase[erased:]
            scratch.lengths.update(lengths)
            scratch.size = size
            return error

    def _seal(self, scratch: Scratch, drafts: tuple[Draft, ...]) -> list[Event]:
        """Make the events of one request; the salts of all of them are drawn at once."""
        salts = self._entropy(_SALTS_BYTES * len(drafts))
        events, lengths = [], scratch.lengths
        for at, draft in enumerate(drafts):
            if draft.type in types.LINEAGE and draft.stream != types.LINEAGE_STREAM:
                raise Refused("a record of lineage outside its stream would not be found")
            event = self._known(scratch, draft)
            if event is None:
                if draft.causes:
                    self._check_causes(scratch, draft)
                event = seal(
                    draft,
                    position=scratch.size,
                    stream_sequence=lengths[draft.stream],
                    ts_ms=max(self._clock(), scratch.last_ms),
                    salts=salts[at * _SALTS_BYTES : (at + 1) * _SALTS_BYTES],
                )
                self._take(scratch, event)
            events.append(event)
        return events

    def _take(self, scratch: Scratch, event: Event) -> None:
        envelope = event.envelope
        scratch.batch.events.append((event.record, envelope))
        scratch.size += 1
        scratch.last_ms = envelope.ts_ms
        scratch.lengths[envelope.stream] += 1
        if envelope.idempotency_key is not None:
            scratch.keys[envelope.idempotency_key] = event
        if envelope.type == types.REDACTED.name:
            scratch.batch.erase += self._targets(event)

    def _targets(self, event: Event) -> list[int]:
        named = targets(event)
        if "targets" not in event.payload:
            raise InvalidEvent("a redaction without targets")
        for target in named:
            require_erasable(self.read(target))
        return named

    def _next_sequence(self, scratch: Scratch, stream: bytes) -> int:
        if stream not in scratch.lengths:
            scratch.lengths[stream] = self._store.stream_length(stream)
        return scratch.lengths[stream]

    def _known(self, scratch: Scratch, draft: Draft) -> Event | None:
        key = draft.idempotency_key
        if key is None:
            return None
        event = scratch.keys.get(key) or self.find(key)
        if event is not None and not same_body(event, draft):
            raise IdempotencyConflict(
                f"idempotency key {key.hex()} belongs to event {event.position}, another body"
            )
        return event

    def _check_causes(self, scratch: Scratch, draft: Draft) -> None:
        for cause in draft.causes:
            if cause.ledger is None and self._id_at(scratch, cause) != cause.id:
                raise InvalidEvent(f"cause {cause.position} {cause.id.hex()} is not in this log")

    def _id_at(self, scratch: Scratch, cause: Cause) -> bytes | None:
        if cause.position < self.size:
            return self.read(cause.position).id
        index = cause.position - self.size
        if index < len(scratch.batch.events):
            return scratch.batch.events[index][1].id
        return None

    def _restore(self) -> Tree:
        """Rebuild the tree of exactly our size: another process may be appending meanwhile."""

        def leaves(start: int) -> list[bytes]:
            return [leaf_hash(record.envelope) for record in self.records(start)]

        def tile_roots(level: int, start: int) -> list[bytes]:
            full = self._size >> (TILE_LEVELS * (level + 1))
            return self._store.tile_roots(level, start)[: full - start]

        try:
            return Tree.restore(self._store.tile, tile_roots, leaves, self._size)
        except InvalidProof as error:
            raise StoreDamaged(f"the stored tree is not whole: {error}") from error

    def _wake(self) -> None:
        with self._waiting_lock:
            waiting, self._waiting = self._waiting, []
        for loop, future in waiting:
            with suppress(RuntimeError):  # closed
                loop.call_soon_threadsafe(_resolve, future)


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
