"""Group commit: events from all connections are verified and stored in shared transactions.

While one batch is in the store's thread the next one gathers; so a lone event waits for nothing
and a thousand share one commit. A waiter that is cancelled does not take its batch with it, and
every committed event is announced, whoever still waits for it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from mesh.core import limits
from mesh.core.errors import InvalidEvent
from mesh.core.nip01 import Event, VerifiedEvent, verify
from mesh.core.relay.deletion import GIFT_WRAP_KIND, VANISH_KIND
from mesh.core.relay.filter import Filter
from mesh.relay.store import EventStore, Outcome
from mesh.worker import Worker

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to an offered event, in the words of an OK message (NIP-01)."""

    accepted: bool
    message: str = ""


_WORD_BYTES = 8


@dataclass(frozen=True, slots=True)
class _Offered:
    event: Event
    uninvited: bool
    guest: bool
    verdict: "asyncio.Future[Verdict]"

    @property
    def bytes(self) -> int:
        """About what the event holds: its texts, and a word for each."""
        words = (value for tag in self.event.tags for value in tag)
        return len(self.event.content) + sum(len(word) + _WORD_BYTES for word in words)


_Judged = tuple[Verdict, VerifiedEvent | None]
"""A verdict, and the event if subscribers have not had it yet."""

_VERDICTS = {
    Outcome.STORED: Verdict(accepted=True),
    Outcome.EPHEMERAL: Verdict(accepted=True),
    Outcome.DUPLICATE: Verdict(accepted=True, message="duplicate: already have this event"),
    Outcome.SUPERSEDED: Verdict(accepted=True, message="duplicate: have a newer version of it"),
    Outcome.DELETED: Verdict(accepted=False, message="deleted: its deletion was asked for"),
    Outcome.EXPIRED: Verdict(accepted=False, message="invalid: event has expired"),
    Outcome.FULL: Verdict(accepted=False, message="error: the store of this relay is full"),
}


_NOTHING_HERE = Verdict(accepted=True, message="nothing of this key is here")


class Committer:
    """Takes events in, calls `announce` for each new one after its commit, in commit order."""

    def __init__(
        self,
        store: EventStore,
        worker: Worker,
        *,
        clock: Callable[[], int],
        announce: Callable[[VerifiedEvent], None],
    ) -> None:
        self._store = store
        self._worker = worker
        self._clock = clock
        self._announce = announce
        self._pending: deque[_Offered] = deque()
        self._busy = False
        self.idle = asyncio.Event()
        """Set while nothing is being committed or waits to be."""
        self._bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self.idle.set()

    async def room(self) -> None:
        """Wait until what was offered leaves room for more (OFFERED_BYTES_MAX)."""
        await self._has_room.wait()

    def _hold(self, size: int) -> None:
        self._bytes += size
        if self._bytes < limits.OFFERED_BYTES_MAX:
            self._has_room.set()
        else:
            self._has_room.clear()

    def offer(
        self, event: Event, *, uninvited: bool = False, guest: bool = False
    ) -> "asyncio.Future[Verdict]":
        """Queue an event; the future has its verdict once it is committed or refused.

        A `guest` is refused once the store holds GUEST_EVENTS_MAX. A request to vanish that is
        `uninvited` is passed over if the store holds nothing by or for its author.
        Callers bound how many they have under way (OFFERS_MAX per connection), and wait for `room`.
        """
        offered = _Offered(event, uninvited, guest, asyncio.get_running_loop().create_future())
        self._pending.append(offered)
        self._hold(offered.bytes)
        self._start()
        return offered.verdict

    def _start(self) -> None:
        if self._busy:
            return
        if not self._pending:
            self.idle.set()
            return
        self._busy = True
        self.idle.clear()
        size = min(len(self._pending), limits.COMMIT_EVENTS_MAX)
        batch = [self._pending.popleft() for _ in range(size)]
        running = self._worker.submit(partial(_judge, self._store, batch, self._clock()))
        running.add_done_callback(partial(self._settle, batch))

    def _settle(self, batch: list[_Offered], done: "asyncio.Future[list[_Judged]]") -> None:
        self._busy = False
        self._hold(-sum(offered.bytes for offered in batch))
        for offered, (verdict, fresh) in zip(batch, _results(done, len(batch)), strict=True):
            if not offered.verdict.done():  # its connection may be gone
                offered.verdict.set_result(verdict)
            if fresh is not None:
                self._announce(fresh)
        self._start()


def _results(done: "asyncio.Future[list[_Judged]]", size: int) -> list[_Judged]:
    error = asyncio.CancelledError() if done.cancelled() else done.exception()
    if error is None:
        return done.result()
    _log.error("relay store failed", error=str(error), events=size)
    return [(Verdict(accepted=False, message="error: could not store the event"), None)] * size


def _judge(store: EventStore, batch: Sequence[_Offered], now: int) -> list[_Judged]:
    """Verify and store a batch; runs in the store's thread.

    When the store refuses the batch as a whole (StoreError), so does this.
    """
    crowded = store.count() >= limits.GUEST_EVENTS_MAX
    judged: list[_Judged | None] = []
    verified: list[VerifiedEvent] = []
    for offered in batch:
        event = offered.event
        try:
            checked = event if isinstance(event, VerifiedEvent) else verify(event)
        except InvalidEvent as error:
            judged.append((Verdict(accepted=False, message=f"invalid: {error}"), None))
            continue
        turned_away = _turned_away(store, offered, crowded=crowded, now=now)
        if turned_away is None:
            verified.append(checked)
        judged.append(None if turned_away is None else (turned_away, None))
    outcomes = iter(zip(verified, store.add(verified, now=now), strict=True))
    return [one if one is not None else _from_outcome(*next(outcomes)) for one in judged]


def _turned_away(
    store: EventStore, offered: _Offered, *, crowded: bool, now: int
) -> Verdict | None:
    """Return what a guest is told whose event is not even put to the store, or None."""
    no_room = offered.guest and crowded
    if offered.event.kind != VANISH_KIND:
        return _VERDICTS[Outcome.FULL] if no_room else None
    if (no_room or offered.uninvited) and not _knows(store, offered.event.pubkey, now):
        return _NOTHING_HERE
    return None


def _knows(store: EventStore, pubkey: str, now: int) -> bool:
    """Tell whether anything by or for a key is stored."""
    key = frozenset({pubkey})
    wraps = frozenset({GIFT_WRAP_KIND})
    filters = [Filter(authors=key), Filter(kinds=wraps, tags=(("p", key),))]
    return bool(store.count_matching(filters, now=now, keys=key, count_max=1))


def _from_outcome(event: VerifiedEvent, outcome: Outcome) -> _Judged:
    fresh = outcome in {Outcome.STORED, Outcome.EPHEMERAL}
    return _VERDICTS[outcome], event if fresh else None
