"""Answers that wait for a gateway: the other half of the door for words.

A gateway takes words in with an idempotency key, asks here for the answers to what came by it, and
says what it delivered. It may die at any moment and keeps nothing: an answer is given again until
it is said to be delivered. Whoever cannot send twice keeps the answer's position where it sends.

Not covered: who a gateway is. Whoever holds the node's token may ask for any gateway's answers.
"""

import asyncio
from typing import Final

from ledger.core import types
from ledger.core.event import Draft, Event
from runtime.core.delivered import delivered, names
from runtime.core.errors import MessageRefused
from runtime.core.limits import GATEWAYS_MAX, NAME_CHARS_MAX
from runtime.journal import Journal

_BREATH_EVENTS: Final = 500
"""Events looked at in one go: some tens of milliseconds, and other work in between."""


class Outbox:
    """The only writer of `gateway.delivered`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def answers(self, name: str, *, limit: int, wait_s: float) -> list[tuple[Event, Event]]:
        """Return at most `limit` (message, answer) that `name` has not delivered, oldest first.

        Waits up to `wait_s` for the first, once all that there is was looked at. Raises
        MessageRefused for what is no name.
        """
        _check(name)
        start, found = delivered(self._journal.state.entries, name) + 1, []
        until_s = asyncio.get_running_loop().time() + wait_s
        while True:
            stop = min(start + _BREATH_EVENTS, self._journal.log.size)
            for event in self._journal.log.events(start, stop):
                message = self._message_of(event, name)
                if message is not None:
                    found.append((message, event))
            start = stop
            if len(found) >= limit:
                break
            if start < self._journal.log.size:
                await asyncio.sleep(0)
                continue
            if found:
                break
            try:
                async with asyncio.timeout_at(until_s):
                    start = await self._grown(start)
            except TimeoutError:
                break
        return found[:limit]

    async def _grown(self, size: int) -> int:
        async for event in self._journal.log.follow(size):
            return event.position
        raise AssertionError("a log is followed without end")

    def _message_of(self, event: Event, name: str) -> Event | None:
        """The message that `event` answers, if it came by that gateway."""
        position = event.payload.get("message")
        if event.type != types.MESSAGE_SENT.name or type(position) is not int:
            return None
        message = self._journal.log.read(position)
        return message if message.payload.get("gateway") == name else None

    async def deliver(self, name: str, position: int) -> Event | None:
        """Record that a gateway delivered every answer up to `position`; None if that is known.

        Raises MessageRefused if there is no answer of that gateway there.
        """
        _check(name)
        async with self._journal.deciding:
            entries, log = self._journal.state.entries, self._journal.log
            answer = log.read(position) if 0 <= position < log.size else None
            if answer is None or self._message_of(answer, name) is None:
                raise MessageRefused(
                    f"event {position} is no answer for {name}",
                    hint="the position of an answer that was given to it",
                )
            if position <= delivered(entries, name):
                return None
            known = names(entries)
            if name not in known and len(known) >= GATEWAYS_MAX:
                raise MessageRefused(f"{len(known)} gateways, at most {GATEWAYS_MAX}")
            [event] = await self._journal.append(
                Draft(
                    type=types.GATEWAY_DELIVERED.name,
                    stream=types.NODE_STREAM,
                    payload={"gateway": name, "position": position},
                    causes=(answer.cause,),
                )
            )
        return event


def _check(name: str) -> None:
    if not 1 <= len(name) <= NAME_CHARS_MAX or not name.isprintable():
        raise MessageRefused(
            f"gateway of {len(name)} characters, 1 to {NAME_CHARS_MAX} printable",
            hint="a short name in one line",
        )
