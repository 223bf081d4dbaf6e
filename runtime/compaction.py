"""Compaction: a summary takes the place of what is long ago in prompts, and no turn waits for it.

Once EXCHANGES exchanges of a conversation are over and not covered, the oldest TAKEN of them are
summed up, from the summary before. The summary is an event, `context.compacted`, that names the
stretch it stands for and its digest, and has the messages it was made of as causes: so an erasure
reaches it (`runtime.core.talks`), and the words themselves stay where they are in the ledger.

An exchange is taken whole, message, answer and everything a turn did in between, and only when its
turn is over: no tool call is cut from its result, no message from its answer. It is taken in order:
what waits for an answer holds up what came after it.

The summary is made outside every lock, which may take a model minutes; it is published only if the
stretch then still is what it was made of (compare and swap, under the journal's `deciding`): nobody
summed it up meanwhile, no word of it was erased or withheld, no answer came late.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from ledger.core import hashing, types
from ledger.core.codec import encode
from ledger.core.event import Cause, Draft, Event
from runtime.aside import Aside, ask_aside
from runtime.asking import Completes
from runtime.core.chat import Reach
from runtime.core.privacy import Privacy
from runtime.core.summary import CHARS_MAX, INSTRUCTIONS, Said, extract
from runtime.core.talks import Exchange, Talks
from runtime.journal import Journal
from runtime.recall import words_of
from runtime.screening import screen_answer

EXCHANGES: Final = 12
"""Exchanges that are over and not covered when the oldest are summed up."""
TAKEN: Final = 8
"""Of them: four stay in a prompt word for word at least, twelve at most."""
MESSAGE_CHARS_MAX: Final = 4_000
"""What a model is shown of one message."""
REPLY_TOKENS: Final = 1_000
PREFIX: Final = "timmy-node 2026-11 compacted stretch v1"
TASK: Final = "compaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What is to be summed up. `digest` is of all that the summary depends on."""

    conversation: str
    stream: bytes
    exchanges: tuple[Exchange, ...]
    previous: Event | None
    events: tuple[Event, ...]
    """Messages and answers that have words, in order."""
    digest: bytes

    def reach(self, privacy: Privacy) -> Reach:
        """How far the summary may travel: the least of the conversation and all it is made of."""
        before = () if self.previous is None else (self.previous,)
        bounds = [privacy.of_event(event.payload) for event in (*before, *self.events)]
        return min([privacy.of(self.conversation), *bounds])

    @property
    def causes(self) -> tuple[Cause, ...]:
        """The summary before, and every message that was read."""
        before = () if self.previous is None else (self.previous.cause,)
        return (*before, *(event.cause for event in self.events))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compactor:
    """Run `run()` in a task group of the node; cancel it to stop."""

    journal: Journal
    chain: Completes
    privacy: Privacy
    _logger: Any = field(default_factory=lambda: structlog.get_logger("runtime.compaction"))

    async def run(self) -> None:
        """Sum up whatever is due whenever a turn ends; until cancelled."""
        start = self.journal.log.size
        for conversation in Talks(self.journal.state.entries).long(EXCHANGES):
            await self.compact(conversation)
            await asyncio.sleep(0)  # nearly none is due, and a life may have thousands
        async for conversation in self._ended(start):
            await self.compact(conversation)

    async def _ended(self, start: int) -> AsyncIterator[str]:
        async for event in self.journal.log.follow(start):
            if event.type == types.MESSAGE_SENT.name:
                conversation = event.payload.get("conversation")
                if isinstance(conversation, str):
                    yield conversation

    async def compact(self, conversation: str) -> int:
        """Sum up a conversation as far as it is due; return how many summaries were published."""
        count = 0
        while (stretch := self.stretch(conversation)) is not None:
            text = await self._text(stretch)
            if not await self.publish(stretch, text):
                break
            count += 1
        return count

    def stretch(self, conversation: str) -> Stretch | None:
        """What is due in a conversation, or None."""
        talks = Talks(self.journal.state.entries)
        talk = talks.get(conversation)
        if talk is None:
            return None
        over = []
        for exchange in talk.open:
            if not exchange.closed:
                break
            over.append(exchange)
        if len(over) < EXCHANGES:
            return None
        summary = talks.summary(conversation)
        previous = None if summary is None else self.journal.log.read(summary.position)
        return self._stretch(conversation, talk.stream, tuple(over[:TAKEN]), previous)

    def _stretch(
        self,
        conversation: str,
        stream: bytes,
        exchanges: tuple[Exchange, ...],
        previous: Event | None,
    ) -> Stretch:
        log, withheld = self.journal.log, self.journal.turns.withheld
        events, parts = [], []
        for exchange in exchanges:
            for position in (exchange.message, exchange.answer):
                if position:
                    event = log.read(position)
                    readable = position not in withheld and bool((words_of(event) or "").strip())
                    parts.append([position, event.id, readable])
                    events += [event] if readable else []
        before = None if previous is None else [previous.position, previous.id]
        return Stretch(
            conversation=conversation,
            stream=stream,
            exchanges=exchanges,
            previous=previous,
            events=tuple(events),
            digest=hashing.digest(PREFIX, encode([conversation, before, parts])),
        )

    async def publish(self, stretch: Stretch, text: str) -> bool:
        """Record a summary, if the stretch still is what it was made of."""
        async with self.journal.deciding:
            now = self.stretch(stretch.conversation)
            if now is None or now.digest != stretch.digest:
                self._logger.info("a summary came too late", conversation=stretch.conversation)
                return False
            previous = {} if stretch.previous is None else {"previous": stretch.previous.position}
            await self.journal.append(
                Draft(
                    type=types.CONTEXT_COMPACTED.name,
                    stream=stretch.stream,
                    payload={
                        "conversation": stretch.conversation,
                        "from": stretch.exchanges[0].message,
                        "to": stretch.exchanges[-1].message,
                        "exchanges": len(stretch.exchanges),
                        "prefix": stretch.digest,
                        "reach": stretch.reach(self.privacy).word,
                        **previous,
                    },
                    content={"text": text},
                    causes=stretch.causes,
                )
            )
        return True

    async def _text(self, stretch: Stretch) -> str:
        """The summary in a model's words, if one answers that passes the screen; else extracts."""
        said = [_said(event) for event in stretch.events]
        before = None if stretch.previous is None else words_of(stretch.previous)
        if said:
            reply = await self._asked(stretch, before, said)
            if reply and await screen_answer(reply) is None:
                return reply[:CHARS_MAX]
        return extract(before, said) or "Nothing that can be quoted."

    async def _asked(self, stretch: Stretch, before: str | None, said: list[Said]) -> str:
        told = [] if before is None else [f"Summary of what was before:\n{before}"]
        told += [f"[{one.position}] {one.role}: {one.text}" for one in said]
        aside = Aside(
            task=TASK,
            instructions=INSTRUCTIONS,
            words="\n\n".join(told),
            reach=stretch.reach(self.privacy),
            max_tokens=REPLY_TOKENS,
            stream=stretch.stream,
            causes=stretch.causes,
        )
        return (await ask_aside(self.journal, self.chain, aside) or "").strip()


def _said(event: Event) -> Said:
    role = "user" if event.type == types.MESSAGE_RECEIVED.name else "assistant"
    text = (words_of(event) or "")[:MESSAGE_CHARS_MAX]
    return Said(position=event.position, role=role, text=text)
