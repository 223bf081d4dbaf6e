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
from mesh.store import EventStore, Outcome
from mesh.worker import Worker

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to an offered event, in the words of an OK message (NIP-01)."""

    accepted: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class _Offered:
    event: Event
    verdict: "asyncio.Future[Verdict]"


_Judged = tuple[Verdict, VerifiedEvent | None]
"""A verdict, and the event if subscribers have not had it yet."""

_VERDICTS = {
    Outcome.STORED: Verdict(accepted=True),
    Outcome.EPHEMERAL: Verdict(accepted=True),
    Outcome.DUPLICATE: Verdict(accepted=True, message="duplicate: already have this event"),
    Outcome.SUPERSEDED: Verdict(accepted=True, message="duplicate: have a newer version of it"),
    Outcome.EXPIRED: Verdict(accepted=False, message="invalid: event has expired"),
    Outcome.FULL: Verdict(accepted=False, message="error: the store of this relay is full"),
}


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
        self.idle.set()

    def offer(self, event: Event) -> "asyncio.Future[Verdict]":
        """Queue an event; the future has its verdict once it is committed or refused.

        Callers bound how many they have under way (OFFERS_MAX per connection).
        """
        offered = _Offered(event, asyncio.get_running_loop().create_future())
        self._pending.append(offered)
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
        events = [offered.event for offered in batch]
        running = self._worker.submit(partial(_judge, self._store, events, self._clock()))
        running.add_done_callback(partial(self._settle, batch))

    def _settle(self, batch: list[_Offered], done: "asyncio.Future[list[_Judged]]") -> None:
        self._busy = False
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


def _judge(store: EventStore, events: Sequence[Event], now: int) -> list[_Judged]:
    """Verify and store a batch; runs in the store's thread.

    When the store refuses the batch as a whole (StoreError), so does this.
    """
    judged: list[_Judged | None] = []
    verified: list[VerifiedEvent] = []
    for event in events:
        try:
            verified.append(event if isinstance(event, VerifiedEvent) else verify(event))
            judged.append(None)
        except InvalidEvent as error:
            judged.append((Verdict(accepted=False, message=f"invalid: {error}"), None))
    outcomes = iter(zip(verified, store.add(verified, now=now), strict=True))
    return [one if one is not None else _from_outcome(*next(outcomes)) for one in judged]


def _from_outcome(event: VerifiedEvent, outcome: Outcome) -> _Judged:
    fresh = outcome in {Outcome.STORED, Outcome.EPHEMERAL}
    return _VERDICTS[outcome], event if fresh else None
