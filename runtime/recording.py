"""Puts what passes the proxy on record: a request before it is forwarded, a reply before its end.

Whoever calls waits until an event is durable; when the ledger is slow the proxy is, and when it is
full nothing is passed. The crisis screen reads the new words of a request and the words of a reply;
its verdict is a fact of the event (docs/adr/0020-the-recording-proxy.md says why it is no more).
Nobody is held by it: a name that a client chose is no person.

Not covered: words that were longer than PROXY_SAID_BYTES_MAX are screened in their first part.
"""

import asyncio
import secrets
from dataclasses import replace
from typing import Final

from ledger.core.event import Event
from ledger.core.limits import STREAM_BYTES
from runtime.core.agenda import SCREEN_PASS
from runtime.core.errors import ExchangeRefused
from runtime.core.limits import PROXY_NAMES_MAX
from runtime.core.proxied import (
    SCREEN_CRISIS,
    Reply,
    Request,
    Standing,
    head_of,
    open_requests,
    stream_of,
    streams,
)
from runtime.core.proxy_words import Replied
from runtime.journal import Journal
from runtime.screening import screen_answer, screen_message

UNREAD: Final = "unread"
"""The screen found no words of a person or a model in it."""


class Recorder:
    """The only writer of `proxy.requested` and `proxy.replied`."""

    def __init__(self, journal: Journal, *, digest_key: bytes) -> None:
        self._journal = journal
        self._digest_key = digest_key
        self._naming = asyncio.Lock()
        self._under_way: set[int] = set()

    async def request(self, request: Request) -> Event:
        """Record a request and return it, durable.

        Raises ExchangeRefused for a name too many, StoreFull and StoreError from below.
        """
        rule = await screen_message(head_of(request.said)) if request.said else None
        facts = request.facts | _verdict(request.said, rule)
        screened = replace(request, facts=facts)
        stream = stream_of(self._journal.state.entries, request.name)
        if stream is not None:
            return await self._append(screened, stream)
        async with self._naming:  # two first requests of one name share its stream
            entries = self._journal.state.entries
            stream = stream_of(entries, request.name)
            if stream is None and len(streams(entries)) >= PROXY_NAMES_MAX:
                raise ExchangeRefused(
                    f"{PROXY_NAMES_MAX} streams are known, and {request.name} is none of them",
                    status=403,
                    hint="use one of them: timmy proxy",
                )
            return await self._append(screened, stream or secrets.token_bytes(STREAM_BYTES))

    async def _append(self, request: Request, stream: bytes) -> Event:
        [event] = await self._journal.append(request.draft(stream, self._digest_key))
        self._under_way.add(event.position)
        return event

    async def reply(self, requested: Event, reply: Reply) -> Event:
        """Record how a request ended and return that, durable. Raises StoreFull, StoreError."""
        said = head_of(reply.read.said)
        try:
            rule = await screen_answer(said) if said else None
            screened = replace(reply, facts=reply.facts | _verdict(said, rule))
            draft = screened.draft(requested.cause, requested.stream, self._digest_key)
            [event] = await self._journal.append(draft)
        finally:
            self._under_way.discard(requested.position)
        return event

    async def settle(self) -> int:
        """End the requests that nobody works at any more; return how many there were.

        At a start: the node ended in the middle. Later: a reply that a full disk did not take.
        """
        left = [at for at in open_requests(self._journal.state.entries) if self._idle(at)]
        for position in left:
            reply = Reply(outcome="interrupted", facts={}, read=Replied(), body=None)
            await self.reply(self._journal.log.read(position), reply)
        return len(left)

    def _idle(self, position: int) -> bool:
        return position not in self._under_way

    @property
    def standings(self) -> list[Standing]:
        """Every stream that ever spoke."""
        return streams(self._journal.state.entries)

    @property
    def under_way(self) -> int:
        """How many exchanges have no end yet."""
        return len(self._under_way)


def _verdict(said: str, rule: str | None) -> dict[str, str]:
    if rule is not None:
        return {"screen": SCREEN_CRISIS, "rule": rule}
    return {"screen": SCREEN_PASS if said else UNREAD}
