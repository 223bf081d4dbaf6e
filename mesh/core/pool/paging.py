"""Reading all that a relay has for a filter, page by page, without believing it (NIP-01).

A relay returns the newest events and cuts where it likes: at `limit`, at a smaller bound of its
own, at its outbound buffer. What it leaves out has to be asked for again with `until`, and there
relays differ: NIP-01 says that `until` is inclusive, one common relay takes it as exclusive. And a
second may hold more events than a page. So:

1. The next page ends one second *after* the oldest event so far (`until` = oldest + 1): with an
   exclusive relay nothing of that second is lost, with an inclusive one some come twice.
2. A page that brings nothing new is not the end. The walk goes down a second at a time, to the
   oldest itself, then to the second before it; only when that page, too, is empty of news it ends.
   So no single EOSE is believed, and an empty first page is asked for twice.
3. Going on below a second whose page was full of events known already leaves a *gap*: that second
   may hold more than a page. It is reported, not hidden; reconciling (NIP-77) finds the rest.

Every page lowers `until` or brings something new, which `events_max` bounds, so the walk ends
whatever the relay does. Not covered: a relay that hides events consistently looks as if it had
none. A page that was cut short by our own bounds counts as what came of it.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from mesh.core.relay.filter import Filter

_STEPS: Final = (1, 0, -1)
"""`until` as a distance from the oldest event: above it, at it, below it."""
_ASKS_OF_NOTHING: Final = 2
"""How often a relay that has nothing is asked."""


class Walk:
    """Reads `wanted`, at most `events_max` events of it or its own `limit`, in pages."""

    def __init__(
        self, wanted: Filter, *, page_events: int, events_max: int, pages_max: int
    ) -> None:
        most = events_max if wanted.limit is None else min(events_max, wanted.limit)
        self._wanted = wanted
        self._page_events = max(1, min(page_events, most))
        self._events_max = most
        self._pages_left = pages_max
        self._seen: set[str] = set()
        self._oldest: int | None = None
        self._step = 0  # index into _STEPS; before the first event, how often nothing came
        self._stuck = 0  # events of the largest page at the oldest second that brought nothing new
        self._last = 0  # events of the last page that brought something
        self.done = most <= 0
        self.gaps: set[int] = set()
        self.cut = ""
        self.cap: int | None = None

    def next(self) -> Filter:
        """Return the filter of the next page."""
        until = self._wanted.until
        if self._oldest is not None:
            until = self._oldest + _STEPS[self._step]
            if self._wanted.until is not None:
                until = min(until, self._wanted.until)
        return replace(self._wanted, until=until, limit=self._page_events)

    def take(self, events: Iterable[tuple[int, str]]) -> None:
        """Take what the page brought, in any order and with repeats, as (created_at, id)."""
        page = set(events)
        news = [event_id for _, event_id in page if event_id not in self._seen]
        self._seen.update(news)
        self._pages_left -= 1
        if len(self._seen) >= self._events_max:
            limited = self._wanted.limit is not None and self._wanted.limit <= self._events_max
            self._end("" if limited else f"more than {self._events_max} events")
        elif self._pages_left <= 0:
            self._end("more pages than are asked for")
        elif news:
            self._lower(page)
        else:
            self._step_down(len(page))

    def _was_full(self) -> bool:
        return self._stuck >= (self.cap or self._page_events)

    def _lower(self, page: set[tuple[int, str]]) -> None:
        oldest = min(second for second, _ in page)
        known = self._oldest
        if known is None or oldest < known:
            if known is not None:
                self._learn_cap()
                if self._was_full() and not any(second == known for second, _ in page):
                    self.gaps.add(known)
            self._oldest, self._stuck = oldest, 0
        self._step, self._last = 0, len(page)

    def _learn_cap(self) -> None:
        """A page shorter than asked for was not the end: the relay has a bound of its own."""
        if 0 < self._last < self._page_events:
            self.cap = max(self._last, self.cap or 0)

    def _step_down(self, size: int) -> None:
        self._step += 1
        if self._oldest is None:
            self.done = self._step >= _ASKS_OF_NOTHING
            return
        self._stuck = max(self._stuck, size)
        floor = max(0, self._wanted.since or 0)
        if self._step >= len(_STEPS) or self._oldest + _STEPS[self._step] < floor:
            self._end("")

    def _end(self, why: str) -> None:
        self.done, self.cut = True, why
        if self._was_full() and self._oldest is not None:
            self.gaps.add(self._oldest)
