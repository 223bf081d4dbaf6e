"""Answers that a home is making while a gateway waits for them: what of each may be shown already.

A gateway asks again and again; between two of its requests somebody has to go on watching, or no
model would be asked to stream (`runtime.drafts`). Not covered: what was lost with a reply; each one
tells the whole draft, so the next has it.
"""

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from runtime.drafts import Drafts, Watcher

WATCHED_MAX: Final = 64
"""Messages whose answers are watched at once, as many as a gateway forwards conversations."""
_BATCH_SECONDS: Final = 0.3
"""Sentences that come together are told in one reply."""


@dataclass(slots=True, kw_only=True)
class Growing:
    """Watches answers, by position of their messages, until `done`."""

    drafts: Drafts
    _watched: dict[int, tuple[ExitStack, Watcher]] = field(default_factory=dict)

    def watch(self, position: int) -> None:
        """Begin to watch an answer, if nobody does."""
        if position in self._watched:
            return
        while len(self._watched) >= WATCHED_MAX:
            self.done(next(iter(self._watched)))
        stack = ExitStack()
        self._watched[position] = stack, stack.enter_context(self.drafts.watch(position))

    async def more(self, position: int) -> str:
        """Wait until there is more of a watched answer; return all that may be shown of it."""
        text, found = "", self._watched.get(position)
        if found is None:
            await asyncio.Event().wait()  # given up for newer ones: the answer comes whole
            return ""
        pieces = found[1].pieces()
        async for piece in pieces:
            text = piece.text if piece.anew else text + piece.text
            if text:
                break
        await asyncio.sleep(_BATCH_SECONDS)
        return text

    def done(self, position: int) -> None:
        """Watch an answer no more."""
        stack, _ = self._watched.pop(position, (None, None))
        if stack is not None:
            stack.close()
