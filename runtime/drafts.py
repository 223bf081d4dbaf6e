"""Replies while they grow, for whoever watches a message being answered.

Nothing is shown that the output screen has not passed: a watcher is given whole sentences, screened
with everything before and behind them (`runtime.core.drafting`). A draft is no fact: the ledger
gets the whole answer or none, and what a watcher saw is replaced by it. Without a watcher no model
is asked to stream.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from runtime.core.chat import DraftSink
from runtime.core.drafting import shown_chars
from runtime.core.leaks import Leaks
from runtime.screening import screen_answer


@dataclass(frozen=True, slots=True)
class Piece:
    """More words; `anew` if all before them are void: another link began."""

    text: str
    anew: bool = False


@dataclass(slots=True)
class Watcher:
    """One who watches. Made by `Drafts.watch`."""

    _leaks: Leaks = field(default_factory=Leaks)
    _text: str = ""
    _turned: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, text: str) -> None:
        """See `runtime.core.chat.DraftSink`."""
        self._text += text
        self._changed.set()

    def reset(self) -> None:
        """See `runtime.core.chat.DraftSink`."""
        if self._text:
            self._text = ""
            self._turned += 1
            self._changed.set()

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yield what may be shown, without end: whoever reads it knows when the answer is there."""
        shown, turned, open_ = 0, 0, True
        while True:
            await self._changed.wait()
            self._changed.clear()
            text, now = self._text, self._turned
            if now != turned:
                void, shown, turned, open_ = shown > 0, 0, now, True
                if void:
                    yield Piece("", anew=True)
            end = shown_chars(text)
            if open_ and end > shown:
                open_ = self._leaks.own_in(text) is None and await screen_answer(text) is None
                if open_ and self._turned == turned:
                    yield Piece(text[shown:end])
                    shown = end


class _Sinks:
    """Tells all watchers of one message."""

    def __init__(self, watchers: list[Watcher]) -> None:
        self._watchers = watchers

    def add(self, text: str) -> None:
        for watcher in self._watchers:
            watcher.add(text)

    def reset(self) -> None:
        for watcher in self._watchers:
            watcher.reset()


class Drafts:
    """Who watches which message, by position."""

    def __init__(self, leaks: Leaks | None = None) -> None:
        """`leaks`: what knows the secrets of the node, which no watcher is shown."""
        self._leaks = Leaks() if leaks is None else leaks
        self._watchers: dict[int, list[Watcher]] = {}

    @contextmanager
    def watch(self, position: int) -> Iterator[Watcher]:
        """Watch the message at `position` being answered."""
        watcher = Watcher(self._leaks)
        watchers = self._watchers.setdefault(position, [])
        watchers.append(watcher)
        try:
            yield watcher
        finally:
            watchers.remove(watcher)
            if not watchers:
                self._watchers.pop(position, None)

    def sink(self, position: int) -> DraftSink | None:
        """Where a reply for the message goes while it comes; None if nobody watches."""
        watchers = self._watchers.get(position)
        return _Sinks(watchers) if watchers else None
