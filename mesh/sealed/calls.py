"""Live calls by relays (mesh/core/calls.py): who asks, and who answers while he is there.

A question goes out again each RETRY_SECONDS until it is answered or time is over, in a new wrap:
relays give no ephemeral event to who comes late, be it our own subscription. Who answers reads
LIVE_CALLS_PER_SECOND_MAX wraps; of what cannot be opened its sender hears nothing.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NoReturn

import structlog

from mesh.core import calls, limits, nip59
from mesh.core.calls import Call
from mesh.core.errors import InvalidData, MeshError
from mesh.core.nip01 import NostrSigner, VerifiedEvent
from mesh.core.nip59 import Chance, Rumor
from mesh.core.relay.filter import Filter
from mesh.pool.port import Pool

_log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 2.0
"""A round trip over a relay and its authentication take less."""


class Unanswered(MeshError):
    """Nobody answered a call in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCalls:
    """Calls of `signer`, by relays. `clock` gives Unix seconds."""

    pool: Pool
    signer: NostrSigner
    clock: Callable[[], int]
    retry_s: float = RETRY_SECONDS

    @asynccontextmanager
    async def line(self, callee: str, *, at: Collection[str]) -> AsyncIterator["Line"]:
        """Have a line to somebody, by his key in hex, at relays that he listens to."""
        async with self._listening(at) as events:
            yield Line(calls=self, callee=callee, at=tuple(at), events=events)

    async def serve(
        self, answer: Callable[[Call], Awaitable[bytes | None]], *, at: Collection[str]
    ) -> NoReturn:
        """Answer what is asked at relays, until cancelled; None leaves a question unanswered."""
        async with self._listening(at) as events:
            second, opened = 0, 0
            while True:
                event = await anext(events)
                if (now := self.clock()) != second:
                    second, opened = now, 0
                opened += 1
                call = self.open(event) if opened <= limits.LIVE_CALLS_PER_SECOND_MAX else None
                if call is not None and call.answers is None:
                    body = await answer(call)
                    if body is not None:
                        told = calls.make(self.signer.pubkey, body, now=now, answers=call.id)
                        await self.say(told, call.author, at)
                await asyncio.sleep(0)  # a flood must not hold up everything else

    @asynccontextmanager
    async def _listening(self, at: Collection[str]) -> AsyncIterator[AsyncIterator[VerifiedEvent]]:
        """Hear live wraps for us; `since`, as some relays keep them, against the rule."""
        wanted = Filter(
            kinds=frozenset((nip59.LIVE_WRAP_KIND,)),
            tags=(("p", frozenset((self.signer.pubkey,))),),
            since=max(0, self.clock() - limits.LIVE_CALL_SECONDS_MAX),
        )
        async with self.pool.subscribe([wanted], at=at) as events:
            yield events

    async def say(self, rumor: Rumor, receiver: str, at: Collection[str]) -> None:
        """Send a rumor in a new live wrap, which relays that keep it may forget in ten minutes."""
        now = self.clock()
        chance = Chance.derived(secrets.token_bytes(32), b"")
        expires = now + limits.LIVE_CALL_SECONDS_MAX
        wrap = nip59.wrap(rumor, self.signer, receiver, chance, now=now, live=True, expires=expires)
        await self.pool.say(wrap, to=at)

    def open(self, event: VerifiedEvent) -> Call | None:
        """Return the call in a wrap, None for anything else."""
        try:
            return calls.read(nip59.open_wrap(event, self.signer), now=self.clock())
        except InvalidData as error:
            _log.debug("a live call was refused", event_id=event.id, error=str(error))
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line to one callee. After Unanswered it is over."""

    calls: LiveCalls
    callee: str
    at: tuple[str, ...]
    events: AsyncIterator[VerifiedEvent]

    async def ask(self, body: bytes, *, seconds: float) -> bytes:
        """Return what the callee answers. Raises Unanswered; TooLong, InvalidPayload for a call
        that cannot be made.
        """
        asked = calls.make(self.calls.signer.pubkey, body, now=self.calls.clock())
        await self.calls.say(asked, self.callee, self.at)
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                again = group.create_task(self._again(asked))
                body = await self._answer_to(asked.id)
                again.cancel()
                return body
        except TimeoutError as error:
            raise Unanswered(f"nobody answered within {seconds:g} s") from error

    async def _answer_to(self, question: str) -> bytes:
        while True:
            call = self.calls.open(await anext(self.events))
            if call and (call.author, call.answers) == (self.callee, question):
                return call.body

    async def _again(self, asked: Rumor) -> NoReturn:
        while True:
            await asyncio.sleep(self.calls.retry_s)
            await self.calls.say(asked, self.callee, self.at)
